//! UDP ports that another program has, and which one that is.
//!
//! WireGuard listens at its port for IPv4 and IPv6, whatever travels in its tunnel (Linux:
//! `wg_socket_init`). Where either is taken the device cannot listen at all.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use tokio::time::{interval, timeout};

/// How long the kernel may take to close the sockets of a process that has ended: they are no
/// process's any more, and not free yet.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

/// How often it is looked at meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A port that another program has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) port: u16,
    /// By what: a phrase.
    pub(crate) by: String,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UDP port {} is taken by {}", self.port, self.by)
    }
}

/// A UDP socket as `/proc/net/udp` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Socket {
    inode: u64,
    /// The user who opened it.
    user: u32,
}

/// Whether a port can be listened at in this network namespace; if not, by what it is taken. A tunnel
/// process of one of these devices, which is about to end, does not count.
pub(crate) async fn taken(port: u16, own: &[String]) -> Option<Taken> {
    if is_free(port) {
        return None;
    }
    let mut sockets = Vec::new();
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        sockets.extend(listeners(&text, port));
    }
    let processes = processes(&sockets);
    let is_own = |words: &Vec<String>| words.iter().skip(1).any(|word| own.contains(word));
    if processes.values().any(is_own) {
        return None;
    }
    if processes.is_empty() && is_freed(port).await {
        return None;
    }
    let by = describe(&processes, sockets.first().copied());
    Some(Taken { port, by })
}

/// Whether a port becomes free within [`CLOSE_TIMEOUT`]. The kernel reports it to no one; the agent's thread
/// serves health and metrics meanwhile.
async fn is_freed(port: u16) -> bool {
    let freed = async {
        let mut looks = interval(POLL_INTERVAL);
        while !is_free(port) {
            looks.tick().await;
        }
    };
    timeout(CLOSE_TIMEOUT, freed).await.is_ok()
}

fn is_free(port: u16) -> bool {
    let addresses: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    addresses.into_iter().all(|address| {
        // Whatever else is wrong with an address, such as a kernel without IPv6, is no one's doing.
        let bound = UdpSocket::bind((address, port));
        !bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    })
}

/// The sockets that a table lists at a port (proc(5)): the address and the port in hexadecimal are
/// its second field, the user its eighth, the inode its tenth.
fn listeners(table: &str, port: u16) -> Vec<Socket> {
    let lines = table.lines().skip(1);
    let found = lines.filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, listed) = fields.get(1)?.rsplit_once(':')?;
        let listed = u16::from_str_radix(listed, 16).ok()?;
        let socket = Socket {
            inode: fields.get(9)?.parse().ok()?,
            user: fields.get(7)?.parse().ok()?,
        };
        (listed == port).then_some(socket)
    });
    found.collect()
}

/// The processes that have one of the sockets, by their numbers, with their command lines.
fn processes(sockets: &[Socket]) -> BTreeMap<u32, Vec<String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(number) = number else { continue };
        let folder = entry.path();
        if has_socket(&folder, sockets) {
            found.insert(number, command_line(&folder));
        }
    }
    found
}

/// Whether a process has one of the sockets open; no where that cannot be seen.
fn has_socket(process: &Path, sockets: &[Socket]) -> bool {
    let files = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
    links.any(|link| {
        let link = link.to_string_lossy();
        let inode = link
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        let inode = inode.and_then(|inode| inode.parse::<u64>().ok());
        inode.is_some_and(|inode| sockets.iter().any(|socket| socket.inode == inode))
    })
}

fn command_line(process: &Path) -> Vec<String> {
    let text = fs::read(process.join("cmdline")).unwrap_or_default();
    let words = text
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// What has the port, as a phrase. Only a program's name is named: arguments may hold secrets.
fn describe(processes: &BTreeMap<u32, Vec<String>>, socket: Option<Socket>) -> String {
    if let Some((number, words)) = processes.first_key_value() {
        let program = words.first().map_or("a program", String::as_str);
        let program = Path::new(program).file_name().unwrap_or_default();
        let name: String = program.to_string_lossy().escape_debug().collect();
        return format!("{name} (process {number})");
    }
    match socket {
        Some(socket) => format!(
            "the kernel (another WireGuard or VXLAN device), or by a process of user {} that cannot \
             be seen from here",
            socket.user
        ),
        None => "a socket that is not listed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As Linux 6.18 prints it.
    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  311: 0100007F:CA6C 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 24871 2 00000000d0ae2b1c 0
  312: 00000000:CA6D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 24872 2 00000000d0ae2b1d 0
 nonsense
";

    #[test]
    fn a_table_of_sockets_is_read_by_its_ports() {
        let socket = |inode, user| Socket { inode, user };
        assert_eq!(listeners(TABLE, 51820), [socket(24871, 1000)]);
        assert_eq!(listeners(TABLE, 51821), [socket(24872, 0)]);
        assert_eq!(listeners(TABLE, 51822), []);
        let v6 = TABLE.replace("0100007F", "00000000000000000000000001000000");
        assert_eq!(listeners(&v6, 51820), [socket(24871, 1000)]);
    }

    #[tokio::test]
    async fn a_port_that_a_process_has_is_taken_by_that_process_until_it_is_closed() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(address) else {
                eprintln!("skipped: {address} cannot be had here");
                continue;
            };
            let port = socket.local_addr().unwrap().port();
            let found = taken(port, &[]).await.unwrap();
            let expected = format!("(process {})", std::process::id());
            assert!(found.to_string().ends_with(&expected), "{found}");
            assert_eq!(
                taken(port, &[command_line(Path::new("/proc/self"))[0].clone()]).await,
                Some(found)
            );
            drop(socket);
            assert_eq!(taken(port, &[]).await, None);
        }
    }

    #[test]
    fn a_socket_without_a_process_is_the_kernel_s_or_hidden() {
        let socket = Socket {
            inode: 1,
            user: 1000,
        };
        assert_eq!(
            describe(&BTreeMap::new(), Some(socket)),
            "the kernel (another WireGuard or VXLAN device), or by a process of user 1000 that \
             cannot be seen from here"
        );
        let processes = BTreeMap::from([(7, vec!["/bin/evil\u{1b}[2J".into(), "secret".into()])]);
        assert_eq!(describe(&processes, None), "evil\\u{1b}[2J (process 7)");
    }
}
