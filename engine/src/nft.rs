//! The nftables table of the incoming mark.
//!
//! The table is this engine's own and is always set as a whole, in one transaction.
//! It is written and read with `nft`, whose JSON is its documented interface
//! (libnftables-json(5)).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::fd::AsRawFd;
use std::process::Stdio;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::dataplane::IncomingMark;

/// `NFNLGRP_NFTABLES` as a bit of the address that a netlink socket listens at
/// (linux/netfilter/nfnetlink.h).
const RULES_GROUP: u32 = 1 << 6;

/// The table, of family `ip`.
const TABLE: &str = "wiremesh";

/// What `nft` refused, or why it could not be run.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {cause}")]
pub(crate) struct NftError {
    doing: &'static str,
    cause: String,
}

/// The table as it is. One that holds anything else than what [`set`] writes reads as
/// a mark of 0, which nobody desires, so that it is set anew.
pub(crate) async fn read() -> Result<Option<IncomingMark>, NftError> {
    let doing = "read the nftables table wiremesh";
    let output = match Command::new("nft")
        .args(["-j", "list", "table", "ip", TABLE])
        .output()
        .await
    {
        Ok(output) => output,
        // Without nft nobody has made a table with it; setting one says what is missing.
        Err(_) => return Ok(None),
    };
    if !output.status.success() {
        let cause = String::from_utf8_lossy(&output.stderr).into_owned();
        if cause.contains("No such file or directory") {
            return Ok(None);
        }
        return Err(NftError {
            doing,
            cause: cause.trim().to_owned(),
        });
    }
    let listing: Value = serde_json::from_slice(&output.stdout).map_err(|error| NftError {
        doing,
        cause: error.to_string(),
    })?;
    Ok(Some(parse(&listing).unwrap_or(IncomingMark {
        mark: 0,
        interfaces: BTreeSet::new(),
        prefixes: BTreeSet::new(),
    })))
}

/// Tells `changed` whenever any nftables rule of this network namespace changes, for as long
/// as somebody listens.
pub(crate) fn watch(changed: mpsc::Sender<()>) -> Result<(), NftError> {
    let fail = |errno: Errno| NftError {
        doing: "watch the nftables rules",
        cause: errno.desc().to_owned(),
    };
    let news = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )
    .map_err(fail)?;
    bind(news.as_raw_fd(), &NetlinkAddr::new(0, RULES_GROUP)).map_err(fail)?;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match recv(news.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                // When more happened than fits its buffer, something has changed all the same.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(_) => return,
            }
            if let Err(mpsc::error::TrySendError::Closed(())) = changed.try_send(()) {
                return;
            }
        }
    });
    Ok(())
}

/// Sets the whole table, or removes it.
pub(crate) async fn set(mark: Option<&IncomingMark>) -> Result<(), NftError> {
    let doing = "set the nftables table wiremesh";
    let fail = |cause: String| NftError { doing, cause };
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| fail(format!("nft: {error} (install nftables)")))?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(script(mark).as_bytes())
            .await
            .map_err(|error| fail(error.to_string()))?;
    }
    let output = child
        .wait_with_output()
        .await
        .map_err(|error| fail(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(fail(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

/// One transaction: the table goes, if it is there, and comes back as it should be.
fn script(mark: Option<&IncomingMark>) -> String {
    let mut script = format!("table ip {TABLE}\ndelete table ip {TABLE}\n");
    let Some(mark) = mark else {
        return script;
    };
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(script, "{text}");
    };
    line(format!("table ip {TABLE} {{"));
    line("  chain wireguard-incoming-mark {".into());
    line("    type filter hook prerouting priority raw; policy accept;".into());
    for interface in &mark.interfaces {
        line(format!("    iifname \"{interface}\" accept"));
    }
    for prefix in &mark.prefixes {
        line(format!("    iifname \"{prefix}*\" accept"));
    }
    line(format!("    meta mark set meta mark | {:#x}", mark.mark));
    line("  }".into());
    line("}".into());
    script
}

/// The inverse of [`script`], from nft's JSON.
fn parse(listing: &Value) -> Option<IncomingMark> {
    let mut found = IncomingMark {
        mark: 0,
        interfaces: BTreeSet::new(),
        prefixes: BTreeSet::new(),
    };
    for object in listing["nftables"].as_array()? {
        if let Some(chain) = object.get("chain") {
            let hooked = chain["hook"] == "prerouting"
                && chain["prio"] == -300
                && chain["policy"] == "accept";
            if !hooked {
                return None;
            }
        }
        let Some(rule) = object.get("rule") else {
            continue;
        };
        // A rule after the one that sets the mark is none of ours.
        if found.mark != 0 {
            return None;
        }
        match rule["expr"].as_array()?.as_slice() {
            [matched, verdict] if verdict.get("accept").is_some() => {
                let matched = &matched["match"];
                if matched["left"]["meta"]["key"] != "iifname" || matched["op"] != "==" {
                    return None;
                }
                let name = matched["right"].as_str()?;
                match name.strip_suffix('*') {
                    Some(prefix) => found.prefixes.insert(prefix.to_owned()),
                    None => found.interfaces.insert(name.to_owned()),
                };
            }
            [mangle] => {
                let mangle = &mangle["mangle"];
                if mangle["key"]["meta"]["key"] != "mark" {
                    return None;
                }
                let operands = mangle["value"]["|"].as_array()?;
                found.mark = u32::try_from(operands.get(1)?.as_u64()?).ok()?;
            }
            _ => return None,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mark() -> IncomingMark {
        IncomingMark {
            mark: 0x10_0000,
            interfaces: BTreeSet::from(["lo".into(), "wireguard.cali".into()]),
            prefixes: BTreeSet::from(["azv".into()]),
        }
    }

    fn listing() -> Value {
        let accept = |name: &str| {
            json!({"rule": {"expr": [
                {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": name}},
                {"accept": null},
            ]}})
        };
        json!({"nftables": [
            {"metainfo": {}},
            {"table": {"family": "ip", "name": TABLE}},
            {"chain": {"hook": "prerouting", "prio": -300, "policy": "accept"}},
            accept("lo"), accept("wireguard.cali"), accept("azv*"),
            {"rule": {"expr": [{"mangle": {
                "key": {"meta": {"key": "mark"}},
                "value": {"|": [{"meta": {"key": "mark"}}, 0x10_0000]},
            }}]}},
        ]})
    }

    #[test]
    fn the_table_reads_back_as_it_was_set() {
        assert_eq!(parse(&listing()), Some(mark()));
    }

    #[test]
    fn a_table_that_somebody_edited_is_not_ours() {
        let mut edited = listing();
        let last = edited["nftables"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        edited["nftables"].as_array_mut().unwrap().push(last);
        assert_eq!(parse(&edited), None);
    }

    #[test]
    fn the_old_table_goes_in_the_same_transaction() {
        let script = script(Some(&mark()));
        assert!(
            script.starts_with("table ip wiremesh\ndelete table ip wiremesh\ntable ip wiremesh {"),
            "{script}"
        );
        assert!(
            script.contains("meta mark set meta mark | 0x100000"),
            "{script}"
        );
    }
}
