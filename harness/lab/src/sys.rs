//! The only unsafe code of this crate: three system calls that no library wraps safely.

#![expect(
    unsafe_code,
    reason = "nix has no safe SIOCETHTOOL, PACKET_STATISTICS, nor a way to make a sockaddr_ll"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Ethtool commands that switch an offload (`linux/ethtool.h`).
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum Offload {
    /// `ETHTOOL_SRXCSUM`.
    ReceiveChecksum = 0x15,
    /// `ETHTOOL_STXCSUM`.
    TransmitChecksum = 0x17,
    /// `ETHTOOL_SSG`.
    ScatterGather = 0x19,
    /// `ETHTOOL_STSO`.
    TcpSegmentation = 0x1f,
    /// `ETHTOOL_SGSO`.
    GenericSegmentation = 0x24,
    /// `ETHTOOL_SGRO`.
    GenericReceive = 0x2c,
}

/// `struct ethtool_value` (`linux/ethtool.h`).
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Switches an offload of `interface` off. `socket` is any socket in the interface's namespace.
pub(crate) fn disable_offload(
    socket: BorrowedFd<'_>,
    interface: &str,
    offload: Offload,
) -> io::Result<()> {
    let mut value = EthtoolValue {
        command: offload as u32,
        data: 0,
    };
    let mut name = [0 as libc::c_char; libc::IFNAMSIZ];
    for (slot, byte) in name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(interface.bytes())
    {
        *slot = byte as libc::c_char;
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: (&raw mut value).cast(),
        },
    };
    // SAFETY: `request` is a whole `ifreq` whose name ends in a zero byte (the last
    // byte is never written), and whose data points at an `ethtool_value` that
    // outlives the call; the kernel reads and writes just these two.
    let status = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCETHTOOL as libc::Ioctl,
            &raw mut request,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `struct tpacket_stats` (`linux/if_packet.h`).
#[repr(C)]
#[derive(Default)]
struct PacketStatistics {
    packets: u32,
    drops: u32,
}

/// Frames that a packet socket was handed, and how many of them the kernel
/// dropped for want of room, since the last call (which resets both).
pub(crate) fn packet_statistics(socket: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let mut statistics = PacketStatistics::default();
    let mut length = size_of::<PacketStatistics>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `statistics`, which has
    // that size and for which any bytes are valid; both outlive the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((statistics.packets, statistics.drops))
}

/// Sends a whole IPv4 frame, link header included, out of the interface with that index.
pub(crate) fn send_frame(socket: BorrowedFd<'_>, index: u32, frame: &[u8]) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: (libc::ETH_P_IP as u16).to_be(),
        sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the kernel reads `frame.len()` bytes of `frame` and one `sockaddr_ll`,
    // whose size it is told; both outlive the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    match usize::try_from(sent) {
        Ok(length) if length == frame.len() => Ok(()),
        Ok(length) => Err(io::Error::other(format!(
            "{length} of {} bytes",
            frame.len()
        ))),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
