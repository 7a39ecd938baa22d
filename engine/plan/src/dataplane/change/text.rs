//! Changes as the log and `status` name them.

use std::fmt;

use super::{Change, Configuration};

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSrcValidMark => f.write_str("set net.ipv4.conf.all.src_valid_mark to 1"),
            Self::SetFirewall { to, .. } if to.is_empty() => f.write_str("remove the nftables"),
            Self::SetFirewall { .. } => f.write_str("set the nftables"),
            Self::CreateDevice { name, .. } => write!(f, "create {name}"),
            Self::TagDevice { name, .. } => write!(f, "tag {name}"),
            Self::GenerateKey { name, .. } => write!(f, "give {name} a new key"),
            Self::MoveKey { from, to, .. } => write!(f, "move the key of {from} to {to}"),
            Self::Configure(configuration) => configuration.fmt(f),
            Self::SetMtu { name, mtu, .. } => write!(f, "set the mtu of {name} to {mtu}"),
            Self::AddAddress { name, address, .. } => write!(f, "add {address} to {name}"),
            Self::RemoveAddress { name, address, .. } => {
                write!(f, "remove {address} from {name}")
            }
            Self::SwitchOn { name, .. } => write!(f, "switch {name} on"),
            Self::SetThreaded { name, threaded, .. } => {
                let how = if *threaded {
                    "by threads"
                } else {
                    "without threads"
                };
                write!(f, "let {name} work {how}")
            }
            Self::SetRoutes {
                family,
                remove,
                set,
            } => {
                let (more, less) = (set.len(), remove.len());
                write!(f, "set {more} and remove {less} {family} routes")
            }
            Self::RemoveLeftRoutes { family, routes } => {
                let count = routes.len();
                write!(
                    f,
                    "remove {count} {family} routes that another engine has left"
                )
            }
            Self::AddRule { family, rule } => write!(f, "add the {family} rule {rule}"),
            Self::RemoveRule { family, rule } => write!(f, "remove the {family} rule {rule}"),
            Self::DeleteDevice { name, .. } => write!(f, "delete {name}"),
        }
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configure {}:", self.name)?;
        if let Some(mark) = self.fwmark {
            write!(f, " mark {mark:#x}")?;
        }
        if let Some(port) = self.listen_port {
            write!(f, " port {port}")?;
        }
        for key in &self.remove {
            write!(f, " -{key}")?;
        }
        for (key, change) in &self.set {
            let noun = if change.networks.len() == 1 {
                "network"
            } else {
                "networks"
            };
            write!(f, " {key} ({} {noun})", change.networks.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dataplane::change::PeerChange;
    use crate::dataplane::firewall::{Firewall, Wanted};
    use crate::intent::family::Family;
    use crate::intent::key::PublicKey;

    #[test]
    fn rules_are_removed_only_where_none_are_to_be() {
        let some = Firewall::new(&Wanted {
            incoming_mark: true,
            ..Wanted::default()
        });
        let text = |from: &Firewall, to: &Firewall| {
            let (from, to) = (from.clone(), to.clone());
            Change::SetFirewall { from, to }.to_string()
        };
        assert_eq!(text(&Firewall::default(), &some), "set the nftables");
        assert_eq!(text(&some, &Firewall::default()), "remove the nftables");
    }

    #[test]
    fn one_network_is_one_and_none_are_several() {
        let text = |networks: &[&str]| {
            let key = PublicKey::from_bytes([7; 32]).unwrap();
            let networks = networks.iter().map(|text| text.parse().unwrap());
            let change = PeerChange {
                endpoint: None,
                keepalive: None,
                replace: false,
                networks: networks.collect(),
            };
            let configuration = Configuration {
                family: Family::V4,
                name: "wireguard.cali".into(),
                fwmark: None,
                listen_port: None,
                remove: BTreeSet::new(),
                set: vec![(key, change)],
            };
            configuration.to_string()
        };
        assert!(text(&[]).ends_with(" (0 networks)"));
        assert!(text(&["10.0.0.0/8"]).ends_with(" (1 network)"));
        assert!(text(&["10.0.0.0/8", "11.0.0.0/8"]).ends_with(" (2 networks)"));
    }
}
