//! The cost of an input grows linearly with its size, so that no file keeps `wireproof check` busy for minutes.
//! Measured is the processor time of this thread alone: another load of the machine adds nothing to it.

use std::time::Duration;

use nix::time::ClockId;
use wireproof_model::name::EngineName;
use wireproof_model::resolve;
use wireproof_model::scenario::Scenario;

/// The large input has this many times as many of the thing that there are many of.
const TIMES: usize = 8;

/// What is squared takes 64 times as long; what is linear takes 8 times, and sorting and the
/// processor's caches add to it.
const MAX_RATIO: f64 = 20.0;

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
        ratio < MAX_RATIO,
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

/// Number `number` of an array of tables of the scenario language, about the cluster above; each differs
/// from all others where it can.
fn entry(array: &str, number: usize) -> Option<String> {
    let (high, low) = (number / 200, number % 200);
    let keys = match array {
        "impairment" => "loss = \"1%\"".into(),
        "step" => "action = \"enable\"".into(),
        "dataplane" => format!(
            "node = \"ada\"\nhas = [\"x {number} y\"]\nlacks = [\"z {number} y\"]\n\
             present = [\"route 10.1.{high}.{low}\", \"nft a{number}z\", \"rule {number}\"]\n\
             absent = [\"route 10.2.{high}.{low}\", \"nft b{number}z\", \"address 10.3.{high}.{low}\"]"
        ),
        "promise" => format!(
            "from = \"web\"\nto = \"db\"\npayload = {}\nexpect = \"encrypted\"",
            64 + number
        ),
        "mtu" => "from = \"web\"\nto = \"db\"".into(),
        "spoof" => "through = \"ada\"\nas = \"db\"\nto = \"web\"\ndrop = \"tunnel\"".into(),
        "warning" => format!("says = [\"x{number}y\"]"),
        _ => return None,
    };
    Some(format!("[[{array}]]\n{keys}\n"))
}

/// The arrays of tables that a scenario may have, as the reader asks for them.
fn arrays() -> Vec<String> {
    let tables = Scenario::grammar().into_iter();
    let array = |header: &str| Some(header.strip_prefix("[[")?.strip_suffix("]]")?.to_owned());
    tables.filter_map(|table| array(&table.header)).collect()
}

#[test]
fn arrays_of_tables_are() {
    let arrays = arrays();
    assert!(arrays.len() >= 7, "{arrays:?}");
    for array in arrays {
        let none = || panic!("say what an entry of `{array}` is");
        is_linear(&array, 900, |count| {
            numbered(count, |number| entry(&array, number).unwrap_or_else(none))
        });
    }
}

/// What is refused is read to its end as well.
#[test]
fn facts_that_contradict_each_other_are() {
    is_linear("contradictions", 1_000, |count| {
        numbered(count, |number| {
            format!(
                "[[dataplane]]\nnode = \"ada\"\nhas = [\"same\"]\nlacks = [\"am\"]\n\
                 present = [\"sysctl net.ipv4.ip_forward = {number}\", \"nft x{number}\"]\nabsent = [\"nft x\"]\n"
            )
        })
    });
}

#[test]
fn lists_are() {
    let list = |key: &str, count: usize| {
        let all: Vec<_> = (0..count).map(|one| format!("\"x{one}y\"")).collect();
        format!("{key} = [{}]\n", all.join(",\n"))
    };
    is_linear("faults that break", 1_000, |count| {
        format!("{}{CLUSTER}", list("broken-by", count))
    });
    for (table, key) in [
        ("dataplane", "has"),
        ("dataplane", "lacks"),
        ("warning", "says"),
    ] {
        is_linear(key, 1_000, |count| {
            format!("{CLUSTER}[[{table}]]\nnode = \"ada\"\n{}", list(key, count))
        });
    }
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
fn steps_of_other_kinds_are() {
    for step in [
        "action = \"wait-resyncs\"\ncount = 1\ndeadline = \"500s\"",
        "action = \"tamper\"\nnode = \"ada\"\ndelete = \"rule\"\nsettles = \"compared\"\ndeadline = \"500s\"",
        "action = \"configure\"\nset = { wireguardMTU = 1400 }",
        "action = \"reboot-node\"\nnode = \"ada\"",
        "action = \"set-loss\"\nloss = \"1%\"",
        "action = \"set-fabric-mtu\"\nmtu = 1400",
        "action = \"move-pod\"\npod = \"db\"\nto = \"ada\"\n[[step]]\naction = \"move-pod\"\npod = \"db\"\nto = \"bob\"",
    ] {
        is_linear(step, 1_000, |count| {
            repeated(&format!("[[step]]\n{step}\n"), count)
        });
    }
}

#[test]
fn faults_of_the_wire_are() {
    let impairment = "[[impairment]]\nloss = \"1%\"\n";
    is_linear("impairments", 200, |count| repeated(impairment, count));
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
    let nodes: String = (0..100).map(|node| format!("[node.n{node}]\n")).collect();
    is_linear("facts", 1_000, |count| {
        let fact = |number: usize| {
            let (node, peer) = (number % 100, (number + 1) % 100);
            format!(
                "[[dataplane]]\nnode = \"n{node}\"\nhas = [\"x{number}y\"]\npresent = [\"peer n{peer}\"]\n"
            )
        };
        let facts: String = (0..count).map(fact).collect();
        format!("title = \"x\"\n{nodes}{facts}")
    });
}

#[test]
fn lines_are() {
    is_linear("lines", 2_000, |count| repeated("# a comment\n", count));
}
