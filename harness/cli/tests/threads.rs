//! Where the kernel gives no thread, that is said, with what to do; nothing panics.

use std::process::Command;

/// Exit status, and all that was said, with so many KiB of address space.
fn wireproof(kibibytes: u32, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("sh")
        .args(["-c", "ulimit -v $0; exec \"$@\""])
        .arg(kibibytes.to_string())
        .arg(env!("CARGO_BIN_EXE_wireproof"))
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_thread_that_cannot_be_started_is_told() {
    // As much as the program itself takes, in steps of a MiB; what it does with little more than that.
    let mut sizes = (8..512).map(|mebibytes| mebibytes << 10);
    let least = sizes.find(|size| wireproof(*size, &["--version"]).0 == Some(0));
    let least = least.unwrap();
    let mut told = 0;
    for more in (0..8).map(|mebibytes| mebibytes << 10) {
        let (status, said) = wireproof(least + more, &["rpf"]);
        assert!(!said.contains("panicked"), "{least} and {more} KiB: {said}");
        if said.contains("start a thread") {
            assert_eq!(status, Some(3), "{said}");
            assert!(said.contains("help: allow wireproof more memory"), "{said}");
            told += 1;
        }
    }
    assert!(told > 0, "threads are started with {least} KiB");
}
