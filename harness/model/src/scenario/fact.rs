//! Each `[[dataplane]]`: what a node's dataplane must have and lack, and when.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use crate::document::{Table, Unfit, shown};
use crate::name::NodeName;
use crate::plan::DataplaneItem;
use crate::problem::{Problem, Span};

const GRAMMAR: &str = "write `route SUBNET`, `route SUBNET throw`, `route SUBNET dev NAME`, \
                       `rule PRIORITY`, `peer NODE`, `allowed-ip SUBNET of NODE`, \
                       `address ADDRESS`, `device NAME`, `nft PART-OF-A-LINE` or \
                       `sysctl NAME = VALUE`";

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

pub(super) fn fact(table: &mut Table<'_, '_>) -> Option<DataplaneCheck> {
    table.require("node", "node = \"NAME\"");
    let node = table.name("node", "a node");
    let after = table.number("after", 0..=u16::MAX, "");
    let after = after.zip(table.place_of("after"));
    let after = after.map(|(step, place)| Spanned::new(place, step));
    let (has, lacks) = (lines(table, "has"), lines(table, "lacks"));
    let (present, absent) = (things(table, "present"), things(table, "absent"));
    let keys = ["has", "lacks", "present", "absent"];
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

fn lines(table: &mut Table<'_, '_>, key: &'static str) -> Vec<Spanned<String>> {
    table
        .texts(key)
        .map(Spanned::into_inner)
        .unwrap_or_default()
}

fn things(table: &mut Table<'_, '_>, key: &'static str) -> Vec<Spanned<DataplaneItem>> {
    let mut things = Vec::new();
    for written in lines(table, key) {
        match thing(written.get_ref()) {
            Ok(thing) => things.push(Spanned::new(written.span(), thing)),
            Err(Unfit { what, label, help }) => {
                table.report(Problem::new(what, written.span(), label, help));
            }
        }
    }
    things
}

/// A named part of a dataplane: `route 10.240.0.5 dev wireguard.cali`.
fn thing(text: &str) -> Result<DataplaneItem, Unfit> {
    let unfit = |label: &str| Unfit {
        what: format!("`{}` is no part of a dataplane", shown(text)),
        label: label.to_owned(),
        help: GRAMMAR.to_owned(),
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
    fn a_thing_is_read_as_it_is_told() {
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

    #[test]
    fn what_names_nothing_is_refused() {
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
