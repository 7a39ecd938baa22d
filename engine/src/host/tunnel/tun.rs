//! The TUN device that gotatun reads and writes.
//!
//! gotatun has one of its own, which knows the MTU as it was up to three seconds ago, and reads
//! at most 4096 bytes. Packets are padded up to the MTU: after a change of it they became larger
//! than the uplink, and those of jumbo frames were lost without a word.

use std::io;
use std::sync::Arc;

use gotatun::packet::{Ip, Packet, PacketBufPool};
use gotatun::tun::{IpRecv, IpSend, MtuWatcher};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkAttribute;
use tokio::sync::watch;
use tun::{AbstractDevice, AsyncDevice};

use crate::host::netlink::monitor::News;

/// A TUN device, as gotatun reads and writes it.
#[derive(Clone)]
pub(super) struct Tun {
    device: Arc<AsyncDevice>,
    mtu: watch::Receiver<u16>,
}

/// The sender of the MTU.
pub(super) struct Mtu {
    /// The link's name.
    name: String,
    sender: watch::Sender<u16>,
}

impl Tun {
    /// The device of that name, made anew.
    pub(super) fn make(name: &str) -> Result<(Self, Mtu), tun::Error> {
        let mut wanted = tun::Configuration::default();
        wanted.tun_name(name);
        let device = Arc::new(tun::create_as_async(&wanted)?);
        let (sender, mtu) = watch::channel(device.mtu()?);
        let name = name.to_owned();
        Ok((Self { device, mtu }, Mtu { name, sender }))
    }
}

impl Mtu {
    /// Applies the kernel's notifications about the link.
    pub(super) fn follow(&self, news: &[News]) {
        for news in news {
            let News::Message(RouteNetlinkMessage::NewLink(link)) = news else {
                continue;
            };
            let mut attributes = link.attributes.iter();
            let ours = attributes.any(
                |attribute| matches!(attribute, LinkAttribute::IfName(name) if *name == self.name),
            );
            let mut attributes = link.attributes.iter();
            let mtu = attributes.find_map(|attribute| match attribute {
                LinkAttribute::Mtu(mtu) => u16::try_from(*mtu).ok(),
                _ => None,
            });
            if let Some(mtu) = mtu.filter(|_| ours) {
                self.sender.send_if_modified(|known| {
                    let changed = *known != mtu;
                    *known = mtu;
                    changed
                });
            }
        }
    }
}

impl IpSend for Tun {
    async fn send(&mut self, packet: Packet<Ip>) -> io::Result<()> {
        self.device.send(&packet.into_bytes()).await.map(drop)
    }
}

impl IpRecv for Tun {
    async fn recv<'a>(
        &'a mut self,
        pool: &mut PacketBufPool,
    ) -> io::Result<impl Iterator<Item = Packet<Ip>> + Send + 'a> {
        loop {
            let mut packet = pool.get();
            // What the kernel hands over is no longer than the MTU; it cuts off what has no room.
            let room = usize::from(*self.mtu.borrow());
            if packet.len() < room {
                packet.buf_mut().resize(room, 0);
            }
            let length = self.device.recv(&mut packet).await?;
            packet.truncate(length);
            // Anything else than IP has no way through.
            if let Ok(packet) = packet.try_into_ip() {
                return Ok(std::iter::once(packet));
            }
        }
    }

    fn mtu(&self) -> MtuWatcher {
        self.mtu.clone().into()
    }
}
