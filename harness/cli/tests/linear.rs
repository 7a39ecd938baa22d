//! What an input costs grows with it and not with its square, so that no file keeps `wireproof
//! check` busy for minutes. Measured is the processor time of this thread alone: another load of
//! the machine adds nothing to it.

use std::time::Duration;

use nix::time::ClockId;
use wireproof_model::name::EngineName;
use wireproof_model::resolve;

/// The large input has this many times as many of the thing that there are many of.
const TIMES: usize = 8;

/// What is squared takes 64 times as long; what is linear takes 8 times, and sorting and the
/// processor's caches add to it.
const MOST: f64 = 20.0;

/// Of so many measurements the shortest counts.
const MEASUREMENTS: usize = 3;

const CLUSTER: &str = "title = \"x\"\n[node.ada]\npods = [\"web\"]\n[node.bob]\npods = [\"db\"]\n";

fn time(text: &str) -> Duration {
    let engines: Vec<EngineName> = vec!["wiremesh".parse().unwrap()];
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    let measure = || {
        let before = Duration::from(clock.now().unwrap());
        if let Err(problems) = resolve::plan("x.toml", text, &engines) {
            assert!(!problems.render().is_empty());
        }
        Duration::from(clock.now().unwrap()) - before
    };
    (0..MEASUREMENTS).map(|_| measure()).min().unwrap()
}

#[track_caller]
fn is_linear(what: &str, count: usize, text: impl Fn(usize) -> String) {
    let few = time(&text(count));
    let many = time(&text(count * TIMES));
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    assert!(
        ratio < MOST,
        "{count} {what}: {few:?}; {TIMES} times as many: {many:?}, {ratio:.1} times as long"
    );
}

fn repeated(part: &str, count: usize) -> String {
    format!("{CLUSTER}{}", part.repeat(count))
}

fn numbered(count: usize, part: impl Fn(usize) -> String) -> String {
    let parts: String = (0..count).map(part).collect();
    format!("{CLUSTER}{parts}")
}

#[test]
fn steps_are() {
    let both = "[[step]]\naction = \"disable\"\n[[step]]\naction = \"enable\"\n";
    is_linear("pairs of steps", 100, |count| repeated(both, count));
}

#[test]
fn steps_with_budgets_are() {
    let both = "[[step]]\naction = \"disable\"\noutage = \"1s\"\n[[step]]\naction = \"enable\"\noutage = \"1s\"\n";
    is_linear("pairs of budgets", 100, |count| repeated(both, count));
}

#[test]
fn steps_that_pods_come_and_go_by_are() {
    let both = "[[step]]\naction = \"remove-pod\"\npod = \"db\"\n[[step]]\naction = \"add-pod\"\npod = \"db\"\n";
    is_linear("pods' comings and goings", 100, |count| {
        repeated(both, count)
    });
}

#[test]
fn faults_of_the_wire_are() {
    let fault = "[[fault]]\nloss = \"1%\"\n";
    is_linear("faults", 200, |count| repeated(fault, count));
}

#[test]
fn unknown_keys_are() {
    is_linear("unknown keys", 200, |count| {
        numbered(count, |number| format!("k{number} = 1\n"))
    });
}

#[test]
fn unknown_names_are() {
    is_linear("unknown names", 200, |count| {
        numbered(count, |number| {
            format!("[[mtu]]\nfrom = \"web\"\nto = \"u{number}\"\n")
        })
    });
}

#[test]
fn names_beside_wrong_ones_are() {
    is_linear("nodes and unknown ones", 200, |count| {
        numbered(count, |number| {
            format!("[node.n{number}]\n[pod.p{number}]\nnode = \"m{number}\"\n")
        })
    });
}

#[test]
fn facts_about_many_nodes_are() {
    is_linear("facts", 100, |count| {
        numbered(count, |number| {
            format!("[node.n{number}]\n[[dataplane]]\nnode = \"n{number}\"\nhas = [\"x\"]\n")
        })
    });
}

#[test]
fn lines_are() {
    is_linear("lines", 2_000, |count| repeated("# a comment\n", count));
}
