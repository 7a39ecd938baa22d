//! Each `[[dataplane]]`: what a node's dataplane must have and lack, and when.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use strum::VariantArray as _;

use crate::document::{Key, Table, Unfit, Written, shown};
use crate::name::NodeName;
use crate::plan::{DataplaneItem, DataplaneItemKind};
use crate::problem::{Problem, Span};

use super::value::either;

/// How a part of a dataplane is written, and when it is there. Of each kind there is at least one form.
fn written(kind: DataplaneItemKind) -> &'static [Written] {
    match kind {
        DataplaneItemKind::Route => &[
            (
                "route SUBNET",
                "a route to exactly that network or address, in whatever table",
            ),
            ("route SUBNET throw", "such a throw route"),
            (
                "route SUBNET dev NAME",
                "such a route through that interface",
            ),
        ],
        DataplaneItemKind::Rule => {
            &[("rule PRIORITY", "a rule of that priority, of either family")]
        }
        DataplaneItemKind::Peer => &[(
            "peer NODE",
            "a peer with the key that the node has published",
        )],
        DataplaneItemKind::AllowedIp => &[(
            "allowed-ip SUBNET of NODE",
            "exactly that network or address among the allowed IPs of that node's peer",
        )],
        DataplaneItemKind::Address => &[(
            "address ADDRESS",
            "that address, without a prefix length, on any interface",
        )],
        DataplaneItemKind::Device => &[("device NAME", "an interface of that name")],
        DataplaneItemKind::Nft => &[("nft PART-OF-A-LINE", "a line of nftables that has the text")],
        DataplaneItemKind::Sysctl => &[(
            "sysctl NAME = VALUE",
            "one of the sysctls of a snapshot, with that value",
        )],
    }
}

fn forms() -> Vec<Written> {
    let kinds = DataplaneItemKind::VARIANTS.iter();
    kinds.flat_map(|kind| written(*kind)).copied().collect()
}

const NODE: Key = Key::required(
    "node",
    "the node whose dataplane it is about",
    "node = \"NAME\"",
);

const AFTER: Key = Key::optional(
    "after",
    "it is looked at when the step of this number has settled; 0 is the start",
    "the end",
);

const HAS: Key = Key::optional("has", "parts of lines that its snapshot must have", "none");

const LACKS: Key = Key::optional(
    "lacks",
    "parts of lines that its snapshot must lack",
    "none",
);

const PRESENT: Key = Key::optional(
    "present",
    "parts of the dataplane, by name, that must be there",
    "none",
);

const ABSENT: Key = Key::optional(
    "absent",
    "parts of the dataplane, by name, that must not be there",
    "none",
)
.more(
    "Where one is broken, the report names what is there instead: the route that covers an address, the peer that has an\n\
     allowed IP, the value. Two of one node and moment that contradict each other are refused.",
);

/// `[[dataplane]]`.
#[derive(Debug)]
pub struct DataplaneCheck {
    /// The place of the table's header in the file.
    pub place: Span,
    /// The node that it is about.
    pub node: Spanned<NodeName>,
    /// When which step has settled; none is at the end.
    pub after: Option<Spanned<u16>>,
    /// Parts of lines that must be in it.
    pub has: Vec<Spanned<String>>,
    /// Parts of lines that must not.
    pub lacks: Vec<Spanned<String>>,
    /// What must be there.
    pub present: Vec<Spanned<DataplaneItem>>,
    /// What must not.
    pub absent: Vec<Spanned<DataplaneItem>>,
}

pub(super) fn read(table: &mut Table<'_, '_>) -> Option<DataplaneCheck> {
    let node = table.name(NODE, "a node");
    let after = table.number(AFTER, 0..=u16::MAX, "");
    let after = after.zip(table.place_of(AFTER));
    let after = after.map(|(step, place)| Spanned::new(place, step));
    let (has, lacks) = (lines(table, HAS), lines(table, LACKS));
    let (present, absent) = (things(table, PRESENT), things(table, ABSENT));
    let keys = [HAS, LACKS, PRESENT, ABSENT];
    table.refuse_empty(&keys);
    if !keys.into_iter().any(|key| table.has(key)) {
        table.report(Problem::new(
            "nothing is said about a dataplane",
            table.place(),
            "none of `has`, `lacks`, `present` and `absent` is here",
            "add `has = [\"listening port: 51820\"]`, a part of a line of the snapshot, or \
             `present = [\"rule 99\"]`",
        ));
    }
    Some(DataplaneCheck {
        place: table.place(),
        node: node?,
        after,
        has,
        lacks,
        present,
        absent,
    })
}

fn lines(table: &mut Table<'_, '_>, key: Key) -> Vec<Spanned<String>> {
    table
        .texts(key)
        .map(Spanned::into_inner)
        .unwrap_or_default()
}

fn things(table: &mut Table<'_, '_>, key: Key) -> Vec<Spanned<DataplaneItem>> {
    table.parsed_texts(key, forms, thing).unwrap_or_default()
}

/// A named part of a dataplane: `route 10.240.0.5 dev wireguard.cali`.
fn thing(text: &str) -> Result<DataplaneItem, Unfit> {
    let unfit = |label: &str| Unfit {
        what: format!("`{}` is no part of a dataplane", shown(text)),
        label: label.to_owned(),
        help: format!("write {}", either(&forms())),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let network = |word: &str| {
        let network = word.parse::<IpNet>().ok();
        let network = network.or_else(|| word.parse::<IpAddr>().map(IpNet::from).ok());
        match network {
            Some(network) if network == network.trunc() => Ok(network),
            Some(_) => Err(unfit("bits are set behind the prefix")),
            None => Err(unfit("not a subnet, and no address")),
        }
    };
    let node = |word: &str| {
        let name = word.parse::<NodeName>();
        name.map_err(|error| unfit(&error.to_string()))
    };
    let device = |word: &str| word.parse().map_err(|_| unfit("not an interface's name"));
    Ok(match words.as_slice() {
        ["route", to, rest @ ..] => {
            let (device, throw) = match rest {
                [] => (None, false),
                ["throw"] => (None, true),
                ["dev", name] => (Some(device(name)?), false),
                _ => return Err(unfit("after the subnet, only `throw` or `dev NAME`")),
            };
            let to = network(to)?;
            DataplaneItem::Route { to, device, throw }
        }
        ["rule", priority] => DataplaneItem::Rule {
            priority: priority
                .parse()
                .map_err(|_| unfit("a rule has a priority, a number"))?,
        },
        ["peer", name] => DataplaneItem::Peer { node: node(name)? },
        ["allowed-ip", one, "of", name] => DataplaneItem::AllowedIp {
            network: network(one)?,
            node: node(name)?,
        },
        ["allowed-ip", ..] => return Err(unfit("of whose peer?")),
        ["address", address] => DataplaneItem::Address {
            address: address
                .parse()
                .map_err(|_| unfit("not an address; it has no prefix length here"))?,
        },
        ["device", name] => DataplaneItem::Device {
            name: device(name)?,
        },
        ["nft", _, ..] => DataplaneItem::Nft {
            part: text
                .trim_start()
                .trim_start_matches("nft")
                .trim()
                .to_owned(),
        },
        ["sysctl", name, "=", value] => DataplaneItem::Sysctl {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        },
        ["sysctl", ..] => return Err(unfit("a sysctl has a name and a value")),
        ["route" | "rule" | "peer" | "address" | "device" | "nft", ..] => {
            return Err(unfit("which one?"));
        }
        _ => return Err(unfit("a dataplane has nothing of that name")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataplane_item_parses_as_it_is_printed() {
        for text in [
            "route 10.240.0.5/32",
            "route 10.240.0.0/16 throw",
            "route fd00::/64 dev wireguard.cali",
            "rule 99",
            "peer node-2",
            "allowed-ip 10.240.0.5/32 of node-2",
            "address 10.240.0.5",
            "device wireguard.cali",
            "nft meta mark set 0x100000",
            "sysctl net.ipv4.ip_forward = 1",
        ] {
            assert_eq!(thing(text).unwrap().to_string(), text);
        }
        assert_eq!(
            thing("route 10.240.0.5").unwrap(),
            thing("route 10.240.0.5/32").unwrap()
        );
    }

    /// A form with something real in place of each word in capitals.
    #[test]
    fn every_form_is_read() {
        for (form, _) in forms() {
            let text = form
                .replace("SUBNET", "10.240.0.5/32")
                .replace("PRIORITY", "99")
                .replace("NODE", "node-2")
                .replace("ADDRESS", "10.240.0.5")
                .replace("PART-OF-A-LINE", "mark")
                .replace("NAME", "wg0")
                .replace("VALUE", "1");
            assert_eq!(thing(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_malformed_dataplane_item_is_refused() {
        for text in [
            "rout 10.0.0.0/8",
            "route",
            "route 10.240.0.5/16",
            "route 10.0.0.0/8 via 10.0.0.1",
            "rule all",
            "peer",
            "allowed-ip 10.0.0.1",
            "address 10.0.0.1/8",
            "sysctl net.ipv4.ip_forward",
            "nft",
        ] {
            assert!(thing(text).is_err(), "{text}");
        }
    }
}
