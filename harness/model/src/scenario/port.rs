//! Ports that an author gives to tunnels.

use serde_json::Value;

use crate::document::{Key, Table};
use crate::plan::{self, LAB_PORTS, LISTEN_PORT};
use crate::problem::{Problem, Span};

/// The fields of FelixConfiguration that name one.
const FIELDS: &[&str] = &["wireguardListeningPort", "wireguardListeningPortV6"];

/// A field as it is written.
pub(super) const FIELD: &str = "wireguardMTU = 1400";

/// The port of `[cluster]`.
pub(super) fn listen_port(table: &mut Table<'_, '_>, key: Key) -> Option<u16> {
    let port = table.number(key, 1..=u16::MAX, "")?;
    if let Some(place) = table.place_of(key) {
        refuse(table, key.name, u64::from(port), place);
    }
    Some(port)
}

/// Reports the lab's ports among the fields under a key.
pub(super) fn refuse_fields(table: &mut Table<'_, '_>, key: Key) {
    for field in FIELDS {
        let written = table.field(key, field);
        let port = written.as_ref().and_then(|(value, _)| Value::as_u64(value));
        if let (Some(port), Some((_, place))) = (port, written) {
            refuse(table, field, port, place);
        }
    }
}

fn refuse(table: &mut Table<'_, '_>, key: &str, port: u64, place: Span) {
    if u16::try_from(port).is_ok_and(|port| LAB_PORTS.contains(&port)) {
        table.report(Problem::new(
            format!("`{key}` is a port of the lab's own"),
            place,
            format!("what goes to port {port} cannot be told from the lab's own packets"),
            format!(
                "take another, such as {LISTEN_PORT}: {}",
                plan::lab_ports_described()
            ),
        ));
    }
}
