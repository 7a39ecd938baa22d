//! Claims to a network, and the one rule of whose it is.

use std::cmp::Ordering;
use std::fmt;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::intent::resource::Identity;

/// How many claims a message names.
const MAX_NAMED: usize = 4;

/// What a claim rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis<'a> {
    /// An address of the Node itself.
    Host,
    /// The address of one of the Node's tunnels.
    Tunnel,
    /// A pod's WorkloadEndpoint.
    Pod(&'a Identity),
    /// Calico IPAM's block, which the node has or has borrowed the address from.
    Block(IpNet),
}

/// A node's claim to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The node's name.
    pub node: &'a str,
    /// The resource or field that makes the claim.
    pub basis: Basis<'a>,
    /// When the resource was made, as text that sorts by time; empty, if it has no creation time.
    pub created: &'a str,
    /// Whether there is a Node of that name.
    pub known: bool,
}

impl Claim<'_> {
    /// The resource, for people.
    fn resource(&self) -> String {
        match self.basis {
            Basis::Host | Basis::Tunnel => format!("Node {}", self.node),
            Basis::Pod(identity) => format!("{identity} of {}", self.node),
            Basis::Block(cidr) => format!("IPAMBlock {cidr} of {}", self.node),
        }
    }
}

/// Why one claim counts more than another, from the strongest reason to the weakest.
const REASONS: [&str; 6] = [
    "no route of the kernel leads to it on this node",
    "an address of a node's own beats a pod's",
    "it is on this node",
    "there is no such Node as the other",
    "no other claim is as new",
    "no claim is newer, and its node's name is the last",
];

/// Compares two claims of one network as the node `own` sees them, which really has the network if it
/// is `here`; the number of the reason in [`REASONS`].
fn compare(one: &Claim<'_>, other: &Claim<'_>, own: &str, here: bool) -> (Ordering, usize) {
    let ranks = |claim: &Claim<'_>| {
        let is_own = claim.node == own;
        [
            !is_own || here,
            matches!(claim.basis, Basis::Host | Basis::Tunnel),
            is_own,
            claim.known,
        ]
    };
    for (reason, (one, other)) in ranks(one).into_iter().zip(ranks(other)).enumerate() {
        if one != other {
            return (one.cmp(&other), reason);
        }
    }
    match one.created.cmp(other.created) {
        Ordering::Equal => (one.node.cmp(other.node), 5),
        order => (order, 4),
    }
}

/// Whose a network is, of those who claim it; none, if nobody does.
///
/// - A claim of the node `own` itself counts least where the kernel leads elsewhere: `own` knows better.
/// - A node's own address, its uplink's or a tunnel's, beats a pod's: no pod takes a node's traffic.
/// - What is really on `own` beats what is only claimed.
/// - A Node that is there beats one that is not.
/// - The newest claim wins, by `metadata.creationTimestamp`; without one a claim is older than any other.
/// - The last by name wins: node pools number their nodes upwards.
pub fn owner<'c, 'a>(
    claims: impl IntoIterator<Item = &'c Claim<'a>>,
    own: &str,
    here: bool,
) -> Option<&'c Claim<'a>>
where
    'a: 'c,
{
    claims
        .into_iter()
        .max_by(|one, other| compare(one, other, own, here).0)
}

/// A network that several nodes claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The network that is claimed.
    pub network: IpNet,
    /// The nodes with the resources that claim it, and whether it is the node's own address.
    claims: Vec<(String, String, bool)>,
    /// The node that it counts as, and why.
    owner: Option<(String, &'static str)>,
}

impl Conflict {
    /// One about a network with claims for several nodes; `owner` is the claim that counts.
    pub(super) fn of<'a>(
        network: IpNet,
        claims: &[Claim<'a>],
        owner: Option<&Claim<'a>>,
        own: &str,
        here: bool,
    ) -> Self {
        let owner = owner.map(|owner| {
            let losers = claims.iter().filter(|claim| claim.node != owner.node);
            // What decides is what sets the owner apart from the one that comes next to it.
            let next = losers.max_by(|one, other| compare(one, other, own, here).0);
            let reason = next.map_or(0, |next| compare(owner, next, own, here).1);
            (owner.node.to_owned(), REASONS[reason])
        });
        let written = claims.iter().map(|claim| {
            let is_host = claim.basis == Basis::Host;
            (claim.node.to_owned(), claim.resource(), is_host)
        });
        Self {
            network,
            claims: written.collect(),
            owner,
        }
    }

    /// Whether every claim is one that may be reached in clear: by its node's name, and by whether it is
    /// an address of the node's own.
    pub fn all_may_be_plain(&self, may_be: impl Fn(&str, bool) -> bool) -> bool {
        let mut claims = self.claims.iter();
        claims.all(|(node, _, is_host)| may_be(node, *is_host))
    }

    /// As JSON, for programs.
    pub fn json(&self) -> Value {
        let claims = self.claims.iter();
        let claims = claims.map(|(node, resource, _)| json!({"node": node, "resource": resource}));
        json!({
            "network": self.network.to_string(),
            "claims": claims.collect::<Vec<_>>(),
            "owner": self.owner.as_ref().map(|(owner, _)| owner),
            "because": self.owner.as_ref().map(|(_, why)| why),
        })
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = self.network.prefix_len() == self.network.max_prefix_len();
        match single {
            true => write!(f, "{}", self.network.addr())?,
            false => write!(f, "{}", self.network)?,
        }
        let resources = self.claims.iter().map(|(_, resource, _)| resource.as_str());
        let mut resources: Vec<_> = resources.collect();
        let more = resources.len().saturating_sub(MAX_NAMED);
        resources.truncate(MAX_NAMED);
        write!(f, " is claimed by {}", resources.join(" and by "))?;
        if more > 0 {
            write!(f, " and by {more} more")?;
        }
        match &self.owner {
            Some((owner, why)) => write!(
                f,
                ": it counts as {owner}'s ({why}), and traffic reaches no other owner; delete the \
                 stale resource"
            ),
            None => f.write_str(": traffic reaches only one of them; delete the stale resource"),
        }
    }
}
