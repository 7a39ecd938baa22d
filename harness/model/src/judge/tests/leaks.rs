//! Verdicts about leaks: what must not be readable on the wire.

use std::net::IpAddr;

use super::world::{World, mixed, parsed, wireguard};
use crate::evidence::Direction;
use crate::frame::{Frame, Message, Packet, Payload, Quote};
use crate::name::NodeName;
use crate::plan::{FlowId, Store};
use crate::tag::Tag;
use crate::verdict::Outcome::Broken;

const READABLE: &str = "its payload is readable on the wire";
const BETWEEN: &str = "a packet between the two is readable on the wire";

fn ada() -> NodeName {
    parsed("ada")
}

fn bob() -> NodeName {
    parsed("bob")
}

#[test]
fn a_tag_on_the_wire_is_a_leak() {
    for direction in [Direction::In, Direction::Out] {
        let mut world = mixed();
        let leaked = world.request("web > db udp");
        world.see(world.port(&ada()), direction, &leaked.frame, leaked.tag);
        world.check("web > db udp", Broken, READABLE);
        world.holds("web > db tcp");
        world.holds("web > db icmp");
        world.holds("app > db udp");
    }
}

#[test]
fn a_tag_is_a_leak_whatever_carries_it() {
    let mut world = mixed();
    let tag = world.request("web > db udp").tag;
    let unknown = Frame::Other { ethertype: 0x88cc };
    world.see(world.port(&bob()), Direction::In, &unknown, tag);
    world.check("web > db udp", Broken, READABLE);
}

#[test]
fn a_late_packet_of_a_flow_is_judged_with_its_step() {
    for (tag, breaks) in [(Some(Tag::Flow(FlowId(0), 7)), false), (None, true)] {
        let mut world = mixed();
        let packet = world.request("web > db udp").frame;
        world.see(world.port(&ada()), Direction::In, &packet, tag);
        match breaks {
            true => world.check("web > db udp", Broken, BETWEEN),
            false => world.holds("web > db udp"),
        }
    }
}

#[test]
fn a_leaked_answer_breaks_the_promise_too() {
    let mut world = mixed();
    let id = world.promise("web > db udp").probe;
    let frame = Frame::Other { ethertype: 0x88cc };
    world.see(
        world.port(&bob()),
        Direction::In,
        &frame,
        Some(Tag::Answer(id)),
    );
    world.check("web > db udp", Broken, READABLE);
}

#[test]
fn a_handshake_in_clear_is_a_leak_of_tcp_alone() {
    let mut world = mixed();
    let mut frame = world.request("web > db tcp").frame;
    if let Frame::Ip(packet) = &mut frame
        && let Payload::Tcp { flags, .. } = &mut packet.payload
    {
        *flags = 0x02;
    }
    world.see(world.port(&ada()), Direction::In, &frame, None);
    world.check("web > db tcp", Broken, BETWEEN);
    // The wire shows the pair, not who spoke first.
    world.check("db > web tcp", Broken, BETWEEN);
    world.holds("web > db udp");
    world.holds("web > db icmp");
}

#[test]
fn an_echo_in_clear_is_a_leak_of_icmp_alone() {
    let mut world = mixed();
    let frame = world.request("web > db icmp").frame;
    world.see(world.port(&bob()), Direction::Out, &frame, None);
    world.check("web > db icmp", Broken, BETWEEN);
    world.holds("web > db udp");
    world.holds("web > db tcp");
}

#[test]
fn a_packet_inside_another_is_a_leak() {
    let mut world = mixed();
    let Frame::Ip(inner) = world.request("web > db tcp").frame else {
        panic!("a packet");
    };
    let outer = Packet {
        source: world.address(&parsed("ada")),
        destination: world.address(&parsed("bob")),
        payload: Payload::Tunnelled {
            protocol: 4,
            inner: Box::new(inner.clone()),
        },
        ..inner
    };
    world.see(world.port(&ada()), Direction::In, &Frame::Ip(outer), None);
    world.check("web > db tcp", Broken, BETWEEN);
    world.holds("web > db udp");
}

/// An ICMP error from the fabric's gateway about a packet.
fn error_about(world: &World, quoted: Quote) -> Frame {
    Frame::Ip(Packet {
        source: world.plan.fabric.gateway.into(),
        destination: quoted.source,
        length: 56,
        dont_fragment: false,
        fragment: None,
        payload: Payload::Icmp {
            kind: 3,
            code: 4,
            mtu: Some(1340),
            quoted: Some(quoted),
        },
    })
}

#[test]
fn an_error_that_quotes_the_pair_is_a_leak_of_the_quoted_protocol() {
    let mut world = mixed();
    let quoted = Quote {
        source: world.address(&parsed("web")),
        destination: world.address(&parsed("db")),
        protocol: 17,
        ports: Some((40_000, 7007)),
    };
    let frame = error_about(&world, quoted);
    world.see(world.port(&ada()), Direction::Out, &frame, None);
    world.check(
        "web > db udp",
        Broken,
        "an ICMP error that quotes it is readable on the wire",
    );
    world.holds("web > db icmp");
    world.holds("web > db tcp");
}

#[test]
fn traffic_to_the_store_is_no_leak_and_traffic_to_its_host_is() {
    let mut world = mixed();
    let mut frame = world.request("web > bob tcp").frame;
    let Frame::Ip(Packet {
        destination,
        payload: Payload::Tcp {
            destination_port, ..
        },
        ..
    }) = &mut frame
    else {
        panic!("{frame:?}")
    };
    let IpAddr::V4(address) = *destination else {
        panic!("{destination}")
    };
    *destination_port = 2379;
    world.see(world.port(&ada()), Direction::In, &frame, None);
    world.check("web > bob tcp", Broken, BETWEEN);
    world.plan.store = Store::Etcd {
        address,
        on: Some(bob()),
    };
    world.holds("web > bob tcp");
}

#[test]
fn an_error_that_quotes_ciphertext_is_no_leak() {
    let mut world = mixed();
    let quoted = Quote {
        source: world.address(&parsed("ada")),
        destination: world.address(&parsed("bob")),
        protocol: 17,
        ports: Some((51820, 51820)),
    };
    let frame = error_about(&world, quoted);
    world.see(world.port(&ada()), Direction::Out, &frame, None);
    world.holds("ada > bob udp");
    let frame = error_about(
        &world,
        Quote {
            ports: Some((51820, 7007)),
            ..quoted
        },
    );
    world.see(world.port(&ada()), Direction::Out, &frame, None);
    assert_eq!(world.verdict("ada > bob udp").outcome, Broken);
}

#[test]
fn handshakes_and_keepalives_between_the_endpoints_are_allowed() {
    let mut world = mixed();
    let (from, to) = (world.plan.nodes[0].clone(), world.plan.nodes[1].clone());
    for (message, length) in [
        (Message::Initiation, 176),
        (Message::Response, 120),
        (Message::Cookie, 92),
        (Message::Keepalive, 60),
    ] {
        let frame = wireguard(&from, &to, message, length);
        world.see(world.port(&from.name), Direction::In, &frame, None);
    }
    world.holds("ada > bob udp");
    world.holds("web > db udp");
}

#[test]
fn of_many_frames_that_show_it_the_first_is_shown_and_the_rest_counted() {
    let mut world = mixed();
    let pair = "web > db udp";
    let frame = world.request(pair).frame;
    let port = world.port(&ada());
    let repeats = |world: &World| {
        let notes = world.verdict(pair).notes;
        let count = notes
            .iter()
            .filter(|note| note.starts_with("the first of "));
        count.cloned().collect::<Vec<_>>()
    };
    world.see(port, Direction::In, &frame, None);
    assert_eq!(world.verdict(pair).outcome, Broken);
    assert_eq!(repeats(&world), Vec::<String>::new());
    world.see(port, Direction::In, &frame, None);
    assert_eq!(repeats(&world), ["the first of 2 such frames"]);
}
