//! A saved evidence that has lost a part proves nothing that needs the part.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::run_promises::wrong;
use super::step_windows::stepped;
use super::world::*;
use crate::evidence::{Evidence, Place, Role, SavedEvidence};
use crate::judge::judge;
use crate::plan::{Action, Plan};
use crate::tag::Tag;
use crate::verdict::{Outcome, Verdict};

/// A run with flows, a step and three promises that are broken: by a frame of a probe, by a frame of
/// a flow, and by packets of a flow that never arrived.
fn world() -> World {
    let mut world = stepped(Action::KillEngine { node: None });
    let leaked = world.request("web > db udp");
    let port = world.port(&parsed("ada"));
    let tag = Some(Tag::Probe(world.promise("web > db udp").probe));
    let mut frame = leaked;
    (frame.interface, frame.tag) = (port, tag);
    world.evidence.sightings.push(frame);
    world.leak(150, "web", "db", None);
    world.lose(0, 5..25);
    world.number();
    world
}

/// The world, its file, and what is decided of it.
static WHOLE: LazyLock<(World, Value, Vec<Verdict>)> = LazyLock::new(|| {
    let world = world();
    let (file, verdicts) = (saved(&world), world.verdicts());
    (world, file, verdicts)
});

fn saved(world: &World) -> Value {
    serde_json::to_value(SavedEvidence::new(&world.plan, &world.evidence)).unwrap()
}

fn opened(world: &World, file: &Value) -> Result<Evidence, String> {
    opened_beside(&world.plan, file)
}

fn opened_beside(plan: &Plan, file: &Value) -> Result<Evidence, String> {
    Ok(SavedEvidence::parse(&file.to_string())?.open(plan))
}

/// What is left of a file when one part of it is damaged; none if that changes nothing.
fn damaged(file: &Value, path: &[String], how: u8) -> Option<Value> {
    let mut copy = file.clone();
    let (last, above) = path.split_last()?;
    let parent = copy.pointer_mut(&pointer(above))?;
    if how == 0 {
        if let Some(map) = parent.as_object_mut() {
            map.remove(last);
        } else {
            parent.as_array_mut()?.remove(last.parse().ok()?);
        }
        return Some(copy);
    }
    let part = copy.pointer_mut(&pointer(path))?;
    *part = match how {
        1 => Value::Null,
        2 => shortened(part),
        _ => emptied(part),
    };
    (copy != *file).then_some(copy)
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|key| format!("/{key}")).collect()
}

/// Half of it.
fn shortened(part: &Value) -> Value {
    if let Some(list) = part.as_array() {
        json!(list[..list.len() / 2])
    } else if let Some(text) = part.as_str() {
        json!(text.chars().take(text.len() / 2).collect::<String>())
    } else {
        part.as_u64()
            .map_or(Value::Null, |number| json!(number / 2))
    }
}

/// The same kind of value, with nothing in it.
fn emptied(part: &Value) -> Value {
    if part.is_array() {
        json!([])
    } else if part.is_object() {
        json!({})
    } else if let Some(truth) = part.as_bool() {
        json!(!truth)
    } else if part.is_string() {
        json!("")
    } else {
        json!(0)
    }
}

/// A way down into a file: each number chooses among the children.
fn path(file: &Value, choices: &[prop::sample::Index]) -> Vec<String> {
    let mut path = Vec::new();
    let mut here = file;
    for choice in choices {
        let keys: Vec<String> = if let Some(map) = here.as_object() {
            map.keys().cloned().collect()
        } else {
            let count = here.as_array().map_or(0, Vec::len);
            (0..count).map(|index| index.to_string()).collect()
        };
        if keys.is_empty() {
            break;
        }
        let key = keys[choice.index(keys.len())].clone();
        here = here.pointer(&format!("/{key}")).unwrap();
        path.push(key);
    }
    path
}

/// Whether a promise needs the part at a path, written down a second time: by the names in it.
fn needs(world: &World, verdict: &Verdict, path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    let pair = world
        .plan
        .promises
        .iter()
        .find(|one| one.id == verdict.promise);
    let Some(pair) = pair else {
        return path[0] == "evidence";
    };
    let ends = [&pair.from, &pair.to].map(|name| world.plan.endpoint(name).unwrap());
    let of_node = |name: &str| ends.iter().any(|end| end.node.name.as_str() == name);
    match path[..] {
        ["evidence", "nodes", name, ..] => of_node(name),
        ["evidence", "sightings", number, ..] => {
            let sighting = &world.evidence.sightings[number.parse::<usize>().unwrap()];
            match &world.evidence.interface(sighting.interface).unwrap().place {
                Place::Fabric => true,
                Place::Node(name) => of_node(name.as_str()),
                Place::Pod(name) => [&pair.from, &pair.to]
                    .iter()
                    .any(|end| end.as_str() == name.as_str()),
            }
        }
        ["evidence", ..] => true,
        _ => false,
    }
}

/// What is decided of a damaged file is not more than before, and nothing that needs the part.
fn check(world: &World, before: &[Verdict], file: &Value, path: &[String]) {
    // What cannot be read is not judged.
    let Ok(evidence) = opened(world, file) else {
        return;
    };
    assert!(!evidence.lost.is_empty(), "no loss at {path:?}");
    let unseen = wrong(&world.plan, &evidence);
    let unseen = unseen.iter().any(|one| one.of_evidence);
    assert!(unseen, "the run does not say that it lost {path:?}");
    let after = judge(&world.plan, &evidence);
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        if after.outcome == Outcome::Held {
            assert_eq!(before.outcome, Outcome::Held, "{path:?}: {after:#?}");
            assert!(!needs(world, after, path), "{path:?}: {after:#?}");
        }
    }
}

#[test]
fn a_world_with_broken_promises_is_judged_from_its_file_as_it_was() {
    let world = world();
    let evidence = opened(&world, &saved(&world)).unwrap();
    assert_eq!(evidence, world.evidence);
    let count = |outcome| {
        let all = world.verdicts();
        all.iter().filter(|one| one.outcome == outcome).count()
    };
    assert!(count(Outcome::Held) > 50);
    assert_eq!(count(Outcome::Broken), 3, "{:#?}", world.verdicts());
}

#[test]
fn every_part_is_missed() {
    let (world, file, before) = &*WHOLE;
    for name in file["evidence"].as_object().unwrap().keys() {
        let path = ["evidence".to_owned(), name.clone()];
        for how in 0..4 {
            if let Some(damaged) = damaged(file, &path, how) {
                let same = opened(world, &damaged).is_ok_and(|found| found == world.evidence);
                if !same {
                    check(world, before, &damaged, &path);
                }
            }
        }
    }
}

#[test]
fn every_entry_of_the_inventory_is_missed() {
    let world = world();
    let file = saved(&world);
    for list in ["observers", "nodes", "parts", "plan"] {
        let path = ["inventory".to_owned(), list.to_owned()];
        let evidence = opened(&world, &damaged(&file, &path, 3).unwrap()).unwrap();
        assert!(!evidence.lost.is_empty(), "{list}");
    }
}

/// Every list and table of a value, from the outermost.
fn containers(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, part)| (key.clone(), part)).collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, part)| (index.to_string(), part))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    found.push(path.clone());
    for (key, part) in inner {
        path.push(key);
        containers(part, path, found);
        path.pop();
    }
}

/// What the plan of the run has lost, or got, is not reported as if it had been promised like that.
#[test]
fn every_part_of_the_plan_is_missed() {
    let (world, file, _) = &*WHOLE;
    let whole = serde_json::to_value(&world.plan).unwrap();
    let mut paths = Vec::new();
    containers(&whole, &mut Vec::new(), &mut paths);
    let keys = whole.as_object().unwrap().keys();
    paths.extend(keys.map(|key| vec![key.clone()]));
    let mut read = 0;
    for path in paths {
        for how in 0..4 {
            let Some(damaged) = damaged(&whole, &path, how) else {
                continue;
            };
            // What is no plan is not judged.
            let Ok(plan) = serde_json::from_value::<Plan>(damaged) else {
                continue;
            };
            if plan == world.plan {
                continue;
            }
            read += 1;
            let evidence = opened_beside(&plan, file).unwrap();
            let verdicts = judge(&plan, &evidence);
            let decided = |one: &&Verdict| one.outcome != Outcome::Inconclusive;
            assert_eq!(verdicts.iter().find(decided), None, "{path:?}");
            let name = format!("`{}` of `plan.json`: ", path[0]);
            let mut all = wrong(&plan, &evidence).into_iter();
            let names = |fact: &String| fact.contains(&name);
            let named =
                all.any(|one| one.of_evidence && one.notes.iter().chain([&one.fact]).any(names));
            assert!(named, "the run does not say that its plan lost {path:?}");
        }
    }
    assert!(read > 250, "{read}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damaged_evidence_never_proves_more(
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..7),
        how in 0_u8..4,
    ) {
        let (world, file, before) = &*WHOLE;
        let mut path = path(&file["evidence"], &choices);
        path.insert(0, "evidence".into());
        if let Some(damaged) = damaged(file, &path, how)
            && !opened(world, &damaged).is_ok_and(|found| found == world.evidence)
        {
            check(world, before, &damaged, &path);
        }
    }
}

#[test]
fn a_pair_that_needs_no_part_that_was_lost_is_decided() {
    let world = world();
    let mut file = saved(&world);
    file["evidence"]["nodes"]
        .as_object_mut()
        .unwrap()
        .remove("cal");
    let mut lost = world.clone();
    lost.evidence = opened(&world, &file).unwrap();
    lost.holds("app > db udp");
    let fact = "the evidence is not whole: node cal: was saved, and is missing";
    lost.check("web > log udp", Outcome::Inconclusive, fact);
    lost.check("log > web udp", Outcome::Inconclusive, fact);
}

#[test]
fn a_frame_that_shows_a_payload_breaks_its_promise_whatever_else_is_lost() {
    let world = world();
    let mut less = saved(&world);
    let sightings = less["evidence"]["sightings"].as_array_mut().unwrap();
    let uplink = |sighting: &Value| {
        let id = sighting["interface"].as_u64().unwrap();
        world.evidence.interfaces[usize::try_from(id).unwrap()].role == Role::Uplink
    };
    sightings.retain(|sighting| !uplink(sighting));
    let mut lost = world.clone();
    lost.evidence = opened(&world, &less).unwrap();
    assert_eq!(lost.verdict("web > db udp").outcome, Outcome::Broken);
    assert_eq!(lost.verdict("app > db udp").outcome, Outcome::Inconclusive);
}

#[test]
fn a_part_that_a_whole_evidence_never_had_is_a_loss_too() {
    let mut world = mixed();
    for node in world.evidence.nodes.values_mut() {
        node.before = None;
    }
    let fact =
        "the evidence is not whole: it does not say what node ada looked like before the engine";
    world.check("web > db udp", Outcome::Inconclusive, fact);
    let all = wrong(&world.plan, &world.evidence);
    let notes = all
        .iter()
        .find(|one| one.of_evidence)
        .map(|one| one.notes.len());
    assert_eq!(notes, Some(2));

    let mut world = stepped(Action::KillEngine { node: None });
    world.evidence.flows.truncate(1);
    let fact = "the evidence is not whole: `flows`: 2 were planned, 1 are there";
    world.check("web > db udp", Outcome::Inconclusive, fact);
}

#[test]
fn evidence_of_another_version_is_refused() {
    let error = |file: &Value| SavedEvidence::parse(&file.to_string()).unwrap_err();
    let mut file = saved(&mixed());
    file["version"] = json!(1);
    assert_eq!(
        error(&file),
        "it has version 1 of the evidence format, and this wireproof reads version 6: run the scenario again"
    );
    let old = serde_json::to_value(&mixed().evidence).unwrap();
    assert_eq!(
        error(&old),
        "it does not say which version of the evidence format it has, as runs of older wireproofs do not, and this one reads version 6: run the scenario again"
    );
    assert!(SavedEvidence::parse("{\"version\":4").is_err());
}
