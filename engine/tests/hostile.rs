//! Stores that attack whoever reads them: `status` ends in time, without a panic, and prints nothing
//! that a terminal obeys.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Far above what a starved machine needs.
const DEADLINE: Duration = Duration::from_secs(30);

/// What `status` prints of a store with this file beside the Node `a`.
fn status(name: &str, content: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let node = "kind: Node\nmetadata: {name: a}\nspec: {bgp: {ipv4Address: 10.9.0.1/24}}\n";
    fs::write(folder.path().join("a.yaml"), node).unwrap();
    fs::write(folder.path().join(name), content).unwrap();
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_wiremesh"))
        .args(["status", "--node", "a", "--store"])
        .arg(format!("dir:{}", folder.path().display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.code().is_some_and(|code| code < 2), "{text}");
    let raw = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(raw), "{text:?}");
    text
}

#[test]
fn no_file_makes_status_panic_hang_or_print_what_a_terminal_obeys() {
    let text = status("deep.yaml", &format!("a: {}", "[".repeat(20_000)));
    assert!(
        text.contains("deep.yaml: it goes deeper than 128 levels"),
        "{text}"
    );
    let hostile = "kind: Node\nmetadata: {name: z}\nspec: {bgp: {ipv4Address: \"x\\n  state  in sync\\e[31m\\u202e\"}}\n";
    let text = status("z.yaml", hostile);
    assert!(
        text.contains("`x\\n  state  in sync\\u001b[31m\\u202e`"),
        "{text}"
    );
    let long = format!("kind: Node\nmetadata: {{name: {}}}\n", "z".repeat(65_536));
    let text = status("z.yaml", &long);
    assert!(
        text.contains("`metadata.name` has 65536 characters"),
        "{text}"
    );
    assert!(text.len() < 10_000, "{}", text.len());
    let overflow = "kind: FelixConfiguration\nmetadata: {name: default}\nspec: {wireguardEnabled: true, routeRefreshInterval: 9223372036854775807s}\n";
    let text = status("f.yaml", overflow);
    assert!(
        text.contains("`spec.routeRefreshInterval` is not a duration"),
        "{text}"
    );
}
