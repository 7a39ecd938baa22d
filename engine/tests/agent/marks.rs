//! The mark may be any bit: what nftables lists of it reads as what was written.

use crate::{INSIDE, Node, applied, in_namespaces, ruleset_has, write};

const BOB: &str = "kind: Node\nmetadata: {name: bob}\nspec: {bgp: {ipv4Address: 10.0.0.2/24}}\n";

/// The bits that are kube-proxy's, and refused.
const REFUSED: [u32; 2] = [14, 15];

/// A mask whose fifth bit, which is the mark, is that one.
fn strict(bit: u32) -> String {
    let mask = 0b1_1111_u32 << (bit - 4);
    format!(
        "kind: FelixConfiguration\nmetadata: {{name: default, annotations: {{wiremesh/strict: 'true'}}}}\n\
         spec: {{wireguardEnabled: true, wireguardHostEncryptionEnabled: true, iptablesMarkMask: {mask}}}\n"
    )
}

#[test]
fn an_agent_is_in_sync_whatever_bit_its_mark_is() {
    in_namespaces("marks::inside_every_bit");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_every_bit() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(
        folder.path(),
        &[("default.yaml", &strict(4)), ("bob.yaml", BOB)],
    );
    let in_sync = |status: &str| status.contains("X_WIREMESH_APPLIED=");
    let mut last = String::new();
    let bits = (4..u32::BITS).filter(|bit| !REFUSED.contains(bit));
    // The highest at first: a table that is written again for ever shows at once.
    for bit in bits.rev() {
        write(&node.store, "default.yaml", &strict(bit));
        let mark = format!("mark | {:#010x}", 1_u32 << bit);
        let status = node.until("was in sync with the mark", |status| {
            in_sync(status) && applied(status) != last && ruleset_has(&[&mark])
        });
        last = applied(&status);
    }
}
