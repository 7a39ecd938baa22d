//! Application of changes, one by one. Nothing is decided here.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, io};

use wireguard_control::Backend;
use wiremesh_plan::dataplane::change::Change;
use wiremesh_plan::dataplane::model::Target;
use wiremesh_plan::intent::spelling::meant;

use crate::hooks::Hooks;
use crate::host::device::{self, DeviceError};
use crate::host::kernel::{KernelCache, SRC_VALID_MARK, tag};
use crate::host::netlink::batch::{remove_left_routes, set_routes};
use crate::host::netlink::{Netlink, NetlinkError, RouteAction};
use crate::host::nft::{self, NftError};
use crate::host::tunnel::{self, TunnelError};

/// Which implementation makes new devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Preference {
    /// The kernel's where it has one, else userspace.
    Auto,
    /// WireGuard in the kernel.
    Kernel,
    /// A process of this program.
    Userspace,
    /// A process of another, which takes a device's name and puts itself in the background, as
    /// wireguard-go and boringtun-cli do.
    Program(PathBuf),
}

/// The names of backends that are no programs.
const BACKENDS: [&str; 3] = ["auto", "kernel", "userspace"];

impl FromStr for Preference {
    type Err = String;

    /// # Errors
    /// It is neither a backend's name nor a program that can be run, by its path or from `PATH`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "kernel" => return Ok(Self::Kernel),
            "userspace" => return Ok(Self::Userspace),
            _ => {}
        }
        if is_program(text) {
            return Ok(Self::Program(text.into()));
        }
        let help = match meant(text, BACKENDS) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "give auto, kernel, userspace, or a program's name or path".into(),
        };
        Err(format!("there is no such program: {help}"))
    }
}

/// Whether a program can be run by that name, as execvp(3) finds it.
fn is_program(name: &str) -> bool {
    let can_run = |path: &Path| {
        let found = path.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return can_run(Path::new(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !name.is_empty() && std::env::split_paths(&path).any(|folder| can_run(&folder.join(name)))
}

/// What could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// Route netlink refused.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The device refused.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// nftables refused the rules.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// The tunnel process failed.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// This machine can make no WireGuard device at all.
    #[error("this node cannot encrypt: {0}")]
    Unsupported(String),
    /// A sysctl cannot be written.
    #[error("cannot write {}: {cause}\n  help: in a container, give a mount of /proc that can be written as --procfs", .path.display())]
    Sysctl { path: PathBuf, cause: io::Error },
    /// The device that a change is for is not there.
    #[error("{0} is gone")]
    Gone(String),
}

/// What carries changes out.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) netlink: Netlink,
    pub(crate) preference: Preference,
    /// Where sysctls are written: /proc, or another mount of it.
    pub(crate) procfs: PathBuf,
    /// How many changes were carried out.
    pub(crate) writes: u64,
    pub(crate) hooks: Hooks,
}

impl Executor {
    /// Carries one change out, and notes what has to be looked at again, because the kernel does not notify of
    /// it.
    pub(crate) async fn apply(
        &mut self,
        change: &Change,
        kernel: &mut KernelCache,
    ) -> Result<(), ApplyError> {
        self.writes += 1;
        self.hooks.before_write(self.writes);
        let done = self.write(change, kernel).await;
        self.hooks.after_write(self.writes);
        done
    }

    async fn write(&mut self, change: &Change, kernel: &mut KernelCache) -> Result<(), ApplyError> {
        match change {
            Change::SetSrcValidMark => {
                kernel.stale.sysctl = true;
                let path = self.procfs.join(SRC_VALID_MARK);
                fs::write(&path, "1").map_err(|cause| ApplyError::Sysctl { path, cause })?;
            }
            Change::SetFirewall { from, to } => {
                kernel.stale.firewall = true;
                nft::transact(&from.transaction(to)).await?;
            }
            Change::CreateDevice { name, .. } => {
                kernel.stale.devices = true;
                self.create(name).await?;
            }
            Change::TagDevice { family, name } => {
                self.netlink.set_alias(name, tag(*family)).await?
            }
            Change::GenerateKey { name, .. } => {
                kernel.stale.devices = true;
                device::generate_key(name, backend(name)?)?;
            }
            Change::MoveKey { from, to, .. } => {
                kernel.stale.devices = true;
                device::move_key(from, to, [backend(from)?, backend(to)?])?;
            }
            Change::Configure(configuration) => {
                kernel.stale.devices = true;
                device::configure(configuration, backend(&configuration.name)?)?;
            }
            Change::SetMtu { name, mtu, .. } => self.netlink.set_mtu(name, *mtu).await?,
            Change::AddAddress { name, address, .. } => {
                self.netlink.add_address(name, *address).await?;
                if let Some(index) = link_index(name) {
                    kernel.has_address(index, *address);
                }
            }
            Change::RemoveAddress { name, address, .. } => {
                self.netlink.remove_address(name, *address).await?;
            }
            Change::SwitchOn { name, .. } => self.netlink.switch_on(name).await?,
            Change::SetThreaded { name, threaded, .. } => device::set_threaded(name, *threaded)?,
            Change::SetRoutes { remove, set, .. } => {
                let mut ways = Vec::with_capacity(set.len());
                for (slot, target) in set {
                    let way = match target {
                        Target::Tunnel(name) => RouteAction::Link(
                            link_index(name).ok_or_else(|| ApplyError::Gone(name.clone()))?,
                        ),
                        Target::Throw | Target::Foreign => RouteAction::Throw,
                    };
                    ways.push((*slot, way));
                }
                set_routes(remove, &ways)?;
            }
            Change::RemoveLeftRoutes { routes, .. } => remove_left_routes(routes)?,
            Change::AddRule { family, rule } => self.netlink.add_rule(*family, rule).await?,
            Change::RemoveRule { family, rule } => self.netlink.remove_rule(*family, rule).await?,
            Change::DeleteDevice { name, .. } => {
                kernel.stale.devices = true;
                match kernel.backend(name) {
                    Some(Backend::Userspace) => tunnel::end(name)?,
                    Some(Backend::Kernel) | None => self.netlink.delete_link(name).await?,
                }
            }
        }
        Ok(())
    }

    async fn create(&mut self, name: &str) -> Result<(), ApplyError> {
        // A tunnel whose device has got another name, or is elsewhere, holds name and port.
        tunnel::end(name)?;
        let by_kernel = matches!(self.preference, Preference::Auto | Preference::Kernel);
        let refused = if by_kernel {
            match self.netlink.create_wireguard(name).await {
                Ok(()) => return Ok(()),
                Err(error) => error.to_string(),
            }
        } else {
            "the kernel's was not asked for".to_owned()
        };
        let started = match &self.preference {
            Preference::Kernel => return Err(ApplyError::Unsupported(refused)),
            Preference::Auto | Preference::Userspace => {
                tunnel::start(name, self.hooks.tunnel_arguments()).await
            }
            Preference::Program(program) => tunnel::start_foreign(program, name).await,
        };
        match started {
            Ok(()) => Ok(()),
            Err(TunnelError::NoTun(error)) => Err(ApplyError::Unsupported(format!(
                "{refused}; cannot open /dev/net/tun: {error}"
            ))),
            Err(error) => Err(error.into()),
        }
    }
}

/// A device's implementation, as it is now.
fn backend(name: &str) -> Result<Backend, ApplyError> {
    if tunnel::is_running(name) {
        return Ok(Backend::Userspace);
    }
    link_index(name)
        .map(|_| Backend::Kernel)
        .ok_or_else(|| ApplyError::Gone(name.to_owned()))
}

/// A link's index, as it is now.
fn link_index(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_a_known_name_or_a_program_that_can_be_run() {
        let read = |text: &str| text.parse::<Preference>();
        assert_eq!(read("auto"), Ok(Preference::Auto));
        assert_eq!(read("kernel"), Ok(Preference::Kernel));
        assert_eq!(read("userspace"), Ok(Preference::Userspace));
        assert_eq!(read("sh"), Ok(Preference::Program("sh".into())));
        assert_eq!(read("/bin/sh"), Ok(Preference::Program("/bin/sh".into())));
        // A folder, a file that is not executable, and a path that leads from here.
        for wrong in ["nope", "/nope", "/bin", "/etc/passwd", "./sh", "", "kernal"] {
            assert!(
                read(wrong)
                    .unwrap_err()
                    .starts_with("there is no such program")
            );
        }
        assert!(
            read("Kernel")
                .unwrap_err()
                .ends_with("did you mean `kernel`?")
        );
    }
}
