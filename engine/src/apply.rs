//! Carrying changes out, one by one. Nothing is decided here.

use std::fs;

use wireguard_control::Backend;

use crate::change::Change;
use crate::device::{self, DeviceError};
use crate::netlink::{Netlink, NetlinkError};
use crate::nft::{self, NftError};
use crate::observe::SRC_VALID_MARK;
use crate::settings::Settings;
use crate::tunnel::{self, Life, TunnelError};

/// Which implementation makes new devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Preference {
    /// The kernel's where it has one, else userspace.
    Auto,
    /// The kernel's.
    Kernel,
    /// A process of this program.
    Userspace,
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
    /// nftables refused.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// The tunnel process failed.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// This machine can make no WireGuard device at all.
    #[error("this node cannot encrypt: {0}")]
    Unsupported(String),
    /// A sysctl cannot be written.
    #[error("cannot write {SRC_VALID_MARK}: {0} (is /proc/sys mounted read-only?)")]
    Sysctl(std::io::Error),
    /// The device that a change is for is not there.
    #[error("{0} is gone")]
    Gone(String),
}

/// What carrying changes out needs to know.
pub(crate) struct Hands<'a> {
    pub(crate) netlink: &'a Netlink,
    pub(crate) settings: &'a Settings,
    pub(crate) preference: Preference,
    /// The device's implementation, once there is a device.
    pub(crate) backend: Option<Backend>,
    /// How long a new userspace tunnel lives.
    pub(crate) tunnel_life: Life,
}

impl Hands<'_> {
    /// Carries one change out.
    pub(crate) async fn apply(&mut self, change: &Change) -> Result<(), ApplyError> {
        let table = self.settings.table;
        let netlink = self.netlink;
        match change {
            Change::SetSrcValidMark => {
                fs::write(SRC_VALID_MARK, "1").map_err(ApplyError::Sysctl)?;
            }
            Change::SetIncomingMark(mark) => nft::set(Some(mark)).await?,
            Change::RemoveIncomingMark => nft::set(None).await?,
            Change::CreateDevice { name } => self.create(name).await?,
            Change::GenerateKey { name } => device::generate_key(name, self.backend(name)?)?,
            Change::SetListenPort { name, port } => {
                device::set_listen_port(name, self.backend(name)?, *port)?;
            }
            Change::SetFwmark { name, mark } => {
                device::set_fwmark(name, self.backend(name)?, *mark)?;
            }
            Change::SetMtu { name, mtu } => netlink.set_mtu(name, *mtu).await?,
            Change::SetPeer { name, key, peer } => {
                device::set_peer(name, self.backend(name)?, key, peer)?;
            }
            Change::RemovePeer { name, key } => {
                device::remove_peer(name, self.backend(name)?, key)?;
            }
            Change::AddAddress { name, address } => netlink.add_address(name, *address).await?,
            Change::RemoveAddress { name, address } => {
                netlink.remove_address(name, *address).await?;
            }
            Change::SwitchOn { name } => netlink.switch_on(name).await?,
            Change::SetRoute { network, target } => {
                netlink
                    .set_route(table, *network, *target, &self.settings.interface)
                    .await?;
            }
            Change::RemoveRoute { network } => netlink.remove_route(table, *network).await?,
            Change::AddRule(rule) => netlink.add_rule(rule).await?,
            Change::RemoveRule(rule) => netlink.remove_rule(rule).await?,
            Change::DeleteDevice { name } => match self.backend(name)? {
                Backend::Kernel => netlink.delete_link(name).await?,
                Backend::Userspace => tunnel::end(name)?,
            },
        }
        Ok(())
    }

    fn backend(&self, name: &str) -> Result<Backend, ApplyError> {
        self.backend
            .ok_or_else(|| ApplyError::Gone(name.to_owned()))
    }

    async fn create(&mut self, name: &str) -> Result<(), ApplyError> {
        let kernel = match self.preference {
            Preference::Userspace => Err("the kernel's was not asked for".to_owned()),
            Preference::Auto | Preference::Kernel => self
                .netlink
                .create_wireguard(name)
                .await
                .map_err(|error| error.to_string()),
        };
        let refused = match (kernel, self.preference) {
            (Ok(()), _) => {
                self.backend = Some(Backend::Kernel);
                return Ok(());
            }
            (Err(cause), Preference::Kernel) => return Err(ApplyError::Unsupported(cause)),
            (Err(cause), Preference::Auto | Preference::Userspace) => cause,
        };
        match tunnel::start(name, self.tunnel_life).await {
            Ok(()) => {
                self.backend = Some(Backend::Userspace);
                Ok(())
            }
            Err(TunnelError::NoTun(error)) => Err(ApplyError::Unsupported(format!(
                "{refused}; cannot open /dev/net/tun: {error}"
            ))),
            Err(error) => Err(error.into()),
        }
    }
}
