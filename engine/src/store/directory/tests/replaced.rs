//! Replacements of a Node in its file: whether the Node is deleted.

use super::*;

/// The lines of a table: a word, and a text that is in the file then.
const TABLE: &str = include_str!("replaced.txt");

const BOB: &str =
    r#"{"kind":"Node","metadata":{"name":"bob"},"spec":{"bgp":{"ipv4Address":"10.0.0.9"}}}"#;

#[test]
fn a_mistake_keeps_what_a_file_held_and_another_resource_replaces_it() {
    let bob = node_identity("bob");
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut wrong = Vec::new();
    for line in lines {
        let (word, text) = line.split_once(' ').unwrap();
        let mut catalogue = Catalogue::default();
        for text in [BOB, text] {
            let contents = contents_of("bob.json", Ok(text.as_bytes().to_vec()));
            catalogue.put_file("bob.json", contents);
        }
        let is_there = catalogue.snapshot().resources.contains_key(&bob);
        let is_reported = !catalogue.snapshot().bad.is_empty();
        let is_right = match word {
            "mistake" => is_there && is_reported,
            "same" => is_there,
            _ => !is_there,
        };
        if !is_right {
            wrong.push(line);
        }
        // The file is right again.
        let contents = contents_of("bob.json", Ok(BOB.as_bytes().to_vec()));
        catalogue.put_file("bob.json", contents);
        let snapshot = catalogue.snapshot();
        assert!(snapshot.resources.keys().eq([&bob]), "{line}");
        assert!(snapshot.bad.is_empty(), "{line}");
    }
    assert_eq!(wrong, [""; 0]);
}
