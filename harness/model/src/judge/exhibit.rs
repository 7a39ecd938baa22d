//! Exhibits: frames that prove a verdict.

use crate::evidence::{Direction, Interface, Role};
use crate::journey::Seen;
use crate::tag::Tag;
use crate::verdict::Exhibit;

/// A frame as a reader finds it again, and in one line.
pub(super) fn exhibit(seen: &Seen<'_>) -> Exhibit {
    let sighting = seen.sighting;
    let direction = match sighting.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let tag = match sighting.tag {
        Some(Tag::Probe(id)) => format!(", probe {}", id.0),
        Some(Tag::Answer(id)) => format!(", answer {}", id.0),
        Some(Tag::Beacon(id)) => format!(", beacon {}", id.0),
        Some(Tag::Flow(id, number)) => format!(", flow {} packet {number}", id.0),
        Some(Tag::Size(id)) => format!(", size probe {}", id.0),
        Some(Tag::Spoofed(id)) => format!(", spoofed packet {}", id.0),
        Some(Tag::Genuine(id)) => format!(", genuine twin of spoofed packet {}", id.0),
        Some(Tag::Control(id)) => format!(", control of size probe {}", id.0),
        None => String::new(),
    };
    Exhibit {
        at: sighting.at,
        capture: format!(
            "{}.pcapng #{}",
            seen.interface.place.name(),
            sighting.number
        ),
        frame: format!(
            "{} {direction}: {}{tag}",
            label(seen.interface),
            sighting.frame
        ),
    }
}

fn label(interface: &Interface) -> String {
    match &interface.role {
        Role::Port(node) => format!("port {node}"),
        Role::Uplink
        | Role::PodLink(_)
        | Role::Tunnel
        | Role::PodUplink
        | Role::Loopback
        | Role::Other => format!("{} {}", interface.place.name(), interface.name),
    }
}
