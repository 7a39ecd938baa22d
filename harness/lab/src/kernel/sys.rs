//! The only unsafe code of this crate: system calls that no library wraps safely, the memory that a
//! packet socket shares with the kernel, and one instruction.

#![expect(
    unsafe_code,
    reason = "nix has no safe SIOCETHTOOL, PACKET_STATISTICS, PACKET_RX_RING, TUNSETIFF, bpf, nor a way to make a sockaddr_ll; and rdtsc is unsafe by declaration"
)]

/// Mounts that are read only, capabilities, and open files.
mod contain;

/// Programs and maps of bpf(2).
mod bpf;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use bpf::{bpf_attach, bpf_counters, bpf_entries, bpf_program};
pub(crate) use contain::{
    close_others_on_exec, forbid_capability, inherit_no_capability, set_read_only,
};

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

/// What this processor's time stamp counter shows; none where there is no such counter.
#[cfg(target_arch = "x86_64")]
pub(crate) fn time_stamp() -> Option<u64> {
    // SAFETY: every processor of this kind has the instruction, and it touches no memory.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

/// The same elsewhere.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn time_stamp() -> Option<u64> {
    None
}

/// A descriptor that stands for a process (pidfd_open(2)), which the caller is the parent of.
pub(crate) fn process(number: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers and no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, so that it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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

/// Makes `file`, which is the opened `/dev/net/tun`, a new TUN device of the calling thread's namespace,
/// with a name of the kernel's choice. It is gone when the file is closed.
pub(crate) fn make_tun(file: BorrowedFd<'_>) -> io::Result<()> {
    let mut request = libc::ifreq {
        // No name: the kernel chooses one.
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        },
    };
    // SAFETY: the kernel reads and writes one `ifreq`, which `request` is, and which outlives the call.
    let status = unsafe {
        libc::ioctl(
            file.as_raw_fd(),
            libc::TUNSETIFF as libc::Ioctl,
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

/// The address of what an interface has of a protocol; index 0 stands for all of a namespace.
fn link(index: u32, protocol: u16) -> io::Result<libc::sockaddr_ll> {
    Ok(libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    })
}

/// From here on a packet socket, which had no protocol, is handed every frame of every interface.
pub(crate) fn bind_all_interfaces(socket: BorrowedFd<'_>) -> io::Result<()> {
    let address = link(0, libc::ETH_P_ALL as u16)?;
    // SAFETY: the kernel reads one `sockaddr_ll`, whose size it is told, and which outlives the call.
    let status = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sends a whole frame of an Ethernet protocol, link header included, out of the interface with that index.
pub(crate) fn send_frame(
    socket: BorrowedFd<'_>,
    index: u32,
    protocol: u16,
    frame: &[u8],
) -> io::Result<()> {
    let address = link(index, protocol)?;
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

/// Bytes of memory that the kernel fills a ring from at a time; a multiple of every page and slot size.
const RING_BLOCK: usize = 1 << 18;

/// A packet socket's receive ring (packet(7), `PACKET_RX_RING`, version 2): memory that the
/// kernel writes frames to. Unlike a socket's buffer it may be as large as the frames need,
/// without the host's root.
#[derive(Debug)]
pub(crate) struct Ring {
    memory: NonNull<u8>,
    slot: usize,
    slots: usize,
    next: usize,
}

/// A frame in a ring.
#[derive(Debug)]
pub(crate) struct RingFrame<'a> {
    pub(crate) seconds: u32,
    pub(crate) nanos: u32,
    /// The kernel's index of the interface.
    pub(crate) index: i32,
    /// `ARPHRD_*`.
    pub(crate) hardware: u16,
    /// `PACKET_*`.
    pub(crate) kind: u8,
    /// Bytes of the whole frame; `bytes` may hold less.
    pub(crate) length: u32,
    pub(crate) bytes: &'a [u8],
}

// SAFETY: the memory belongs to the ring alone (nobody else has its address), and
// only `take`, which needs the ring exclusively, reads or writes it.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives `socket` a ring of `slots` frames of at most `slot` bytes, headers included;
    /// both are powers of two, and `slot` is at most [`RING_BLOCK`].
    pub(crate) fn new(socket: BorrowedFd<'_>, slot: usize, slots: usize) -> io::Result<Self> {
        let length = (slot * slots).next_multiple_of(RING_BLOCK);
        let narrow = |value: usize| u32::try_from(value).map_err(io::Error::other);
        let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
        set_packet_option(socket, libc::PACKET_VERSION, &version)?;
        let request = libc::tpacket_req {
            tp_block_size: narrow(RING_BLOCK)?,
            tp_block_nr: narrow(length / RING_BLOCK)?,
            tp_frame_size: narrow(slot)?,
            tp_frame_nr: narrow(length / slot)?,
        };
        set_packet_option(socket, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing;
        // `length` is the size of the ring that the call above made.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            memory: NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?,
            slot,
            slots: length / slot,
            next: 0,
        })
    }

    /// Lets `look` see the next frame, and gives its slot back to the kernel; none if there is none yet.
    pub(crate) fn take<R>(&mut self, look: impl FnOnce(RingFrame<'_>) -> R) -> Option<R> {
        let offset = self.next * self.slot;
        // SAFETY: `next` is below `slots`, so the whole slot lies within the mapping. It
        // starts with a `tpacket2_hdr`, whose first field is the status; slots are
        // aligned to at least 16 bytes. The kernel changes the status concurrently, hence
        // the atomic; what follows it is this process's own while the status says so.
        let (status, slot) = unsafe {
            let start = self.memory.add(offset);
            let status = AtomicU32::from_ptr(start.cast::<u32>().as_ptr());
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return None;
            }
            (status, slice::from_raw_parts(start.as_ptr(), self.slot))
        };
        let result = Self::frame(slot).map(look);
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.slots;
        result
    }

    /// Reads a slot: `tpacket2_hdr`, then a `sockaddr_ll`, then the frame at `tp_mac`.
    fn frame(slot: &[u8]) -> Option<RingFrame<'_>> {
        // `TPACKET_ALIGN`.
        let address = size_of::<libc::tpacket2_hdr>().next_multiple_of(16);
        if slot.len() < address + size_of::<libc::sockaddr_ll>() {
            return None;
        }
        // SAFETY: both lie within the slot, as just checked, and any bytes are valid for
        // them; reading unaligned asks for no more.
        let (header, address) = unsafe {
            (
                slot.as_ptr().cast::<libc::tpacket2_hdr>().read_unaligned(),
                slot.as_ptr()
                    .add(address)
                    .cast::<libc::sockaddr_ll>()
                    .read_unaligned(),
            )
        };
        let start = usize::from(header.tp_mac);
        let end = start.checked_add(usize::try_from(header.tp_snaplen).ok()?)?;
        Some(RingFrame {
            seconds: header.tp_sec,
            nanos: header.tp_nsec,
            index: address.sll_ifindex,
            hardware: address.sll_hatype,
            kind: address.sll_pkttype,
            length: header.tp_len,
            bytes: slot.get(start..end)?,
        })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, whole, and nobody borrows from it:
        // `take` hands out no reference that outlives it.
        unsafe {
            libc::munmap(self.memory.as_ptr().cast(), self.slot * self.slots);
        }
    }
}

fn set_packet_option<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// How a UDP socket treats packets that are too large for the way (ip(7), ipv6(7)).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Discovery {
    /// `IP_PMTUDISC_DONT`: anybody may fragment them.
    Fragment,
    /// `IP_PMTUDISC_PROBE`: nobody may, and what was learned of the way before is not heeded.
    Probe,
}

/// Options of ip(7) and ipv6(7) that nix does not know.
const IPV6_MTU: libc::c_int = 24;

/// Sets how an IPv4 socket, or an IPv6 one, treats packets that are too large.
pub(crate) fn discover_mtu(socket: BorrowedFd<'_>, ipv6: bool, how: Discovery) -> io::Result<()> {
    let value = match how {
        Discovery::Fragment => libc::IP_PMTUDISC_DONT,
        Discovery::Probe => libc::IP_PMTUDISC_PROBE,
    };
    if !ipv6 {
        return set_number(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value);
    }
    set_number(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)?;
    let whole = libc::c_int::from(matches!(how, Discovery::Probe));
    set_number(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, whole)
}

/// The MTU of a connected socket's way as its kernel knows it, in bytes.
pub(crate) fn known_mtu(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<u32> {
    let (level, name) = match ipv6 {
        false => (libc::IPPROTO_IP, libc::IP_MTU),
        true => (libc::IPPROTO_IPV6, IPV6_MTU),
    };
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `value`, which has that size and for
    // which any bytes are valid; both outlive the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    u32::try_from(value).map_err(io::Error::other)
}

fn set_number(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<c_int>()` bytes from `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
