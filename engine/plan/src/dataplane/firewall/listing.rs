//! Parser of the listing of `nft -j`: into the objects that were written.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::Firewall;

impl Firewall {
    /// Reads a listing of one table, and adds it to what is here.
    pub fn take(&mut self, listing: &Value) {
        for object in listing["nftables"].as_array().into_iter().flatten() {
            let mut object = object.clone();
            if object.get("metainfo").is_some() {
                continue;
            }
            for kind in ["table", "set", "chain", "rule"] {
                let Some(inner) = object.get_mut(kind).and_then(Value::as_object_mut) else {
                    continue;
                };
                inner.remove("handle");
                let elements = inner.remove("elem");
                if kind == "set"
                    && let Some(name) = inner.get("name").and_then(Value::as_str)
                {
                    let read = elements.as_ref().and_then(Value::as_array);
                    let read = read.into_iter().flatten().filter_map(read_element);
                    self.sets.insert(name.to_owned(), read.collect());
                }
                let expressions = inner.get_mut("expr").and_then(Value::as_array_mut);
                for expression in expressions.into_iter().flatten() {
                    if let Some(compared) = expression.get_mut("match") {
                        write_mask_out(compared);
                    }
                    if let Some(counter) = expression.get_mut("counter") {
                        *counter = Value::Null;
                    }
                }
            }
            self.objects.push(object);
        }
    }
}

/// A comparison with the upper bits of a number is listed as one with a prefix: `mark & 0x80000000 ==
/// 0x80000000` as `mark == 0x80000000/1`. What it means is the same.
fn write_mask_out(compared: &mut Value) {
    let prefix = &compared["right"]["prefix"];
    let (Some(number), Some(length)) = (prefix["addr"].as_u64(), prefix["len"].as_u64()) else {
        return;
    };
    let Some(below) = u64::from(u32::BITS).checked_sub(length) else {
        return;
    };
    let mask = u64::from(u32::MAX) >> below << below;
    compared["left"] = json!({"&": [compared["left"].take(), mask]});
    compared["right"] = json!(number);
}

pub(super) fn read_element(element: &Value) -> Option<IpNet> {
    if let Some(text) = element.as_str() {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    }
    let prefix = element.get("prefix")?;
    let address = prefix["addr"].as_str()?.parse().ok()?;
    let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
    IpNet::new(address, length).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Protected, TABLES, Wanted, write_element};
    use super::*;

    fn wanted(mark: u32) -> Wanted {
        Wanted {
            mark,
            incoming_mark: true,
            devices: BTreeSet::from(["wireguard.cali".into()]),
            pods: BTreeSet::from(["azv".into()]),
            ports: BTreeSet::from([51820]),
            store: vec!["10.0.0.9:2379".parse().unwrap()],
            strict: Some(Protected {
                networks: ["10.0.0.0/24", "fd00::/64"]
                    .map(|text| text.parse().unwrap())
                    .into(),
                ..Protected::default()
            }),
        }
    }

    /// As nftables 1.0.6 lists a comparison of a mark's highest bit.
    fn shorten(object: &mut Value) {
        let highest = 1_u64 << 31;
        let expressions = object
            .pointer_mut("/rule/expr")
            .and_then(Value::as_array_mut);
        for expression in expressions.into_iter().flatten() {
            let mark = json!({"meta": {"key": "mark"}});
            let left = json!({"&": [mark, highest]});
            if expression["match"]["left"] == left {
                let right = json!({"prefix": {"addr": highest, "len": 1}});
                *expression = json!({"match": {"op": "==", "left": mark, "right": right}});
            }
        }
    }

    /// As `nft -j list table` prints it: with handles, counts and elements.
    fn listing(firewall: &Firewall, family: &str) -> Value {
        let mut objects = vec![json!({"metainfo": {}})];
        for (handle, object) in firewall.objects.iter().enumerate() {
            let mut object = object.clone();
            shorten(&mut object);
            let (_, inner) = object.as_object_mut().unwrap().iter_mut().next().unwrap();
            if inner["family"] != family {
                continue;
            }
            inner["handle"] = json!(handle);
            if let Some(elements) = inner["name"].as_str().and_then(|n| firewall.sets.get(n)) {
                inner["elem"] = elements.iter().map(|e| write_element(*e)).collect();
            }
            objects.push(object);
        }
        json!({"nftables": objects})
    }

    #[test]
    fn a_listing_parses_to_the_wanted_table_for_every_mark_bit() {
        for bit in 0..u32::BITS {
            let firewall = Firewall::new(&wanted(1 << bit));
            let mut found = Firewall::default();
            for family in TABLES {
                found.take(&listing(&firewall, family));
            }
            assert!(found == firewall, "bit {bit}");
        }
    }

    #[test]
    fn another_mark_or_another_mask_is_not_taken_for_the_one_that_is_wanted() {
        let mark = || json!({"meta": {"key": "mark"}});
        for (addr, len, mask) in [
            (0x8000_0000_u32, 1, 0x8000_0000_u32),
            (0, 1, 0x8000_0000),
            (0xc000_0000, 2, 0xc000_0000),
            (7, 32, u32::MAX),
            (0, 0, 0),
        ] {
            let right = json!({"prefix": {"addr": addr, "len": len}});
            let mut compared = json!({"op": "==", "left": mark(), "right": right});
            write_mask_out(&mut compared);
            let left = json!({"&": [mark(), mask]});
            assert_eq!(compared, json!({"op": "==", "left": left, "right": addr}));
        }
        // What is no number is left as it is.
        for right in [
            json!({"prefix": {"addr": "10.0.0.0", "len": 8}}),
            json!({"prefix": {"addr": 7, "len": 33}}),
            json!(7),
            json!("@local4"),
        ] {
            let compared = json!({"op": "==", "left": mark(), "right": right});
            let mut read = compared.clone();
            write_mask_out(&mut read);
            assert_eq!(read, compared);
        }
    }
}
