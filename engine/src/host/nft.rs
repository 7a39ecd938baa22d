//! nftables, by way of `nft`, whose JSON is its documented interface (libnftables-json(5)).

use std::io;
use std::os::fd::AsRawFd;
use std::process::{Output, Stdio};
use std::thread;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use wiremesh_plan::dataplane::firewall::{Firewall, TABLE, TABLES};

/// `NFNLGRP_NFTABLES` as a bit of the address that a netlink socket listens at
/// (kernel: `uapi/linux/netfilter/nfnetlink.h`).
const RULES_GROUP: u32 = 1 << 6;

/// What `nft` refused, or why it could not be run.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {cause}")]
pub(crate) struct NftError {
    doing: &'static str,
    cause: String,
}

/// The tables as they are.
pub(crate) async fn read() -> Result<Firewall, NftError> {
    let [inet, arp] = TABLES.map(list);
    let (inet, arp) = tokio::join!(inet, arp);
    let mut found = Firewall::default();
    for listing in [inet?, arp?].into_iter().flatten() {
        found.take(&listing);
    }
    Ok(found)
}

/// Why `nft` could not be started, and what helps.
fn cannot_run(error: &io::Error) -> String {
    let help = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => "install nftables",
        Some(Errno::EMFILE) => {
            "raise this process's limit of open files: `ulimit -n`, `LimitNOFILE=`"
        }
        Some(Errno::ENFILE) => "raise the system's limit of open files: `sysctl fs.file-max`",
        Some(Errno::EAGAIN) => "raise the limit of processes: `ulimit -u`, `TasksMax=`",
        Some(Errno::ENOMEM) => "free memory, or raise this process's limit of it",
        Some(Errno::EACCES) => "let this user execute nft",
        _ => return format!("nft: {error}"),
    };
    format!("nft: {error}\n  help: {help}")
}

async fn list(family: &str) -> Result<Option<Value>, NftError> {
    let doing = "read the nftables table wiremesh";
    let listed = match Command::new("nft")
        .args(["-j", "list", "table", family, TABLE])
        .kill_on_drop(true)
        .output()
        .await
    {
        Ok(output) => listing(&output, family),
        Err(error) => not_run(&error),
    };
    listed.map_err(|cause| NftError { doing, cause })
}

/// What is known of a table where `nft` cannot be run: without the program nobody has made a table with it, and
/// setting one reports what is missing. Whatever else keeps it from running is no information about the table.
fn not_run(error: &io::Error) -> Result<Option<Value>, String> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(cannot_run(error)),
    }
}

/// What `nft` has listed, or why it refused. nftables 1.0.6 prints what happens to be in memory for the flag of a
/// table that somebody has made dormant, so that none of its rules counts, and the JSON may end there. Of such a table
/// only that is known that it is not what is wanted: it is set anew.
fn listing(output: &Output, family: &str) -> Result<Option<Value>, String> {
    if !output.status.success() {
        let cause = String::from_utf8_lossy(&output.stderr);
        let is_missing = cause.contains("No such file or directory");
        return if is_missing {
            Ok(None)
        } else {
            Err(refusal(&cause))
        };
    }
    let read = serde_json::from_slice(&output.stdout);
    Ok(Some(read.unwrap_or_else(|error| {
        let cause = error.to_string();
        json!({"nftables": [{"table": {"family": family, "name": TABLE, "unreadable": cause}}]})
    })))
}

/// Notifies `changed` whenever any nftables rule of this network namespace changes, for as long as somebody
/// listens.
pub(crate) fn watch(changed: mpsc::Sender<()>) -> Result<(), NftError> {
    let doing = "watch the nftables rules";
    let fail = |errno: Errno| NftError {
        doing,
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
    let listen = move || {
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
    };
    let started = thread::Builder::new().name("nftables".into()).spawn(listen);
    started.map(drop).map_err(|error| NftError {
        doing,
        cause: error.to_string(),
    })
}

/// The kernel has taken rules, and does not have them.
pub(crate) fn not_kept() -> NftError {
    NftError {
        doing: "set the nftables table wiremesh",
        cause: "the kernel does not keep what is set".into(),
    }
}

/// Carries out a transaction: all of it, or nothing.
pub(crate) async fn transact(transaction: &Value) -> Result<(), NftError> {
    let doing = "set the nftables table wiremesh";
    let fail = |cause: String| NftError { doing, cause };
    let mut child = Command::new("nft")
        .args(["-j", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| fail(cannot_run(&error)))?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(transaction.to_string().as_bytes())
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
    Err(fail(refusal(&String::from_utf8_lossy(&output.stderr))))
}

/// What `nft` printed when it refused, in one line; and what to do where the user may not.
fn refusal(printed: &str) -> String {
    // What it advises is said in our own words.
    let printed = printed.replace(" (you must be root)", "");
    let lines = printed.lines().map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let cause = lines.join("; ");
    match cause.contains("Operation not permitted") {
        true => format!("{cause} (run wiremesh as root, or with CAP_NET_ADMIN)"),
        false => cause,
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_table_that_cannot_be_read_is_not_the_one_that_is_wanted() {
        let read = |printed: &str| {
            let output = Output {
                status: ExitStatus::default(),
                stdout: printed.into(),
                stderr: Vec::new(),
            };
            let mut found = Firewall::default();
            found.take(&listing(&output, "inet").unwrap().unwrap());
            found
        };
        let whole = r#"{"nftables": [{"metainfo": {}}, {"table": {"family": "inet", "name": "wiremesh"}}]}"#;
        assert_ne!(read(&whole[..whole.len() - 30]), read(whole));
        assert_ne!(read(""), Firewall::default());
        assert!(!read("").is_strict());
    }

    #[test]
    fn an_nft_that_cannot_be_run_is_reported_with_the_system_s_error_and_its_remedy() {
        for (errno, help) in [
            (Errno::ENOENT, "install nftables"),
            (Errno::EMFILE, "`LimitNOFILE=`"),
            (Errno::ENFILE, "fs.file-max"),
            (Errno::EAGAIN, "`TasksMax=`"),
            (Errno::EACCES, "execute"),
        ] {
            let text = cannot_run(&errno.into());
            assert!(
                text.contains(errno.desc()) || text.contains("os error"),
                "{text}"
            );
            let (_, printed_help) = text.split_once("\n  help: ").unwrap();
            assert!(printed_help.contains(help), "{text}");
            assert_eq!(text.contains("install"), errno == Errno::ENOENT, "{text}");
        }
        assert!(!cannot_run(&Errno::EIO.into()).contains("help"));
    }

    #[test]
    fn only_where_there_is_no_nft_there_is_no_table_of_it() {
        assert_eq!(not_run(&Errno::ENOENT.into()), Ok(None));
        for errno in [
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::EAGAIN,
            Errno::ENOMEM,
            Errno::EACCES,
        ] {
            let error = io::Error::from(errno);
            assert_eq!(not_run(&error), Err(cannot_run(&error)), "{errno}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_and_eperm_names_the_capability() {
        let text = refusal(
            "Operation not permitted (you must be root)\nnetlink: Error: cache initialization failed: Operation not permitted\n",
        );
        assert_eq!(
            text,
            "Operation not permitted; netlink: Error: cache initialization failed: Operation not permitted \
             (run wiremesh as root, or with CAP_NET_ADMIN)"
        );
        let other = refusal("internal:0:0-0: Error: a\n\n  b\n");
        assert_eq!(other, "internal:0:0-0: Error: a; b");
    }
}
