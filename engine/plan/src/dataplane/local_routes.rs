//! Local addresses: the networks that the kernel's own routes lead to the node itself or to its pods.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

/// The kernel's routes, of both families: for each network, whether its route leads to this node or to
/// one of its pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalRoutes(BTreeMap<IpNet, bool>);

impl FromIterator<(IpNet, bool)> for LocalRoutes {
    /// Of two routes to one network the last one counts.
    fn from_iter<T: IntoIterator<Item = (IpNet, bool)>>(routes: T) -> Self {
        Self(routes.into_iter().collect())
    }
}

impl LocalRoutes {
    /// Whether the most specific route to a network leads here. More specific routes inside of the
    /// network are not looked at.
    pub fn has(&self, network: IpNet) -> bool {
        let route = supernets(network).find_map(|outer| self.0.get(&outer));
        route == Some(&true)
    }

    /// The parts of a network that are here: all of it, or what its more specific routes leave.
    pub fn parts(&self, network: IpNet) -> Vec<IpNet> {
        let whole = self.has(network);
        let last = IpNet::from(network.broadcast());
        let inside = self.0.range(network.trunc()..=last);
        let inside = inside.filter(|(inner, _)| inner.prefix_len() > network.prefix_len());
        let (here, elsewhere): (Vec<_>, Vec<_>) = inside.partition(|(_, here)| **here);
        let elsewhere: BTreeSet<_> = elsewhere.into_iter().map(|(inner, _)| *inner).collect();
        let here = here.into_iter().map(|(inner, _)| *inner);
        let parts = whole.then_some(network).into_iter().chain(here);
        let parts: Vec<_> = parts.flat_map(|part| without(part, &elsewhere)).collect();
        IpNet::aggregate(&parts)
    }
}

/// A network and those that contain it, the most specific first.
pub fn supernets(network: IpNet) -> impl Iterator<Item = IpNet> {
    let lengths = (0..=network.prefix_len()).rev();
    lengths.filter_map(move |length| Some(IpNet::new(network.addr(), length).ok()?.trunc()))
}

/// A network less those that lie inside of it. One that is equal to it takes nothing away.
pub fn without(network: IpNet, others: &BTreeSet<IpNet>) -> Vec<IpNet> {
    let last = IpNet::from(network.broadcast());
    let mut inside = others.range(network.trunc()..=last);
    if !inside.any(|other| other.prefix_len() > network.prefix_len()) {
        return vec![network];
    }
    let Ok(halves) = network.subnets(network.prefix_len() + 1) else {
        return Vec::new();
    };
    halves
        .filter(|half| !others.contains(half))
        .flat_map(|half| without(half, others))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        crate::intent::family::network(text).unwrap()
    }

    fn here(routes: &[(&str, bool)]) -> LocalRoutes {
        let routes = routes.iter().map(|(network, here)| (net(network), *here));
        routes.collect()
    }

    fn texts(networks: Vec<IpNet>) -> Vec<String> {
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_most_specific_route_decides() {
        let here = here(&[
            ("0.0.0.0/0", false),
            ("10.244.1.0/24", true),
            ("10.244.1.9", false),
            ("::/0", false),
            ("fd00::5", true),
        ]);
        for (network, expected) in [
            ("10.244.1.8", true),
            ("10.244.1.9", false),
            ("10.244.2.8", false),
            ("fd00::5", true),
            ("fd00::6", false),
        ] {
            assert_eq!(here.has(net(network)), expected, "{network}");
        }
        assert!(!LocalRoutes::default().has(net("10.244.1.8")));
    }

    #[test]
    fn a_block_is_here_where_its_pods_are_and_nowhere_else() {
        let here = here(&[
            ("0.0.0.0/0", false),
            ("10.65.0.2", true),
            ("10.65.0.9", false),
            ("10.66.0.0/24", true),
            ("10.66.0.128/25", false),
            ("10.66.0.130", true),
            ("fd00::5", true),
            ("10.68.0.0/27", true),
            ("10.68.0.32/27", true),
        ]);
        let parts = |network| texts(here.parts(net(network)));
        assert_eq!(parts("10.65.0.0/26"), ["10.65.0.2/32"]);
        assert_eq!(parts("10.65.0.2"), ["10.65.0.2/32"]);
        assert_eq!(parts("10.66.0.0/24"), ["10.66.0.0/25", "10.66.0.130/32"]);
        assert_eq!(parts("10.66.0.0/25"), ["10.66.0.0/25"]);
        assert_eq!(parts("10.66.0.192/26"), [""; 0]);
        assert_eq!(parts("fd00::/64"), ["fd00::5/128"]);
        assert_eq!(parts("10.67.0.0/24"), [""; 0]);
        assert_eq!(parts("10.68.0.0/26"), ["10.68.0.0/26"]);
    }

    #[test]
    fn networks_inside_are_subtracted_and_no_others() {
        let others = |texts: &[&str]| texts.iter().map(|text| net(text)).collect();
        let left = |network, inside: &[&str]| texts(without(net(network), &others(inside)));
        assert_eq!(
            left("10.0.0.0/30", &["10.0.0.1", "10.0.0.1"]),
            ["10.0.0.0/32", "10.0.0.2/31"]
        );
        assert_eq!(
            left("10.0.0.0/30", &["10.0.0.0/30", "10.0.0.0/8"]),
            ["10.0.0.0/30"]
        );
        assert_eq!(left("fd00::/127", &["fd00::", "fd00::1"]), [""; 0]);
        assert_eq!(left("0.0.0.0/0", &["128.0.0.0/1"]), ["0.0.0.0/1"]);
        assert_eq!(left("::/0", &["::/1"]), ["8000::/1"]);
    }
}
