//! Files as people and programs write them, and some that would take for ever.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

/// A file's documents, or what is wrong with it and where.
fn read(text: &str) -> Result<Documents, String> {
    let read = Documents::parse(Format::Yaml, text.as_bytes());
    read.map_err(|mistake| mistake_text(&mistake))
}

fn mistake_text(mistake: &Mistake) -> String {
    let what = &mistake.what;
    match mistake.at {
        Some(Position { line, column }) => format!("{line}:{column}: {what}"),
        None => what.clone(),
    }
}

/// The resources' kinds, names, and what messages call them.
fn names(documents: &Documents) -> Vec<String> {
    let resources = documents.resources();
    let name = |Item { place, value, .. }: &Item| {
        let (kind, name) = (&value["kind"], &value["metadata"]["name"]);
        let place = documents.name("f", place);
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
    assert_eq!(typed.resources()[0].value["apiVersion"], "v1");
    for empty in ["kind: NodeList\nitems: []\n", "kind: List\nitems: null\n"] {
        assert!(read(empty).unwrap().resources().is_empty(), "{empty}");
    }
    // It may have held anything.
    for half in ["kind: List\n", "kind: NodeList\nitems: {}\n"] {
        assert_eq!(read(half).unwrap().resources().len(), 1, "{half}");
    }
}

#[test]
fn an_edit_keeps_the_other_documents_and_items() {
    let text = format!(
        "{A}---\nkind: NodeList\nitems:\n- metadata: {{name: b}}\n- metadata: {{name: c}}\n"
    );
    let mut documents = read(&text).unwrap();
    let place = documents.resources()[2].place.clone();
    documents.at(&place).unwrap()["status"] = json!({"wireguardPublicKey": "x"});
    let written = documents.text(Format::Yaml).unwrap();
    let again = read(&written).unwrap();
    assert_eq!(again, documents);
    assert_eq!(names(&again).len(), 3);
    let values = again.resources();
    assert_eq!(
        values[0].value,
        json!({"kind": "Node", "metadata": {"name": "a"}})
    );
    assert_eq!(values[1].value["status"], Value::Null);
    assert_eq!(values[2].value["status"]["wireguardPublicKey"], "x");
}

#[test]
fn a_document_that_is_too_deep_is_refused_at_once() {
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
fn yaml_scalars_get_their_json_types() {
    let read = read("a: 1\nb: -1\nc: 1.5\nd: true\ne: ~\nf: 'x'\n1: y\ng: [.nan]\n").unwrap();
    let resources = read.resources();
    assert_eq!(
        resources[0].value,
        json!({"a": 1, "b": -1, "c": 1.5, "d": true, "e": null, "f": "x", "1": "y", "g": [null]})
    );
}

/// The doubles of each resource, by its name in messages.
fn doubles(format: Format, text: &str) -> Vec<String> {
    let documents = Documents::parse(format, text.as_bytes()).unwrap();
    let resources = documents.resources().into_iter();
    let doubles = resources.filter_map(|item| {
        let name = documents.name("f", &item.place);
        Some(format!("{name}:{}", mistake_text(&item.double?)))
    });
    doubles.collect()
}

#[test]
fn a_duplicate_field_is_reported_with_both_positions() {
    let twice = "kind: Node\nmetadata:\n  name: a\nspec:\n  x: 1\n  bgp: {}\n  x: 2\n";
    let what = "again, after line 5, column 3: nobody knows which is meant; delete one of them";
    assert_eq!(
        doubles(Format::Yaml, twice),
        [format!("f:7:3: the field `x` is here {what}")]
    );
    // Of one document, the others are right.
    let both = format!("{A}---\n{twice}---\n{B}");
    let what = "again, after line 8, column 3: nobody knows which is meant; delete one of them";
    assert_eq!(
        doubles(Format::Yaml, &both),
        [format!("f (document 2):10:3: the field `x` is here {what}")]
    );
    // In a resource of a list, and in a list itself.
    let list = "kind: List\nitems:\n- {kind: Node, kind: Cat}\n- {kind: Node}\n";
    assert_eq!(doubles(Format::Yaml, list).len(), 1);
    assert!(doubles(Format::Yaml, list)[0].starts_with("f (item 1):3:16: "));
    let list = "kind: List\nitems:\n- {kind: Node}\n- {kind: Node}\nitems:\n- {kind: Cat}\n";
    assert_eq!(doubles(Format::Yaml, list).len(), 1);
    let inside = "kind: Node\nspec:\n  addresses:\n  - {type: a, address: b, type: c}\n";
    assert!(doubles(Format::Yaml, inside)[0].starts_with("f:4:27: the field `type` is here again"));
    // JSON is YAML as far as places go.
    let json = "{\"kind\": \"Node\",\n \"spec\": {\"x\": 1, \"x\": 1}}";
    assert!(doubles(Format::Json, json)[0].starts_with("f:2:19: the field `x` is here again"));
    let strange = "{\"kind\": \"\\ud83d\\ude00\", \"x\": 1, \"x\": 1}";
    assert!(doubles(Format::Json, strange)[0].contains("the field `x` is"));
    assert_eq!(doubles(Format::Yaml, &format!("{A}---\n{B}")), [""; 0]);
}

#[test]
fn a_syntax_error_is_reported_with_its_position() {
    assert_eq!(
        read("kind: Node\nmetadata: {name: a\nspec: b\n").unwrap_err(),
        "3:5: it is not YAML: did not find expected ',' or '}' at line 3 column 5, while parsing a flow \
         mapping at line 2 column 11"
    );
    let json = Documents::parse(Format::Json, b"{\"kind\":\n x}").unwrap_err();
    assert_eq!(mistake_text(&json), "2:2: it is not JSON: expected value");
    let more = Documents::parse(Format::Json, b"{} {}").unwrap_err();
    assert_eq!(
        mistake_text(&more),
        "1:4: it is not JSON: trailing characters"
    );
}

#[test]
fn lists_inside_of_lists_are_read_up_to_a_depth() {
    let inner = "{kind: NodeList, items: [{metadata: {name: a}}, {metadata: {name: b}}]}";
    let text = format!("kind: List\nitems: [{inner}, {{kind: Node, metadata: {{name: c}}}}]\n");
    let mut documents = read(&text).unwrap();
    assert_eq!(
        names(&documents),
        [
            "Node a in f (item 1.1)",
            "Node b in f (item 1.2)",
            "Node c in f (item 2)"
        ]
    );
    let place = documents.resources()[1].place.clone();
    documents.at(&place).unwrap()["status"] = json!("x");
    let again = read(&documents.text(Format::Yaml).unwrap()).unwrap();
    assert_eq!(again.resources()[1].value["status"], "x");
    assert_eq!(again.resources()[0].value.get("status"), None);
    let nested = |depth| {
        let node = "{kind: Node, metadata: {name: a}}".to_owned();
        (0..depth).fold(node, |inner, _| {
            format!("{{kind: List, metadata: {{name: l}}, items: [{inner}]}}")
        })
    };
    let items = ["1"; MAX_LIST_DEPTH].join(".");
    assert_eq!(
        names(&read(&nested(MAX_LIST_DEPTH)).unwrap()),
        [format!("Node a in f (item {items})")]
    );
    // Deeper ones are told: `List` is no kind of a resource.
    assert_eq!(
        names(&read(&nested(MAX_LIST_DEPTH + 1)).unwrap()),
        [format!("List l in f (item {items})")]
    );
}

#[test]
fn a_file_holds_so_many_documents_and_resources() {
    let began = Instant::now();
    let many = "---\n".repeat(MAX_LINES_AND_COMMAS);
    assert_eq!(
        read(&many).unwrap_err(),
        "it holds more than 10000 documents"
    );
    let many = format!("kind: List\nitems:\n{}", "- a\n".repeat(MAX_RESOURCES + 1));
    assert_eq!(
        read(&many).unwrap_err(),
        "it holds more than 10000 resources"
    );
    let most = format!("kind: List\nitems:\n{}", "- a\n".repeat(MAX_RESOURCES));
    assert_eq!(read(&most).unwrap().resources().len(), MAX_RESOURCES);
    // Far above what a starved machine needs; without the limits it is 5 s and more on a quiet one.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_yaml_file_of_a_million_fields_is_refused_before_it_is_parsed() {
    let began = Instant::now();
    for text in [
        "a:\n".repeat(1_300_000),
        format!("{{{}}}", "a: ,".repeat(1_000_000)),
    ] {
        let mistake = Documents::parse(Format::Yaml, text.as_bytes())
            .unwrap_err()
            .what;
        assert_eq!(
            mistake,
            "it has more than 200000 lines and commas: split it"
        );
    }
    // Parsing them takes a minute.
    assert!(began.elapsed() < Duration::from_secs(10));
    let most = format!("a: [{}]\n", "1,".repeat(MAX_LINES_AND_COMMAS - 1));
    assert!(Documents::parse(Format::Yaml, most.as_bytes()).is_ok());
}
