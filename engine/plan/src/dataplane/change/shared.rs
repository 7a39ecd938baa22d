//! Rules and routes of other programs that appear: the engine moves to another table, and does not change theirs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::{Fate, Others, apply, fate, fate_among};
use super::random::{cluster, plane_in, v4, v6};
use super::*;
use crate::dataplane::desired::wanted_routes;
use crate::dataplane::local_routes::LocalRoutes;
use crate::dataplane::tables::{Choice, ForeignRoute, ForeignWay, NoTable, Tables};
use crate::intent::cluster::Cluster;
use crate::intent::family::PerFamily;
use crate::intent::settings::KERNEL_TABLES;

/// The tables that the engine may take: few, so that others have them all at times.
const RANGE: (u32, u32) = (1, 3);

/// What others have, in both families.
#[derive(Debug, Clone, Default)]
struct Strangers {
    rules: BTreeSet<Rule>,
    routes: Others,
}

fn rule() -> impl Strategy<Value = Rule> {
    (0_u32..200, 1_u32..5, any::<bool>()).prop_map(|(priority, table, not)| Rule {
        priority,
        not,
        mark: 0,
        mask: 0,
        table,
        own: false,
        foreign: true,
    })
}

/// Networks of this cluster's addresses, of any length.
fn network() -> impl Strategy<Value = IpNet> {
    let lengths = prop_oneof![Just(0_u8), Just(1), Just(4), Just(8), Just(24), Just(32)];
    (any::<bool>(), any::<u8>(), lengths).prop_map(|(four, last, short)| {
        let address = if four { v4(last) } else { v6(last) };
        let whole = IpNet::from(address);
        let network = IpNet::new(address, whole.max_prefix_len() - short);
        network.unwrap().trunc()
    })
}

fn strangers() -> impl Strategy<Value = Strangers> {
    let route = (1_u32..5, network(), any::<bool>());
    let routes = proptest::collection::vec(route, 0..5);
    let rules = proptest::collection::btree_set(rule(), 0..3);
    (rules, routes).prop_map(|(rules, routes)| {
        let mut strangers = Strangers {
            rules,
            routes: Others::default(),
        };
        for (table, network, ends) in routes {
            let family = Family::of_network(network);
            strangers.routes[family].insert(RouteKey { table, network }, ends);
        }
        strangers
    })
}

/// What is chosen for node a, which has `actual`.
fn choose(
    cluster: &Cluster,
    actual: &Dataplane,
    strangers: &Strangers,
) -> PerFamily<Result<Choice, NoTable>> {
    PerFamily::each(|family| {
        let plane = &actual.families[family];
        let rules = plane.rules.union(&strangers.rules).cloned().collect();
        let mut foreign = BTreeMap::<_, Vec<_>>::new();
        for (slot, ends) in &strangers.routes[family] {
            let way = match ends {
                true => ForeignWay::Elsewhere,
                false => ForeignWay::Throw,
            };
            let network = slot.network;
            let routes = foreign.entry(slot.table).or_default();
            routes.push(ForeignRoute { network, way });
        }
        let own = || plane.routes.iter();
        let into_tunnel = own().filter(|(_, target)| matches!(target, Target::Tunnel(_)));
        let tables = Tables {
            rules: &rules,
            own: own().map(|(slot, _)| slot.table).collect(),
            into_tunnel: into_tunnel.map(|(slot, _)| slot.table).collect(),
            foreign,
        };
        tables.choose(&[RANGE], || {
            wanted_routes(cluster, "a", family, &everything())
        })
    })
}

/// All that node a claims is on it.
fn everything() -> LocalRoutes {
    let here = ["0.0.0.0/0", "::/0"].map(|all| (all.parse().unwrap(), true));
    here.into_iter().collect()
}

fn tables(choices: &PerFamily<Result<Choice, NoTable>>) -> PerFamily<Option<u32>> {
    PerFamily::each(|family| choices[family].as_ref().ok().map(|choice| choice.table))
}

fn destinations() -> impl Iterator<Item = IpNet> {
    let last = || 1_u8..=255;
    last().map(v4).chain(last().map(v6)).map(IpNet::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_engine_moves_out_of_the_way_without_a_way_in_clear(
        cluster in cluster(),
        before in strangers(),
        after in strangers(),
        cut in any::<prop::sample::Index>(),
    ) {
        let chosen = choose(&cluster, &Dataplane::default(), &before);
        let mut plane = plane_in(&cluster, &everything(), tables(&chosen));
        let start = plane.clone();

        let chosen = choose(&cluster, &plane, &after);
        let desired = plane_in(&cluster, &everything(), tables(&chosen));
        let changes = diff(&plane, &desired);
        let cut = cut.index(changes.len() + 1);
        for (number, change) in changes.iter().enumerate() {
            if number == cut {
                // An agent that starts again here goes on to where this one was going.
                let again = choose(&cluster, &plane, &after);
                prop_assert_eq!(tables(&again), tables(&chosen));
            }
            apply(change, &mut plane);
            for to in destinations() {
                let was = fate_among(&start, &after.routes, to);
                let will_be = fate_among(&desired, &after.routes, to);
                if was != Fate::Plain && will_be != Fate::Plain {
                    let now = fate_among(&plane, &after.routes, to);
                    prop_assert_ne!(now, Fate::Plain, "{} after {}", to, change);
                }
            }
        }

        for (family, choice) in chosen.iter() {
            let own = &desired.families[family];
            let theirs = &after.routes[family];
            if let Ok(Choice { table, shared }) = choice {
                prop_assert!((RANGE.0..=RANGE.1).contains(table) && !KERNEL_TABLES.contains(table));
                let mut rules = after.rules.iter();
                prop_assert!(rules.all(|rule| rule.table != *table), "it is looked up by others");
                prop_assert!(own.routes.keys().all(|slot| !theirs.contains_key(slot)));
                let alone = shared.is_empty();
                for to in destinations().filter(|to| Family::of_network(*to) == family) {
                    let (by_own, among) = (fate(&desired, to), fate_among(&desired, &after.routes, to));
                    if by_own == Fate::Encrypted || alone {
                        prop_assert_eq!(among, by_own, "{}", to);
                    }
                }
            } else {
                prop_assert_eq!(own, &FamilyDataplane::default());
                let mut tables = RANGE.0..=RANGE.1;
                prop_assert!(tables.all(|table| {
                    after.rules.iter().any(|rule| rule.table == table)
                        || theirs.keys().any(|slot| slot.table == table)
                }), "one is free");
            }
        }

        // Nothing changes again by itself, nor when the others go, but where there was no table.
        let again = choose(&cluster, &plane, &after);
        prop_assert_eq!(tables(&again), tables(&chosen));
        let gone = choose(&cluster, &plane, &Strangers::default());
        for (family, choice) in chosen.iter() {
            let kept = !plane.families[family].rules.is_empty();
            if let (Ok(choice), true) = (choice, kept) {
                prop_assert_eq!(gone[family].as_ref().map(|choice| choice.table), Ok(choice.table));
            }
            prop_assert!(gone[family].is_ok());
        }
    }
}
