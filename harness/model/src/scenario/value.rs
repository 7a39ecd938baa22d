//! Values that are text with a form of their own.

use ipnet::Ipv4Net;

use crate::document::{Syntax, Unfit, Written, shown};
use crate::name::{IfName, POD_INTERFACE_PREFIX};

/// The longest type of a cluster, in bytes: that of a label's value in Kubernetes.
const CLUSTER_TYPE_MAX: usize = 63;

/// Bounds of every deadline, in milliseconds.
const MIN_DEADLINE: u64 = 100;
const MAX_DEADLINE: u64 = 10 * 60 * 1000;

/// The lab's time resolution, in milliseconds: it looks every 5, twice, and a look takes as long
/// (`LOOK_AGAIN`).
const RESOLVED: u64 = 20;

/// Interfaces that a node has anyway, and names that the kernel keeps for itself.
const OTHER_INTERFACES: &[&str] = &["lo", "eth0", "all", "default"];

/// How [`subnet`] reads one.
pub(super) const SUBNET: Syntax = Syntax::Described("an IPv4 subnet");

/// How [`cluster_type`] reads one.
pub(super) const CLUSTER_TYPE: Syntax =
    Syntax::Described("one word of a-z, 0-9 and `-`, of at most 63 characters");

/// How [`tunnel_device`] reads one.
pub(super) const TUNNEL_DEVICE: Syntax =
    Syntax::Described("an interface's name, of letters, digits, `_`, `.` and `-`");

/// How [`millis`] and [`pause`] read one.
pub(crate) const DURATION: Syntax =
    Syntax::Described("a duration in `ms`, `s` or `m`, from `100ms` to `10m`");

/// How [`budget`] reads one.
pub(super) const BUDGET: Syntax =
    Syntax::Described("a duration in `ms`, `s` or `m`, from `20ms` to `10m`");

/// Forms in a sentence: `` `a`, `b` or `c` ``.
pub(super) fn either(forms: &[Written]) -> String {
    let forms: Vec<_> = forms.iter().map(|(form, _)| format!("`{form}`")).collect();
    match forms.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => forms.concat(),
    }
}

/// A subnet with room for a gateway and a node, of addresses that hosts can have.
pub(super) fn subnet(text: &str) -> Result<Ipv4Net, Unfit> {
    let unfit = |label: &str, help: String| Unfit {
        what: format!("`{}` cannot be the fabric's subnet", shown(text)),
        label: label.to_owned(),
        help,
    };
    let example = || "write an address, a slash and a prefix length: `10.240.0.0/16`".to_owned();
    let Ok(subnet) = text.parse::<Ipv4Net>() else {
        return Err(if text.contains(':') {
            unfit("nodes and pods have IPv4 addresses", example())
        } else {
            unfit("not an IPv4 address with a prefix length", example())
        });
    };
    let network = subnet.trunc();
    if subnet != network {
        return Err(unfit(
            "bits are set behind the prefix",
            format!("write `{network}`"),
        ));
    }
    if subnet.prefix_len() > 30 {
        let help = "a prefix length of at most 30 leaves room for the gateway and a node";
        return Err(unfit("too small", help.to_owned()));
    }
    let (first, last) = (subnet.network(), subnet.broadcast());
    let loopback = first.octets()[0] <= 127 && last.octets()[0] >= 127;
    if first.octets()[0] == 0 || loopback || last.octets()[0] >= 224 {
        let help = "take a private range: `10.0.0.0/8`, `172.16.0.0/12` or `192.168.0.0/16`";
        return Err(unfit(
            "has addresses that no host can have",
            help.to_owned(),
        ));
    }
    Ok(subnet)
}

/// A cluster's type, as it stands in ClusterInformation's comma-separated list.
pub(super) fn cluster_type(text: &str) -> Result<String, Unfit> {
    let in_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.len() <= CLUSTER_TYPE_MAX && text.chars().all(in_word) {
        return Ok(text.to_owned());
    }
    Err(Unfit {
        what: format!("`{}` cannot be a cluster's type", shown(text)),
        label: format!(
            "not one word of a-z, 0-9 and `-`, of at most {CLUSTER_TYPE_MAX} characters"
        ),
        help: "write `type = \"aks\"` for AKS; any other word is passed on as it is".to_owned(),
    })
}

/// A name that Felix takes for its device (`wireguardInterfaceName`) and that no other
/// interface of a node can have.
pub(super) fn tunnel_device(text: &str) -> Result<IfName, Unfit> {
    let unfit = |label: String| Unfit {
        what: format!("`{}` cannot be the tunnel device's name", shown(text)),
        label,
        help: "leave it out for `wireguard.cali`, or write a name such as `wg0`".to_owned(),
    };
    let name = text
        .parse::<IfName>()
        .map_err(|error| unfit(error.to_string()))?;
    let in_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !text.chars().all(in_name) {
        return Err(unfit("only letters, digits, `_`, `.` and `-`".to_owned()));
    }
    if OTHER_INTERFACES.contains(&text) {
        return Err(unfit(
            "a node has another interface of that name".to_owned(),
        ));
    }
    if text.starts_with(POD_INTERFACE_PREFIX) {
        return Err(unfit(format!(
            "`{POD_INTERFACE_PREFIX}` begins the names of pods' interfaces"
        )));
    }
    Ok(name)
}

/// A deadline as Go writes durations, of one unit, in milliseconds: `500ms`, `20s`, `2m`.
pub(crate) fn millis(text: &str) -> Result<u32, Unfit> {
    duration(text, "a deadline", MIN_DEADLINE)
}

/// For how long something stands still, in milliseconds.
pub(super) fn pause(text: &str) -> Result<u32, Unfit> {
    duration(text, "a pause", MIN_DEADLINE)
}

/// The time in which something has to settle, in milliseconds.
pub(super) fn budget(text: &str) -> Result<u32, Unfit> {
    duration(text, "a time to settle in", RESOLVED)
}

fn duration(text: &str, noun: &str, shortest: u64) -> Result<u32, Unfit> {
    let unfit = |label: &str| Unfit {
        what: format!("`{}` cannot be {noun}", shown(text)),
        label: label.to_owned(),
        help: format!("write a whole number with `ms`, `s` or `m`, from `{shortest}ms` to `10m`"),
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "" => return Err(unfit("a number without its unit")),
        _ => return Err(unfit("not a number and its unit")),
    };
    if number.is_empty() {
        return Err(unfit("a unit without its number"));
    }
    // A number that does not even fit is longer than any deadline.
    let millis = number
        .parse::<u64>()
        .unwrap_or(u64::MAX)
        .saturating_mul(factor);
    match u32::try_from(millis) {
        Ok(_) if millis < shortest && shortest == RESOLVED => {
            Err(unfit("shorter than what the lab can tell apart, 20ms"))
        }
        Ok(_) if millis < shortest => Err(unfit("shorter than 100ms")),
        Ok(millis) if u64::from(millis) <= MAX_DEADLINE => Ok(millis),
        Ok(_) | Err(_) => Err(unfit("longer than 10m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<T>(parse: fn(&str) -> Result<T, Unfit>, cases: &[(&str, Option<&str>)]) {
        for (text, refusal) in cases {
            let label = parse(text).err().map(|unfit| unfit.label);
            match refusal {
                None => assert_eq!(label, None, "{text}"),
                Some(part) => {
                    assert!(
                        label.as_ref().is_some_and(|label| label.contains(part)),
                        "{text}: {label:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_deadline_has_a_unit_and_bounds() {
        assert_eq!(millis("500ms").ok(), Some(500));
        assert_eq!(millis("20s").ok(), Some(20_000));
        assert_eq!(millis("10m").ok(), Some(600_000));
        labels(
            millis,
            &[
                ("100ms", None),
                ("99ms", Some("shorter")),
                ("0s", Some("shorter")),
                ("11m", Some("longer")),
                ("99999999999999999999999s", Some("longer")),
                ("20", Some("without its unit")),
                ("s", Some("without its number")),
                ("-1s", Some("not a number")),
                ("1.5s", Some("not a number")),
                ("２0s", Some("not a number")),
            ],
        );
    }

    #[test]
    fn a_subnet_has_addresses_that_hosts_can_have() {
        labels(
            subnet,
            &[
                ("10.240.0.0/16", None),
                ("192.168.7.4/30", None),
                ("10.240.0.1/16", Some("behind the prefix")),
                ("192.168.7.4/31", Some("too small")),
                ("0.0.0.0/0", Some("no host can have")),
                ("64.0.0.0/2", Some("no host can have")),
                ("127.0.0.0/16", Some("no host can have")),
                ("224.0.0.0/24", Some("no host can have")),
                ("10.240.0.0", Some("prefix length")),
                ("10.240.0.0/33", Some("prefix length")),
                ("fd00::/64", Some("IPv4 addresses")),
            ],
        );
    }

    #[test]
    fn the_tunnel_device_is_no_other_interface() {
        labels(
            tunnel_device,
            &[
                ("wireguard.cali", None),
                ("wg0", None),
                ("eth0", Some("another interface")),
                ("azvpod-5", Some("begins the names")),
                ("wg%d", Some("only letters")),
                ("sixteen-bytes-xx", Some("15 bytes")),
            ],
        );
    }

    #[test]
    fn a_cluster_s_type_is_one_word() {
        labels(
            cluster_type,
            &[
                ("aks", None),
                ("k8s,aks", Some("one word")),
                ("A K S", Some("one word")),
            ],
        );
    }
}
