//! The userspace tunnel: a process that outlives the agent.
//!
//! It is this very program, started as `wiremesh tunnel NAME`. It owns a TUN device of that name, runs
//! WireGuard with gotatun, and is configured through the socket that every userspace WireGuard has
//! (wireguard.com/xplatform). The device lives as long as the process, and goes with it.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gotatun::device::DeviceBuilder;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::hooks::Hooks;
use crate::host::netlink::Netlink;
use crate::host::netlink::monitor::Monitor;

/// The TUN device, with the MTU that it has at the moment.
mod tun;

/// Check of who starts the process: an agent alone may.
mod caller;

/// The control socket.
mod control;

use tun::Tun;

/// Where userspace WireGuard devices have their sockets.
const SOCKETS: &str = "/var/run/wireguard";

/// How long a tunnel may take to get ready, or to end.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a device that was given another name may take to have its own again.
const RENAME_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is looked for meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What the tunnel prints on standard output once its socket listens.
const READY: &str = "ready";

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    /// This machine has no TUN devices.
    #[error("cannot open /dev/net/tun: {0}")]
    NoTun(io::Error),
    /// The process could not be started, or did not get ready.
    #[error("cannot start the tunnel process: {0}")]
    Start(String),
    /// A person or another program started the process.
    #[error("{0}\n  help: `wiremesh agent` starts the tunnel process that it needs")]
    Caller(String),
    /// The process did not end.
    #[error("cannot end the tunnel process: {0}")]
    End(String),
}

/// Starts a tunnel, and returns once its device is there and its socket listens. `more` are arguments
/// besides its name.
pub(crate) async fn start(name: &str, more: &[&str]) -> Result<(), TunnelError> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(TunnelError::NoTun)?;
    let fail = |error: io::Error| TunnelError::Start(error.to_string());
    let program = std::env::current_exe().map_err(fail)?;
    // By its other end the process knows that this agent has started it. It is held until that is ready.
    let (_held, proof) = UnixStream::pair().map_err(fail)?;
    let mut child = Command::new(program)
        .args(["tunnel", name])
        .args(more)
        .env_remove("NOTIFY_SOCKET")
        // It outlives the agent, and speaks with no store.
        .env_remove("ETCD_PASSWORD")
        .env_remove("WIREMESH_STORE")
        .stdin(OwnedFd::from(proof))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let Some(output) = child.stdout.take() else {
        return Err(TunnelError::Start("it has no output".into()));
    };
    let mut lines = BufReader::new(output).lines();
    match timeout(DEADLINE, lines.next_line()).await {
        Ok(Ok(Some(line))) if line == READY => Ok(()),
        Ok(_) => {
            let status = timeout(DEADLINE, child.wait()).await;
            let how = status.map_or("it hangs".into(), |status| {
                status.map_or_else(|error| error.to_string(), |status| status.to_string())
            });
            Err(TunnelError::Start(how))
        }
        Err(_) => {
            let _ = child.start_kill();
            Err(TunnelError::Start(format!(
                "not ready within {} s",
                DEADLINE.as_secs()
            )))
        }
    }
}

/// Starts another program's tunnel, and returns once its device is there and its socket listens: it
/// goes to the background by then.
pub(crate) async fn start_foreign(program: &Path, name: &str) -> Result<(), TunnelError> {
    let fail = |cause: String| TunnelError::Start(format!("{}: {cause}", program.display()));
    let mut child = Command::new(program)
        .arg(name)
        // boringtun-cli would become the user who called sudo, and not be let to the TUN device.
        .env("WG_SUDO", "true")
        // wireguard-go would rather not run where the kernel has a WireGuard of its own.
        .env("WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD", "1")
        .env_remove("NOTIFY_SOCKET")
        // It outlives the agent, and speaks with no store.
        .env_remove("ETCD_PASSWORD")
        .env_remove("WIREMESH_STORE")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| fail(error.to_string()))?;
    match timeout(DEADLINE, child.wait()).await {
        Ok(Ok(status)) if status.success() && is_running(name) => Ok(()),
        Ok(Ok(status)) if status.success() => Err(fail("nobody listens on its socket".into())),
        Ok(Ok(status)) => Err(fail(status.to_string())),
        Ok(Err(error)) => Err(fail(error.to_string())),
        Err(_) => {
            let _ = child.start_kill();
            Err(fail(format!(
                "not in the background within {} s",
                DEADLINE.as_secs()
            )))
        }
    }
}

/// Whether a userspace tunnel of that name is listening.
pub(crate) fn is_running(name: &str) -> bool {
    UnixStream::connect(socket(name)).is_ok()
}

/// Whether a tunnel that runs without a device of its name gets that back: it may have been given
/// another name just now. It may end as well.
pub(crate) async fn gets_device_back(name: &str) -> bool {
    let deadline = Instant::now() + RENAME_TIMEOUT;
    while is_running(name) {
        if nix::net::if_::if_nametoindex(name).is_ok() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        sleep_until(Instant::now() + POLL_INTERVAL).await;
    }
    false
}

/// A userspace tunnel's answer about its state (wireguard.com/xplatform: "get").
pub(crate) fn ask(name: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket(name))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"get=1\n\n")?;
    let mut answer = String::new();
    // An empty line ends it; not every tunnel closes the connection then.
    for line in io::BufRead::lines(io::BufReader::new(stream)) {
        match line? {
            line if line.is_empty() => break,
            line => answer = answer + &line + "\n",
        }
    }
    Ok(answer)
}

/// Ends a tunnel, and returns once its process is gone.
pub(crate) fn end(name: &str) -> Result<(), TunnelError> {
    let fail = |error: String| TunnelError::End(error);
    let Ok(mut stream) = UnixStream::connect(socket(name)) else {
        return Ok(());
    };
    let listener = getsockopt(&stream, PeerCredentials).map_err(|errno| fail(errno.to_string()))?;
    // wireguard-go listens first and then hands over to a child: who listened is gone, and its
    // number may be another's.
    if is_about(listener.pid(), name) {
        kill(Pid::from_raw(listener.pid()), Signal::SIGTERM)
            .map_err(|errno| fail(errno.to_string()))?;
    }
    // Programs of others end when their socket is removed, as wg-quick(8) does it.
    let _ = std::fs::remove_file(socket(name));
    stream
        .set_read_timeout(Some(DEADLINE))
        .map_err(|error| fail(error.to_string()))?;
    // The connection ends when the process does.
    loop {
        match stream.read(&mut [0; 1]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
                return Err(fail(error.to_string()));
            }
            Ok(_) | Err(_) => break,
        }
    }
    Ok(())
}

/// Whether a process has that name among its arguments, as a tunnel has that of its device.
fn is_about(process: i32, name: &str) -> bool {
    let words = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    words
        .split(|byte| *byte == 0)
        .any(|word| word == name.as_bytes())
}

fn socket(name: &str) -> PathBuf {
    Path::new(SOCKETS).join(format!("{name}.sock"))
}

/// Waits until no other process is the tunnel of that name. One whose device was deleted goes by
/// itself, and may hold its port for a while longer; how long this may take is for whoever has
/// started it to say.
fn wait_for_the_last(name: &str) -> io::Result<Flock<File>> {
    std::fs::create_dir_all(SOCKETS)?;
    let path = Path::new(SOCKETS).join(format!("{name}.lock"));
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Whether a tunnel has its device. One that somebody has given another name gets its own again, so that
/// key and sessions stay; where that cannot be, the tunnel ends, and the agent makes another.
async fn has_device(netlink: &Netlink, index: u32, name: &str) -> bool {
    let Some(found) = netlink.name(index).await else {
        tracing::warn!("{name} is gone, and its tunnel with it");
        return false;
    };
    if found == name {
        return true;
    }
    let again = netlink.rename(index, name).await;
    match &again {
        Ok(()) => {
            tracing::warn!("the device {name} had been renamed to {found}: it is renamed back")
        }
        Err(error) => tracing::warn!(
            "the device {name} has been renamed to {found} and cannot be renamed back: {error}; its tunnel ends"
        ),
    }
    again.is_ok()
}

/// The tunnel process itself; returns when it is asked to end.
///
/// # Errors
/// The device or the socket cannot be made.
pub(crate) async fn serve(name: &str, hooks: &Hooks) -> Result<(), TunnelError> {
    let fail = |error: &dyn std::fmt::Display| TunnelError::Start(error.to_string());
    caller::check(name).map_err(TunnelError::Caller)?;
    hooks.tunnel_starts().map_err(|error| fail(&error))?;
    // A session of its own: what ends the agent's does not end the tunnel.
    nix::unistd::setsid()
        .map(drop)
        .or_else(|errno| match errno {
            // Already a leader.
            nix::errno::Errno::EPERM => Ok(()),
            other => Err(fail(&other)),
        })?;
    // Held until the process is gone, and its UDP port with it: not this function's to drop.
    std::mem::forget(wait_for_the_last(name).map_err(|error| fail(&error))?);
    let mut monitor = Monitor::open().map_err(|error| fail(&error))?;
    let (tun, mtu) = Tun::make(name).map_err(|error| fail(&error))?;
    // gotatun gives up on a TUN device that it cannot read, and one that is down cannot be read.
    let netlink = Netlink::open().map_err(|error| fail(&error))?;
    netlink
        .switch_on(name)
        .await
        .map_err(|error| fail(&error))?;
    let index = netlink.index(name).await.map_err(|error| fail(&error))?;
    let device = DeviceBuilder::new()
        .with_default_udp()
        .with_ip(tun)
        .build()
        .await
        .map_err(|error| fail(&error))?;
    let device = Arc::new(device);
    let listening = Arc::new(control::ListenState::default());
    let listener = control::listen(&socket(name)).map_err(|error| fail(&error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| fail(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| fail(&error))?;
    // Nobody may listen any more; then nobody waits either.
    let _ = writeln!(io::stdout(), "{READY}");
    // gotatun's own word for "the device has failed" also comes when it merely opens its
    // socket anew, so the link itself is watched: the tunnel ends when that is gone.
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Ok((stream, _)) = listener.accept() => {
                let (device, listening) = (device.clone(), listening.clone());
                tokio::spawn(async move { control::serve(stream, &device, &listening).await });
            }
            () = monitor.ready() => {
                let news = monitor.drain();
                mtu.follow(&news);
                let may_be_gone = news.iter().any(|news| news.may_be_loss(index));
                if may_be_gone && !has_device(&netlink, index, name).await {
                    break;
                }
            }
        }
    }
    // What is left goes with the process.
    let _ = std::fs::remove_file(socket(name));
    Ok(())
}
