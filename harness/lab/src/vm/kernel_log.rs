//! The log of a guest's kernel, line by line.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::stream::Message;

/// More than the longest message that the kernel's log gives, in bytes (Linux: `PRINTK_MESSAGE_MAX` in
/// `kernel/printk/internal.h`, `CONSOLE_EXT_LOG_MAX` before 6.4).
const LONGEST_LINE: usize = 16 << 10;

/// The kernel's log, from the boot on (Linux: `Documentation/ABI/testing/dev-kmsg`).
pub(super) struct KernelLog {
    /// It does not block.
    log: Mutex<fs::File>,
    /// The same, to wait for.
    news: fs::File,
}

impl KernelLog {
    pub(super) fn open() -> io::Result<Self> {
        let mut options = fs::File::options();
        let log = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        let news = log.try_clone()?;
        let log = Mutex::new(log);
        Ok(Self { log, news })
    }

    /// Sends what the kernel has written by now and was not sent yet: all of it is, when this is over.
    pub(super) fn pass_on(&self, send: impl Fn(&Message)) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = [0; LONGEST_LINE];
        loop {
            // Each read gives one message.
            match log.read(&mut line) {
                // The log was faster than this reader, which goes on with what is there.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(length @ 1..) => {
                    let text = String::from_utf8_lossy(&line[..length]);
                    if let Some((level, text)) = kernel_message(&text) {
                        send(&Message::Kernel { level, text });
                    }
                }
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Sends whatever the kernel writes.
    pub(super) fn follow(&self, send: impl Fn(&Message)) {
        loop {
            self.pass_on(&send);
            let mut fds = [PollFd::new(self.news.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// The first line is `4,321,1234567,-;text`, and what follows describes a device: the level is the number's lowest three bits, the third number
/// microseconds since the boot.
fn kernel_message(message: &str) -> Option<(u8, String)> {
    let (head, text) = message.lines().next()?.split_once(';')?;
    let mut numbers = head.split(',');
    let level = numbers.next()?.parse::<u32>().ok()? & 7;
    let micros = numbers.nth(1)?.parse::<u64>().ok()?;
    let seconds = format!("[{:5}.{:06}]", micros / 1_000_000, micros % 1_000_000);
    Some((u8::try_from(level).ok()?, format!("{seconds} {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_message_has_its_level_and_its_time() {
        let line = "30,339,5140900,-;NET: Registered protocol family 10\n";
        let (level, text) = kernel_message(line).unwrap();
        assert_eq!(level, 6);
        assert_eq!(text, "[    5.140900] NET: Registered protocol family 10");
        let with_device = format!("{line} SUBSYSTEM=pci\n DEVICE=+pci:0000:00:03.0\n");
        assert_eq!(kernel_message(&with_device), Some((level, text)));
        assert_eq!(kernel_message(" SUBSYSTEM=pci\n"), None);
    }
}
