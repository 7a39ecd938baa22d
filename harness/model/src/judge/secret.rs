//! Private keys: that each is in its device alone.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::evidence::{Evidence, SecretCopy, SecretEvidence, SecretPlace};
use crate::name::NodeName;
use crate::plan::Plan;
use crate::verdict::Explanation;

/// The permission bits of all users but a file's owner (inode(7)).
const OTHERS: u32 = 0o077;

/// Places that every run has: without them nobody has searched.
const NEEDED: [SecretPlace; 2] = [SecretPlace::Capture, SecretPlace::Evidence];

/// Decides whether the private keys of a node's devices are nowhere else.
pub(super) fn decide(node: &NodeName, plan: &Plan, evidence: &Evidence) -> Finding<'static> {
    let Some(secrets) = &evidence.secrets else {
        return Finding::open(format!("{node}: nobody searched for its private keys"));
    };
    if let Some(broken) = broken(node, plan, secrets) {
        return broken;
    }
    if let Some(first) = secrets.unsearched.first() {
        return Finding::open(format!(
            "{node}: not searched for its private keys: {first}"
        ));
    }
    let mut missing = NEEDED
        .iter()
        .filter(|place| !secrets.searched.contains_key(place));
    if let Some(place) = missing.next() {
        return Finding::open(format!(
            "{node}: nobody searched {} for its private keys",
            place.as_str()
        ));
    }
    let none = BTreeSet::new();
    let keys = secrets.keys.get(node).unwrap_or(&none);
    let silent = secrets.silent.get(node).unwrap_or(&none);
    let seen = public_keys(node, evidence);
    let is_known = |key: &String| keys.contains(key) || silent.contains(key);
    if let Some(unknown) = seen.iter().find(|key| !is_known(key)) {
        return Finding::open(format!(
            "{node}: the private key of {unknown} could not be read from its device, so nobody searched for it"
        ));
    }
    let published = evidence.nodes.get(node).into_iter();
    let mut published = published
        .flat_map(|node| node.published_key.iter().chain(&node.published_key6))
        .peekable();
    let is_published = published.peek().is_some();
    match keys.len() {
        0 if is_published && published.all(|key| silent.contains(key)) => Finding::held(format!(
            "{node}: its device does not show its private key, and no text has it in base64 or hexadecimal"
        )),
        0 if is_published => Finding::open(format!(
            "{node}: its engine published a key, and no private key could be read from a device to search for"
        )),
        0 => Finding::held(format!("{node}: no device of it had a private key")),
        1 => Finding::held(format!("{node}: its private key is in its device alone")),
        keys => Finding::held(format!(
            "{node}: its {keys} private keys are in its devices alone"
        )),
    }
}

fn broken(node: &NodeName, plan: &Plan, secrets: &SecretEvidence) -> Option<Finding<'static>> {
    let is_leak = |copy: &&SecretCopy| copy.owner == *node && !is_allowed(plan, copy);
    if let Some(copy) = secrets.copies.iter().find(is_leak) {
        let key = match copy.preshared {
            true => "a preshared key",
            false => "a private key",
        };
        let SecretCopy {
            place,
            name,
            encoding,
            ..
        } = copy;
        let place = place.as_str();
        let fact = format!("{node}: {key} of its device is in {place}: {name} ({encoding})");
        let cause = format!(
            "the engine takes {key} of {node} out of its device and writes it to {place} ({name})"
        );
        let why = Explanation::of_cause(fact.clone(), cause);
        return Some(Finding::broken(fact).with_why(why));
    }
    let open = secrets
        .open_sockets
        .iter()
        .find(|open| open.node == *node)?;
    let fact = format!(
        "{node}: users other than root can read its private key: {} has mode {:04o}",
        open.path, open.mode
    );
    let cause = format!(
        "the engine makes {} with permissions for all users, who can ask it for the private key",
        open.path
    );
    let why = Explanation::of_cause(fact.clone(), cause);
    Some(Finding::broken(fact).with_why(why))
}

/// Whether the engine claims that it keeps its keys in such a file, and nobody else can read it.
fn is_allowed(plan: &Plan, copy: &SecretCopy) -> bool {
    let closed = copy.mode.is_some_and(|mode| mode & OTHERS == 0);
    let own = copy.name.starts_with(&format!("{}.state/", copy.owner));
    plan.conduct.keys_in_state && copy.place == SecretPlace::State && own && closed
}

/// The public keys that the node's devices were seen with.
fn public_keys<'e>(node: &NodeName, evidence: &'e Evidence) -> BTreeSet<&'e String> {
    let last = evidence.nodes.get(node).map(|last| &last.dataplane);
    let states = evidence.states.iter().filter(|state| state.node == *node);
    let dataplanes = last.into_iter().chain(states.map(|state| &state.dataplane));
    let devices = dataplanes.flat_map(|dataplane| &dataplane.wireguard);
    devices
        .filter_map(|device| device.public_key.as_ref())
        .collect()
}
