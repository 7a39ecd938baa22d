//! Checks of one node after one step that contradict each other.
//!
//! Of each statement the first one before it is found that it clashes with. Statements are not compared with
//! one another, since a file may have very many: each way to clash has an index instead.

use std::collections::BTreeMap;

use crate::plan::DataplaneItem;
use crate::problem::{Problem, Span};
use crate::scenario::DataplaneCheck;

use super::substring::Matches;

/// One item of a check, of a node after a step.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    what: What<'a>,
    place: Span,
}

#[derive(Debug, Clone, Copy)]
enum What<'a> {
    Has(&'a str),
    Lacks(&'a str),
    Present(&'a DataplaneItem),
    Absent(&'a DataplaneItem),
}

/// All items of one `[[dataplane]]`.
pub(super) fn statements(check: &DataplaneCheck) -> Vec<Statement<'_>> {
    let statement = |what, place| Statement { what, place };
    let has = check.has.iter();
    let has = has.map(|one| statement(What::Has(one.get_ref()), one.span()));
    let lacks = check.lacks.iter();
    let lacks = lacks.map(|one| statement(What::Lacks(one.get_ref()), one.span()));
    let present = check.present.iter();
    let present = present.map(|one| statement(What::Present(one.get_ref()), one.span()));
    let absent = check.absent.iter();
    let absent = absent.map(|one| statement(What::Absent(one.get_ref()), one.span()));
    has.chain(lacks).chain(present).chain(absent).collect()
}

/// Those that are the same as one before, or cannot be so beside it.
pub(super) fn clashes(all: &[Statement<'_>]) -> Vec<Problem> {
    let firsts = Firsts::of(all).firsts;
    let pairs = all.iter().zip(firsts);
    let problem = |(now, first): (&Statement<'_>, Option<usize>)| clash(now, &all[first?]);
    pairs.filter_map(problem).collect()
}

/// For each of some statements the number of the first before it that it clashes with.
struct Firsts {
    firsts: Vec<Option<usize>>,
}

impl Firsts {
    fn of(all: &[Statement<'_>]) -> Self {
        let mut found = Self {
            firsts: vec![None; all.len()],
        };
        found.same(all);
        found.implied(all);
        found.excluded(all);
        let part = |what| match what {
            What::Has(text) => Some((true, text)),
            What::Lacks(text) => Some((false, text)),
            What::Present(_) | What::Absent(_) => None,
        };
        found.contained(all, part);
        let part = |what| {
            if let What::Present(DataplaneItem::Nft { part }) = what {
                Some((true, part.as_str()))
            } else if let What::Absent(DataplaneItem::Nft { part }) = what {
                Some((false, part.as_str()))
            } else {
                None
            }
        };
        found.contained(all, part);
        found
    }

    /// `now` clashes with `then`, if that is before it.
    fn note(&mut self, now: usize, then: usize) {
        if then < now {
            let first = &mut self.firsts[now];
            *first = Some(first.map_or(then, |first| first.min(then)));
        }
    }

    /// What is written twice.
    fn same(&mut self, all: &[Statement<'_>]) {
        let mut seen = BTreeMap::new();
        for (now, statement) in all.iter().enumerate() {
            let key = match statement.what {
                What::Has(text) => (0, Some(text), None),
                What::Lacks(text) => (1, Some(text), None),
                What::Present(thing) => (2, None, Some(thing)),
                What::Absent(thing) => (3, None, Some(thing)),
            };
            let first = *seen.entry(key).or_insert(now);
            self.note(now, first);
        }
    }

    /// What is present, and implies what is absent.
    fn implied(&mut self, all: &[Statement<'_>]) {
        let (mut present, mut absent) = (BTreeMap::new(), BTreeMap::new());
        for (now, statement) in all.iter().enumerate() {
            if let What::Present(thing) = statement.what {
                for implied in implied(thing) {
                    if let Some(first) = absent.get(&implied) {
                        self.note(now, *first);
                    }
                    present.entry(implied).or_insert(now);
                }
            } else if let What::Absent(thing) = statement.what {
                if let Some(first) = present.get(thing) {
                    self.note(now, *first);
                }
                absent.entry(thing.clone()).or_insert(now);
            }
        }
    }

    /// A sysctl has one value, and an allowed IP one peer (of one device).
    fn excluded(&mut self, all: &[Statement<'_>]) {
        // What has the first value is written twice: no other value comes before that one.
        let mut seen = BTreeMap::<_, (usize, &str)>::new();
        for (now, statement) in all.iter().enumerate() {
            let (key, value) = if let What::Present(DataplaneItem::Sysctl { name, value }) =
                statement.what
            {
                ((Some(name), None), value.as_str())
            } else if let What::Present(DataplaneItem::AllowedIp { network, node }) = statement.what
            {
                ((None, Some(network)), node.as_str())
            } else {
                continue;
            };
            let (first, its_value) = *seen.entry(key).or_insert((now, value));
            if value != its_value {
                self.note(now, first);
            }
        }
    }

    /// What is in a line (true), and has a part that is in none (false).
    fn contained<'a>(
        &mut self,
        all: &[Statement<'a>],
        part: impl Fn(What<'a>) -> Option<(bool, &'a str)>,
    ) {
        let (mut texts, mut parts) = (Vec::new(), Vec::new());
        for (number, statement) in all.iter().enumerate() {
            match part(statement.what) {
                Some((true, text)) => texts.push((number, text)),
                Some((false, text)) => parts.push((number, text)),
                None => {}
            }
        }
        let bare = |all: &[(usize, &'a str)]| all.iter().map(|(_, text)| *text).collect::<Vec<_>>();
        let found = Matches::of(&bare(&texts), &bare(&parts));
        for ((now, _), first) in texts.iter().zip(found.first_parts) {
            first
                .into_iter()
                .for_each(|first| self.note(*now, parts[first].0));
        }
        for ((now, _), first) in parts.iter().zip(found.first_texts) {
            first
                .into_iter()
                .for_each(|first| self.note(*now, texts[first].0));
        }
    }
}

/// What else is there where one is; not parts of lines, of which there is no end.
fn implied(one: &DataplaneItem) -> Vec<DataplaneItem> {
    match one {
        DataplaneItem::Route { to, device, throw } => {
            let route = |device, throw| DataplaneItem::Route {
                to: *to,
                device,
                throw,
            };
            let mut all = vec![route(None, false), route(device.clone(), false)];
            if *throw {
                all.extend([route(None, true), route(device.clone(), true)]);
            }
            all
        }
        DataplaneItem::AllowedIp { node, .. } => {
            vec![one.clone(), DataplaneItem::Peer { node: node.clone() }]
        }
        DataplaneItem::Rule { .. }
        | DataplaneItem::Peer { .. }
        | DataplaneItem::Address { .. }
        | DataplaneItem::Device { .. }
        | DataplaneItem::Nft { .. }
        | DataplaneItem::Sysctl { .. } => vec![one.clone()],
    }
}

/// Two that are the same, or that cannot both be so.
fn clash(now: &Statement<'_>, first: &Statement<'_>) -> Option<Problem> {
    let report = |what: String, here: &str, there: &str, help: &str| {
        let problem = Problem::new(what, now.place.clone(), here, help);
        Some(problem.and(first.place.clone(), there))
    };
    let (here, there) = (words(now.what), words(first.what));
    match (now.what, first.what) {
        (What::Has(one), What::Has(other)) | (What::Lacks(one), What::Lacks(other))
            if one == other =>
        {
            twice(one, report)
        }
        (What::Present(one), What::Present(other)) | (What::Absent(one), What::Absent(other))
            if one == other =>
        {
            twice(&one.to_string(), report)
        }
        (What::Has(has), What::Lacks(lacks)) | (What::Lacks(lacks), What::Has(has))
            if has.contains(lacks) =>
        {
            report(
                format!("no line can have `{has}` and lack `{lacks}`"),
                here,
                there,
                "remove one of the two, or name more of the line",
            )
        }
        (What::Present(is), What::Absent(not)) | (What::Absent(not), What::Present(is))
            if implies(is, not) =>
        {
            report(
                format!("`{not}` cannot be absent where `{is}` is present"),
                here,
                there,
                "remove one of the two, or let each name another `after`",
            )
        }
        (What::Present(one), What::Present(other)) if excludes(one, other) => report(
            format!("`{one}` and `{other}` cannot both be present"),
            here,
            there,
            "remove one of the two, or let each name another `after`",
        ),
        _ => None,
    }
}

fn twice(
    what: &str,
    report: impl FnOnce(String, &str, &str, &str) -> Option<Problem>,
) -> Option<Problem> {
    report(
        format!("`{what}` is written twice"),
        "again here",
        "first here",
        "remove one of the two",
    )
}

fn words(what: What<'_>) -> &'static str {
    match what {
        What::Has(_) => "must be in a line",
        What::Lacks(_) => "must be in none",
        What::Present(_) => "present here",
        What::Absent(_) => "absent here",
    }
}

/// Whether where one is, the other is too.
fn implies(one: &DataplaneItem, other: &DataplaneItem) -> bool {
    match (one, other) {
        (
            DataplaneItem::Route { to, device, throw },
            DataplaneItem::Route {
                to: other,
                device: any_device,
                throw: any_throw,
            },
        ) => {
            let same_device = any_device.is_none() || any_device == device;
            to == other && same_device && (!any_throw || throw == any_throw)
        }
        (DataplaneItem::AllowedIp { node, .. }, DataplaneItem::Peer { node: other }) => {
            node == other
        }
        (DataplaneItem::Nft { part }, DataplaneItem::Nft { part: other }) => {
            part.contains(other.as_str())
        }
        _ => one == other,
    }
}

/// A sysctl has one value, and an allowed IP one peer (of one device).
fn excludes(one: &DataplaneItem, other: &DataplaneItem) -> bool {
    match (one, other) {
        (
            DataplaneItem::Sysctl { name, value },
            DataplaneItem::Sysctl {
                name: same,
                value: another,
            },
        ) => name == same && value != another,
        (
            DataplaneItem::AllowedIp { network, node },
            DataplaneItem::AllowedIp {
                network: same,
                node: another,
            },
        ) => network == same && node != another,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn thing() -> impl Strategy<Value = DataplaneItem> {
        let network = prop_oneof![Just("10.0.0.1/32"), Just("10.0.0.0/8")];
        let network = network.prop_map(|text| text.parse().unwrap());
        let node = || prop_oneof![Just("ada"), Just("bob")].prop_map(|name| name.parse().unwrap());
        let device = prop::option::of(Just("wg0".parse().unwrap()));
        prop_oneof![
            (network.clone(), device, any::<bool>())
                .prop_map(|(to, device, throw)| { DataplaneItem::Route { to, device, throw } }),
            node().prop_map(|node| DataplaneItem::Peer { node }),
            (network, node())
                .prop_map(|(network, node)| DataplaneItem::AllowedIp { network, node }),
            "[ab]{0,3}".prop_map(|part| DataplaneItem::Nft { part }),
            ("[xy]", "[01]").prop_map(|(name, value)| DataplaneItem::Sysctl { name, value }),
        ]
    }

    #[derive(Debug, Clone)]
    enum OwnedWhat {
        Has(String),
        Lacks(String),
        Present(DataplaneItem),
        Absent(DataplaneItem),
    }

    fn what_of(owned: &OwnedWhat) -> What<'_> {
        match owned {
            OwnedWhat::Has(text) => What::Has(text),
            OwnedWhat::Lacks(text) => What::Lacks(text),
            OwnedWhat::Present(thing) => What::Present(thing),
            OwnedWhat::Absent(thing) => What::Absent(thing),
        }
    }

    fn owned_what() -> impl Strategy<Value = OwnedWhat> {
        prop_oneof![
            "[abc]{0,4}".prop_map(OwnedWhat::Has),
            "[abc]{0,4}".prop_map(OwnedWhat::Lacks),
            thing().prop_map(OwnedWhat::Present),
            thing().prop_map(OwnedWhat::Absent),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// As comparing each with every one before it, which takes the square of the time.
        #[test]
        fn the_first_clash_is_found(all in prop::collection::vec(owned_what(), 0..16)) {
            let all: Vec<_> = all
                .iter()
                .map(|owned| Statement { what: what_of(owned), place: 0..0 })
                .collect();
            let before = |now: usize| (0..now).find(|then| clash(&all[now], &all[*then]).is_some());
            let expected: Vec<_> = (0..all.len()).map(before).collect();
            prop_assert_eq!(Firsts::of(&all).firsts, expected);
        }
    }
}
