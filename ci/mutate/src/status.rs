//! A mutated store through `wiremesh status` and `wiremesh show`.

use std::io;
use std::path::Path;

use crate::program::{Ended, TRIES, run};

/// 0 all is well, 1 it is not, or this node is none.
const STATUSES: &[i32] = &[0, 1];

/// What is asked, in turn.
const QUESTIONS: &[&[&str]] = &[
    &["status", "--node", "ada"],
    &["status", "--node", "ada", "--json"],
    &["status", "--node", "ada", "--check"],
    &["status", "--node", "ada", "--check", "--json"],
    &["show", "wireguard.cali"],
];

/// What is wrong with how it answers the question of that number.
///
/// # Errors
/// The program cannot be started.
pub(crate) fn fault(wiremesh: &Path, store: &Path, question: usize) -> io::Result<Option<String>> {
    let question = QUESTIONS[question % QUESTIONS.len()];
    let store = format!("dir:{}", store.display());
    let arguments = [question, &["--store", &store]].concat();
    let mut ended = run(wiremesh, &arguments)?;
    for _ in 1..TRIES {
        if ended.is_slow() {
            ended = run(wiremesh, &arguments)?;
        }
    }
    let slow = || {
        ended
            .is_slow()
            .then(|| format!("it takes {:.1} s", ended.took.as_secs_f64()))
    };
    let fault = ended
        .fault(STATUSES)
        .or_else(slow)
        .or_else(|| unsaid(&ended, question));
    Ok(fault.map(|fault| format!("{}: {fault}", question.join(" "))))
}

/// An answer is a document, if that was asked for, or says why there is none.
fn unsaid(ended: &Ended, question: &[&str]) -> Option<String> {
    let fails = ended.status?.code() != Some(0);
    if ended.stdout.is_empty() {
        return (!fails || ended.stderr.is_empty()).then(|| "it says nothing".into());
    }
    let document = serde_json::from_slice::<serde_json::Value>(&ended.stdout);
    match document {
        Err(error) if question.contains(&"--json") => Some(format!("not JSON: {error}")),
        _ => None,
    }
}
