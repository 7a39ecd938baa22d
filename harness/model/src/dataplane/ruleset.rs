//! `nft list ruleset` as data: tables, chains by hook, and the words of each rule.

use std::collections::{BTreeMap, BTreeSet};

/// Every table of a node, in the order of the listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ruleset {
    pub(crate) tables: Vec<Table>,
}

/// A table of nftables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    /// `inet`, `ip`, `ip6`, `arp`, `bridge` or `netdev`.
    pub(crate) family: String,
    pub(crate) name: String,
    /// The elements of each set; none where the listing gives none.
    pub(crate) sets: BTreeMap<String, Vec<String>>,
    pub(crate) chains: Vec<Chain>,
}

/// A chain of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    pub(crate) name: String,
    /// Where packets come to it by themselves; none of a chain that rules jump to.
    pub(crate) hook: Option<Hook>,
    /// Each as it is listed, without its comment.
    pub(crate) rules: Vec<String>,
}

/// What makes a base chain of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    /// `prerouting`, `input`, `forward`, `output` or `postrouting`.
    pub(crate) name: String,
    /// The lower comes first.
    pub(crate) priority: i32,
    /// What no rule accepts is dropped.
    pub(crate) drops: bool,
}

/// Names that nft has for priorities (nft(8), "Standard priority names").
const PRIORITIES: &[(&str, i32)] = &[
    ("raw", -300),
    ("mangle", -150),
    ("dstnat", -100),
    ("filter", 0),
    ("security", 50),
    ("srcnat", 100),
];

impl Ruleset {
    /// The ruleset of a listing. Lines that are none of a table, set, chain or rule are left out.
    pub(crate) fn parse(listing: &str) -> Self {
        let mut ruleset = Self::default();
        let mut lines = listing.lines().map(str::trim);
        while let Some(line) = lines.next() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let ["table", family, name, "{"] = words.as_slice() {
                let mut table = Table {
                    family: (*family).to_owned(),
                    name: (*name).to_owned(),
                    ..Table::default()
                };
                table.parse(&mut lines);
                ruleset.tables.push(table);
            }
        }
        ruleset
    }

    /// The base chains of a hook through which packets of a family come, with their tables, in
    /// the order in which packets come through them.
    pub(crate) fn at(&self, hook: &str, family: &str) -> Vec<(&Table, &Chain)> {
        let tables = self.tables.iter();
        let of_family = tables.filter(|table| table.family == "inet" || table.family == family);
        let all = of_family.flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
        let priority = |chain: &Chain| {
            let own = chain.hook.as_ref().filter(|own| own.name == hook);
            own.map(|own| own.priority)
        };
        let mut found: Vec<_> = all
            .filter_map(|(table, chain)| Some((priority(chain)?, table, chain)))
            .collect();
        found.sort_by_key(|(priority, ..)| *priority);
        let found = found.into_iter();
        found.map(|(_, table, chain)| (table, chain)).collect()
    }
}

/// The packets that rules with a counter of their own have counted.
pub(super) fn counts(listing: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for table in Ruleset::parse(listing).tables {
        for chain in &table.chains {
            for rule in &chain.rules {
                let Some((text, packets)) = counted(rule) else {
                    continue;
                };
                let key = super::rule_key(&table.family, &table.name, &chain.name, &text);
                let sum: &mut u64 = counts.entry(key).or_default();
                *sum = sum.saturating_add(packets);
            }
        }
    }
    counts
}

/// A rule as a stateless listing has it, and its count: `counter packets 3 bytes 180 drop` is
/// `counter drop`, and 3.
fn counted(rule: &str) -> Option<(String, u64)> {
    let (before, after) = rule.split_once("counter packets ")?;
    let mut words = after.splitn(4, ' ');
    let packets = words.next()?.parse().ok()?;
    let ("bytes", _) = (words.next()?, words.next()?) else {
        return None;
    };
    let rest = words.next().map(|rest| format!(" {rest}"));
    Some((
        format!("{before}counter{}", rest.unwrap_or_default()),
        packets,
    ))
}

impl Table {
    /// The sets in which rules with that verdict look up where packets go (`ip daddr @NAME drop`): the elements of
    /// each. What a set is called decides nothing.
    pub(crate) fn destinations(&self, verdict: &str) -> Vec<&[String]> {
        let rules = self.chains.iter().flat_map(|chain| &chain.rules);
        let names = rules.filter_map(|rule| {
            let words: Vec<_> = rule.split_whitespace().collect();
            let mut pairs = words.windows(2).filter(|_| words.contains(&verdict));
            let set =
                pairs.find_map(|pair| pair[1].strip_prefix('@').filter(|_| pair[0] == "daddr"));
            set.map(str::to_owned)
        });
        let names: BTreeSet<_> = names.collect();
        let sets = names.iter().filter_map(|name| self.sets.get(name));
        sets.map(Vec::as_slice).collect()
    }

    /// The rules that drop, in the order of the chains.
    pub(crate) fn drop_rules(&self) -> impl Iterator<Item = &String> {
        let rules = self.chains.iter().flat_map(|chain| &chain.rules);
        rules.filter(|rule| rule.split_whitespace().any(|word| word == "drop"))
    }

    pub(crate) fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    fn parse<'a>(&mut self, lines: &mut impl Iterator<Item = &'a str>) {
        while let Some(line) = lines.next() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                ["}"] => return,
                ["chain", name, "{"] => self.chains.push(Chain::parse(name, lines)),
                ["set" | "map", name, "{"] => {
                    let body = block(lines).join(" ");
                    let elements = body.split_once("elements = {");
                    let elements = elements.and_then(|(_, rest)| rest.split('}').next());
                    let elements = elements.unwrap_or_default().split(',').map(str::trim);
                    let elements = elements.filter(|one| !one.is_empty());
                    let elements = elements.map(str::to_owned).collect();
                    self.sets.insert((*name).to_owned(), elements);
                }
                [.., "{"] => drop(block(lines)),
                _ => {}
            }
        }
    }
}

impl Chain {
    fn parse<'a>(name: &str, lines: &mut impl Iterator<Item = &'a str>) -> Self {
        let mut chain = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        for line in block(lines) {
            match Hook::parse(line) {
                Some(hook) => chain.hook = Some(hook),
                None => {
                    let rule = line.split(" comment \"").next().unwrap_or(line);
                    chain.rules.push(rule.to_owned());
                }
            }
        }
        chain
    }
}

impl Hook {
    /// `type filter hook input priority filter + 5; policy drop;`.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line
            .split([' ', ';'])
            .filter(|word| !word.is_empty())
            .collect();
        let ["type", _, "hook", name, rest @ ..] = words.as_slice() else {
            return None;
        };
        let mut at = rest.iter().skip_while(|word| **word != "priority").skip(1);
        let base = at.next()?;
        let named = PRIORITIES.iter().find(|(name, _)| name == base);
        let base = named.map_or_else(|| base.parse().ok(), |(_, value)| Some(*value))?;
        let offset = match (
            at.next(),
            at.next().and_then(|word| word.parse::<i32>().ok()),
        ) {
            (Some(&"+"), Some(more)) => more,
            (Some(&"-"), Some(less)) => -less,
            _ => 0,
        };
        Some(Self {
            name: (*name).to_owned(),
            priority: base + offset,
            drops: rest.windows(2).any(|pair| pair == ["policy", "drop"]),
        })
    }
}

/// The lines of a block up to its closing brace, which is consumed.
fn block<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut inside = Vec::new();
    let mut open = 0_usize;
    for line in lines {
        let opens = line.matches('{').count();
        let closes = line.matches('}').count();
        if closes > open + opens {
            break;
        }
        open = open + opens - closes;
        if !line.is_empty() {
            inside.push(line);
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::Ruleset;

    /// As nft 1.0.6 lists it.
    const LISTING: &str = "table inet fw {
	set s {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8,
			     192.168.1.1 }
	}

	chain sub {
		return
	}

	chain input {
		type filter hook input priority filter; policy drop;
		iif \"lo\" accept
		tcp dport { 22, 7007 } accept comment \"not a drop\"
		iifname vmap { \"eth0\" : drop, \"eth1\" : jump sub }
	}
}
table ip x {
	chain early {
		type filter hook input priority mangle - 5; policy accept;
		meta mark set 0x00000001
	}
}
";

    #[test]
    fn a_listing_is_tables_sets_chains_and_rules() {
        let ruleset = Ruleset::parse(LISTING);
        let [fw, x] = ruleset.tables.as_slice() else {
            panic!("{ruleset:?}");
        };
        assert_eq!((fw.family.as_str(), x.name.as_str()), ("inet", "x"));
        assert_eq!(fw.sets["s"], ["10.0.0.0/8", "192.168.1.1"]);
        let input = fw.chain("input").unwrap();
        assert!(input.hook.as_ref().unwrap().drops);
        assert_eq!(
            input.rules,
            [
                "iif \"lo\" accept",
                "tcp dport { 22, 7007 } accept",
                "iifname vmap { \"eth0\" : drop, \"eth1\" : jump sub }"
            ]
        );
    }

    #[test]
    fn rules_with_a_counter_are_listed_with_their_packets() {
        let listing = "table ip6 fw {
	chain input {
		type filter hook input priority filter; policy accept;
		counter packets 7 bytes 420
		udp dport 51820 counter packets 3 bytes 180 drop comment \"why\"
		udp dport 51820 counter packets 2 bytes 120 drop
		udp dport 51821 drop
	}
}
";
        let counts: Vec<_> = super::counts(listing).into_iter().collect();
        let expected = [
            ("ip6 fw input: counter", 7),
            ("ip6 fw input: udp dport 51820 counter drop", 5),
        ];
        assert_eq!(counts, expected.map(|(key, count)| (key.to_owned(), count)));
        // As a stateless listing has it, it is the same rule.
        let stateless = listing.replace(" packets 3 bytes 180", "");
        let rules = &Ruleset::parse(&stateless).tables[0].chains[0].rules;
        assert_eq!(rules[1], "udp dport 51820 counter drop");
        assert!(super::counts("").is_empty());
    }

    #[test]
    fn packets_come_through_the_chains_of_a_hook_by_their_priority() {
        let ruleset = Ruleset::parse(LISTING);
        let names = |family| -> Vec<_> {
            let chains = ruleset.at("input", family).into_iter();
            chains.map(|(_, chain)| chain.name.as_str()).collect()
        };
        assert_eq!(names("ip"), ["early", "input"]);
        assert_eq!(names("ip6"), ["input"]);
        assert!(ruleset.at("forward", "ip").is_empty());
    }

    #[test]
    fn a_chain_s_priority_is_a_name_or_a_number_and_what_is_added_to_it() {
        // The values of linux/netfilter_ipv4.h.
        for (written, priority) in [
            ("raw", -300),
            ("mangle", -150),
            ("mangle - 5", -155),
            ("mangle + 5", -145),
            ("dstnat", -100),
            ("filter", 0),
            ("filter - 1", -1),
            ("security", 50),
            ("srcnat", 100),
            ("srcnat + 1", 101),
            ("-7", -7),
            ("12", 12),
        ] {
            let line = format!("type filter hook input priority {written}; policy accept;");
            let hook = super::Hook::parse(&line).unwrap();
            assert_eq!(hook.priority, priority, "{written}");
        }
    }
}
