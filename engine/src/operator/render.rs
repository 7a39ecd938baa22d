//! Devices, times and sizes as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use wiremesh_plan::intent::key::PublicKey;

use crate::host::device::{PeerState, State};

/// How long ago a peer's last handshake was.
pub(crate) fn age(state: &PeerState, now: SystemTime) -> Option<Duration> {
    now.duration_since(state.handshake?).ok()
}

/// A time, in the largest unit of which there are at least two.
pub(crate) fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A number of bytes, to one digit after the point.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    // In tenths, so that nothing is rounded up into the next unit.
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for larger in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    match unit {
        "B" => format!("{bytes} B"),
        unit => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// A device as `wg show` prints it, with the names of nodes where the store knows them.
pub(crate) fn device(
    name: &str,
    state: &State,
    names: &BTreeMap<PublicKey, String>,
    now: SystemTime,
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_device(&mut text, name, state, names, now);
    text
}

fn write_device(
    text: &mut String,
    name: &str,
    state: &State,
    names: &BTreeMap<PublicKey, String>,
    now: SystemTime,
) -> std::fmt::Result {
    writeln!(text, "interface: {name}")?;
    if let Some(key) = state.public_key {
        writeln!(text, "  public key: {key}\n  private key: (hidden)")?;
    }
    writeln!(text, "  listening port: {}", state.listen_port)?;
    if state.fwmark != 0 {
        writeln!(text, "  fwmark: {:#x}", state.fwmark)?;
    }
    for (key, peer) in &state.peers {
        match names.get(key) {
            Some(node) => writeln!(text, "\npeer: {key} ({node})")?,
            None => writeln!(text, "\npeer: {key}")?,
        }
        if let Some(endpoint) = peer.peer.endpoint {
            writeln!(text, "  endpoint: {endpoint}")?;
        }
        let networks: Vec<_> = peer
            .peer
            .allowed_ips
            .iter()
            .map(ToString::to_string)
            .collect();
        let networks = if networks.is_empty() {
            "(none)".to_owned()
        } else {
            networks.join(", ")
        };
        writeln!(text, "  allowed ips: {networks}")?;
        if let Some(age) = age(peer, now) {
            writeln!(text, "  latest handshake: {} seconds ago", age.as_secs())?;
            writeln!(
                text,
                "  transfer: {} B received, {} B sent",
                peer.received_bytes, peer.sent_bytes
            )?;
        }
        if peer.peer.keepalive > 0 {
            writeln!(
                text,
                "  persistent keepalive: every {} seconds",
                peer.peer.keepalive
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_a_unit_that_suits_them() {
        let sizes = [0, 1023, 1024, 1_048_575, 1_048_576, u64::MAX].map(size);
        assert_eq!(
            sizes,
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1023.9 KiB",
                "1.0 MiB",
                "15.9 EiB"
            ]
        );
        let times = [0, 119, 120, 7199, 7200, 200_000].map(|s| ago(Duration::from_secs(s)));
        assert_eq!(times, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }
}
