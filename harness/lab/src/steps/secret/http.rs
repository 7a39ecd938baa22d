//! What the HTTP servers of a node answer, such as the metrics of an agent.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use wireproof_model::plan::{LAB_PORTS, Patience};

use crate::base::error::LabError;
use crate::base::wait::Deadline;
use crate::cluster::topology::NodeSpace;

/// What is asked for: Prometheus' and Kubernetes' usual paths.
const PATHS: [&str; 4] = ["/metrics", "/", "/healthz", "/readyz"];

/// How long a server may take on a quick machine. One that is no HTTP server answers nothing.
const ANSWER: Duration = Duration::from_secs(1);

/// The state of a socket that listens (Linux: `TCP_LISTEN` in `include/net/tcp_states.h`).
const LISTENS: &str = "0A";

/// The most of one answer, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// The answers of all servers of a node, with the address and the path of each.
pub(super) fn answers(
    space: &NodeSpace,
    patience: Patience,
) -> Result<Vec<(String, Vec<u8>)>, LabError> {
    let node = &space.name;
    space.namespace.enter(|| {
        let mut all = Vec::new();
        for server in servers() {
            for path in PATHS {
                let deadline = Deadline::after(patience.watches(ANSWER));
                let answer = ask(&server, path, deadline).unwrap_or_default();
                if answer.is_empty() {
                    break;
                }
                all.push((format!("http://{server}{path} on {node}"), answer));
            }
        }
        Ok(all)
    })
}

fn ask(server: &SocketAddr, path: &str, deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut stream = deadline.connect(server)?;
    deadline.bound(&stream)?;
    // In one piece: a server that answers after a part of it resets the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 1 << 16];
    // What came before a server broke off, or went on for too long, counts.
    while !deadline.passed() && answer.len() < MAX_ANSWER {
        deadline.bound(&stream)?;
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    Ok(answer)
}

/// Every address of this network namespace at which somebody else than the lab listens.
fn servers() -> Vec<SocketAddr> {
    let texts =
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")));
    let mut servers: Vec<_> = texts
        .iter()
        .flatten()
        .flat_map(|text| listening(text))
        .collect();
    servers.sort();
    servers.dedup();
    servers.retain(|server| !LAB_PORTS.contains(&server.port()));
    servers
}

/// The addresses that listen, of a table as in proc_pid_net(5).
fn listening(table: &str) -> Vec<SocketAddr> {
    let sockets = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == LISTENS).then_some(SocketAddr::new(reachable(address)?, port))
    });
    sockets.collect()
}

/// An address that is written in words of this machine's byte order; for "any address" the loopback's.
fn reachable(words: &str) -> Option<IpAddr> {
    let bytes: Vec<u8> = words
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok())
        .collect::<Option<Vec<u32>>>()?
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(match address {
        IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_read_in_both_families() {
        let text = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2383 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:C350 0100007F:2383 01 00000000:00000000 00:00000000 00000000     0        0 3
";
        let text6 = "\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:2384 00000000000000000000000000000000:0000 0A 00000000:00000000
";
        let found: Vec<_> = [text, text6].into_iter().flat_map(listening).collect();
        let expected = ["127.0.0.1:9091", "127.0.0.1:8080", "[::1]:9092"];
        assert_eq!(found, expected.map(|address| address.parse().unwrap()));
    }
}
