//! Programs and maps of bpf(2). Their descriptors are closed with what owns them.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// The arguments of `bpf(2)`, as 64-bit words (`union bpf_attr`); pairs of 32-bit fields share one.
type BpfWords = [u64; 16];

/// Two 32-bit fields, in the order in which they are in memory.
const fn pair(first: u32, second: u32) -> u64 {
    match cfg!(target_endian = "little") {
        true => first as u64 | (second as u64) << 32,
        false => second as u64 | (first as u64) << 32,
    }
}

/// # Safety
/// Every address in `words` must be what `command` needs there, for the time of the call.
unsafe fn bpf(command: libc::c_int, words: &BpfWords) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads so many bytes of `words`; the addresses in it are the caller's.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, words.as_ptr(), size_of_val(words)) };
    match libc::c_int::try_from(result).map_err(io::Error::other)? {
        ..0 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// # Safety
/// As [`bpf`], for a command that returns a new descriptor.
unsafe fn bpf_open(command: libc::c_int, words: &BpfWords) -> io::Result<OwnedFd> {
    // SAFETY: as the caller promises; what was just opened is nobody else's.
    unsafe { bpf(command, words).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// A hash map from 8 bytes to 8 bytes in the kernel (`BPF_MAP_CREATE`).
pub(crate) fn bpf_counters(entries: u32) -> io::Result<OwnedFd> {
    const HASH: u32 = 1;
    let mut words = BpfWords::default();
    words[..3].copy_from_slice(&[pair(HASH, 8), pair(8, entries), 0]);
    // SAFETY: there is no address in it.
    unsafe { bpf_open(0, &words) }
}

/// Loads a program for a raw tracepoint (`BPF_PROG_LOAD`), which the kernel checks first.
pub(crate) fn bpf_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    const RAW_TRACEPOINT: u32 = 17;
    let count = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    let mut words = BpfWords::default();
    words[0] = pair(RAW_TRACEPOINT, count);
    words[1] = instructions.as_ptr() as u64;
    // Reading the kernel's memory is for programs that say so.
    words[2] = c"GPL".as_ptr() as u64;
    // SAFETY: `count` instructions and a text that ends with zero, which both outlive the call.
    unsafe { bpf_open(5, &words) }
}

/// Runs a program whenever a tracepoint is passed, until what this returns is closed
/// (`BPF_RAW_TRACEPOINT_OPEN`).
pub(crate) fn bpf_attach(tracepoint: &str, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let name = CString::new(tracepoint)?;
    let mut words = BpfWords::default();
    words[0] = name.as_ptr() as u64;
    words[1] = pair(number(program), 0);
    // SAFETY: a text that ends with zero, and that outlives the call.
    unsafe { bpf_open(17, &words) }
}

/// Every entry of a map of [`bpf_counters`].
pub(crate) fn bpf_entries(map: BorrowedFd<'_>) -> io::Result<Vec<(u64, u64)>> {
    let mut entries = Vec::new();
    let (mut key, mut next, mut value) = (None::<u64>, 0_u64, 0_u64);
    loop {
        let mut words = BpfWords::default();
        words[0] = pair(number(map), 0);
        words[1] = key.as_ref().map_or(0, |key| ptr::from_ref(key) as u64);
        words[2] = (&raw mut next) as u64;
        // SAFETY: `BPF_MAP_GET_NEXT_KEY` reads a key or is told of none, and writes one; both
        // have the map's 8 bytes.
        match unsafe { bpf(4, &words) } {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(entries),
            Err(error) => return Err(error),
        }
        words[1] = (&raw const next) as u64;
        words[2] = (&raw mut value) as u64;
        // SAFETY: `BPF_MAP_LOOKUP_ELEM` reads a key and writes a value, of 8 bytes each.
        unsafe { bpf(1, &words) }?;
        entries.push((next, value));
        key = Some(next);
    }
}
