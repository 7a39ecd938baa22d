//! Without patience every wait of the lab ends at once: in an error that is no promise's, with its remedy.

use libtest_mimic::{Failed, Trial};
use wireproof::failure::{Failure, Status};
use wireproof::lane::Prepared;
use wireproof::scenario::{self, Asked};
use wireproof_model::plan::Patience;

use crate::{root, runs};

/// The waits that one of these trials may end in. On a busy machine what the first waits for may be there
/// before it begins, and the next one ends at once.
const WAITS: &[&str] = &[
    "wait until etcd answers",
    "wait until every node's first process has set it up",
    "wait until the observers have done what they were told",
];

/// Who waits first, in which scenario, and the first of [`WAITS`] that it may end in.
const CHOSEN: &[(&str, &str, usize)] = &[
    ("nodes", "scenarios/first/two-nodes.toml", 1),
    (
        "etcd",
        "scenarios/engine/store/etcd-on-an-encrypted-node.toml",
        0,
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(who, file, first): &(&str, &'static str, usize)| {
        let (file, waits) = (*file, &WAITS[*first..]);
        Trial::test(format!("impatient {who}"), move || {
            names_the_wait(file, waits)
        })
    };
    CHOSEN.iter().map(trial).collect()
}

fn names_the_wait(file: &str, waits: &[&str]) -> Result<(), Failed> {
    let one = Prepared::read(&root().join(file), Asked::default());
    let mut one = one.map_err(Failed::from)?;
    one.plan.deadlines.patience = Patience::NONE;
    let name = format!("{}/impatient", one.name);
    match scenario::prove(one.plan, &one.engine, &runs(), &name, |_| {}) {
        Err(failure @ Failure::Lab(_)) => {
            let text = failure.to_string();
            let is_named = waits.iter().any(|wait| text.contains(wait))
                && text.contains("last seen: ")
                && text.contains("--patience 2")
                && text.contains("run directory: ");
            match failure.status() == Status::Unfit && is_named {
                true => Ok(()),
                false => Err(format!("{:?}: {text}", failure.status()).into()),
            }
        }
        Err(failure) => Err(failure.into()),
        Ok(judged) if judged.evidence.skipped.is_some() => Ok(()),
        Ok(judged) => Err(format!("it came to its end: {:?}", judged.verdicts).into()),
    }
}
