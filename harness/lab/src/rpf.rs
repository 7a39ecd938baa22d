//! The strict reverse-path matrix, row by row: each in two namespaces of its own, A and B with
//! a veth between them.
//!
//! What A sends is put on the veth past A's stack, with B's Ethernet address in it, so nobody
//! has to ask for one first. What was not received, and what was not answered, is decided by
//! something that A sends later on the same way and that was: a veth of one queue, fed by one
//! thread on one processor, keeps the order.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use nix::poll::{PollFd, PollFlags, poll};
use wireproof_model::evidence::{Direction, REVERSE_PATH};
use wireproof_model::frame::{Frame, LinkType, Payload, decode};
use wireproof_model::plan::{Family, Patience};
use wireproof_model::rpf::{Check, Observation, PACKETS, Row};

use crate::base::error::{Doing, LabError};
use crate::base::wait::{Deadline, Wait};
use crate::base::worker::on_new_threads;
use crate::cluster::topology::{UPLINK, interface, nft};
use crate::kernel::frame_builder::{self, Link};
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Mac, Netlink, VethEnd};
use crate::kernel::packet::{Injector, Listener, close_together, stay_on_one_processor};
use crate::kernel::sysctl;
use crate::observe::counter;
use crate::observe::drop_watch::{self, DropWatch};

/// Rows that are worked on at a time: most of a row is waiting for the kernel's readers.
const PARALLEL_ROWS: usize = 8;

/// How long what has to come may take on a quick machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an answer may take before it is asked for again.
const RESEND_INTERVAL: Duration = Duration::from_millis(20);

/// The drops of a packet that arrives at a host; of others, a namespace has some at any time.
const ARRIVING: &[&str] = &[
    "IP_CSUM",
    "IP_INADDRERRORS",
    "IP_INHDR",
    "IP_INNOROUTES",
    "IP_INVALID_SOURCE",
    "IP_LOCAL_SOURCE",
    "IP_RPFILTER",
    "NETFILTER_DROP",
    "NO_SOCKET",
    "OTHERHOST",
    "UDP_CSUM",
];

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Who sends what has to be taken: its address is on B's link, and in no other table.
const CONTROL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

const A_MAC: Mac = [2, 0, 10, 0, 0, 1];
const B_MAC: Mac = [2, 0, 10, 0, 0, 2];

/// As Felix has them by default.
const TUNNEL: &str = "wireguard.cali";
const PORT: u16 = 51820;
const MARK: u32 = 0x0020_0000;
const PRIORITY: u32 = 99;
const TABLE: u32 = 1;

/// Bytes of the longest frame that A and B send here.
const MAX_FRAME: usize = 256;

const OURS: &[u8] = b"from A";
const CONTROLS: &[u8] = b"control";

/// Observes every row, in their order.
///
/// # Errors
/// The machine cannot do what a row needs, or what has to come in any case did not.
pub fn observe(rows: &[Row], patience: Patience) -> Result<Vec<Observation>, LabError> {
    let dropped = &DropWatch::begin();
    let mut observed = Vec::with_capacity(rows.len());
    for rows in rows.chunks(PARALLEL_ROWS) {
        for one in on_new_threads(rows, |row| of_row(row, dropped, patience)) {
            let number = observed.len() + 1;
            observed.push(one.map_err(|error| {
                let place = match &error.place {
                    Some(place) => format!("row {number}, {place}"),
                    None => format!("row {number}"),
                };
                error.at(place)
            })?);
        }
    }
    Ok(observed)
}

/// Both ends of a row.
struct Pair<'a> {
    row: &'a Row,
    patience: Patience,
    b: Namespace,
    injector: Injector,
    /// A's kernel index of its end.
    index: u32,
    at_a: Listener,
    at_b: Listener,
    socket: UdpSocket,
}

fn of_row(
    row: &Row,
    dropped: &Result<DropWatch, String>,
    patience: Patience,
) -> Result<Observation, LabError> {
    stay_on_one_processor()?;
    let mut pair = Pair::build(row, patience)?;
    pair.wake()?;
    let earlier = drop_watch::so_far(dropped, &pair.b)?;
    let before = reversed(&pair.b)?;
    let (arrived, received) = pair.send_packets()?;
    let between = reversed(&pair.b)?;
    let reasons = counter::reasons_moved(earlier, drop_watch::so_far(dropped, &pair.b)?);
    let arriving = |name: &String| ARRIVING.contains(&name.as_str());
    let reasons = reasons.map(|reasons| reasons.into_keys().filter(arriving).collect());
    let (asked, answered) = pair.ask()?;
    let after = reversed(&pair.b)?;
    close_together(vec![pair.at_a, pair.at_b]);
    Ok(Observation {
        arrived,
        received,
        counted: between.saturating_sub(before),
        reasons,
        asked,
        answered,
        counted_asking: after.saturating_sub(between),
    })
}

impl<'a> Pair<'a> {
    fn build(row: &'a Row, patience: Patience) -> Result<Self, LabError> {
        let (a, b) = (Namespace::create("A")?, Namespace::create("B")?);
        for namespace in [&a, &b] {
            sysctl::reset(namespace)?;
            if row.family == Family::Ipv6 {
                sysctl::enable_ipv6(namespace)?;
            }
        }
        let (a_net, b_net) = (Netlink::open(&a)?, Netlink::open(&b)?);
        let uplink = &interface(UPLINK)?;
        a_net.add_veth(
            VethEnd {
                name: uplink,
                mac: A_MAC,
                mtu: 1500,
                namespace: a.network(),
            },
            VethEnd {
                name: uplink,
                mac: B_MAC,
                mtu: 1500,
                namespace: b.network(),
            },
        )?;
        let index = a_net.up(UPLINK)?;
        furnish(row, &b, &b_net)?;
        let any = match row.family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = b.enter(|| UdpSocket::bind((any, PORT)).doing("open B's socket"))?;
        Ok(Self {
            row,
            patience,
            injector: Injector::open(&a)?,
            index,
            at_a: Listener::open(&a, MAX_FRAME, 0)?,
            at_b: Listener::open(&b, MAX_FRAME, 0)?,
            socket,
            b,
        })
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.patience.allows(ANSWER_TIMEOUT))
    }

    fn put(&self, frame: &[u8]) -> Result<(), LabError> {
        self.injector
            .send(self.index, frame)
            .doing("put a frame on the wire")
    }

    /// How many packets of A B's interface and B's socket have got when a later one of another
    /// source is at the socket.
    fn send_packets(&mut self) -> Result<(u64, u64), LabError> {
        let address = |of: Ipv4Addr| self.row.family.address(of);
        let link = Link {
            from: A_MAC,
            to: B_MAC,
        };
        let to = (address(B), PORT);
        let frame = |of: Ipv4Addr, payload: &[u8]| {
            let frame = frame_builder::udp(link, (address(of), PORT), to, payload);
            frame.doing("build a packet")
        };
        let (ours, control) = (frame(A, OURS)?, frame(CONTROL, CONTROLS)?);
        for _ in 0..PACKETS {
            self.put(&ours)?;
        }
        self.put(&control)?;
        let (mut received, mut buffer) = (0, [0; MAX_FRAME]);
        let deadline = self.deadline();
        loop {
            let packet = deadline.receive(&self.socket, &mut buffer);
            let Some((length, from)) = packet.doing("receive the control packet at B")? else {
                let seen = format!("{received} packets of A");
                return Err(deadline.missed(wait("B's socket has the control packet"), &seen));
            };
            if from.ip() == address(CONTROL) && &buffer[..length] == CONTROLS {
                break;
            }
            received += u64::from(from.ip() == address(A));
        }
        Ok((self.arrivals(&ours), received))
    }

    /// Waits until B answers for its address: the kernel takes a new IPv6 address into use by and by.
    fn wake(&mut self) -> Result<(), LabError> {
        let deadline = self.deadline();
        loop {
            self.put(&self.request(CONTROL)?)?;
            let soon = deadline.sooner(RESEND_INTERVAL);
            if self.next_answer(soon)? == Some(self.row.family.address(CONTROL)) {
                return Ok(());
            }
            if deadline.passed() {
                return Err(deadline.missed(wait("B answers for its address"), "no answer"));
            }
        }
    }

    /// Whether B's interface got A's request for its Ethernet address, and whether it had
    /// answered it when a later request of another address was answered.
    fn ask(&mut self) -> Result<(bool, bool), LabError> {
        let family = self.row.family;
        // Late answers to what was asked before belong to that.
        while self.at_a.receive(|_, _| ()).is_some() {}
        let ours = self.request(A)?;
        self.put(&ours)?;
        self.put(&self.request(CONTROL)?)?;
        let deadline = self.deadline();
        let mut answered = false;
        loop {
            match self.next_answer(deadline)? {
                Some(to) if to == family.address(A) => answered = true,
                Some(to) if to == family.address(CONTROL) => break,
                Some(_) => {}
                None => {
                    return Err(deadline.missed(wait("B answers the control request"), "no answer"));
                }
            }
        }
        let asked = self.arrivals(&ours) > 0;
        Ok((asked, answered))
    }

    /// Asks for B's Ethernet address in the name of `of`.
    fn request(&self, of: Ipv4Addr) -> Result<Vec<u8>, LabError> {
        let family = self.row.family;
        let request = match (family.address(of), family.address(B)) {
            (IpAddr::V6(sender), IpAddr::V6(target)) => {
                frame_builder::solicitation(A_MAC, sender, target)
            }
            _ => frame_builder::arp_request(A_MAC, of, B),
        };
        request.doing("build a request for an Ethernet address")
    }

    /// The address that B answers next; none if it answers nobody until the deadline.
    fn next_answer(&mut self, deadline: Deadline) -> Result<Option<IpAddr>, LabError> {
        loop {
            let answer = self.at_a.receive(|received, bytes| {
                let comes = received.direction == Direction::In;
                let frame = comes.then(|| decode(bytes, LinkType::Ethernet));
                frame.and_then(|frame| answers(&frame))
            });
            match answer {
                Some(Some(to)) => return Ok(Some(to)),
                Some(None) => {}
                None if deadline.passed() => return Ok(None),
                None => {
                    let mut fds = [PollFd::new(self.at_a.as_fd(), PollFlags::POLLIN)];
                    poll(&mut fds, deadline.poll_timeout()).doing("wait for an answer")?;
                }
            }
        }
    }

    /// How often B's interface has got exactly this frame since anybody looked.
    fn arrivals(&mut self, frame: &[u8]) -> u64 {
        let mut count = 0;
        while let Some(is_it) = self
            .at_b
            .receive(|received, bytes| received.direction == Direction::In && bytes == frame)
        {
            count += u64::from(is_it);
        }
        count
    }
}

fn wait(until: &str) -> Wait<'_> {
    Wait {
        who: "A",
        until,
        look: "rows are observed 8 at a time",
    }
}

/// Whose request for B's Ethernet address a frame answers.
fn answers(frame: &Frame) -> Option<IpAddr> {
    /// A neighbour advertisement (RFC 4861).
    const ADVERTISEMENT: u8 = 136;
    match frame {
        Frame::Arp {
            operation: 2,
            sender,
            target,
        } if *sender == B => Some(IpAddr::V4(*target)),
        Frame::Ip(packet) => {
            let advertised =
                matches!(packet.payload, Payload::Icmp { kind, .. } if kind == ADVERTISEMENT);
            let ours = packet.source == Family::Ipv6.address(B);
            (advertised && ours).then_some(packet.destination)
        }
        Frame::Arp { .. } | Frame::Other { .. } | Frame::Malformed { .. } => None,
    }
}

/// B with the row's settings.
fn furnish(row: &Row, b: &Namespace, net: &Netlink) -> Result<(), LabError> {
    let settings: &[(&str, &str)] = match row.check {
        Check::Sysctl {
            rp_filter,
            src_valid_mark,
        } => &[
            ("net/ipv4/conf/eth0/rp_filter", sysctl::number_of(rp_filter)),
            (
                "net/ipv4/conf/all/src_valid_mark",
                if src_valid_mark { "1" } else { "0" },
            ),
        ],
        Check::Nothing | Check::Fib { .. } => &[],
    };
    sysctl::set(b, settings)?;
    let index = net.up(UPLINK)?;
    let family = row.family;
    let link = Ipv4Net::new(B, 24).map_err(|error| LabError::machine("name B's link", error))?;
    let link = match family.network(link) {
        IpNet::V4(_) => IpNet::V4(link),
        IpNet::V6(net) => IpNet::new(family.address(B), net.prefix_len())
            .map_err(|error| LabError::machine("name B's link", error))?,
    };
    net.add_address(index, link)?;
    for neighbour in [A, CONTROL] {
        net.add_neighbour(index, family.address(neighbour), A_MAC)?;
    }
    // Which device it is makes no difference to a lookup.
    net.add_empty_bridge(&interface(TUNNEL)?)?;
    let tunnel = net.up(TUNNEL)?;
    net.add_route_to_table(family.address(A).into(), tunnel, TABLE)?;
    net.add_rule_unless_marked(family, PRIORITY, MARK, TABLE)?;
    let rules = rules(row);
    if rules.is_empty() {
        return Ok(());
    }
    b.enter(|| nft(&rules))
}

/// B's nftables rules: the mark comes first, as in Felix's raw table.
fn rules(row: &Row) -> String {
    let mut rules = String::new();
    let hook = |name: &str, table: &str, hook: &str, rule: &str| {
        format!(
            "table {table} {name} {{ chain in {{ type filter hook {hook}; policy accept; \
             iifname \"{UPLINK}\" {rule}; }}; }}\n"
        )
    };
    let mark = format!("meta mark set meta mark or {MARK:#x}");
    if row.incoming_mark {
        rules += &hook("marks", "inet", "prerouting priority raw", &mark);
    }
    if row.arp_mark {
        rules += &hook("marks", "arp", "input priority 0", &mark);
    }
    if let Check::Fib { by_mark } = row.check {
        let by_mark = if by_mark { ". mark " } else { "" };
        let check = format!("fib saddr {by_mark}. iif oif 0 drop");
        rules += &hook("checks", "inet", "prerouting priority raw + 10", &check);
    }
    rules
}

fn reversed(namespace: &Namespace) -> Result<u64, LabError> {
    let drops = counter::drops(namespace)?;
    Ok(drops.get(REVERSE_PATH).copied().unwrap_or_default())
}

/// Which kernel this is (`uname -r`).
pub fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use wireproof_model::rpf::MATRIX;

    use super::*;

    /// B takes no ARP.
    const NO_ARP: &str =
        "table arp deaf { chain in { type filter hook input priority 0; policy drop; }; }";

    #[test]
    fn without_patience_a_row_names_the_packet_that_did_not_come() {
        let row = MATRIX.iter().find(|row| row.family == Family::Ipv4);
        let mut pair = match Pair::build(row.unwrap(), Patience::NONE) {
            Ok(pair) => pair,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        pair.b.enter(|| nft(NO_ARP)).unwrap();
        let error = pair.wake().unwrap_err();
        assert_eq!(
            error.to_string(),
            "wait until B answers for its address (A): not within 0 ms; last seen: no answer"
        );
        assert!(error.help.unwrap_or_default().contains("--patience 2"));
        let error = pair.ask().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("wait until B answers the control request (A)"),
            "{error}"
        );
    }
}
