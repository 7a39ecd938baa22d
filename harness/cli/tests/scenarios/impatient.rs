//! Without patience every wait of the lab ends at once: in an error that is no promise's, and says what to do.

use libtest_mimic::{Failed, Trial};
use wireproof::failure::{Failure, Status};
use wireproof::lane::Prepared;
use wireproof::scenario::{self, Asked};
use wireproof_model::plan::Patience;

use crate::{root, runs};

/// Who waits, in which scenario, and for what.
const CHOSEN: &[(&str, &str, &str)] = &[
    (
        "nodes",
        "scenarios/first/two-nodes.toml",
        "wait until every node's first process has set it up",
    ),
    (
        "etcd",
        "scenarios/engine/store/etcd-on-an-encrypted-node.toml",
        "wait until etcd answers",
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(who, file, until): &(&str, &'static str, &'static str)| {
        let (file, until) = (*file, *until);
        Trial::test(format!("impatient {who}"), move || says(file, until))
    };
    CHOSEN.iter().map(trial).collect()
}

fn says(file: &str, until: &str) -> Result<(), Failed> {
    let one = Prepared::read(&root().join(file), Asked::default());
    let mut one = one.map_err(Failed::from)?;
    one.plan.deadlines.patience = Patience::NONE;
    let name = format!("{}/impatient", one.name);
    match scenario::prove(one.plan, &one.engine, &runs(), &name, |_| {}) {
        Err(failure @ Failure::Lab(_)) => {
            let text = failure.to_string();
            let is_told = text.contains(until)
                && text.contains("last seen: ")
                && text.contains("--patience 2")
                && text.contains("run directory: ");
            match failure.status() == Status::Unfit && is_told {
                true => Ok(()),
                false => Err(format!("{:?}: {text}", failure.status()).into()),
            }
        }
        Err(failure) => Err(failure.into()),
        Ok(told) if told.evidence.skipped.is_some() => Ok(()),
        Ok(told) => Err(format!("it came to its end: {:?}", told.verdicts).into()),
    }
}
