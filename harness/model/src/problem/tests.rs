//! The text of problems.

use proptest::prelude::*;

use super::*;

#[test]
fn a_problem_shows_file_line_column_label_and_help() {
    let problem = Problem::new(
        "unknown pod `dbb`",
        17..22,
        "no such pod",
        "known pods: `db`",
    );
    let rendered = Problems::new(
        "two-nodes.toml",
        "from = \"web\"\nto = \"dbb\"\n",
        vec![problem],
    )
    .render();
    let expected = "  × unknown pod `dbb`
   ╭─[two-nodes.toml:2:5]
 1 │ from = \"web\"
 2 │ to = \"dbb\"
   ·     ──┬──
   ·       ╰── no such pod
   ╰────
  help: known pods: `db`
";
    assert_eq!(rendered, expected, "{rendered}");
}

#[test]
fn problems_are_reported_in_the_order_of_their_places() {
    let at = |what, start| Problem::new(what, start..start + 1, "here", "no");
    let problems = Problems::new(
        "two-nodes.toml",
        "abcdef\n",
        vec![at("later", 4), at("sooner", 1)],
    );
    let rendered = problems.render();
    assert!(
        rendered.find("sooner") < rendered.find("later"),
        "{rendered}"
    );
    assert_eq!(problems.len(), 2);
    assert_eq!(problems.related().map(Iterator::count), Some(2));
    assert_eq!(problems.to_string(), "2 problems in two-nodes.toml");
}

#[test]
fn a_flood_of_problems_is_cut_and_counted() {
    let problem = |at| Problem::new("wrong", at..at + 1, "here", "no");
    let rendered =
        Problems::new("x.toml", &"x\n".repeat(99), (0..99).map(problem).collect()).render();
    assert_eq!(rendered.matches("× wrong").count(), MAX_SHOWN);
    assert!(rendered.ends_with("and 49 more\n"), "{rendered}");
    // One more than are shown is counted too, and none is where all are.
    for (count, rest) in [(MAX_SHOWN, None), (MAX_SHOWN + 1, Some("and 1 more\n"))] {
        let problems = (0..count).map(problem).collect();
        let rendered = Problems::new("x.toml", &"x\n".repeat(99), problems).render();
        assert_eq!(rendered.contains(" more\n"), rest.is_some(), "{rendered}");
        assert!(rendered.ends_with(rest.unwrap_or("")), "{rendered}");
    }
}

/// A former word is answered with the one in its place, where that is known at all: a node may be called `fault`.
#[test]
fn a_former_word_is_answered_where_the_new_one_is_known() {
    for (former, now) in RENAMED {
        let answered = format!("`{former}` is called `{now}` now");
        assert_eq!(known_words("key", former, &["title", now]), answered);
        let help = known_names("node", former, &["node-1"]);
        assert_eq!(help, "known nodes: `node-1`");
    }
}

#[test]
fn a_near_word_is_suggested_and_a_far_one_is_not() {
    let known = ["pods", "address", "mtu"];
    let all = "known keys: `pods`, `address`, `mtu`";
    assert_eq!(
        known_words("key", "pod", &known),
        format!("did you mean `pods`? {all}")
    );
    assert_eq!(known_words("key", "colour", &known), all);
    assert_eq!(known_words("pod", "x", &[]), "there is no pod");
}

#[test]
fn another_number_is_another_name() {
    assert_eq!(
        known_words("node", "node-3", &["node-1"]),
        "known nodes: `node-1`"
    );
    assert_eq!(
        known_words("node", "nod-1", &["node-1"]),
        "did you mean `node-1`? known nodes: `node-1`"
    );
}

#[test]
fn a_long_list_of_names_is_cut_and_counted() {
    let help = known_names("pod", "x", &["abcdef"; MAX_LISTED + 3]);
    assert!(help.ends_with("`abcdef` and 3 more in this file"), "{help}");
}

#[test]
fn distance_counts_edits() {
    for (a, b, edits) in [
        ("", "", 0),
        ("", "abc", 3),
        ("pod", "pods", 1),
        ("adress", "address", 1),
        ("ab", "ba", 2),
    ] {
        assert_eq!(distance(a, b), edits, "{a} {b}");
        assert_eq!(distance(b, a), edits, "{b} {a}");
    }
}

#[test]
fn a_long_line_is_cut_around_what_is_wrong_and_keeps_its_column() {
    let text = format!(
        "a = 1\npods = [\"{}\", 5, \"{}\"]\n",
        "x".repeat(70_000),
        "y".repeat(70_000)
    );
    let at = text.find(" 5,").unwrap() + 1;
    let problem = Problem::new("not a name", at..at + 1, "this is a number", "write a name");
    let rendered = Problems::new("x.toml", &text, vec![problem]).render();
    assert!(rendered.contains("[x.toml:2:70013]"), "{rendered}");
    assert!(rendered.len() < 4_000, "{}", rendered.len());
    assert!(
        rendered.contains("…x") && rendered.contains("\", 5, \"y"),
        "{rendered}"
    );
}

#[test]
fn control_characters_are_not_in_a_rendered_problem() {
    let text = "title = \"a\u{1b}[2Jb\u{202e}c\u{301}\" \u{feff} x\r y\n";
    let problem = Problem::new("\u{1b}[2J", 0..text.len(), "\u{7}", "\u{202e}");
    let rendered = Problems::new("\u{1b}.toml", text, vec![problem]).render();
    let obeyed = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{301}\u{feff}".contains(c));
    assert!(!rendered.contains(obeyed), "{rendered:?}");
}

/// One notation, whether the character is in the file, in its name or in a message.
#[test]
fn invisible_characters_are_escaped_as_in_json() {
    let text = "a\u{1b}b\u{301} = 1\r 2\n";
    let problem = Problem::new("x\u{1b}", 0..3, "y\u{7}", "z\u{301}");
    let rendered = Problems::new("f\n\u{1b}.toml", text, vec![problem]).render();
    for part in [
        "× x\\u001b\n",
        "[f\\n\\u001b.toml:1:1]",
        "1 │ a\\u001bb\\u0301 = 1\\r 2\n",
        "╰── y\\u0007\n",
        "help: z\\u0301\n",
    ] {
        assert!(rendered.contains(part), "{part} is not in {rendered}");
    }
    // A carriage return that ends a file is no line's end, and one before a line feed is part of it.
    for (text, shown) in [("a = 1\r", "1 │ a = 1\\r\n"), ("a = 1\r\n", "1 │ a = 1\n")] {
        let problem = Problem::new("x", 0..1, "y", "z");
        let rendered = Problems::new("f.toml", text, vec![problem]).render();
        assert!(rendered.contains(shown), "{shown:?} is not in {rendered}");
    }
}

#[test]
fn names_are_not_broken_at_their_hyphens() {
    let names: Vec<_> = (0..40).map(|one| format!("`a-long-name-{one}`")).collect();
    let problem = Problem::new("x", 0..1, "y", names.join(", "));
    let rendered = Problems::new("x.toml", "x\n", vec![problem]).render();
    assert!(rendered.lines().count() > 10, "{rendered}");
    for name in names {
        assert!(rendered.contains(&name), "{name} is not in {rendered}");
    }
}

#[test]
fn a_message_that_holds_a_long_text_is_cut() {
    let problem = Problem::new(
        "x".repeat(70_000),
        0..0,
        "y".repeat(70_000),
        "z".repeat(70_000),
    );
    let rendered = Problems::new("x.toml", "", vec![problem]).render();
    assert!(rendered.len() < 20_000, "{}", rendered.len());
}

/// Parts of a text that are hard to count columns of.
const PARTS: &[&str] = &[
    "a",
    "title = ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\u{feff}",
    "\u{200b}",
    "e\u{301}",
    "漢字",
    "\u{1b}[31m",
    "\u{1b}",
    "m",
    "👩\u{200d}👩",
    "\u{0}",
    "é",
    "\u{202e}",
    "\"",
];

proptest! {
    #[test]
    fn any_labels_of_any_text_are_shown(
        parts in prop::collection::vec((prop::sample::select(PARTS), 1usize..500), 0..12),
        labels in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40), 1..4),
    ) {
        let text: String = parts.iter().map(|(part, times)| part.repeat(*times)).collect();
        let text = format!("{text}.");
        let label = |(at, length): &(prop::sample::Index, usize)| {
            let start = at.index(text.len() + 1);
            start..(start + length).min(text.len())
        };
        let mut labels = labels.iter().map(label);
        let mut problem = Problem::new("wrong", labels.next().unwrap(), "here", "no");
        for label in labels {
            problem = problem.and(label, "there");
        }
        let rendered = Problems::new("x.toml", &text, vec![problem]).render();
        prop_assert!(rendered.contains("here"), "{rendered}");
        prop_assert!(rendered.contains("help: no"), "{rendered}");
        prop_assert!(!rendered.contains(|c: char| c != '\n' && c.is_control()), "{rendered:?}");
    }
}

#[test]
fn every_word_of_a_language_is_listed() {
    let known: Vec<String> = (0..40).map(|number| format!("word-{number}")).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = known_words("class", "x", &known);
    assert!(help.starts_with("known classes: `word-0`"), "{help}");
    assert!(help.ends_with("`word-39`"), "{help}");
}
