//! The advice of messages: what one advises is accepted.

use super::{EVERY_KEY, resolve};
use crate::problem::Span;

/// Further lines, each below its table.
const MORE: &str = r#"
[flows]
off = false

[[impairment]]
node = "ada"
direction = "from"
loss = 5

[[step]]
action = "tamper"
node = "ada"
delete = "rule"
settles = "repaired"
deadline = "5s"

[[mtu]]
from = "web"
to = "db"
"#;

/// Values of other kinds than most keys want.
const OTHERS: &[&str] = &[
    "20",
    "0",
    "300",
    "70000",
    "true",
    "\"20\"",
    "\"1400\"",
    "\"70000\"",
    "\"enabel\"",
    "\"adaa\"",
    "[5]",
    "[true]",
    "[\"upd\"]",
];

/// What stands at the place of a problem instead, if its help has the text.
fn followed(text: &str, place: &Span, help: &str) -> Option<String> {
    let between = |from: &str, to: &str| {
        let (_, rest) = help.split_once(from)?;
        Some(rest.split_once(to)?.0.to_owned())
    };
    if let Some(value) = between("put it in quotes: `", "`") {
        return Some(value);
    }
    if let Some(word) = between("did you mean `", "`") {
        return Some(match text[place.clone()].starts_with('"') {
            true => format!("\"{word}\""),
            false => word,
        });
    }
    let written = between("write `", "`, without quotes")?;
    Some(written.split_once(" = ")?.1.to_owned())
}

/// Follows every such help, and returns how many there were.
fn follow(text: &str) -> usize {
    let Err(problems) = resolve(text) else {
        return 0;
    };
    let mut count = 0;
    for problem in problems.each() {
        let (place, help) = problem.advice();
        let Some(instead) = followed(text, &place, help) else {
            continue;
        };
        count += 1;
        let mut right = text.to_owned();
        right.replace_range(place.clone(), &instead);
        let Err(left) = resolve(&right) else {
            continue;
        };
        let again = left
            .each()
            .iter()
            .find(|one| one.advice().0.start == place.start);
        assert!(
            again.is_none(),
            "`{}` was advised to be `{instead}` ({help}), and then:\n{}",
            &text[place],
            left.render()
        );
    }
    count
}

#[test]
fn a_value_of_another_kind_is_advised_about_rightly() {
    let all = format!("{EVERY_KEY}{MORE}");
    let lines: Vec<&str> = all.lines().collect();
    let mut count = 0;
    for (number, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        for value in OTHERS {
            let changed = format!("{key} = {value}");
            let mut lines = lines.clone();
            lines[number] = &changed;
            count += follow(&lines.join("\n"));
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn a_slip_of_a_key_is_advised_about_rightly() {
    let all = format!("{EVERY_KEY}{MORE}");
    let lines: Vec<&str> = all.lines().collect();
    let mut count = 0;
    for (number, line) in lines.iter().enumerate() {
        if line.contains(" = ") {
            let changed = format!("{}x{}", &line[..1], &line[1..]);
            let mut lines = lines.clone();
            lines[number] = &changed;
            count += follow(&lines.join("\n"));
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn a_number_that_lacks_its_unit_is_given_one() {
    let text = EVERY_KEY.replace("ready = \"1m\"", "ready = 20");
    let problems = resolve(&text).unwrap_err();
    let rendered = problems.render();
    assert!(
        rendered.contains("put it in quotes: `\"20s\"`"),
        "{rendered}"
    );
}

/// What stands between backticks in the help of the only problem.
fn quoted(text: &str) -> Vec<String> {
    let problems = resolve(text).unwrap_err();
    let rendered = problems.render();
    let [problem] = problems.each() else {
        panic!("{rendered}");
    };
    let (_, help) = problem.advice();
    help.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_address_that_is_advised_is_accepted_wherever_it_is_needed() {
    let cluster = "title = \"x\"\n[node.ada]\npods = [\"web\"]\n[node.bob]\n";
    for table in [
        "[pod.web]",
        "[client.cal]",
        "[[step]]\naction = \"readdress-node\"\nnode = \"ada\"",
        "[node.cid]",
    ] {
        for wrong in ["5", "\"fd00::1\"", "\"10.240.0.4/16\"", "\"here\""] {
            let wrong = format!("address = {wrong}");
            let text = format!("{cluster}{table}\n{wrong}\n");
            let advised = quoted(&text);
            let [first, ..] = advised.as_slice() else {
                panic!("{text}");
            };
            let right = text.replace(&wrong, first);
            if let Err(problems) = resolve(&right) {
                panic!("{first}: {}", problems.render());
            }
        }
    }
}

#[test]
fn a_table_inside_another_is_advised_to_be_written_so_that_it_is_accepted() {
    let cluster = "title = \"x\"\n[node.ada]\npods = [\"web\"]\n[node.bob]\n";
    let step = |keys: &str| format!("[[step]]\naction = {keys}");
    let tamper = step("\"tamper\"\nnode = \"ada\"");
    for (table, wrong) in [
        (tamper.as_str(), "sysctl = \"net.ipv4.ip_forward=0\""),
        (&tamper, "sysctl = { net.ipv4.conf.all.rp_filter = 1 }"),
        (&step("\"configure\""), "set = \"wireguardMTU\""),
        (&step("\"configure\""), "annotations = 5"),
        ("[cluster]", "config = 5"),
        ("[cluster]", "annotations = true"),
        ("[node.cid]", "config = \"x\""),
        (
            &step("\"crash-everywhere\"\nnode = \"ada\""),
            "provoke = \"tamper\"",
        ),
    ] {
        let text = format!("{cluster}{table}\n{wrong}\n");
        let advised = quoted(&text);
        let last = advised.last().unwrap().replace("NAME", "ada");
        let right = text.replace(wrong, &last);
        if let Err(problems) = resolve(&right) {
            panic!("{last}: {}", problems.render());
        }
    }
}
