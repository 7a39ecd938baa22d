//! Complaints of a kernel: log lines of warnings, oopses, panics and memory shortage.

/// Log lines that no kernel should ever write (Linux: `kernel/panic.c`, `lib/Kconfig.debug`).
const MARKS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "Oops",
    // Since 6.9 with "Oops" before it, until then without: `int3: 0000 [#1] PREEMPT SMP`
    // (Linux: `arch/x86/kernel/dumpstack.c`).
    "[#1]",
    "general protection",
    "refcount_t:",
    "blocked for more than",
    "soft lockup",
    "unregister_netdevice: waiting",
    "kernel BUG",
    "UBSAN:",
];

/// The last words of a panic.
const PANIC: &str = "Kernel panic";

/// Log lines of a kernel that has no memory left, which is the machine's fault and not its own (Linux:
/// `mm/oom_kill.c`, `mm/page_alloc.c`).
const SHORTAGE: &[&str] = &[
    "Out of memory",
    "out of memory",
    "invoked oom-killer",
    "page allocation failure",
];

/// Whether a line of the log is one that shows a mistake in the kernel. Levels are those of
/// syslog(2); a warning's first line has 4.
pub(super) fn is_complaint(level: u8, text: &str) -> bool {
    level <= 5 && !is_shortage(text) && MARKS.iter().any(|mark| text.contains(mark))
}

/// Whether it reports that there is no memory.
pub(super) fn is_shortage(text: &str) -> bool {
    SHORTAGE.iter().any(|mark| text.contains(mark))
}

/// The complaints that a machine wrote to its console before it died: what comes last is there
/// and nowhere else.
pub(super) fn on_console(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim_end);
    let complaints = lines.filter(|line| is_complaint(0, line));
    complaints.map(str::to_owned).collect()
}

/// What a machine's kernel wrote to its console that explains why nothing ran in it. There is no run
/// whose doing a panic could be, so that it is the kernel's.
pub(super) fn of_boot(console: &str) -> Vec<String> {
    let lines = console.lines().map(str::trim_end);
    let is_one = |line: &&str| is_complaint(0, line) || line.contains(PANIC);
    lines.filter(is_one).map(str::to_owned).collect()
}

/// The console's last lines; where the kernel panicked, from its reason on.
pub(super) fn last_words(console: &str, most: usize) -> String {
    let lines: Vec<_> = console.lines().map(str::trim_end).collect();
    let panic = lines.iter().rposition(|line| line.contains(PANIC));
    let first = panic.unwrap_or(lines.len().saturating_sub(most));
    let lines = lines.get(first..).unwrap_or_default();
    lines[..lines.len().min(most)].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_warnings_and_oopses_are_complaints() {
        for (level, text) in [
            (4, "WARNING: CPU: 0 PID: 1 at net/core/dev.c:1"),
            (1, "BUG: kernel NULL pointer dereference"),
            (4, "int3: 0000 [#1] PREEMPT SMP NOPTI"),
            (4, "Oops: int3: 0000 [#1] PREEMPT SMP NOPTI"),
        ] {
            assert!(is_complaint(level, text), "{text}");
        }
        for (level, text) in [
            (6, "wireguard: WireGuard 1.0.0 loaded"),
            (4, "Spectre V2 : Mitigation"),
            (
                5,
                "Linux version 6.1.0-57-cloud-amd64 #1 SMP PREEMPT_DYNAMIC",
            ),
            (6, ".... node  #0, CPUs:      #1"),
            (3, "Out of memory: Killed process 71 (tail)"),
        ] {
            assert!(!is_complaint(level, text), "{text}");
        }
    }

    #[test]
    fn a_panic_is_reported_from_its_reason_on() {
        let console = "boot\nKernel panic - not syncing: x\nCPU: 0\nCall Trace:\nlast\n";
        assert_eq!(
            last_words(console, 2),
            "Kernel panic - not syncing: x\nCPU: 0"
        );
        assert_eq!(last_words("a\r\nb\r\nc\r\n", 2), "b\nc");
        assert_eq!(last_words("", 2), "");
    }

    #[test]
    fn a_shortage_of_memory_is_recognised() {
        assert!(is_shortage("Out of memory: Killed process 71 (tail)"));
        assert!(is_shortage("nft: page allocation failure: order:4"));
        assert!(!is_shortage("BUG: kernel NULL pointer dereference"));
    }

    #[test]
    fn an_oops_is_found_on_the_console_and_a_panic_alone_is_none() {
        let oops = "\r\n[    9.1] BUG: unable to handle page fault\r\n[    9.2] Oops: 0002\r\n\
                    [    9.3] Kernel panic - not syncing: Fatal exception\r\n";
        assert_eq!(
            on_console(oops),
            [
                "[    9.1] BUG: unable to handle page fault",
                "[    9.2] Oops: 0002"
            ]
        );
        let panic = "[    9.3] Kernel panic - not syncing: sysrq triggered crash\r\n";
        assert_eq!(on_console(panic), Vec::<String>::new());
        assert_eq!(of_boot(panic), [panic.trim_end()]);
        assert_eq!(of_boot("\r\n[    0.0] Booting\r\n"), Vec::<String>::new());
    }
}
