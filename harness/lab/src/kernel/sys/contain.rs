//! Mounts that are read only, capabilities that no program gets, and files that none inherits.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `struct mount_attr` (`linux/mount.h`).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    namespace: u64,
}

/// Makes a mount, and the ones below it if `all`, read-only or writable (mount_setattr(2)).
pub(crate) fn set_read_only(path: &Path, read_only: bool, all: bool) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (set, clear) = match read_only {
        true => (libc::MOUNT_ATTR_RDONLY, 0),
        false => (0, libc::MOUNT_ATTR_RDONLY),
    };
    let attributes = MountAttributes {
        set,
        clear,
        propagation: 0,
        namespace: 0,
    };
    let flags = if all { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel reads a string that ends in a zero byte and one `mount_attr`, whose size
    // it is told; both outlive the call.
    let status = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// No program that this process starts from here on gets a capability, whoever owns it
/// (`PR_CAPBSET_DROP`); `EINVAL` if the kernel knows none of that number.
pub(crate) fn forbid_capability(number: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers and no memory.
    let status =
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `struct __user_cap_header_struct` and two of `__user_cap_data_struct` (`linux/capability.h`).
#[repr(C)]
#[derive(Default)]
struct CapabilityHeader {
    version: u32,
    process: libc::c_int,
}

#[repr(C)]
#[derive(Default)]
struct CapabilityWords {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Programs that this process starts from here on inherit no capability of it: they have what
/// [`forbid_capability`] has left.
pub(crate) fn inherit_no_capability() -> io::Result<()> {
    // `_LINUX_CAPABILITY_VERSION_3`, which has two sets of words; process 0 is this one.
    let mut header = CapabilityHeader {
        version: 0x2008_0522,
        process: 0,
    };
    let mut words: [CapabilityWords; 2] = Default::default();
    // SAFETY: the kernel reads and may write the header, and writes two sets of words, which is
    // what that version has; both outlive the call.
    let status = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    for words in &mut words {
        words.inheritable = 0;
    }
    // SAFETY: as above, and the kernel only reads the words.
    let status = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Closes every descriptor but the first three when this process, or a child of it, executes a program
/// (close_range(2), `CLOSE_RANGE_CLOEXEC`, Linux 5.11).
///
/// # Errors
/// The kernel is older.
pub(crate) fn close_others_on_exec() -> io::Result<()> {
    // SAFETY: the call takes three numbers and no memory, and closes nothing now: every descriptor that
    // this process owns stays valid.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
