//! The tunnels' UDP ports. They are the whole cluster's: a node sends to its peers at the port that it
//! has itself (Felix: `wireguardListeningPort` is global). Each family has a device of its own, and so
//! a port of its own.

use crate::intent::family::{Family, PerFamily};
use crate::intent::resource::{Configuration, Wrong};

use super::{Fields, Settings};

/// Calico's default UDP ports.
const DEFAULTS: PerFamily<u16> = PerFamily {
    v4: 51820,
    v6: 51821,
};

fn field(family: Family) -> &'static str {
    match family {
        Family::V4 => "wireguardListeningPort",
        Family::V6 => "wireguardListeningPortV6",
    }
}

impl Settings {
    /// Reads both ports. Where they would be equal IPv4 has what was asked for, and IPv6 what it had.
    pub(super) fn read_ports(&mut self, fields: &mut Fields<'_>) {
        let before = self.tunnel.v6.listen_port;
        for family in Family::ALL {
            if let Some(port) = fields.number(field(family), 1, u16::MAX.into()) {
                let tunnel = &mut self.tunnel[family];
                tunnel.listen_port = u16::try_from(port).unwrap_or(tunnel.listen_port);
            }
        }
        let v4 = self.tunnel.v4.listen_port;
        if self.tunnel.v6.listen_port != v4 {
            return;
        }
        let mut free = [before, DEFAULTS.v6, DEFAULTS.v4].into_iter();
        let free = free.find(|port| *port != v4).unwrap_or(before);
        self.tunnel.v6.listen_port = free;
        let what = format!(
            "is {v4}, the port of IPv4: each family's device needs a port of its own, and IPv6 has \
             {free}"
        );
        fields
            .wrong
            .push(Wrong::at(&format!("spec.{}", field(Family::V6)), what));
    }

    /// Reads a FelixConfiguration that is not for all nodes: as [`Settings::read`], but for the ports.
    pub fn read_of_some_nodes(&mut self, configuration: &Configuration) -> Vec<Wrong> {
        let ports = PerFamily::each(|family| self.tunnel[family].listen_port);
        let mut configuration = configuration.clone();
        let mut wrong = Vec::new();
        for family in Family::ALL {
            let given = configuration.spec.remove(field(family));
            if given.is_some_and(|given| !given.is_null()) {
                let what = format!(
                    "is the whole cluster's, and not one node's: set it in the FelixConfiguration \
                     `default`; {} stays",
                    ports[family]
                );
                wrong.push(Wrong::at(&format!("spec.{}", field(family)), what));
            }
        }
        wrong.extend(self.read(&configuration));
        wrong
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn configuration(spec: &Value) -> Configuration {
        Configuration {
            spec: spec.as_object().unwrap().clone(),
            ..Configuration::default()
        }
    }

    fn ports(settings: &Settings) -> [u16; 2] {
        [Family::V4, Family::V6].map(|family| settings.tunnel[family].listen_port)
    }

    #[test]
    fn equal_ports_are_refused_and_both_families_go_on() {
        let read = |spec| {
            let mut settings = Settings::default();
            let wrong = settings.read(&configuration(&spec));
            let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
            (ports(&settings), wrong.join("; "))
        };
        let refused = |port: u16, free: u16| {
            format!(
                "`spec.wireguardListeningPortV6` is {port}, the port of IPv4: each family's device \
                 needs a port of its own, and IPv6 has {free}"
            )
        };
        let (v4, v6) = ("wireguardListeningPort", "wireguardListeningPortV6");
        assert_eq!(
            read(json!({v6: 51820})),
            ([51820, 51821], refused(51820, 51821))
        );
        assert_eq!(
            read(json!({v4: 51821})),
            ([51821, 51820], refused(51821, 51820))
        );
        assert_eq!(read(json!({v4: 7, v6: 7})), ([7, 51821], refused(7, 51821)));
        assert_eq!(
            read(json!({v4: 51821, v6: 51820})),
            ([51821, 51820], String::new())
        );
    }

    #[test]
    fn a_port_of_one_node_is_refused_and_the_cluster_s_stays() {
        let mut settings = Settings::default();
        settings.read(&configuration(&json!({"wireguardListeningPort": 5000})));
        let own = json!({
            "wireguardListeningPort": 51999, "wireguardListeningPortV6": 51820,
            "wireguardEnabled": true,
        });
        let wrong = settings.read_of_some_nodes(&configuration(&own));
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(ports(&settings), [5000, 51821]);
        assert!(settings.tunnel.v4.enabled);
        assert_eq!(
            wrong,
            [
                "`spec.wireguardListeningPort` is the whole cluster's, and not one node's: set it in \
                 the FelixConfiguration `default`; 5000 stays",
                "`spec.wireguardListeningPortV6` is the whole cluster's, and not one node's: set it \
                 in the FelixConfiguration `default`; 51821 stays",
            ]
        );
    }
}
