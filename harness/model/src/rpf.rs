//! The strict reverse-path matrix: which packets a node takes from a peer whose own address
//! its engine routes into a tunnel, under which settings.
//!
//! Node B has `10.0.0.1/32 dev wireguard.cali` in table 1, and the rule `99: not from all
//! fwmark 0x200000/0x200000 lookup 1`. A is 10.0.0.1, on the link behind B's `eth0`. What A
//! sends there has the one source that a lookup without the mark finds behind the tunnel.

use serde::{Deserialize, Serialize};

use crate::plan::{Family, RpFilter};

/// Packets that A sends in each row: the counter has to move by each of them.
pub const PACKETS: u64 = 3;

/// The kernel's name for a packet that the reverse-path filter dropped (`SKB_DROP_REASON_IP_RPFILTER`).
pub const BY_SOURCE: &str = "IP_RPFILTER";

/// The kernel's name for a packet that an nftables rule dropped.
pub const BY_RULE: &str = "NETFILTER_DROP";

/// What B does with a packet's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// No reverse-path check.
    Nothing,
    /// The kernel's own filter, which IPv6 has not (ip-sysctl: `rp_filter`, `src_valid_mark`).
    Sysctl {
        /// `net.ipv4.conf.eth0.rp_filter`.
        rp_filter: RpFilter,
        /// `net.ipv4.conf.all.src_valid_mark`.
        src_valid_mark: bool,
    },
    /// nftables drops what `fib saddr [. mark] . iif oif` finds no route for.
    Fib {
        /// Whether the packet's mark is part of the lookup.
        by_mark: bool,
    },
}

/// What B does with a packet from A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It reaches the socket.
    Accepted,
    /// It does not, for the reason that the kernel names.
    Dropped(&'static str),
}

/// The settings of one row, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Of the packets.
    pub family: Family,
    /// Of their source.
    pub check: Check,
    /// Whether nftables marks what comes in through `eth0`, as Felix does for host encryption.
    pub incoming_mark: bool,
    /// Whether nftables' arp family does so for ARP.
    pub arp_mark: bool,
    /// What becomes of UDP to port 51820.
    pub packet: Fate,
    /// Whether A's request for B's Ethernet address (ARP, or a neighbour solicitation) is answered.
    pub answered: bool,
    /// Where the kernel decides so.
    pub because: &'static str,
}

impl Row {
    /// By how much `TcpExt.IPReversePathFilter` moves for all packets of the row. Nothing else
    /// counts there: not ARP, and not nftables.
    pub fn counted(&self) -> u64 {
        match self.packet {
            Fate::Dropped(BY_SOURCE) => PACKETS,
            Fate::Dropped(_) | Fate::Accepted => 0,
        }
    }
}

/// What was observed of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Packets that B's interface got, of those that A sent.
    pub arrived: u64,
    /// Packets that B's socket got.
    pub received: u64,
    /// By how much B's `TcpExt.IPReversePathFilter` moved meanwhile.
    pub counted: u64,
    /// The kernel's name for each drop of one of the packets, in the order of names, or why it
    /// was not to be had.
    pub reasons: Result<Vec<String>, String>,
    /// Whether B's interface got the request for its Ethernet address.
    pub asked: bool,
    /// Whether A's interface got an answer before that to a later request.
    pub answered: bool,
    /// By how much `TcpExt.IPReversePathFilter` moved for that request.
    pub counted_asking: u64,
}

/// How an observation differs from what is expected of its row; nothing if it does not.
pub fn differences(row: &Row, observed: &Observation) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, expected: String, seen: String| {
        if expected != seen {
            found.push(format!("{what}: {seen} instead of {expected}"));
        }
    };
    let number = |count: u64| count.to_string();
    differ("packets at eth0", number(PACKETS), number(observed.arrived));
    let (received, reasons) = match row.packet {
        Fate::Accepted => (PACKETS, Vec::new()),
        Fate::Dropped(reason) => (0, vec![reason.to_owned()]),
    };
    differ(
        "packets at the socket",
        number(received),
        number(observed.received),
    );
    differ(
        "TcpExt.IPReversePathFilter",
        number(row.counted()),
        number(observed.counted),
    );
    if let Ok(seen) = &observed.reasons {
        differ("drop reasons", listed(&reasons), listed(seen));
    }
    let asked = |asked: bool| if asked { "there" } else { "not there" }.to_owned();
    differ("the request at eth0", asked(true), asked(observed.asked));
    differ(
        "the request",
        answer(row.answered),
        answer(observed.answered),
    );
    differ(
        "TcpExt.IPReversePathFilter for the request",
        number(0),
        number(observed.counted_asking),
    );
    found
}

/// As tables print it.
pub fn answer(answered: bool) -> String {
    if answered { "answered" } else { "unanswered" }.to_owned()
}

fn listed(reasons: &[String]) -> String {
    if reasons.is_empty() {
        "none".into()
    } else {
        reasons.join(", ")
    }
}

const OFF: RpFilter = RpFilter::Off;
const STRICT: RpFilter = RpFilter::Strict;
const LOOSE: RpFilter = RpFilter::Loose;

const NOT_CHECKED: &str = "fib_frontend.c, fib_validate_source: rp_filter is 0";
const ANY_ROUTE: &str =
    "fib_frontend.c, __fib_validate_source: rp_filter 2 takes any source that has a route";
const UNMARKED_LOOKUP: &str = "fib_frontend.c, __fib_validate_source: without src_valid_mark the lookup's mark is 0, so rule 99 finds the tunnel";
const NO_MARK: &str =
    "fib_frontend.c, __fib_validate_source: the packet has no mark, so rule 99 finds the tunnel";
const ARP_UNMARKED: &str = "fib_frontend.c, __fib_validate_source: rule 99 is skipped for the marked packet; arp.c, arp_process: an ARP packet passes no inet hook, so its mark is 0";
const ARP_MARKED: &str = "arp.c, arp_rcv: NF_ARP_IN comes before arp_process, whose ip_route_input_noref then sees the mark";

/// Rows of felix.md §1.6: eth0's `rp_filter`, `src_valid_mark`, the incoming mark.
const fn sysctl(
    rp_filter: RpFilter,
    src_valid_mark: bool,
    incoming_mark: bool,
    because: &'static str,
) -> Row {
    let strict = matches!(rp_filter, RpFilter::Strict);
    Row {
        family: Family::Ipv4,
        check: Check::Sysctl {
            rp_filter,
            src_valid_mark,
        },
        incoming_mark,
        arp_mark: false,
        packet: if strict && !(src_valid_mark && incoming_mark) {
            Fate::Dropped(BY_SOURCE)
        } else {
            Fate::Accepted
        },
        answered: !strict,
        because,
    }
}

/// The same with the mark in nftables' arp family, at `rp_filter` 1.
const fn arp(src_valid_mark: bool, incoming_mark: bool, because: &'static str) -> Row {
    Row {
        arp_mark: true,
        answered: src_valid_mark,
        ..sysctl(STRICT, src_valid_mark, incoming_mark, because)
    }
}

/// Rows that check nothing, or by nftables.
const fn fib(
    family: Family,
    check: Check,
    incoming_mark: bool,
    packet: Fate,
    answered: bool,
    because: &'static str,
) -> Row {
    Row {
        family,
        check,
        incoming_mark,
        arp_mark: false,
        packet,
        answered,
        because,
    }
}

const FIB6: &str = "nft_fib_ipv6.c, nft_fib6_eval: the first route found leads into the tunnel; neighbour discovery is IPv6 and passes the same hook";

const FIB: Check = Check::Fib { by_mark: false };
const FIB_BY_MARK: Check = Check::Fib { by_mark: true };
const DROPPED_BY_RULE: Fate = Fate::Dropped(BY_RULE);

/// Every row, with what follows from the kernel's source (`net/ipv4`, `net/ipv6`, `net/netfilter`).
pub const MATRIX: &[Row] = &[
    sysctl(OFF, false, false, NOT_CHECKED),
    sysctl(OFF, false, true, NOT_CHECKED),
    sysctl(OFF, true, false, NOT_CHECKED),
    sysctl(OFF, true, true, NOT_CHECKED),
    sysctl(STRICT, false, false, UNMARKED_LOOKUP),
    sysctl(STRICT, false, true, UNMARKED_LOOKUP),
    sysctl(STRICT, true, false, NO_MARK),
    sysctl(STRICT, true, true, ARP_UNMARKED),
    sysctl(LOOSE, false, false, ANY_ROUTE),
    sysctl(LOOSE, false, true, ANY_ROUTE),
    sysctl(LOOSE, true, false, ANY_ROUTE),
    sysctl(LOOSE, true, true, ANY_ROUTE),
    arp(false, true, UNMARKED_LOOKUP),
    arp(true, false, ARP_MARKED),
    arp(true, true, ARP_MARKED),
    fib(
        Family::Ipv4,
        FIB_BY_MARK,
        false,
        DROPPED_BY_RULE,
        true,
        "nft_fib_ipv4.c, nft_fib4_eval: the first route found leads into the tunnel; ARP passes no inet hook",
    ),
    fib(
        Family::Ipv4,
        FIB_BY_MARK,
        true,
        Fate::Accepted,
        true,
        "nft_fib_ipv4.c, nft_fib4_eval: the lookup has the packet's mark, so rule 99 is skipped",
    ),
    fib(
        Family::Ipv4,
        FIB,
        true,
        DROPPED_BY_RULE,
        true,
        "nft_fib_ipv4.c, nft_fib4_eval: without `mark` the lookup's mark is 0",
    ),
    fib(
        Family::Ipv6,
        Check::Nothing,
        false,
        Fate::Accepted,
        true,
        "ip6_input.c: IPv6 has no rp_filter",
    ),
    fib(
        Family::Ipv6,
        FIB_BY_MARK,
        false,
        DROPPED_BY_RULE,
        false,
        FIB6,
    ),
    fib(
        Family::Ipv6,
        FIB_BY_MARK,
        true,
        Fate::Accepted,
        true,
        "nft_fib_ipv6.c, nft_fib6_eval: the lookup has the packet's mark; neighbour discovery passes the hook that marks",
    ),
    fib(Family::Ipv6, FIB, true, DROPPED_BY_RULE, false, FIB6),
];

#[cfg(test)]
mod tests;
