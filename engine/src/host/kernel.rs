//! Cache of this namespace's links, addresses, rules, routes and WireGuard devices, updated from netlink
//! notifications.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use wireguard_control::Backend;
use wiremesh_plan::dataplane::change::Configuration;
use wiremesh_plan::dataplane::firewall::Firewall;
use wiremesh_plan::dataplane::model::{Dataplane, Device, FamilyDataplane, RouteKey, Rule};
use wiremesh_plan::dataplane::policy::PolicyRule;
use wiremesh_plan::intent::family::{Family, PerFamily};
use wiremesh_plan::intent::settings::Settings;

use crate::hooks::Hooks;
use crate::host::device::{self, DeviceError, State};
use crate::host::netlink::monitor::News;
use crate::host::netlink::nexthop::Nexthop;
use crate::host::netlink::{Address, Link, Netlink, NetlinkError, Route, message};
use crate::host::nft::{self, NftError};

/// The MTU that Felix assumes where it finds no uplink, in bytes.
const UNKNOWN_UPLINK_MTU: u32 = 1460;

/// How the names of uplinks start where none has the node's address (Felix: `MTUIfacePattern`).
const UPLINK_PREFIXES: &[&str] = &["en", "eth", "wl", "ww", "sl", "ib"];

/// What the reverse-path filter looks at, below /proc.
pub(crate) const SRC_VALID_MARK: &str = "sys/net/ipv4/conf/all/src_valid_mark";

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    /// From route netlink.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// From the device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// From nftables.
    #[error(transparent)]
    Nft(#[from] NftError),
}

/// What has to be read again, since the kernel's notifications do not have it in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) links: bool,
    pub(crate) rules: bool,
    pub(crate) routes: bool,
    pub(crate) devices: bool,
    pub(crate) firewall: bool,
    pub(crate) sysctl: bool,
}

impl Stale {
    /// Everything is stale.
    pub(crate) const ALL: Self = Self {
        links: true,
        rules: true,
        routes: true,
        devices: true,
        firewall: true,
        sysctl: true,
    };

    /// Nothing is stale.
    pub(crate) const NOTHING: Self = Self {
        links: false,
        rules: false,
        routes: false,
        devices: false,
        firewall: false,
        sysctl: false,
    };
}

/// The links and gateways of a route, once its nexthop objects are looked up.
mod lead;

/// The destinations of the kernel's own routes.
mod local;

/// Routes, rules and tables.
mod routes;

/// Rules of others that come before this engine's.
mod bypass;

/// Links that lead out of the node.
mod uplinks;

/// What is known of the kernel.
#[derive(Debug)]
pub(crate) struct KernelCache {
    pub(crate) stale: Stale,
    links: BTreeMap<u32, Link>,
    addresses: BTreeSet<Address>,
    /// The links that lead out of the node, by their numbers.
    uplinks: BTreeSet<u32>,
    /// The routes that this engine has made.
    own_routes: PerFamily<BTreeMap<RouteKey, Route>>,
    /// The routes of others, of several at one place (by metric or type of service) in the kernel's order.
    routes: PerFamily<BTreeMap<RouteKey, Vec<Route>>>,
    /// What the routes lead to that name one, by its number.
    nexthops: BTreeMap<u32, Nexthop>,
    rules: PerFamily<BTreeSet<Rule>>,
    /// The same in the kernel's order, with all their selectors.
    policy: PerFamily<Vec<PolicyRule>>,
    devices: BTreeMap<String, (Backend, State)>,
    firewall: Firewall,
    src_valid_mark: bool,
    hooks: Hooks,
}

impl KernelCache {
    /// Nothing is known yet.
    pub(crate) fn unknown(hooks: &Hooks) -> Self {
        Self {
            hooks: hooks.clone(),
            stale: Stale::ALL,
            links: BTreeMap::new(),
            addresses: BTreeSet::new(),
            uplinks: BTreeSet::new(),
            own_routes: PerFamily::default(),
            routes: PerFamily::default(),
            nexthops: BTreeMap::new(),
            rules: PerFamily::default(),
            policy: PerFamily::default(),
            devices: BTreeMap::new(),
            firewall: Firewall::default(),
            src_valid_mark: false,
        }
    }

    /// Applies the kernel's notifications.
    pub(crate) fn apply_notifications(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Missed => self.stale = Stale::ALL,
                News::Message(message) => self.take(&message),
                News::Nexthop => self.stale.routes = true,
            }
        }
    }

    fn take(&mut self, message: &RouteNetlinkMessage) {
        match message {
            // What a bridge tells of its ports has little of the link, which is there after it as before.
            RouteNetlinkMessage::NewLink(found) | RouteNetlinkMessage::DelLink(found)
                if found.header.interface_family == AddressFamily::Bridge => {}
            RouteNetlinkMessage::NewLink(found) => {
                let link = message::link(found);
                let before = self.links.insert(link.index, link.clone());
                self.link_changes(before.as_ref(), Some(&link));
                // IPv4 routes and nexthops go with their link, and the kernel does not say so.
                if before.as_ref() != Some(&link) {
                    let goes =
                        |before: Link| before.up && !link.up || before.carrier && !link.carrier;
                    self.stale.routes |= before.is_some_and(goes);
                    self.stale.devices |= self.may_be_wireguard(&link);
                }
            }
            RouteNetlinkMessage::DelLink(found) => {
                let gone = self.links.remove(&message::link(found).index);
                self.link_changes(gone.as_ref(), None);
                self.addresses
                    .retain(|(index, _)| *index != found.header.index);
                self.stale.routes = true;
                self.stale.devices = true;
            }
            RouteNetlinkMessage::NewAddress(found) => {
                self.addresses.extend(message::address(found))
            }
            RouteNetlinkMessage::DelAddress(found) => {
                if let Some(address) = message::address(found) {
                    // Routes that prefer the address as their source go with it.
                    self.stale.routes |= self.addresses.remove(&address);
                }
            }
            RouteNetlinkMessage::NewRoute(found) => {
                if let Some(route) = message::route(found) {
                    self.add_route(route);
                }
            }
            RouteNetlinkMessage::DelRoute(found) => {
                if let Some(gone) = message::route(found) {
                    self.remove_route(&gone);
                }
            }
            RouteNetlinkMessage::NewRule(found) => {
                if let Some(family) = message::read_family(found.header.family) {
                    self.add_rule(family, message::policy(found));
                }
            }
            RouteNetlinkMessage::DelRule(found) => {
                // There may be another one that differs in what a `Rule` does not tell, or in nothing.
                self.stale.rules |= message::read_family(found.header.family).is_some();
            }
            _ => {}
        }
    }

    fn may_be_wireguard(&self, link: &Link) -> bool {
        self.devices.contains_key(&link.name) || device::may_be(&link.kind)
    }

    /// Looks at what is stale.
    pub(crate) async fn refresh(
        &mut self,
        netlink: &Netlink,
        settings: &Settings,
    ) -> Result<(), ObserveError> {
        let stale = self.stale;
        if stale.links {
            self.links = netlink.links().await?;
            self.addresses = netlink.addresses().await?;
        }
        if stale.rules {
            for family in Family::ALL {
                let rules = netlink.rules(family).await?;
                self.set_rules(family, rules);
            }
        }
        // The rules may have asked for them.
        if self.stale.routes {
            self.nexthops = netlink.nexthops().await?;
            for family in Family::ALL {
                let routes = netlink.routes(family).await?;
                self.set_routes(family, routes);
            }
        }
        if stale.devices || stale.links {
            self.devices = self.read_devices(settings)?;
        }
        if stale.firewall {
            self.firewall = nft::read().await?;
        }
        if stale.sysctl {
            let text = fs::read_to_string(Path::new("/proc").join(SRC_VALID_MARK));
            self.src_valid_mark = text.is_ok_and(|text| text.trim() == "1");
        }
        self.stale = Stale::NOTHING;
        Ok(())
    }

    /// The devices that are configured, and those of this engine's making.
    fn read_devices(
        &self,
        settings: &Settings,
    ) -> Result<BTreeMap<String, (Backend, State)>, ObserveError> {
        let mut devices = BTreeMap::new();
        for link in self.links.values() {
            let configured = settings
                .tunnel
                .iter()
                .any(|(_, tunnel)| tunnel.interface == link.name);
            if !configured && family_of_tag(link).is_none() {
                continue;
            }
            // The link of a tunnel process that has just ended goes by itself; another one that has a
            // device's name stands in its way (`is_foreign`).
            let Some(backend) = device::backend_of(&link.kind, &link.name) else {
                continue;
            };
            let state = device::read(&link.name, backend)?;
            devices.insert(link.name.clone(), (backend, state));
        }
        Ok(devices)
    }

    /// This engine's tables of nftables.
    pub(crate) fn firewall(&self) -> &Firewall {
        &self.firewall
    }

    /// Whether there is a link of that name that is no WireGuard device, and not of this engine's making.
    pub(crate) fn is_foreign(&self, name: &str) -> bool {
        let mut links = self.links.values();
        links.any(|link| {
            link.name == name
                && family_of_tag(link).is_none()
                && device::backend_of(&link.kind, &link.name).is_none()
        })
    }

    /// Whether there is a link of that name.
    pub(crate) fn has_link(&self, name: &str) -> bool {
        self.links.values().any(|link| link.name == name)
    }

    /// The implementation of a device.
    pub(crate) fn backend(&self, name: &str) -> Option<Backend> {
        self.devices.get(name).map(|(backend, _)| *backend)
    }

    /// A device's state.
    pub(crate) fn device(&self, name: &str) -> Option<&State> {
        self.devices.get(name).map(|(_, state)| state)
    }

    /// Which of this engine's devices listens at a port, and of which family it is.
    pub(crate) fn listener(&self, port: u16, settings: &Settings) -> Option<(String, Family)> {
        let mut on = self.links.values().filter(|link| link.up);
        on.find_map(|link| {
            let state = self.device(&link.name)?;
            let configured = |family: &Family| settings.tunnel[*family].interface == link.name;
            let family =
                family_of_tag(link).or_else(|| Family::ALL.into_iter().find(configured))?;
            (state.listen_port == port).then(|| (link.name.clone(), family))
        })
    }

    /// The names of this engine's devices: those that are there, and those that are configured.
    pub(crate) fn device_names(&self, settings: &Settings) -> Vec<String> {
        let configured = settings.tunnel.iter();
        let configured = configured.map(|(_, tunnel)| tunnel.interface.clone());
        self.devices.keys().cloned().chain(configured).collect()
    }

    /// Takes note of what was just written to a device, so that it need not be read.
    pub(crate) fn configured(&mut self, configuration: &Configuration) {
        if let Some((_, state)) = self.devices.get_mut(&configuration.name) {
            state.take(configuration);
            self.stale.devices = false;
        }
    }

    /// Takes note of an address that has just been added: of one of IPv6 the kernel notifies only later
    /// (`addrconf_dad_work`), and whoever adds it again meanwhile is refused.
    pub(crate) fn has_address(&mut self, index: u32, address: IpNet) {
        self.addresses.insert((index, address));
    }

    /// What can be compared with what is desired.
    pub(crate) fn dataplane(&self, settings: &Settings) -> Dataplane {
        let families = PerFamily::each(|family| {
            let left = self.tables(family, settings).left();
            let rules = self.rules[family].iter().filter(|rule| {
                rule.is_own()
                    || rule.is_of_our_kind() && left.contains(&rule.table)
                    || !rule.foreign && self.hooks.owns_table(rule.table)
            });
            FamilyDataplane {
                devices: self.devices_of(family, settings),
                routes: self.routes_of(family, settings, &left),
                rules: rules.cloned().collect(),
            }
        });
        Dataplane {
            families,
            firewall: self.firewall.clone(),
            src_valid_mark: self.src_valid_mark,
        }
    }

    fn devices_of(&self, family: Family, settings: &Settings) -> BTreeMap<String, Device> {
        let own = &settings.tunnel[family].interface;
        let links = self.links.values().filter_map(|link| {
            let tagged = family_of_tag(link) == Some(family);
            // Another engine's device of the configured name is taken over.
            if link.name != *own && !tagged {
                return None;
            }
            let (backend, state) = self.devices.get(&link.name)?;
            let addresses = self.addresses.iter().filter(|(index, address)| {
                *index == link.index
                    && Family::of_network(*address) == family
                    && !is_link_local(address.addr())
            });
            let peers = state.peers.iter();
            let peers = peers.filter(|(key, _)| !settings.foreign_peers.contains(key));
            let device = Device {
                has_key: state.public_key.is_some(),
                tagged,
                mtu: link.mtu,
                up: link.up,
                addresses: addresses.map(|(_, address)| *address).collect(),
                listen_port: state.listen_port,
                fwmark: state.fwmark,
                threaded: device::threaded(&link.name, *backend),
                peers: peers.map(|(key, peer)| (*key, peer.peer.clone())).collect(),
            };
            Some((link.name.clone(), device))
        });
        links.collect()
    }

    /// The MTU of the link with the node's own address; else the least of those that look
    /// like uplinks. In bytes.
    pub(crate) fn uplink_mtu(&self, own: Option<IpAddr>, settings: &Settings) -> u32 {
        let is_tunnel = |link: &&Link| {
            family_of_tag(link).is_some()
                || settings
                    .tunnel
                    .iter()
                    .any(|(_, tunnel)| tunnel.interface == link.name)
        };
        let others = || self.links.values().filter(|link| !is_tunnel(link));
        let has_own = |link: &&Link| {
            self.addresses
                .iter()
                .any(|(index, address)| *index == link.index && Some(address.addr()) == own)
        };
        let looks_like_one = |link: &&Link| {
            let mut prefixes = UPLINK_PREFIXES.iter();
            link.up && prefixes.any(|prefix| link.name.starts_with(prefix))
        };
        let found = others().find(has_own).map(|link| link.mtu);
        found
            .or_else(|| others().filter(looks_like_one).map(|link| link.mtu).min())
            .unwrap_or(UNKNOWN_UPLINK_MTU)
    }
}

/// What this engine writes on its devices.
pub(crate) fn tag(family: Family) -> &'static str {
    match family {
        Family::V4 => "wiremesh ipv4",
        Family::V6 => "wiremesh ipv6",
    }
}

fn family_of_tag(link: &Link) -> Option<Family> {
    Family::ALL
        .into_iter()
        .find(|family| link.alias == tag(*family))
}

/// The kernel gives every IPv6 link one by itself.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests;
