//! Rounds of beacons through links that come and go.

use std::time::Duration;

use wireproof_model::plan::Patience;

use super::*;
use crate::base::artifact::RunDirectory;
use crate::kernel::namespace::Namespace;

const PLAN: &str = "title = \"t\"\n[cluster]\nfamilies = [\"ipv4\", \"ipv6\"]\n\
    [node.ada]\npods = [\"web\"]\n[node.bob]\n";

fn soon() -> Deadline {
    Deadline::after(Patience::default().allows(Duration::from_secs(30)))
}

/// The links that carried no beacon of a round, by place and name, each once.
fn without_link(
    sender: &BeaconSender,
    capture: &Capture,
    round: Round,
) -> BTreeSet<(String, NoLink)> {
    let known = capture.interfaces().unwrap().into_iter();
    let known = known.map(|(interface, _)| interface);
    let known: BTreeMap<_, _> = known
        .chain(capture.gone())
        .map(|interface| (interface.id, interface))
        .collect();
    let beacons = sender.sent.iter().filter(|beacon| beacon.round == round);
    beacons
        .filter_map(|beacon| {
            let interface = &known[&beacon.interface];
            let name = format!("{} {}", interface.place.name(), interface.name);
            Some((name, beacon.no_link?))
        })
        .collect()
}

fn expected(list: [(&str, NoLink); 2]) -> BTreeSet<(String, NoLink)> {
    list.map(|(name, state)| (name.to_owned(), state)).into()
}

#[test]
fn a_link_that_is_taken_away_is_noted_and_one_that_is_back_carries_beacons() {
    if let Err(why) = Namespace::create("A") {
        return eprintln!("skipped: {why}");
    }
    let engine = "wiremesh".parse().unwrap();
    let plan = wireproof_model::resolve::plan("t.toml", PLAN, &[engine]).unwrap();
    let topology = Topology::build(&plan).unwrap();
    let folder = std::env::temp_dir().join(format!("wireproof-links-{}", std::process::id()));
    let directory = RunDirectory::create(&folder, "run").unwrap();
    let magic = Magic([7; 8]);
    let capture = Capture::arm(&plan, &topology, magic, &directory).unwrap();
    let ada = topology.node(&"ada".parse().unwrap()).unwrap();
    let netlink = Netlink::open(ada).unwrap();
    let sender = |sent| BeaconSender::new(&plan, &topology, &capture, magic, sent).unwrap();

    let mut first = sender(Vec::new());
    first.send_round(Round::Armed, &capture, soon()).unwrap();
    assert!(without_link(&first, &capture, Round::Armed).is_empty());
    netlink.down("eth0").unwrap();
    first.send_round(Round::Opening, &capture, soon()).unwrap();
    let down = expected([
        ("ada eth0", NoLink::Down),
        ("fabric ada", NoLink::NoCarrier),
    ]);
    assert_eq!(without_link(&first, &capture, Round::Opening), down);
    netlink.up("eth0").unwrap();
    first.send_round(Round::Closing, &capture, soon()).unwrap();
    assert!(without_link(&first, &capture, Round::Closing).is_empty());

    // One that was down for a moment may have lost what was sent meanwhile.
    let before = first.links().unwrap();
    netlink.down("eth0").unwrap();
    netlink.up("eth0").unwrap();
    let beacon = first.targets.iter().find_map(|target| {
        let of_ada = target.interface.place == Place::Node("ada".parse().unwrap());
        let mut sent = first.sent.iter();
        let sent = sent.find(|beacon| beacon.interface == target.interface.id)?;
        (of_ada && target.interface.role == Role::Uplink).then_some(sent.id)
    });
    let (beacon, late) = (beacon.unwrap(), || LabError::machine("wait", "not seen"));
    let unseen = BTreeSet::from([(beacon, InterfaceId(u16::MAX), Direction::In)]);
    first.excuse(&capture, &unseen, &before, late()).unwrap();
    let noted = first.sent[usize::from(beacon.0)].no_link;
    assert_eq!(noted, Some(NoLink::NoCarrier));
    let before = first.links().unwrap();
    first
        .excuse(&capture, &unseen, &before, late())
        .unwrap_err();

    // One that is gone is missed by a later round, as is one that goes before it.
    let mut second = sender(first.finish());
    netlink.delete_link("eth0").unwrap();
    second.send_round(Round::Opening, &capture, soon()).unwrap();
    let gone = expected([
        ("ada eth0", NoLink::Missing),
        ("fabric ada", NoLink::Missing),
    ]);
    let both = |sender: &BeaconSender| without_link(sender, &capture, Round::Opening);
    assert!(both(&second).is_superset(&gone));
    let sent = second.finish().into_iter();
    let earlier = sent.filter(|beacon| beacon.round != Round::Opening);
    let earlier = (0..).zip(earlier).map(|(number, beacon)| Beacon {
        id: BeaconId(number),
        ..beacon
    });
    let mut third = sender(earlier.collect());
    third.send_round(Round::Opening, &capture, soon()).unwrap();
    assert_eq!(both(&third), gone);
    drop(capture);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_pod_s_link_that_is_taken_away_is_noted_too() {
    if let Err(why) = Namespace::create("A") {
        return eprintln!("skipped: {why}");
    }
    let engine = "wiremesh".parse().unwrap();
    let plan = wireproof_model::resolve::plan("t.toml", PLAN, &[engine]).unwrap();
    let topology = Topology::build(&plan).unwrap();
    let folder = std::env::temp_dir().join(format!("wireproof-pods-{}", std::process::id()));
    let directory = RunDirectory::create(&folder, "run").unwrap();
    let magic = Magic([7; 8]);
    let capture = Capture::arm(&plan, &topology, magic, &directory).unwrap();
    let ada = topology.node(&"ada".parse().unwrap()).unwrap();
    let netlink = Netlink::open(ada).unwrap();
    let sender = |sent| BeaconSender::new(&plan, &topology, &capture, magic, sent).unwrap();
    let mut first = sender(Vec::new());
    let pod = plan.nodes[0].pods[0].interface.to_string();
    netlink.delete_link(&pod).unwrap();
    first.send_round(Round::Opening, &capture, soon()).unwrap();
    let mut later = sender(Vec::new());
    later.send_round(Round::Closing, &capture, soon()).unwrap();
    let missing = without_link(&later, &capture, Round::Closing);
    let gone: Vec<_> = missing.iter().map(|(name, _)| name.as_str()).collect();
    assert!(gone.contains(&format!("ada {pod}").as_str()), "{gone:?}");
    assert_eq!(gone.len(), 2, "{gone:?}");
    drop(capture);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_link_that_had_another_name_for_a_moment_is_noted() {
    if let Err(why) = Namespace::create("A") {
        return eprintln!("skipped: {why}");
    }
    let engine = "wiremesh".parse().unwrap();
    let plan = wireproof_model::resolve::plan("t.toml", PLAN, &[engine]).unwrap();
    let topology = Topology::build(&plan).unwrap();
    let folder = std::env::temp_dir().join(format!("wireproof-names-{}", std::process::id()));
    let directory = RunDirectory::create(&folder, "run").unwrap();
    let magic = Magic([7; 8]);
    let capture = Capture::arm(&plan, &topology, magic, &directory).unwrap();
    let ada = topology.node(&"ada".parse().unwrap()).unwrap();
    let netlink = Netlink::open(ada).unwrap();
    let mut sender = BeaconSender::new(&plan, &topology, &capture, magic, Vec::new()).unwrap();
    match netlink.rename("eth0", "wan0") {
        // Before Linux 6.2 a link that is up keeps its name.
        Err(why) => eprintln!("skipped: {why}"),
        Ok(()) => {
            // The observer looks meanwhile.
            capture.interfaces().unwrap();
            netlink.rename("wan0", "eth0").unwrap();
            let deadline = Deadline::after(Patience::default().allows(Duration::from_secs(2)));
            sender
                .send_round(Round::Opening, &capture, deadline)
                .unwrap();
            let renamed = expected([
                ("ada eth0", NoLink::Missing),
                ("fabric ada", NoLink::Missing),
            ]);
            assert_eq!(without_link(&sender, &capture, Round::Opening), renamed);
        }
    }
    drop(capture);
    std::fs::remove_dir_all(&folder).unwrap();
}
