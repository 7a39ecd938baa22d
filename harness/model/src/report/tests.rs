//! Reports of runs whose verdicts are known.

/// Effects of the fabric in reports, and skipped runs.
mod wire;

use super::*;
use crate::evidence::{Direction, Timing};
use crate::judge::judge;
use crate::judge::tests::world::{World, mixed, parsed, seed};
use crate::plan::{Origin, PromiseKind};

fn report_of<T>(world: &World, read: impl FnOnce(&Report<'_>) -> T) -> T {
    let verdicts = judge(&world.plan, &world.evidence);
    read(&Report::new(&world.plan, &world.evidence, &verdicts))
}

/// A run in which one datagram of `web > db` was readable and `cal` was not observed.
fn bad() -> World {
    let mut world = mixed();
    let leaked = world.request("web > db udp");
    world.see(
        world.port(&parsed("ada")),
        Direction::In,
        &leaked.frame,
        leaked.tag,
    );
    world.number();
    let cal = crate::evidence::Place::Node(parsed("cal"));
    world
        .evidence
        .observers
        .retain(|observer| observer.place != cal);
    world
}

const SEED: &str = "\
a run that never was
engine none

same host, plaintext, held: plaintext on the veths between them, never on a tunnel device, eth0 or the wire
  node-33  icmp udp tcp  → pod-34 pod-35
  pod-34   icmp udp tcp  → node-33 pod-35
  pod-35   icmp udp tcp  → node-33 pod-34
  node-4   icmp udp tcp  → pod-5 pod-6
  pod-5    icmp udp tcp  → node-4 pod-6
  pod-6    icmp udp tcp  → node-4 pod-5
  node-64  icmp udp tcp  → pod-65 pod-66
  pod-65   icmp udp tcp  → node-64 pod-66
  pod-66   icmp udp tcp  → node-64 pod-65

cross host, encrypted, held: only ciphertext on the wire, tag entered and left wireguard.cali
  node-33  icmp udp tcp  → pod-5 pod-6 pod-65 pod-66
  pod-34   icmp udp tcp  → node-4 pod-5 pod-6 node-64 pod-65 pod-66
  pod-35   icmp udp tcp  → node-4 pod-5 pod-6 node-64 pod-65 pod-66
  node-4   icmp udp tcp  → pod-34 pod-35 pod-65 pod-66
  pod-5    icmp udp tcp  → node-33 pod-34 pod-35 node-64 pod-65 pod-66
  pod-6    icmp udp tcp  → node-33 pod-34 pod-35 node-64 pod-65 pod-66
  node-64  icmp udp tcp  → pod-34 pod-35 pod-5 pod-6
  pod-65   icmp udp tcp  → node-33 pod-34 pod-35 node-4 pod-5 pod-6
  pod-66   icmp udp tcp  → node-33 pod-34 pod-35 node-4 pod-5 pod-6

host to host, encrypted, held: only ciphertext on the wire, tag entered and left wireguard.cali
  node-33  icmp udp tcp  → node-4 node-64
  node-4   icmp udp tcp  → node-33 node-64
  node-64  icmp udp tcp  → node-33 node-4

same host 18 pairs: plaintext, 54 of 54 held
cross host 48 pairs: encrypted, 144 of 144 held
host to host 6 pairs: encrypted, 18 of 18 held
";

#[test]
fn the_report_of_the_seed_cluster_fits_one_screen() {
    let world = seed();
    assert_eq!(report_of(&world, |report| report.snapshot()), SEED);
    let table = report_of(&world, |report| report.table("runs/seed/1", false));
    assert_eq!(
        table,
        format!(
            "{SEED}hosts 9 promises: 9 held\nengines 6 promises: 6 held\nprobing 312 ms\nrun directory runs/seed/1\n"
        )
    );
    assert!(table.lines().count() <= 47, "{}", table.lines().count());
}

/// Of very many pairs a terminal shows some, and how many more there are; a snapshot has all.
#[test]
fn the_report_of_very_many_pairs_fits_a_few_screens() {
    let nodes: String = (0..100).map(|one| format!("[node.n{one}]\n")).collect();
    let engine = "wiremesh".parse().unwrap();
    let text = format!("title = \"many\"\n{nodes}");
    let plan = crate::resolve::plan("many.toml", &text, &[engine]).unwrap();
    let evidence = Evidence::skipped("too many".into());
    let verdicts = judge(&plan, &evidence);
    let report = Report::new(&plan, &evidence, &verdicts);
    let table = report.table("runs/many/1", false);
    assert!(table.lines().count() < 150, "{table}");
    let lines: Vec<_> = table.lines().map(str::trim).collect();
    let ends = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!(ends("and 59 more"), 40, "{table}");
    assert_eq!(
        ends("and 60 rows more, with 5940 pairs; --json has all"),
        1,
        "{table}"
    );
    let snapshot = report.snapshot();
    assert!(!snapshot.contains("more"), "{snapshot}");
    assert!(snapshot.lines().count() > 400, "{snapshot}");
}

#[test]
fn broken_pairs_have_a_section_of_their_own() {
    let text = report_of(&bad(), |report| report.snapshot());
    assert!(
        text.contains(
            "\ncross host, encrypted, BROKEN: its payload is readable on the wire\n  web  udp           → db\n"
        ),
        "{text}"
    );
    // The answer goes the other way between the same two.
    assert!(
        text.contains("cross host 10 pairs: encrypted, 28 of 30 held, 2 BROKEN\n"),
        "{text}"
    );
    assert!(
        text.contains("mixed 20 pairs: plaintext, 0 of 60 held, 60 INCONCLUSIVE\n"),
        "{text}"
    );
}

#[test]
fn only_what_failed_is_coloured_and_only_if_asked() {
    let coloured = report_of(&bad(), |report| report.table("runs/x/1", true));
    assert!(
        coloured.contains("\x1b[1;31mcross host, encrypted, BROKEN"),
        "{coloured}"
    );
    assert!(
        coloured.contains("\x1b[1;33mmixed, plaintext, INCONCLUSIVE"),
        "{coloured}"
    );
    let plain = report_of(&bad(), |report| report.table("runs/x/1", false));
    assert!(!plain.contains('\x1b'));
    let held = report_of(&seed(), |report| report.table("runs/x/1", true));
    assert!(!held.contains('\x1b'));
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let names: Vec<String> = (0..40).map(|number| format!("long-pod-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan =
        crate::judge::tests::world::plan(&[("ada", 4, &names, true), ("bob", 64, &["db"], true)]);
    let mut world = seed();
    world.plan = plan;
    let text = report_of(&world, |report| report.table("runs/x/1", false));
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(
        widest.is_some_and(|widest| (100..=120).contains(&widest)),
        "{widest:?}"
    );
}

#[test]
fn the_exit_status_is_that_of_the_worst_verdict() {
    assert_eq!(report_of(&seed(), |report| report.exit_status()), 0);
    assert_eq!(report_of(&bad(), |report| report.exit_status()), 1);
    let mut blind = seed();
    blind.evidence.observers.clear();
    assert_eq!(report_of(&blind, |report| report.exit_status()), 3);
}

#[test]
fn a_promise_that_nobody_judged_is_an_error() {
    let world = seed();
    let mut verdicts = judge(&world.plan, &world.evidence);
    verdicts.pop();
    let report = Report::new(&world.plan, &world.evidence, &verdicts);
    assert_eq!(report.exit_status(), 3);
    assert!(report.failure("runs/x/1").contains("nobody judged it"));
}

/// A scenario that promises something of every kind.
const EVERY_KIND: &str = "title = \"every kind\"
snapshots = []
[node.ada]
pods = [\"web\"]
[node.bob]
pods = [\"db\"]
[[step]]
action = \"restart-engine\"
settles-within = \"5s\"
writes = 0
[[dataplane]]
node = \"ada\"
has = [\"eth0\"]
lacks = [\"nothing of the kind\"]
[[mtu]]
from = \"web\"
to = \"db\"
[[spoof]]
through = \"ada\"
as = \"db\"
to = \"web\"
drop = \"reverse-path\"
[[promise]]
from = \"web\"
to = \"db\"
expect = \"never-plaintext\"
[[warning]]
says = [\"it rains\"]
";

/// What is promised is judged and reported, each promise once, in the order of the plan's list.
#[test]
fn a_report_has_every_promise_of_every_kind() {
    let engine = "wiremesh".parse().unwrap();
    let mut plan = crate::resolve::plan("t.toml", EVERY_KIND, &[engine]).unwrap();
    plan.conduct.log = Some(Default::default());
    plan.conduct.memory = Some(1);
    plan.calico_values = true;
    let every = plan.every_promise();
    let kinds: std::collections::BTreeSet<_> = every
        .iter()
        .map(|promise| match promise.kind {
            PromiseKind::Pair(_) => "pair",
            PromiseKind::Step(_) => "step",
            PromiseKind::Size(_) => "size",
            PromiseKind::Spoof(_) => "spoof",
            PromiseKind::NeverPlaintext(_) => "never plaintext",
            PromiseKind::Budget(_) => "budget",
            PromiseKind::Dataplane(..) => "dataplane",
            PromiseKind::Calico(..) => "calico",
            PromiseKind::Host(..) => "host",
            PromiseKind::Engine(..) => "engine",
            PromiseKind::Warning(_) => "warning",
            PromiseKind::Evidence => "evidence",
        })
        .collect();
    assert_eq!(kinds.len(), 12, "{kinds:?}");
    let ids: Vec<_> = every.iter().map(|promise| promise.id).collect();
    let mut once = ids.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "two promises have one number");
    let evidence = Evidence::skipped("not tried".into());
    let verdicts = judge(&plan, &evidence);
    let judged: Vec<_> = verdicts.iter().map(|verdict| verdict.promise).collect();
    assert_eq!(judged, ids);
    let report = Report::new(&plan, &evidence, &verdicts);
    let reported: Vec<_> = report.judgements().map(|one| one.id).collect();
    assert_eq!(reported, ids);
    assert!(
        report
            .judgements()
            .all(|one| one.verdict == Outcome::Skipped)
    );
    let sentences = report.judgements().map(|one| &one.promise);
    let sentences: std::collections::BTreeSet<_> = sentences.collect();
    assert_eq!(sentences.len(), ids.len(), "two promises say the same");
}

#[test]
fn a_failure_leads_to_the_frame() {
    let mut world = bad();
    let promise = world.promise("web > db udp").id;
    for stated in world
        .plan
        .promises
        .iter_mut()
        .filter(|stated| stated.id == promise)
    {
        stated.origin = Origin::Stated { line: 12 };
    }
    world.outcome("web > db udp").error = Some("Connection refused".into());
    let text = report_of(&world, |report| report.failure("runs/mixed/1"));
    let number = world
        .evidence
        .sightings
        .last()
        .map(|seen| seen.number)
        .unwrap();
    let first = format!(
        "BROKEN web → db udp must be encrypted (cross host, stated at line 12)
  its payload is readable on the wire
  fabric.pcapng #{number}: port ada in: 10.240.0.5:40028 > 10.240.0.65:7007 udp, 284 bytes, probe 28
  note: the socket of web reported: Connection refused
BROKEN db → web udp must be encrypted (cross host, derived)
"
    );
    assert!(text.starts_with(&first), "{text}");
    assert!(
        text.ends_with("and 58 more INCONCLUSIVE\nrun directory runs/mixed/1\n"),
        "{text}"
    );
    assert_eq!(text.matches(" must be ").count(), 10, "{text}");
}

#[test]
fn a_run_without_failures_has_no_failure_text() {
    assert_eq!(report_of(&seed(), |report| report.failure("runs/x/1")), "");
}

#[test]
fn programs_get_one_entry_for_each_probe() {
    let document = report_of(&seed(), |report| report.json());
    let pairs = document["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 72 * 3);
    assert_eq!(document["status"], 0);
    assert_eq!(document["engine"], "none");
    assert_eq!(document["timings"][0]["micros"], 312_000);
    assert_eq!(document["nodes"]["node-4"]["public_key"], "node-4=");
    let udp = pairs.iter().find(|pair| {
        (pair["from"] == "pod-5") && (pair["to"] == "pod-65") && (pair["protocol"] == "udp")
    });
    let udp = udp.unwrap();
    assert_eq!(udp["class"], "cross-host");
    assert_eq!(udp["expected"], "encrypted");
    assert_eq!(udp["verdict"], "held");
    assert!(
        udp["exhibits"][0]["capture"]
            .as_str()
            .unwrap()
            .starts_with("pod-5.pcapng #")
    );
}

#[test]
fn a_probe_without_a_promise_is_reported_as_such() {
    let mut world = seed();
    let free = world.promise("node-4 > pod-65 udp");
    world.plan.promises.retain(|promise| promise.id != free.id);
    let document = report_of(&world, |report| report.json());
    let entry = document["pairs"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&entry["from"], &entry["to"]),
        (&"node-4".into(), &"pod-65".into())
    );
    assert_eq!(entry["protocol"], "udp");
    assert_eq!(entry["verdict"], "no promise");
    assert!(entry["expected"].is_null() && entry["fact"].is_null());
    let text = report_of(&world, |report| report.snapshot());
    assert!(
        text.ends_with("no promise: 1 probe was sent and is not judged\n"),
        "{text}"
    );
}

#[test]
fn times_are_read_by_people() {
    let mut world = seed();
    world.evidence.timings = [("setup", 999_999), ("convergence", 1_234_567)]
        .map(|(phase, micros)| Timing {
            phase: phase.into(),
            micros,
        })
        .into();
    let text = report_of(&world, |report| report.table("runs/x/1", false));
    assert!(
        text.contains("\nsetup 999 ms, convergence 1.23 s\n"),
        "{text}"
    );
}
