//! The words of a step that tampers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use serde_json::Value;
use strum::VariantArray as _;

use crate::document::{Key, Syntax, Unfit, Word, Written, shown};
use crate::plan::{Action, Foreign, ForeignKind, Own, OwnKind, Settles, Tamper};
use crate::problem::Problem;

use super::keys::Keys;
use super::value::either;

const OUTCOMES: &[Word<Settles>] = &[
    ("repaired", Settles::Repaired, "the engine repairs it"),
    (
        "unchanged",
        Settles::Unchanged,
        "it stays as it was changed, which takes two comparisons of the engine with the kernel: set `routeRefreshInterval`",
    ),
    (
        "compared",
        Settles::Compared,
        "`[[dataplane]]` says what it must be after two comparisons of the engine with the kernel: set `routeRefreshInterval`",
    ),
];

const DELETE: Key = Key::optional(
    "delete",
    "something of the engine's is deleted",
    "nothing is",
);

/// A sysctl as it is written: without quotes its dots would be TOML's.
const SYSCTL_FORM: &str = "\"net.ipv4.conf.all.src_valid_mark\" = 0";

const SYSCTL: Key = Key::optional(
    "sysctl",
    "sysctls of the node's network namespace are set: `{ \"net.ipv4.conf.all.src_valid_mark\" = 0 }`",
    "none are",
)
.more(
    "A sysctl that the kernel does not have, one that can only be read, or a value that it does not take ends the run with\n\
     status 2: which there are differs from kernel to kernel, and `check` cannot know.",
);

const ADD: Key = Key::optional("add", "something foreign is added", "nothing is").more(
    "A route is a black hole. A rule without a destination is for packets that nobody sends; one with a table comes in\n\
     every family of the cluster.",
);

const SETTLES: Key = Key::or("settles", "what the engine makes of it", "\"repaired\"");

/// How what an engine has made is written.
fn own_form(kind: OwnKind) -> Written {
    match kind {
        OwnKind::Route => (
            "route ADDRESS",
            "the routes to an address or a subnet, in all tables but `main` and `local`",
        ),
        OwnKind::Rule => ("rule", "every rule with a mark"),
        OwnKind::RulesOf => (
            "rule PRIORITY",
            "every rule of this priority, of either family, whoever made it",
        ),
        OwnKind::Peer => ("peer NODE", "a node's peer"),
        OwnKind::Nft => ("nft", "the whole ruleset of nftables"),
        OwnKind::Address => ("address", "the tunnel device's addresses"),
        OwnKind::Device => ("device", "the tunnel device"),
        OwnKind::TunnelProcess => (
            "tunnel-process",
            "the process that is the tunnel device, where the kernel has none",
        ),
        OwnKind::Everything => (
            "everything",
            "device, routes, rules, nftables and sysctl, all at once",
        ),
    }
}

/// How what an engine has not made is written.
fn foreign_form(kind: ForeignKind) -> &'static [Written] {
    match kind {
        ForeignKind::Route => &[("route SUBNET", "a route in the main table")],
        ForeignKind::RouteIn => &[("route SUBNET table NUMBER", "a route in this table")],
        ForeignKind::Rule => &[("rule PRIORITY", "a rule with a table of its own")],
        ForeignKind::RuleFor => &[(
            "rule PRIORITY table NUMBER",
            "a rule that looks this table up",
        )],
        ForeignKind::RuleTo => &[(
            "rule PRIORITY to SUBNET table NUMBER",
            "a rule that looks this table up for packets to a destination",
        )],
        ForeignKind::Peer => &[
            ("peer", "a peer whose key nobody has"),
            ("peer PUBLIC-KEY", "a peer with this key, in base64"),
        ],
        ForeignKind::Table => &[("table", "an nftables table")],
    }
}

fn own_forms() -> Vec<Written> {
    OwnKind::VARIANTS
        .iter()
        .map(|kind| own_form(*kind))
        .collect()
}

fn foreign_forms() -> Vec<Written> {
    let kinds = ForeignKind::VARIANTS.iter();
    kinds
        .flat_map(|kind| foreign_form(*kind))
        .copied()
        .collect()
}

pub(super) fn tamper(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    let node = keys.node();
    let table = &mut *keys.table;
    let delete = table.parsed(DELETE, Syntax::Forms(own_forms), own);
    let sysctls = table.values(SYSCTL, SYSCTL_FORM);
    table.refuse_empty(&[SYSCTL]);
    for name in sysctls.keys().filter(|name| !is_of_a_namespace(name)) {
        table.report(Problem::new(
            format!("`{}` cannot be set", shown(name)),
            table.place_of(SYSCTL).unwrap_or(table.place()),
            "is no sysctl of a network namespace",
            format!("write the whole name in quotes, from `net.` on, as sysctl(8) does: `sysctl = {{ {SYSCTL_FORM} }}`"),
        ));
    }
    let add = table.parsed(ADD, Syntax::Forms(foreign_forms), foreign);
    let settles = table.word(SETTLES, "outcome", OUTCOMES);
    let written = [DELETE, SYSCTL, ADD].map(|key| table.has(key));
    if written.into_iter().filter(|there| *there).count() != 1 {
        table.report(Problem::new(
            "not one act of tampering",
            table.place(),
            "needs one of `delete`, `sysctl` and `add`",
            "add `delete = \"rule\"`, or split the step",
        ));
        return None;
    }
    let what = match (delete, add) {
        (Some(own), _) => Tamper::Delete(own.into_inner()),
        (None, Some(foreign)) => Tamper::Add(foreign.into_inner()),
        (None, None) if sysctls.is_empty() => return None,
        (None, None) => Tamper::Sysctl(plain(sysctls)),
    };
    Some(Action::Tamper {
        node: node?,
        what,
        settles: settles.map_or(Settles::Repaired, |settles| settles.into_inner()),
    })
}

/// Whether a name is one of a sysctl below `net`, as sysctl(8) writes it: with dots between its parts, and
/// slashes for the dots of an interface's name. All others are the host's, and what is no name of a sysctl may
/// be that of another file.
fn is_of_a_namespace(name: &str) -> bool {
    let mut parts = name.split('.');
    let fits = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "_-/@:".contains(c);
        !part.is_empty() && part.chars().all(known) && !part.chars().all(|c| c == '/')
    };
    parts.next() == Some("net") && parts.clone().count() > 1 && parts.all(fits)
}

/// Numbers and texts alike: the kernel reads text.
fn plain(values: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value: Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    values
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect()
}

fn own(text: &str) -> Result<Own, Unfit> {
    let (kind, which) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match (kind, which) {
        ("route", which) => Own::Route(destination(text, which)?),
        ("rule", "") => Own::Rule,
        ("rule", priority) => Own::RulesOf(number(priority).ok_or_else(|| Unfit {
            what: format!("`{}` cannot be deleted", shown(text)),
            label: "a rule has a priority".to_owned(),
            help: "write `rule PRIORITY`, or `rule` for every rule with a mark".to_owned(),
        })?),
        ("peer", which) => Own::Peer(which.parse().map_err(|error| Unfit {
            what: format!("`{}` cannot be deleted", shown(text)),
            label: format!("whose peer? {error}"),
            help: "write `peer NODE`".to_owned(),
        })?),
        ("nft", "") => Own::Nft,
        ("address", "") => Own::Address,
        ("device", "") => Own::Device,
        ("tunnel-process", "") => Own::TunnelProcess,
        ("everything", "") => Own::Everything,
        _ => {
            return Err(Unfit {
                what: format!("`{}` cannot be deleted", shown(text)),
                label: "an engine makes nothing of that name".to_owned(),
                help: format!("write {}", either(&own_forms())),
            });
        }
    })
}

fn foreign(text: &str) -> Result<Foreign, Unfit> {
    let (kind, which) = text.split_once(' ').unwrap_or((text, ""));
    let unfit = |label: &str| Unfit {
        what: format!("`{}` cannot be added", shown(text)),
        label: label.to_owned(),
        help: format!("write {}", either(&foreign_forms())),
    };
    let (which, table) = match which.split_once(" table ") {
        None => (which, None),
        Some((which, table)) => {
            let table = number(table).filter(|table| *table > 0);
            let table = table.ok_or_else(|| unfit("a table has a number above 0"))?;
            (which, Some(table))
        }
    };
    let (which, to) = match which.split_once(" to ") {
        Some((which, to)) if kind == "rule" => (which, Some(destination(text, to)?)),
        _ => (which, None),
    };
    let priority = || number(which).ok_or_else(|| unfit("a rule has a priority"));
    if let Some(destination) = to {
        return Ok(Foreign::RuleTo {
            priority: priority()?,
            destination,
            table: table.ok_or_else(|| unfit("a rule for a destination looks a table up"))?,
        });
    }
    Ok(match (kind, which, table) {
        ("route", which, None) => Foreign::Route(destination(text, which)?),
        ("route", which, Some(table)) => Foreign::RouteIn {
            destination: destination(text, which)?,
            table,
        },
        ("rule", _, None) => Foreign::Rule(priority()?),
        ("rule", _, Some(table)) => Foreign::RuleFor {
            priority: priority()?,
            table,
        },
        ("peer", "", None) => Foreign::Peer { key: None },
        ("peer", key, None) if is_public_key(key) => Foreign::Peer {
            key: Some(key.to_owned()),
        },
        ("peer", _, None) => return Err(unfit("a public key is 32 bytes in base64")),
        ("table", "", None) => Foreign::Table,
        _ => return Err(unfit("the lab knows nothing of that name")),
    })
}

fn is_public_key(text: &str) -> bool {
    STANDARD.decode(text).is_ok_and(|key| key.len() == 32)
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn destination(text: &str, which: &str) -> Result<IpNet, Unfit> {
    let network = which.parse::<IpNet>().ok();
    let network = network.or_else(|| which.parse::<IpAddr>().map(IpNet::from).ok());
    network.ok_or_else(|| Unfit {
        what: format!("`{}` is no route", shown(text)),
        label: "where to?".to_owned(),
        help: "write `route 10.240.0.5`, or with a prefix length".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A form with something real in place of each word in capitals.
    fn filled(form: &str) -> String {
        form.replace("PUBLIC-KEY", &STANDARD.encode([7; 32]))
            .replace("SUBNET", "10.240.0.0/16")
            .replace("ADDRESS", "10.240.0.5")
            .replace("PRIORITY", "99")
            .replace("NUMBER", "7")
            .replace("NODE", "ada")
    }

    #[test]
    fn every_form_is_read_as_what_it_is_listed_for() {
        for kind in OwnKind::VARIANTS {
            let (form, _) = own_form(*kind);
            let read = own(&filled(form)).unwrap();
            assert_eq!(OwnKind::from(&read), *kind, "{form}");
        }
        for kind in ForeignKind::VARIANTS {
            for (form, _) in foreign_form(*kind) {
                let read = foreign(&filled(form)).unwrap();
                assert_eq!(ForeignKind::from(&read), *kind, "{form}");
            }
        }
    }
}
