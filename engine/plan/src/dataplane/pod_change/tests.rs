//! The fast path and the full comparison lead to the same dataplane, with the same changes.

use proptest::prelude::*;

use super::*;
use crate::dataplane::change::diff;
use crate::dataplane::change::random::{cluster, here, plane_with, pod_identity, workload};
use crate::intent::resource::{Resource, Workload};

/// Some pods less, and other states of some.
fn edits() -> impl Strategy<Value = Vec<(usize, Option<Workload>)>> {
    proptest::collection::vec(
        (0_usize..10, proptest::option::weighted(0.7, workload())),
        1..5,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_pod_s_change_costs_only_itself_and_leads_to_the_same(
        mut cluster in cluster(), edits in edits(), here in here(),
    ) {
        cluster.settings.strict = None;
        let mut desired = plane_with(&cluster, &here);
        let before = desired.clone();
        let resources: BTreeMap<_, _> = edits
            .iter()
            .filter_map(|(number, pod)| {
                Some((pod_identity(*number), Resource::Workload(pod.clone()?)))
            })
            .collect();
        let changed: BTreeSet<_> = edits.iter().map(|(number, _)| pod_identity(*number)).collect();
        let mut rebuilt = Cluster::empty();
        for (name, node) in &cluster.nodes {
            rebuilt.add_node(name, node);
        }
        rebuilt.settings = cluster.settings.clone();
        let kept = cluster.workloads.iter().filter(|(identity, _)| !changed.contains(identity));
        for (identity, pod) in kept {
            rebuilt.add_workload(identity, pod);
        }
        for (identity, resource) in &resources {
            let Resource::Workload(pod) = resource else { unreachable!() };
            rebuilt.add_workload(identity, pod);
        }
        let table = cluster.settings.tables[0].0;
        let tables = PerFamily { v4: table, v6: table };
        if let Some(networks) = cluster.advance(&changed, &resources)
            && let Some(changes) = advance(&cluster, "a", &here, &networks, tables, &mut desired)
        {
            prop_assert_eq!(&desired, &plane_with(&rebuilt, &here));
            prop_assert_eq!(&changes, &diff(&before, &desired));
        }
    }
}
