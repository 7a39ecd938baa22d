//! The walk, compared with a model that sends one packet after the other through rules and routes as the
//! kernel does.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::*;
use crate::dataplane::model::Rule;

/// Every address that there is: `10.0.0.0/29`, or the same of IPv6.
const ADDRESSES: u8 = 8;

/// Where rules are: before this engine's, at its priority, and behind it.
const PRIORITIES: [u32; 6] = [10, 20, 30, 99, 150, 200];

/// A network, as a number of addresses to a power of two.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: u8,
    length: u8,
}

impl Part {
    /// In a family.
    fn network(self, v6: bool) -> IpNet {
        let address = Ipv4Addr::from([10, 0, 0, self.first]);
        let network = IpNet::V4(Ipv4Net::new_assert(address, 29 + self.length)).trunc();
        match (v6, network.addr()) {
            (true, IpAddr::V4(address)) => {
                let last = u16::from(address.octets()[3]);
                let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
                IpNet::new_assert(address.into(), 125 + self.length)
            }
            _ => network,
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    (0..ADDRESSES, 0_u8..=3).prop_map(|(first, length)| Part { first, length })
}

fn way() -> impl Strategy<Value = RouteOutcome> {
    prop_oneof![
        2 => Just(RouteOutcome::Link("eth0".into())),
        2 => Just(RouteOutcome::Tunnel),
        1 => Just(RouteOutcome::Throw),
        1 => Just(RouteOutcome::Stays),
        1 => Just(RouteOutcome::Refuse),
    ]
}

fn route() -> impl Strategy<Value = Route> {
    let hop = (way(), 0_u32..2).prop_map(|(way, group)| Hop {
        way,
        group: Some(group),
    });
    let hops = proptest::collection::vec(hop, 1..3);
    (hops, proptest::bool::weighted(0.2)).prop_map(|(mut hops, some)| {
        // Such a route has no next hops.
        let is_end = |hop: &&Hop| matches!(hop.way, RouteOutcome::Throw | RouteOutcome::Refuse);
        if let Some(only) = hops.iter().find(is_end) {
            hops = vec![only.clone()];
        }
        Route { hops, some }
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => proptest::sample::select(vec![80, 81, 254]).prop_map(Action::LookUp),
        3 => proptest::sample::select(PRIORITIES.to_vec()).prop_map(Action::GoTo),
        1 => Just(Action::Nothing),
        1 => Just(Action::Refuse("prohibit")),
    ]
}

/// A rule of others, without the destination.
fn rule() -> impl Strategy<Value = (PolicyRule, Option<Part>)> {
    let suppressed = (
        proptest::option::weighted(0.3, 0_u32..4),
        proptest::option::weighted(0.3, 0_u32..2),
    );
    let priority = proptest::sample::select(PRIORITIES.to_vec());
    let some = proptest::bool::weighted(0.2);
    let to = proptest::option::of(part());
    (priority, any::<bool>(), some, action(), suppressed, to).prop_map(
        |(priority, not, some, action, (length, group), to)| {
            let mut rule = PolicyRule::without_selectors(Rule {
                own: false,
                mark: 0,
                mask: 0,
                // Without a selector it would be for no packet.
                not: not && (some || to.is_some()),
                ..Rule::for_mark(priority, 0, 0)
            });
            rule.action = action;
            rule.some = some.then(|| "ipproto 6".to_owned()).into_iter().collect();
            rule.suppressed_length = length;
            rule.suppressed_group = group;
            (rule, to)
        },
    )
}

/// A world of one family.
#[derive(Debug, Clone)]
struct World {
    rules: Vec<PolicyRule>,
    /// Of several to one network the first one comes first.
    routes: Vec<(u32, IpNet, Route)>,
    wanted: BTreeMap<IpNet, Option<&'static str>>,
}

fn world() -> impl Strategy<Value = World> {
    let table = proptest::sample::select(vec![80_u32, 81, 254]);
    let routes = proptest::collection::vec((table, part(), route()), 0..7);
    let wanted = proptest::collection::vec((part(), proptest::bool::weighted(0.8)), 1..4);
    let rules = proptest::collection::vec(rule(), 0..6);
    (any::<bool>(), rules, routes, wanted).prop_map(|(v6, rules, routes, wanted)| {
        let shortest = if v6 { 125 } else { 29 };
        let own = PolicyRule::without_selectors(Rule::for_mark(99, 0x10, 1));
        let others = rules.into_iter().map(|(rule, to)| PolicyRule {
            to: to.map(|to| to.network(v6)),
            suppressed_length: rule.suppressed_length.map(|length| shortest + length),
            ..rule
        });
        let mut rules: Vec<_> = others.chain([own]).collect();
        rules.sort_by_key(|rule| rule.rule.priority);
        let network = |part: Part| part.network(v6);
        let routes = routes.into_iter();
        let owner = |owned: bool| owned.then_some("bob");
        World {
            rules,
            routes: routes
                .map(|(table, part, route)| (table, network(part), route))
                .collect(),
            wanted: wanted
                .into_iter()
                .map(|(part, owned)| (network(part), owner(owned)))
                .collect(),
        }
    })
}

/// What may become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Tunnelled,
    Stayed,
    InClear,
    Dropped,
}

impl World {
    /// What may become of a packet, of TCP or not, from the rule at that place on.
    fn send(&self, address: IpNet, tcp: bool, place: usize) -> BTreeSet<End> {
        let Some(rule) = self.rules.get(place) else {
            return [End::Dropped].into();
        };
        let on = |place| self.send(address, tcp, place);
        if rule.rule.own {
            return [End::Tunnelled].into();
        }
        let meets = rule.to.is_none_or(|to| to.contains(&address)) && (rule.some.is_empty() || tcp);
        if meets == rule.rule.not {
            return on(place + 1);
        }
        match rule.action {
            Action::Nothing => on(place + 1),
            Action::Refuse(_) => [End::Dropped].into(),
            Action::GoTo(priority) => {
                let mut rules = self.rules.iter();
                let target = rules.position(|rule| rule.rule.priority == priority);
                // The kernel refuses a jump back.
                let ahead = target.filter(|_| priority > rule.rule.priority);
                on(ahead.unwrap_or(place + 1))
            }
            Action::LookUp(table) => {
                let routes = self.routes.iter();
                let around =
                    routes.filter(|(of, network, _)| *of == table && network.contains(&address));
                let mut around: Vec<_> = around.collect();
                around.sort_by_key(|(_, network, _)| Reverse(network.prefix_len()));
                let mut ends = BTreeSet::new();
                for (_, network, route) in around {
                    ends.extend(take(route, network, rule, &on(place + 1)));
                    if !route.some {
                        return ends;
                    }
                }
                ends.extend(on(place + 1));
                ends
            }
        }
    }

    /// What may become of packets to the part of a network that is not another's.
    fn ends(&self, network: IpNet) -> BTreeSet<End> {
        let hosts = network.subnets(network.max_prefix_len()).unwrap();
        let nearest = |host: &IpNet| {
            let around = self.wanted.keys().filter(|wanted| wanted.contains(host));
            around.max_by_key(|wanted| wanted.prefix_len()) == Some(&network)
        };
        let hosts = hosts.filter(nearest);
        hosts
            .flat_map(|host| [false, true].map(|tcp| self.send(host, tcp, 0)))
            .flatten()
            .collect()
    }

    fn describe(&self) -> Vec<Bypass> {
        let table = |number| {
            let routes = self.routes.iter().filter(|(table, ..)| *table == number);
            let routes = routes.map(|(_, network, route)| (*network, route.clone()));
            routes.collect()
        };
        let origins = Origins {
            sources: Vec::new(),
            outside: BTreeSet::new(),
            tunnels: BTreeSet::new(),
            vrfs: BTreeSet::new(),
        };
        let before = Before::of(&self.rules, &origins.vrfs, table);
        before.map_or_else(Vec::new, |before| before.bypasses(&self.wanted, &origins))
    }
}

/// What may become of a packet that a rule has found a route for; `next` is what does by the next one.
fn take(route: &Route, network: &IpNet, rule: &PolicyRule, next: &BTreeSet<End>) -> BTreeSet<End> {
    let group = |hop: &Hop| match network {
        IpNet::V4(_) => route.hops[0].group,
        IpNet::V6(_) => hop.group,
    };
    let length = u32::from(network.prefix_len());
    let is_short = rule.suppressed_length.is_some_and(|most| length <= most);
    let is_of_group = |hop: &Hop| {
        let suppressed = rule.suppressed_group;
        suppressed.is_some_and(|suppressed| Some(suppressed) == group(hop))
    };
    let ends = route.hops.iter().flat_map(|hop| match hop.way {
        RouteOutcome::Throw => next.clone(),
        RouteOutcome::Refuse => [End::Dropped].into(),
        _ if is_short || is_of_group(hop) => next.clone(),
        RouteOutcome::Stays => [End::Stayed].into(),
        RouteOutcome::Tunnel => [End::Tunnelled].into(),
        RouteOutcome::Link(_) => [End::InClear].into(),
    });
    ends.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_diverted_network_is_reported_and_without_partial_rules_no_other(world in world()) {
        let reported = world.describe();
        let exact = world.rules.iter().all(|rule| rule.some.is_empty());
        let owned = world.wanted.iter().filter(|(_, owner)| owner.is_some());
        for (network, _) in owned {
            let ends = world.ends(*network);
            let of_network = || reported.iter().filter(|bypass| bypass.network == *network);
            let is_reported = of_network().next().is_some();
            let is_clear = of_network().any(|bypass| bypass.effect != Effect::Refused);
            let goes_clear = ends.contains(&End::InClear);
            let diverted = goes_clear || ends.contains(&End::Dropped);
            prop_assert!(is_reported || !diverted, "{network} is diverted: {ends:?}");
            prop_assert!(is_clear || !goes_clear, "{network} goes in clear: {reported:?}");
            if exact {
                prop_assert_eq!(is_reported, diverted, "{} {:?} {:?}", network, ends, reported);
                prop_assert_eq!(is_clear, goes_clear, "{} {:?} {:?}", network, ends, reported);
            }
        }
    }
}
