//! The configuration protocol of a userspace WireGuard (wireguard.com/xplatform): lines of `key=value`, ended
//! by an empty one.

use std::fmt::Write as _;
use std::net::SocketAddr;

use ipnet::IpNet;

/// 32 bytes, written as 64 hexadecimal digits.
pub(crate) type Key = [u8; 32];

/// What is asked of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// `get=1`.
    Get,
    /// `set=1`.
    Set(Set),
}

/// Changes to a device. What is none stays.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Set {
    /// All zero means none.
    pub(crate) private_key: Option<Key>,
    pub(crate) listen_port: Option<u16>,
    /// 0 is none.
    pub(crate) fwmark: Option<u32>,
    pub(crate) replace_peers: bool,
    pub(crate) peers: Vec<SetPeer>,
}

impl std::fmt::Debug for Set {
    /// Without the private key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Set")
            .field("private_key", &self.private_key.map(|_| "(hidden)"))
            .field("listen_port", &self.listen_port)
            .field("fwmark", &self.fwmark)
            .field("replace_peers", &self.replace_peers)
            .field("peers", &self.peers)
            .finish()
    }
}

/// Changes to a peer. What is none stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SetPeer {
    pub(crate) public_key: Key,
    pub(crate) remove: bool,
    /// Nothing is done where there is no such peer.
    pub(crate) update_only: bool,
    /// All zero means none.
    pub(crate) preshared_key: Option<Key>,
    pub(crate) endpoint: Option<SocketAddr>,
    /// Seconds; 0 is off.
    pub(crate) keepalive: Option<u16>,
    pub(crate) replace_allowed_ips: bool,
    pub(crate) allowed_ips: Vec<IpNet>,
}

/// A device as the answer lists it.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) private_key: Option<Key>,
    pub(crate) listen_port: u16,
    pub(crate) fwmark: u32,
    pub(crate) peers: Vec<StatePeer>,
}

/// A peer as the answer lists it.
#[derive(Clone, Default)]
pub(crate) struct StatePeer {
    pub(crate) public_key: Key,
    pub(crate) preshared_key: Option<Key>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) keepalive: u16,
    pub(crate) allowed_ips: Vec<String>,
    /// Since the epoch.
    pub(crate) last_handshake: Option<std::time::Duration>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// The error number of what cannot be understood (`EINVAL`).
pub(crate) const INVALID: i32 = nix::libc::EINVAL;

/// Reads a request. What cannot be understood changes nothing.
pub(crate) fn read(lines: &[String]) -> Result<Request, i32> {
    let mut pairs = lines.iter().map(|line| line.split_once('=').ok_or(INVALID));
    match pairs.next().ok_or(INVALID)?? {
        ("get", "1") => Ok(Request::Get),
        ("set", "1") => {
            let mut set = Set::default();
            for pair in pairs {
                let (key, value) = pair?;
                set.take(key, value).ok_or(INVALID)?;
            }
            Ok(Request::Set(set))
        }
        _ => Err(INVALID),
    }
}

impl Set {
    fn take(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "private_key" => self.private_key = Some(read_key(value)?),
            "listen_port" => self.listen_port = Some(value.parse().ok()?),
            "fwmark" => self.fwmark = Some(value.parse().ok()?),
            "replace_peers" => self.replace_peers = is_true(value)?,
            "public_key" => self.peers.push(SetPeer {
                public_key: read_key(value)?,
                ..SetPeer::default()
            }),
            "protocol_version" => return (value == "1").then_some(()),
            _ => self.peers.last_mut()?.take(key, value)?,
        }
        Some(())
    }
}

impl SetPeer {
    fn take(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "remove" => self.remove = is_true(value)?,
            "update_only" => self.update_only = is_true(value)?,
            "preshared_key" => self.preshared_key = Some(read_key(value)?),
            "endpoint" => self.endpoint = Some(value.parse().ok()?),
            "persistent_keepalive_interval" => self.keepalive = Some(value.parse().ok()?),
            "replace_allowed_ips" => self.replace_allowed_ips = is_true(value)?,
            "allowed_ip" => self.allowed_ips.push(value.parse().ok()?),
            "protocol_version" => return (value == "1").then_some(()),
            _ => return None,
        }
        Some(())
    }
}

fn is_true(value: &str) -> Option<bool> {
    (value == "true").then_some(true)
}

fn read_key(text: &str) -> Option<Key> {
    let mut key = Key::default();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(key)
}

fn write_key(key: &Key) -> String {
    key.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The answer to a change.
pub(crate) fn errno(number: i32) -> String {
    format!("errno={number}\n\n")
}

/// The answer to `get=1`.
pub(crate) fn get_response(state: &State) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_state(&mut text, state);
    text
}

fn write_state(text: &mut String, state: &State) -> std::fmt::Result {
    if let Some(key) = &state.private_key {
        writeln!(text, "private_key={}", write_key(key))?;
    }
    writeln!(text, "listen_port={}", state.listen_port)?;
    if state.fwmark != 0 {
        writeln!(text, "fwmark={}", state.fwmark)?;
    }
    for peer in &state.peers {
        writeln!(text, "public_key={}", write_key(&peer.public_key))?;
        if let Some(key) = &peer.preshared_key {
            writeln!(text, "preshared_key={}", write_key(key))?;
        }
        if let Some(endpoint) = &peer.endpoint {
            writeln!(text, "endpoint={endpoint}")?;
        }
        writeln!(text, "persistent_keepalive_interval={}", peer.keepalive)?;
        for network in &peer.allowed_ips {
            writeln!(text, "allowed_ip={network}")?;
        }
        if let Some(time) = peer.last_handshake {
            writeln!(text, "last_handshake_time_sec={}", time.as_secs())?;
            writeln!(text, "last_handshake_time_nsec={}", time.subsec_nanos())?;
        }
        writeln!(text, "rx_bytes={}", peer.received_bytes)?;
        writeln!(text, "tx_bytes={}", peer.sent_bytes)?;
    }
    writeln!(text, "protocol_version=1\nerrno=0\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_set_request_has_every_change() {
        let key = "07".repeat(32);
        let request = read(&lines(&format!(
            "set=1\nfwmark=1048576\nlisten_port=51820\npublic_key={key}\nreplace_allowed_ips=true\n\
             endpoint=[fd00::1]:51821\nallowed_ip=10.0.0.0/8\nallowed_ip=fd00::/64\n\
             public_key={key}\nremove=true"
        )));
        let Ok(Request::Set(set)) = request else {
            panic!("{request:?}")
        };
        assert_eq!(
            (set.fwmark, set.listen_port),
            (Some(0x10_0000), Some(51820))
        );
        assert_eq!(set.peers[0].allowed_ips.len(), 2);
        assert!(set.peers[0].replace_allowed_ips && set.peers[1].remove);
        assert_eq!(set.private_key, None);
    }

    #[test]
    fn a_malformed_request_is_einval() {
        let key = "07".repeat(32);
        for text in [
            "",
            "set=2",
            "set=1\nnonsense",
            "set=1\nlisten_port=65536",
            "set=1\nallowed_ip=10.0.0.0/8",
            "set=1\npublic_key=07",
            "set=1\nprotocol_version=2",
            &format!("set=1\npublic_key={key}\nremove=yes"),
            &format!("set=1\npublic_key={}", "é".repeat(32)),
        ] {
            assert_eq!(read(&lines(text)), Err(INVALID), "{text}");
        }
    }

    #[test]
    fn a_private_key_is_not_in_the_debug_text() {
        let set = Set {
            private_key: Some([7; 32]),
            ..Set::default()
        };
        assert!(!format!("{set:?}").contains('7'), "{set:?}");
    }

    #[test]
    fn a_device_is_printed_in_the_order_that_readers_expect() {
        let text = get_response(&State {
            private_key: Some([1; 32]),
            listen_port: 51820,
            fwmark: 8,
            peers: vec![StatePeer {
                public_key: [2; 32],
                endpoint: Some("10.0.0.2:51820".parse().unwrap()),
                allowed_ips: vec!["10.0.0.2/32".into()],
                ..StatePeer::default()
            }],
        });
        assert_eq!(
            text,
            format!(
                "private_key={}\nlisten_port=51820\nfwmark=8\npublic_key={}\nendpoint=10.0.0.2:51820\n\
                 persistent_keepalive_interval=0\nallowed_ip=10.0.0.2/32\nrx_bytes=0\ntx_bytes=0\n\
                 protocol_version=1\nerrno=0\n\n",
                "01".repeat(32),
                "02".repeat(32)
            )
        );
    }
}
