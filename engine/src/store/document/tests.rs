//! Files as people and programs write them, and some that would take for ever.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn read(text: &str) -> Result<Documents, String> {
    Documents::parse(Format::Yaml, text.as_bytes())
}

/// The resources' kinds, names, and what messages call them.
fn names(documents: &Documents) -> Vec<String> {
    let resources = documents.resources();
    let name = |(place, value): &(Place, Value)| {
        let (kind, name) = (&value["kind"], &value["metadata"]["name"]);
        let place = documents.name("f", *place);
        format!(
            "{} {} in {place}",
            kind.as_str().unwrap(),
            name.as_str().unwrap()
        )
    };
    resources.iter().map(name).collect()
}

const A: &str = "kind: Node\nmetadata: {name: a}\n";
const B: &str = "kind: Node\nmetadata: {name: b}\n";

#[test]
fn several_documents_are_read_and_empty_ones_are_none() {
    assert_eq!(names(&read(A).unwrap()), ["Node a in f"]);
    let both = read(&format!("---\n{A}---\n{B}---\n")).unwrap();
    assert_eq!(
        names(&both),
        ["Node a in f (document 1)", "Node b in f (document 2)"]
    );
    assert_eq!(names(&read(&format!("{A}---\n")).unwrap()), ["Node a in f"]);
    for nothing in ["", "---\n", "# a remark\n", "null\n"] {
        assert_eq!(read(nothing).unwrap_err(), "it holds no resource");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    let marked = format!("\u{feff}{A}");
    assert_eq!(names(&read(&marked).unwrap()), ["Node a in f"]);
    let json = "\u{feff}{\"kind\": \"Node\", \"metadata\": {\"name\": \"a\"}}";
    let json = Documents::parse(Format::Json, json.as_bytes()).unwrap();
    assert_eq!(names(&json), ["Node a in f"]);
}

#[test]
fn the_items_of_a_list_are_resources() {
    let list = "kind: List\nitems:\n- {kind: Node, metadata: {name: a}}\n- {kind: Node, metadata: {name: b}}\n";
    assert_eq!(
        names(&read(list).unwrap()),
        ["Node a in f (item 1)", "Node b in f (item 2)"]
    );
    let typed = "kind: NodeList\napiVersion: v1\nitems:\n- metadata: {name: a}\n";
    let typed = read(typed).unwrap();
    assert_eq!(names(&typed), ["Node a in f (item 1)"]);
    assert_eq!(typed.resources()[0].1["apiVersion"], "v1");
    let empty = read("kind: NodeList\nitems: []\n").unwrap();
    assert!(empty.resources().is_empty());
}

#[test]
fn an_edit_keeps_the_other_documents_and_items() {
    let text = format!(
        "{A}---\nkind: NodeList\nitems:\n- metadata: {{name: b}}\n- metadata: {{name: c}}\n"
    );
    let mut documents = read(&text).unwrap();
    let place = documents.resources()[2].0;
    documents.at(place).unwrap()["status"] = json!({"wireguardPublicKey": "x"});
    let written = documents.text(Format::Yaml).unwrap();
    let again = read(&written).unwrap();
    assert_eq!(again, documents);
    assert_eq!(names(&again).len(), 3);
    let values = again.resources();
    assert_eq!(
        values[0].1,
        json!({"kind": "Node", "metadata": {"name": "a"}})
    );
    assert_eq!(values[1].1["status"], Value::Null);
    assert_eq!(values[2].1["status"]["wireguardPublicKey"], "x");
}

#[test]
fn what_would_take_for_ever_is_refused_at_once() {
    let began = Instant::now();
    let deep = format!("a: {}{}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(read(&deep).unwrap_err(), "it goes deeper than 128 levels");
    let quoted = format!("a: {}", "[ \"]\", ".repeat(20_000));
    assert_eq!(read(&quoted).unwrap_err(), "it goes deeper than 128 levels");
    let dashes = "- ".repeat(20_000);
    assert!(read(&dashes).unwrap_err().contains("recursion limit"));
    let repeated = format!(
        "a: &a [{}]\nb: [{}]\n",
        "x,".repeat(20_000),
        "*a,".repeat(20_000)
    );
    assert!(read(&repeated).unwrap_err().contains("its aliases make it"));
    let nested = (1..30).fold("a0: &a0 x\n".to_owned(), |text, level| {
        let before = level - 1;
        text + &format!("a{level}: &a{level} [*a{before}, *a{before}, *a{before}]\n")
    });
    read(&nested).unwrap_err();
    // Far above what a starved machine needs; without the limits it is minutes, and all of the memory.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn values_are_what_yaml_says() {
    let read = read("a: 1\nb: -1\nc: 1.5\nd: true\ne: ~\nf: 'x'\n1: y\ng: [.nan]\n").unwrap();
    let resources = read.resources();
    assert_eq!(
        resources[0].1,
        json!({"a": 1, "b": -1, "c": 1.5, "d": true, "e": null, "f": "x", "1": "y", "g": [null]})
    );
}
