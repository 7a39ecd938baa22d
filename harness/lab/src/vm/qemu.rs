//! A guest as a process: qemu, how it makes a machine run, and how it ended.

use std::fs;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::base::error::{Doing, LabError};
use crate::base::program;

use super::kernel::Kernel;

/// The program; other machines than this one's kind are not emulated.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// The kernel's command line: where its console is, that a panic ends the machine, and that an oops is one;
/// that the clock of an emulated processor can be trusted, since the others cost a trip to qemu each time they
/// are read; to leave out what guards against other guests' programs; and not to let those wait who take
/// something away, while other processors get past it.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 oops=panic rdinit=/init \
                            tsc=reliable clocksource=tsc mitigations=off \
                            rcupdate.rcu_expedited=1";

/// The rest of an emulated machine's command line: to boot on one processor, as was measured over 100 boots of
/// each kernel; the guest starts the others once it is up, for which `noreplace-smp` leaves the code in. And
/// not to panic where a few ticks do not come in time (Linux: `check_timer` in
/// `arch/x86/kernel/apic/io_apic.c`): qemu may have waited for a processor of the host.
const EMULATED: &str = "maxcpus=1 noreplace-smp no_timer_check";

/// How an emulated machine's processors run: in turns, in one thread. A kernel rewrites its own code by way of
/// `int3` whenever a static key changes (Linux: `text_poke_bp_batch` in `arch/x86/kernel/alternative.c`).
/// Where qemu 7.2 translates that code for another processor in another thread meanwhile, it may keep the
/// breakpoint, or the code before it: changes are noticed only from the end of a translation on (QEMU:
/// `tb_gen_code` in `accel/tcg/translate-all.c`). Then that kernel oopses, or waits for ever.
const EMULATION: &str = "tcg,thread=single";

/// How qemu runs a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceleration {
    /// On the processor itself, by the kernel's help.
    Kvm,
    /// Each instruction translated.
    Emulation,
}

impl Acceleration {
    /// As reports print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Emulation => "plain emulation",
        }
    }
}

/// What a guest gets of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of processors.
    pub processors: usize,
    /// Memory in MiB.
    pub memory: u32,
}

/// How qemu ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exit {
    /// Its status, and what it printed.
    pub(super) text: String,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
}

/// A running qemu. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Qemu {
    child: Child,
    console: PathBuf,
}

impl Qemu {
    /// Starts a guest; its messages come out of the pipe. Its console goes to a file. One that is emulated gets
    /// the rate of its time stamp counter, where that is known.
    ///
    /// # Errors
    /// There is no qemu, or it cannot be started.
    pub(crate) fn start(
        kernel: &Kernel,
        root: &OwnedFd,
        size: Size,
        acceleration: Acceleration,
        kilohertz: Option<u32>,
        console: &Path,
    ) -> Result<(Self, PipeReader), LabError> {
        const DOING: &str = "start qemu";
        let program = program::find(PROGRAM).ok_or_else(|| {
            LabError::machine(DOING, format!("{PROGRAM} is not in PATH"))
                .help("Debian: apt-get install qemu-system-x86")
        })?;
        let (news, writer): (PipeReader, PipeWriter) = io::pipe().doing(DOING)?;
        for fd in [root.as_fd(), writer.as_fd()] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).doing(DOING)?;
        }
        let (accelerated, command_line): (&[&str], String) = match acceleration {
            Acceleration::Kvm => (&["-accel", "kvm", "-cpu", "host"], COMMAND_LINE.to_owned()),
            Acceleration::Emulation => (
                &["-accel", EMULATION, "-cpu", "max"],
                match kilohertz {
                    Some(tsc) => format!("{COMMAND_LINE} {EMULATED} tsc_early_khz={tsc}"),
                    None => format!("{COMMAND_LINE} {EMULATED}"),
                },
            ),
        };
        let errors = console.with_extension("qemu.log");
        let log = fs::File::create(&errors).doing(format!("create {}", errors.display()))?;
        let child = Command::new(program)
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            // What a panic would restart, ends instead.
            .args(["-no-reboot", "-nic", "none"])
            .args(accelerated)
            .args(["-smp", &size.processors.to_string()])
            .args(["-m", &format!("{}M", size.memory)])
            .arg("-kernel")
            .arg(&kernel.image)
            .args(["-initrd", &format!("/proc/self/fd/{}", root.as_raw_fd())])
            .args(["-append", &command_line])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-device", "virtio-serial-pci"])
            .arg("-chardev")
            .arg(format!(
                "file,id=news,path=/proc/self/fd/{}",
                writer.as_raw_fd()
            ))
            .args(["-device", "virtserialport,chardev=news"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .doing(DOING)?;
        let console = console.to_owned();
        Ok((Self { child, console }, news))
    }

    /// Waits for the end of a qemu whose line broke off. It has closed its files, so it is ending, and
    /// how is settled; one that closed the line and lives is ended here.
    pub(crate) fn reap(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How qemu ended, if it has; what it printed is part of it.
    pub(crate) fn ended(&mut self) -> Option<Exit> {
        let status = self.child.try_wait().ok().flatten()?;
        let printed = fs::read_to_string(self.console.with_extension("qemu.log"));
        let printed = printed.unwrap_or_default();
        let text = match printed.trim() {
            "" => format!("qemu ended with {status}"),
            printed => format!("qemu ended with {status}: {printed}"),
        };
        let signal = status.signal();
        Some(Exit { text, signal })
    }

    /// How long it has had a processor so far: what a machine could do does not depend on what else the host
    /// did meanwhile. None where the kernel does not say.
    pub(super) fn processor_time(&self) -> Option<Duration> {
        let id = i32::try_from(self.child.id()).ok()?;
        let clock = clock_getcpuclockid(Pid::from_raw(id)).ok()?;
        clock.now().ok().map(Duration::from)
    }

    /// What is on the console.
    pub(crate) fn console(&self) -> String {
        let bytes = fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.reap();
    }
}
