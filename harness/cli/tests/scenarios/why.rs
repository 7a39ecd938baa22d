//! Explanations name what is really wrong: each fault of the engine has words that every explanation must have,
//! and a cause in other words is red.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::Failed;
use wireproof::scenario::JudgedRun;
use wireproof_model::verdict::{Outcome, Verdict};

use crate::good;

/// Faults of the engine, and the words of which each cause of a broken promise has some.
const CAUSES: &[(&str, &[&str])] = &[
    // The firewalls of `fixtures/engines/firewalls`.
    ("input", POLICY),
    ("input-ipv6", POLICY),
    ("mark", BY_MARK),
    ("mark-ipv6", BY_MARK),
    ("output", BY_PORT),
    ("output-ipv6", BY_PORT),
    (
        "overwrites-marks",
        &[
            "`meta mark set 0x00000001` (chain in of table inet guard) on node-1 overwrites the mark of what comes in",
        ],
    ),
    // The lost links of `fixtures/engines/links`.
    ("pod-link-down", &["azvpod-1 of node-1 is down"]),
    ("uplink-deleted", &["eth0 of node-1 is missing"]),
    ("uplink-down", &["eth0 of node-1 is down"]),
    (
        "uplink-down-and-up-ipv6",
        &["eth0 of node-1 has lost its address fd00::af0:4"],
    ),
    ("uplink-down-ipv6", &["eth0 of node-1 is down"]),
    // What is missing is what the last thing that the engine took in did not have.
    (
        "deaf-after-a-burst",
        &["has no route for", "throw route missing"],
    ),
    ("forgets-departed", &["as protected"]),
    (
        "forgets-last-good",
        &["has no route for", "peer node-", "is missing on"],
    ),
    ("forgets-plain-nodes", &["nftables of"]),
    ("forgets-the-absent", &["is missing on"]),
    (
        "freezes-cluster",
        &[
            "has no route for",
            "throw route missing",
            "key on node-",
            "is missing on",
        ],
    ),
    (
        "keeps-old-address",
        &["the endpoint of peer", "the address of w"],
    ),
    ("keeps-old-device", &["has the port 51820 of wg0"]),
    ("keeps-old-pods", &["the allowed IPs of peer"]),
    (
        "keeps-old-port-of-ipv6",
        &[
            "wg-six of node-",
            "and node-1 listens at [fd00::af0:4]:51821",
            "and node-2 listens at [fd00::af0:14]:51821",
        ],
    ),
    (
        "keeps-old-settings",
        &[
            "own packets have the mark",
            "packets to table 77",
            "listens at port 51820",
            "listens at 10.240.0.4:51820",
            "listens at 10.240.0.20:51820",
        ],
    ),
    (
        "key-conflict-black-hole",
        &["both nodes encrypt", "into wireguard.cali", "is missing on"],
    ),
    ("mortal-tunnel", &["wireguard.cali is missing on"]),
    ("mss-only", &["only TCP is told of less"]),
    ("mtu-too-large", MTU),
    ("mtu-too-small", MTU),
    ("no-arp-mark", &["incoming ARP is not marked"]),
    ("no-blocks", &["has no route for", "throw route missing"]),
    ("no-borrowed", &["throws 10.65."]),
    (
        "no-cas",
        &[
            "has no route for",
            "the address of wireguard.cali on node-2",
        ],
    ),
    ("no-fwmark", &["own packets have no mark (fwmark)"]),
    ("no-host-allowed-ips", &["the allowed IPs of peer"]),
    ("no-incoming-mark", &["the incoming packets are not marked"]),
    ("no-ipv6", &["wg-v6.cali is missing on"]),
    ("no-mtu", MTU),
    ("no-opt-out", &["throw route missing"]),
    ("no-src-valid-mark", &["src_valid_mark is 0 on"]),
    ("no-strict", &["no nftables rule of", OF_A_FLOW]),
    ("no-strict-through", &[OF_A_FLOW]),
    ("no-throw-routes", &["throw route missing"]),
    ("routes-the-world", &["which is outside the cluster, into"]),
    (
        "starts-anew",
        &["is missing on", "had published no key", "got another key"],
    ),
];

/// What stands on each tampered node, and the words of which each cause of its pods' broken
/// promises has some.
const TAMPERED: &[(&str, &[&str])] = &[
    ("n-device", &["wireguard.cali is missing on n-device"]),
    (
        "n-everything",
        &["wireguard.cali is missing on n-everything"],
    ),
    ("n-nft", &["the incoming packets are not marked on n-nft"]),
    (
        "n-peer",
        &["peer whole is missing on n-peer's wireguard.cali"],
    ),
    ("n-process", &["wireguard.cali is missing on n-process"]),
    (
        "n-route",
        &["table 1 of n-route has no route for 10.240.0.250"],
    ),
    ("n-rule", &["no rule sends n-rule's packets to table 1"]),
    ("n-sysctl", &["src_valid_mark is 0 on n-sysctl"]),
    ("n-throw", &["throw route missing: table 1 of n-throw"]),
];

const POLICY: &[&str] =
    &["by the policy of chain input of table inet fw, hook input, where no rule accepts it"];

const BY_MARK: &[&str] = &[
    "by `meta mark & 0x00100000 == 0x00100000 counter drop` (chain out of table inet kubefw, hook output) (its counter moved by",
];

const BY_PORT: &[&str] =
    &["by `udp dport { 51820, 51821 } drop` (chain out of table inet fw, hook output)"];

/// What a step broke, and what was put right before anybody looked at the nodes.
const OF_A_FLOW: &str = "the packet is a flow's, and was on its way since the last step";

const MTU: &[&str] = &[
    "the MTU of wireguard.cali on",
    "the MTU of wg-v6.cali on",
    "the MTU of wg-six on",
];

/// Each tampered node breaks a promise, and each such promise is explained by what was done there.
pub(crate) fn names_the_tampering(path: &Path) -> Result<(), Failed> {
    let judged = good::run(path, None)?;
    let plan = &judged.plan;
    let mut explained = BTreeSet::new();
    for (promise, verdict) in plan.promises.iter().zip(&judged.verdicts) {
        let node = plan
            .endpoint(&promise.from)
            .map(|end| end.node.name.clone());
        let node = node.ok_or("a promise of nobody's")?;
        let words = TAMPERED.iter().find(|(name, _)| *name == node.as_str());
        match (verdict.outcome, words) {
            (Outcome::Broken, Some((name, words))) => {
                is_one_of(name, words, verdict, &judged)?;
                explained.insert(*name);
            }
            (Outcome::Held, _) => {}
            _ => return Err(format!("{node}: {}", verdict.fact).into()),
        }
    }
    match TAMPERED.iter().find(|(name, _)| !explained.contains(name)) {
        None => Ok(()),
        Some((name, _)) => Err(format!("nothing of {name} was broken").into()),
    }
}

/// Each broken promise about a pair or about sizes has an explanation, and it names the fault.
pub(crate) fn is_explained(fault: &str, judged: &JudgedRun) -> Result<(), Failed> {
    let words = CAUSES.iter().find(|(known, _)| *known == fault);
    let words = words.map_or(&[][..], |(_, words)| words);
    let pairs = judged.plan.promises.iter().map(|one| one.id);
    let sizes = judged.plan.limits.promises.iter().map(|one| one.id);
    let explained: BTreeSet<_> = pairs.chain(sizes).collect();
    let broken = judged.verdicts.iter().filter(|verdict| {
        verdict.outcome == Outcome::Broken && explained.contains(&verdict.promise)
    });
    for verdict in broken {
        is_one_of(fault, words, verdict, judged)?;
    }
    Ok(())
}

/// Each cause has some of the words.
fn is_one_of(
    what: &str,
    words: &[&str],
    verdict: &Verdict,
    judged: &JudgedRun,
) -> Result<(), Failed> {
    let cause = cause(verdict)?;
    let right = |one: &str| words.iter().any(|words| one.contains(words));
    if cause.split("; and ").all(right) {
        return Ok(());
    }
    Err(format!(
        "`{what}` is explained by `{cause}`, not by {words:?}; {}\nthe run is {}",
        verdict.fact,
        judged.directory.display()
    )
    .into())
}

fn cause(verdict: &Verdict) -> Result<&str, Failed> {
    let why = verdict.why.as_ref();
    why.map(|why| why.cause.as_str())
        .ok_or_else(|| format!("nothing explains `{}`", verdict.fact).into())
}
