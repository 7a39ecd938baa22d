//! A thread that the kernel refuses is an error with its remedy; nothing panics.

use std::process::Command;

/// Exit status, and all output, with so many KiB of address space.
fn wireproof(kibibytes: u32, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("sh")
        .args(["-c", "ulimit -v $0; exec \"$@\""])
        .arg(kibibytes.to_string())
        .arg(env!("CARGO_BIN_EXE_wireproof"))
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code(), text)
}

#[test]
fn a_thread_that_cannot_be_started_is_an_error() {
    // As much as the program itself takes, in steps of a MiB; what it does with little more than that.
    let mut sizes = (8..512).map(|mebibytes| mebibytes << 10);
    let least = sizes.find(|size| wireproof(*size, &["--version"]).0 == Some(0));
    let least = least.unwrap();
    let mut refused = 0;
    for more in (0..8).map(|mebibytes| mebibytes << 10) {
        let (status, text) = wireproof(least + more, &["rpf"]);
        assert!(!text.contains("panicked"), "{least} and {more} KiB: {text}");
        if text.contains("start a thread") {
            assert_eq!(status, Some(3), "{text}");
            assert!(text.contains("help: allow wireproof more memory"), "{text}");
            refused += 1;
        }
    }
    assert!(refused > 0, "threads are started with {least} KiB");
}
