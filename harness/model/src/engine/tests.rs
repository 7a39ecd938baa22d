//! Descriptors as they are read, and what is refused in them.

use super::*;

const COMPLETE: &str = r#"
title = "an engine"
agent = ["run", "--node", "{node}", "{store}"]
enable = ["on"]
ready = "peers"
[env]
LOG = "debug"
"#;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn parsed(text: &str) -> Descriptor {
    Descriptor::parse("engine.toml", text)
        .unwrap_or_else(|problems| panic!("{}", problems.render()))
}

/// Refused with one problem, whose rendering holds `part`.
#[track_caller]
fn check(text: &str, part: &str) {
    let problems = Descriptor::parse("engine.toml", text).unwrap_err();
    let rendered = problems.render();
    assert!(rendered.contains(part), "{part} is not in\n{rendered}");
    assert_eq!(problems.len(), 1, "{rendered}");
}

#[test]
fn a_descriptor_is_read_as_written() {
    let engine = parsed(COMPLETE);
    assert_eq!(engine.title, "an engine");
    assert_eq!(
        engine.agent,
        Some(words(&["run", "--node", "{node}", "{store}"]))
    );
    assert_eq!(engine.ready, Ready::Peers);
    assert!(!engine.throws && parsed(&COMPLETE.replace("[env]", "throws = true\n[env]")).throws);
    assert_eq!(engine.env, BTreeMap::from([("LOG".into(), "debug".into())]));
    assert!(engine.supports(&Action::Enable));
    assert!(!engine.supports(&Action::Disable));
}

#[test]
fn an_agent_that_is_asked_for_a_fault_may_be_another_program() {
    let one = parsed(COMPLETE);
    assert_eq!(one.asked_agent(), one.agent.as_ref());
    let other = COMPLETE.replace("[env]", "test-agent = [\"run-test\"]\n[env]");
    assert_eq!(parsed(&other).asked_agent(), Some(&words(&["run-test"])));
    assert_eq!(parsed(&other).agent, one.agent);
}

#[test]
fn placeholders_are_filled_in_wherever_they_stand() {
    let node: NodeName = "ada".parse().unwrap();
    let command = words(&["run", "{node}", "{store}/{node}", "${HOME}"]);
    assert_eq!(
        expand(&command, Some(&node), "dir:/tmp/{node}"),
        words(&["run", "ada", "dir:/tmp/{node}/ada", "${HOME}"])
    );
    assert_eq!(
        expand(&words(&["{node} {store}"]), None, "/s"),
        words(&["{node} /s"])
    );
}

#[test]
fn an_unknown_placeholder_is_refused_and_other_braces_are_not() {
    check(
        &COMPLETE.replace("{node}", "{nodes}"),
        "did you mean `{node}`? known placeholders: `{node}`, `{store}`, `{fault}`, `{wireguard}`",
    );
    for text in ["{}", "{", "}", "${HOME}", "{ print }", "{é", "{{"] {
        parsed(&COMPLETE.replace("{node}", text));
    }
}

#[test]
fn a_descriptor_that_cannot_work_is_refused() {
    check(&COMPLETE.replace("[\"on\"]", "[]"), "`enable` is empty");
    check(
        &COMPLETE.replace("[\"on\"]", "\"on\""),
        "write `enable = [\"on\"]`",
    );
    let agent = |text: &str| {
        let list = "[\"run\", \"--node\", \"{node}\", \"{store}\"]";
        COMPLETE.replace(list, text) + "[conduct]\nmemory = \"1 MiB\"\n"
    };
    check(
        &agent("\"./run  --node {node}\""),
        "help: write `agent = [\"./run\", \"--node\", \"{node}\"]`",
    );
    check(&agent("\"run --node {node}\""), "3:9]");
    for shell in ["\"run 'a b'\"", "\"run $HOME\"", "\" \""] {
        check(&agent(shell), "`[\"sh\", \"-c\", \"..\"]`");
    }
    check(&agent("7"), "`agent` must be a list");
    check(
        &COMPLETE.replace("peers", "soon"),
        "unknown `ready` value `soon`",
    );
    check(
        &COMPLETE.replace("enable", "enabled"),
        "unknown key `enabled`",
    );
    check(
        &COMPLETE.replace("LOG", "\"A=B\""),
        "cannot be the name of a variable",
    );
    check(&COMPLETE.replace("\"debug\"", "1"), "put it in quotes");
    check(
        "title = \"an engine\"\nready = \"notify\"\n",
        "there is no `agent` to wait for",
    );
    let keeps = |path: &str| COMPLETE.replace("[env]", &format!("writable = [{path:?}]\n[env]"));
    check(&keeps("state"), "not an absolute path");
    check(&keeps("//"), "this is every file of the host");
    check(&keeps("/var/../etc"), "it leads upwards");
    check(
        &keeps("/sys/class/net"),
        "the kernel's files are each node's own",
    );
    let kept = parsed(&keeps("/var/lib/engine")).writable;
    assert_eq!(kept, [PathBuf::from("/var/lib/engine")]);
    let contained =
        |text: &str| parsed(&COMPLETE.replace("[env]", &format!("{text}\n[env]"))).contained;
    assert!(contained("") && !contained("contained = false"));
    let with = |conduct: &str| format!("{COMPLETE}[conduct]\n{conduct}\n");
    check(&with("memory = \"64\""), "not a number and its unit");
    check(
        &with("keeps-device = true"),
        "`keeps-device` needs `ends-within`",
    );
    check(&with("log.warning = [\" WARN \"]"), "missing `harmless`");
    check(
        &with("log = { warning = [], harmless = [\"INFO\"] }"),
        "`warning` is empty",
    );
    check(
        "title = \"no engine\"\nready = \"none\"\n[conduct]\nmemory = \"1 MiB\"\n",
        "there is no `agent` to be judged",
    );
    check("ready = \"none\"\n", "missing `title`");
    check("title = \"an engine\"\n", "missing `ready`");
}
