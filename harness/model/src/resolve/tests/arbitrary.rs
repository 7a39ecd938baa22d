//! Promises over arbitrary text and arbitrary clusters.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{EVERY_KEY, planned, resolve};
use crate::plan::ProbeId;

/// Whatever the text, there is a plan, or a list of problems that can be rendered.
fn is_answered(text: &str) -> Result<(), TestCaseError> {
    if let Err(problems) = resolve(text) {
        prop_assert!(problems.len() > 0);
        prop_assert!(problems.render().contains("help:"), "{}", problems.render());
    }
    Ok(())
}

/// Values that sit on an edge of something.
const EDGES: &[&str] = &[
    "0",
    "-1",
    "65535",
    "65536",
    "99999999999999999999",
    "0xffff",
    "1.5",
    "inf",
    "true",
    "\"\"",
    "\" \"",
    "\"é\"",
    "\"\\u001b\"",
    "\"0.0.0.0/0\"",
    "\"255.255.255.255/32\"",
    "\"10.9.0.0/30\"",
    "\"10.9.255.255\"",
    "\"10.9.0.9\"",
    "\"::1\"",
    "\"ada\"",
    "\"web\"",
    "\"bob\"",
    "[]",
    "[[]]",
    "[\"web\", \"web\"]",
    "{}",
    "{ web = 1 }",
    "1979-05-27",
    "\"1h\"",
    "\"9999999999m\"",
];

proptest! {
    #[test]
    fn any_text_is_answered(text: String) {
        is_answered(&text)?;
    }

    #[test]
    fn any_cut_and_splice_of_a_scenario_is_answered(
        cut in any::<prop::sample::Index>(),
        length in 0usize..40,
        splice in "[\\[\\]\\{\\}=\".,#\\n a-z0-9é]{0,12}",
    ) {
        let characters: Vec<char> = EVERY_KEY.chars().collect();
        let start = cut.index(characters.len());
        let end = (start + length).min(characters.len());
        let text: String = characters[..start]
            .iter()
            .copied()
            .chain(splice.chars())
            .chain(characters[end..].iter().copied())
            .collect();
        is_answered(&text)?;
    }

    #[test]
    fn any_values_in_any_keys_are_answered(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(EDGES)), 1..5),
    ) {
        let mut lines: Vec<String> = EVERY_KEY.lines().map(str::to_owned).collect();
        for (which, value) in changes {
            let line = which.get_mut(&mut lines);
            if let Some((key, _)) = line.clone().split_once(" = ") {
                *line = format!("{key} = {value}");
            }
        }
        is_answered(&lines.join("\n"))?;
    }

    #[test]
    fn every_cluster_gets_addresses_that_it_can_have(
        pods in prop::collection::vec(0usize..12, 2..9),
        prefix in 8u8..=24,
    ) {
        let mut text = format!("title = \"any\"\nfabric.subnet = \"10.0.0.0/{prefix}\"\n");
        for (node, pods) in pods.iter().enumerate() {
            let names: Vec<_> = (0..*pods).map(|pod| format!("\"p{node}-{pod}\"")).collect();
            text += &format!("[node.n{node}]\npods = [{}]\n", names.join(", "));
        }
        let plan = planned(&text);
        let endpoints = plan.endpoints();
        let addresses: BTreeSet<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        prop_assert_eq!(endpoints.len(), pods.len() + pods.iter().sum::<usize>());
        prop_assert_eq!(addresses.len(), endpoints.len(), "each has its own");
        let subnet = plan.fabric.subnet;
        for address in addresses {
            prop_assert!(subnet.contains(&address));
            let taken = [subnet.network(), plan.fabric.gateway, subnet.broadcast()];
            prop_assert!(!taken.contains(&address));
        }
        prop_assert_eq!(plan.probes.len(), endpoints.len() * (endpoints.len() - 1) * 3);
        for (number, probe) in (0..).zip(&plan.probes) {
            prop_assert_eq!(probe.id, ProbeId(number));
        }
        for (number, promise) in (0..).zip(&plan.promises) {
            prop_assert_eq!(promise.id.0, number);
            let probe = &plan.probes[usize::from(promise.probe.0)];
            prop_assert_eq!((&probe.from, &probe.to), (&promise.from, &promise.to));
        }
    }
}
