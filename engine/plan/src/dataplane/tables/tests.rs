//! The table that is chosen, the one that is left, and the cases in which none is free.

use super::*;

/// Which rules there are, the tables with routes of this engine's, and routes of others.
#[derive(Default)]
struct World {
    rules: BTreeSet<Rule>,
    own: BTreeSet<u32>,
    into_tunnel: BTreeSet<u32>,
    foreign: BTreeMap<u32, Vec<ForeignRoute>>,
}

/// The mark of these tests, and Felix's of 3.30 and later.
const MARK: u32 = 0x10_0000;
const ANOTHER_MARK: u32 = 0x20_0000;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A rule of another program with a selector that [`Rule`] does not hold.
fn rule_of_another(priority: u32, table: u32) -> Rule {
    Rule {
        priority,
        not: false,
        mark: 0,
        mask: 0,
        table,
        own: false,
        foreign: true,
    }
}

fn felix_s_rule(mark: u32, table: u32) -> Rule {
    Rule {
        own: false,
        ..Rule::for_mark(99, mark, table)
    }
}

impl World {
    fn rule(mut self, rule: Rule) -> Self {
        self.rules.insert(rule);
        self
    }

    fn without_rule(mut self, rule: &Rule) -> Self {
        assert!(self.rules.remove(rule));
        self
    }

    fn routes_of_ours(mut self, table: u32) -> Self {
        self.own.insert(table);
        self
    }

    fn route(mut self, table: u32, network: &str, way: ForeignWay) -> Self {
        let network = net(network);
        let routes = self.foreign.entry(table).or_default();
        routes.push(ForeignRoute { network, way });
        self
    }

    fn tables(&self) -> Tables<'_> {
        Tables {
            rules: &self.rules,
            own: self.own.clone(),
            into_tunnel: self.into_tunnel.clone(),
            foreign: self.foreign.clone(),
        }
    }

    fn choose(&self, ranges: &[(u32, u32)]) -> Result<Choice, NoTable> {
        self.tables().choose(ranges, wanted)
    }

    fn table(&self) -> u32 {
        self.choose(&[(1, 250), (300, 310)]).unwrap().table
    }
}

/// A peer's block of which this node has one address, and a peer's address, in both families.
fn wanted() -> BTreeMap<IpNet, Target> {
    let tunnel = || Target::Tunnel("wireguard.cali".into());
    BTreeMap::from([
        (net("10.65.1.0/26"), tunnel()),
        (net("10.65.1.5/32"), Target::Throw),
        (net("10.9.0.2/32"), tunnel()),
        (net("fd65:1::/64"), tunnel()),
        (net("fd65:1::5/128"), Target::Throw),
    ])
}

#[test]
fn the_first_table_that_nobody_uses_is_taken() {
    assert_eq!(World::default().table(), 1);
    let routes = |world: World, table| world.route(table, "0.0.0.0/0", ForeignWay::Elsewhere);
    let used = [1, 2, 254].into_iter().fold(World::default(), routes);
    assert_eq!(used.table(), 3);
    // A throw that changes nothing is somebody's too.
    let used = World::default().route(1, "10.0.0.0/8", ForeignWay::Throw);
    assert_eq!(used.table(), 2);
    let all = (1..=250).fold(World::default(), routes);
    assert_eq!(all.table(), 300);
}

#[test]
fn a_table_that_a_rule_of_another_looks_up_is_not_taken_whatever_its_selector() {
    let plain = Rule {
        foreign: false,
        ..rule_of_another(50, 1)
    };
    let marked = Rule {
        mark: 7,
        mask: u32::MAX,
        ..plain.clone()
    };
    // wg-quick's: for packets without a mark of many bits.
    let of_another_kind = Rule {
        not: true,
        mark: 0xca6c,
        ..marked.clone()
    };
    // A route protocol is anybody's to write.
    let with_our_number = Rule {
        own: true,
        ..rule_of_another(512, 1)
    };
    let felix_with_selector = Rule {
        foreign: true,
        ..felix_s_rule(MARK, 1)
    };
    for rule in [
        rule_of_another(512, 1),
        plain,
        marked,
        of_another_kind,
        with_our_number,
        felix_with_selector,
    ] {
        assert_eq!(World::default().rule(rule.clone()).table(), 2, "{rule:?}");
    }
}

#[test]
fn a_rule_that_looks_up_no_table_takes_none() {
    let nowhere = Rule {
        table: 0,
        ..rule_of_another(512, 0)
    };
    assert_eq!(World::default().rule(nowhere).table(), 1);
}

#[test]
fn a_table_that_was_taken_is_kept_while_it_is_allowed() {
    let ruled = |table| World::default().rule(Rule::for_mark(99, MARK, table));
    assert_eq!(ruled(9).table(), 9);
    assert_eq!(ruled(280).table(), 1);
    // After a restart, or when somebody has deleted the rule: by its routes.
    assert_eq!(World::default().routes_of_ours(9).table(), 9);
    let both = ruled(9).routes_of_ours(3);
    assert_eq!(both.table(), 9, "the rule says where packets go");
}

#[test]
fn it_moves_when_a_rule_of_another_comes_and_stays_when_that_goes_again() {
    let own = |table| Rule::for_mark(99, MARK, table);
    let came = World::default()
        .rule(own(1))
        .routes_of_ours(1)
        .rule(rule_of_another(512, 1));
    assert_eq!(came.table(), 2);
    // In the middle of the move, and after it.
    let middle = came.routes_of_ours(2).rule(own(2));
    assert_eq!(middle.table(), 2);
    let moved = middle.without_rule(&own(1));
    assert_eq!(moved.table(), 2);
    let gone = moved.without_rule(&rule_of_another(512, 1));
    assert_eq!(gone.table(), 2, "no flapping");
    // The second time, and the way back.
    let again = gone.rule(rule_of_another(512, 2));
    assert_eq!(again.table(), 1);
}

#[test]
fn a_foreign_route_s_effect_depends_on_the_networks_that_it_decides() {
    use ForeignWay::{Elsewhere, Throw, Tunnel};
    let effect = |network: &str, way| {
        let network = net(network);
        ForeignRoute { network, way }.effect(&wanted())
    };
    for way in [Throw, Elsewhere, Tunnel] {
        for network in [
            "10.9.0.2/32",
            "10.65.1.0/26",
            "10.65.1.5/32",
            "10.65.1.9/32",
            "10.65.1.32/27",
            "fd65:1::9/128",
            "fd65:1::5/128",
        ] {
            assert_eq!(effect(network, way), Effect::Protected, "{network} {way:?}");
        }
        let otherwise = match way {
            Throw => Effect::None,
            Elsewhere | Tunnel => Effect::Plain,
        };
        for network in [
            "0.0.0.0/0",
            "::/0",
            "10.65.0.0/16",
            "198.51.100.0/24",
            "fd65::/32",
        ] {
            assert_eq!(effect(network, way), otherwise, "{network} {way:?}");
        }
    }
}

#[test]
fn it_moves_from_routes_of_others_that_decide_and_bears_them_where_nothing_else_is_free() {
    let own = || {
        World::default()
            .rule(Rule::for_mark(99, MARK, 77))
            .routes_of_ours(77)
    };
    let (one, two) = ([(77, 77)], [(77, 78)]);
    let harmless = own().route(77, "10.65.0.0/16", ForeignWay::Throw);
    let shared = |table, networks: &[&str]| {
        Ok(Choice {
            table,
            shared: networks.iter().map(|network| net(network)).collect(),
        })
    };
    assert_eq!(harmless.choose(&two), shared(77, &[]));
    let plain = harmless.route(77, "0.0.0.0/0", ForeignWay::Elsewhere);
    assert_eq!(plain.choose(&two), shared(78, &[]));
    assert_eq!(plain.choose(&one), shared(77, &["0.0.0.0/0"]));
    let diverting = plain.route(77, "10.65.1.9/32", ForeignWay::Throw);
    assert_eq!(diverting.choose(&two), shared(78, &[]));
    let refused = diverting.choose(&one).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no routing table of routeTableRanges (77) is free: 77 has a route to 10.65.0.0/16; \
         add a range of free tables"
    );
}

#[test]
fn of_two_tables_with_routes_of_others_the_first_is_kept() {
    let both = World::default()
        .rule(Rule::for_mark(99, MARK, 77))
        .routes_of_ours(77)
        .routes_of_ours(78)
        .route(77, "0.0.0.0/0", ForeignWay::Elsewhere)
        .route(78, "0.0.0.0/0", ForeignWay::Elsewhere);
    assert_eq!(both.choose(&[(77, 78)]).unwrap().table, 77);
}

#[test]
fn tables_that_are_all_taken_are_reported_with_their_users() {
    let world = (77..=80).fold(World::default(), |world, table| {
        world.rule(rule_of_another(500 + table, table))
    });
    let world = world.route(90, "::/0", ForeignWay::Elsewhere);
    let refused = world.choose(&[(77, 78), (90, 90), (253, 254), (79, 80)]);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "no routing table of routeTableRanges (77-78, 90, 253-254, 79-80) is free: the rule of priority \
         577 looks up 77, the rule of priority 578 looks up 78, 90 has a route to ::/0; add a range of free \
         tables"
    );
}

#[test]
fn the_table_left_by_an_engine_of_this_kind_is_taken_over() {
    let left = |world: &World| world.tables().left();
    // Its routes lead to this engine's device; its mark may be another one.
    let with_routes = World::default()
        .rule(felix_s_rule(ANOTHER_MARK, 1))
        .route(1, "10.9.0.2/32", ForeignWay::Tunnel)
        .route(1, "10.9.0.3/32", ForeignWay::Throw);
    assert_eq!(
        (with_routes.table(), left(&with_routes)),
        (1, BTreeSet::from([1]))
    );
    // Half taken over: this engine's routes are in the place of the other's.
    let half = World {
        into_tunnel: BTreeSet::from([1]),
        ..World::default()
            .rule(felix_s_rule(ANOTHER_MARK, 1))
            .routes_of_ours(1)
    };
    assert_eq!((half.table(), left(&half)), (1, BTreeSet::from([1])));
    // A rule of others that looks it up too keeps it theirs; what was left goes all the same.
    let shared = with_routes.rule(rule_of_another(512, 1));
    assert_eq!((shared.table(), left(&shared)), (2, BTreeSet::from([1])));
    let with_another_route = World::default()
        .rule(felix_s_rule(ANOTHER_MARK, 1))
        .route(1, "10.9.0.2/32", ForeignWay::Tunnel)
        .route(1, "0.0.0.0/0", ForeignWay::Elsewhere);
    assert_eq!(with_another_route.table(), 2);
}

#[test]
fn a_table_of_another_program_that_looks_alike_is_not_taken() {
    let none = BTreeSet::new();
    // Nothing leads to this engine's device, whatever the mark.
    for mark in [MARK, ANOTHER_MARK] {
        let vpn = World::default().rule(felix_s_rule(mark, 1));
        assert_eq!((vpn.table(), vpn.tables().left()), (2, none.clone()));
        let vpn = vpn.route(1, "10.9.0.3/32", ForeignWay::Throw);
        assert_eq!((vpn.table(), vpn.tables().left()), (2, none.clone()));
    }
    let vpn =
        World::default()
            .rule(felix_s_rule(MARK, 1))
            .route(1, "0.0.0.0/0", ForeignWay::Elsewhere);
    assert_eq!((vpn.table(), vpn.tables().left()), (2, none.clone()));
    for table in KERNEL_TABLES {
        let world = World::default().rule(felix_s_rule(MARK, table));
        assert_eq!((world.table(), world.tables().left()), (1, none.clone()));
    }
}

#[test]
fn no_range_and_no_rule_leads_to_a_table_of_the_kernel() {
    let used = (1..=252).fold(World::default(), |world, table| {
        world.rule(rule_of_another(512, table))
    });
    let chosen = used.choose(&[(1, 260)]);
    assert_eq!(chosen.unwrap().table, 256);
    for table in std::iter::once(0).chain(KERNEL_TABLES) {
        let world = World::default()
            .rule(Rule::for_mark(99, MARK, table))
            .routes_of_ours(table);
        for range in [(table.max(253), table.max(253)), (253, 255)] {
            assert!(world.choose(&[range]).is_err(), "{table} {range:?}");
        }
        assert_eq!(world.table(), 1);
    }
}
