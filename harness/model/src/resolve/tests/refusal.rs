//! Refused scenarios, and their messages.

use super::{TWO_NODES, planned, refused};

/// Refused with one problem, whose rendering holds every part.
#[track_caller]
fn check(text: &str, parts: &[&str]) {
    let problems = refused(text);
    let rendered = problems.render();
    assert_eq!(problems.len(), 1, "{rendered}");
    for part in parts {
        assert!(rendered.contains(part), "{part} is not in\n{rendered}");
    }
}

fn promise(from: &str, to: &str, rest: &str) -> String {
    format!("[[promise]]\nfrom = \"{from}\"\nto = \"{to}\"\n{rest}\n")
}

#[test]
fn a_problem_has_file_line_and_column() {
    check(
        &TWO_NODES.replace("pods = [\"db\"]", "pod = [\"db\"]"),
        &[
            "unknown key `pod`",
            "[scenario.toml:6:1]",
            "a node has no such key",
            "did you mean `pods`?",
        ],
    );
}

#[test]
fn a_contradiction_is_labelled_at_both_places() {
    check(
        &format!("{TWO_NODES}[pod.web]\nnode = \"bob\"\n"),
        &[
            "pod `web` is on two nodes",
            "on `ada` here",
            "on `bob` here",
        ],
    );
    check(
        &format!("{TWO_NODES}[pod]\nweb.address = \"10.240.0.9\"\ndb.address = \"10.240.0.9\"\n"),
        &["`db` and `web` have one address", "`web`'s", "`db`'s"],
    );
    let both = promise("web", "db", "expect = \"encrypted\"")
        + &promise("web", "db", "protocols = [\"tcp\"]\nexpect = \"plaintext\"");
    check(
        &format!("{TWO_NODES}{both}"),
        &[
            "contradicting promises about `web` to `db` (tcp)",
            "`encrypted` here",
            "`plaintext` here",
        ],
    );
}

#[test]
fn of_two_places_the_later_one_is_the_mistake() {
    let text = "title = \"x\"\n[node.zoe]\npods = [\"web\"]\n[node.ada]\npods = [\"web\"]\n";
    check(
        text,
        &["[scenario.toml:5:9]", "on `zoe` here", "on `ada` here"],
    );
}

#[test]
fn two_promises_about_other_protocols_do_not_contradict() {
    let both = promise("web", "db", "protocols = [\"udp\"]\nexpect = \"encrypted\"")
        + &promise("web", "db", "protocols = [\"tcp\"]\nexpect = \"plaintext\"");
    planned(&format!("{TWO_NODES}{both}"));
}

#[test]
fn a_problem_is_reported_once_for_all_protocols() {
    let twice = promise("web", "db", "expect = \"encrypted\"").repeat(2);
    check(
        &format!("{TWO_NODES}{twice}"),
        &["two promises about `web` to `db`"],
    );
}

#[test]
fn a_promise_to_nobody_is_no_promise_to_oneself() {
    check(
        &format!(
            "{TWO_NODES}{}",
            promise("web", "wed", "expect = \"encrypted\"")
        ),
        &["unknown endpoint `wed`", "did you mean `web`?"],
    );
    check(
        &format!(
            "{TWO_NODES}{}",
            promise("ada", "ada", "expect = \"encrypted\"")
        ),
        &["a promise of `ada` to itself"],
    );
}

#[test]
fn all_wrong_values_are_reported_at_once_in_their_order() {
    let text =
        TWO_NODES.replace("title = \"two nodes\"", "colour = 1") + "mtu = 9\nrp-filter = \"on\"\n";
    let problems = refused(&text);
    let rendered = problems.render();
    let headers: Vec<_> = rendered
        .lines()
        .filter_map(|line| line.strip_prefix("  × "))
        .collect();
    assert_eq!(
        headers,
        [
            "missing `title`",
            "unknown key `colour`",
            "`mtu` is out of range",
            "unknown reverse-path filter `on`"
        ]
    );
}

#[test]
fn all_contradictions_are_reported_at_once() {
    let text = format!(
        "engine = \"calico\"{TWO_NODES}[pod.cache]\n[pod.web]\nnode = \"eve\"\naddress = \"10.240.0.1\"\n{}",
        promise("web", "mail", "expect = \"encrypted\"")
    );
    let rendered = refused(&text).render();
    let headers: Vec<_> = rendered
        .lines()
        .filter_map(|line| line.strip_prefix("  × "))
        .collect();
    assert_eq!(
        headers,
        [
            "unknown engine `calico`",
            "pod `cache` is on no node",
            "unknown node `eve`",
            "`web` cannot have the address `10.240.0.1`",
            "unknown endpoint `mail`",
        ]
    );
}

#[test]
fn the_number_of_endpoints_is_bounded_by_the_numbers_of_probes() {
    let pods = |count: usize| {
        let names: Vec<_> = (0..count).map(|number| format!("\"p{number}\"")).collect();
        format!(
            "title = \"many\"\n[node.ada]\npods = [{}]\n",
            names.join(", ")
        )
    };
    let plan = planned(&pods(147));
    assert_eq!(plan.probes.len(), 148 * 147 * 3);
    assert_eq!(
        plan.probes.last().map(|probe| usize::from(probe.id.0)),
        Some(plan.probes.len() - 1)
    );
    check(
        &pods(148),
        &[
            "149 nodes and pods are too many",
            "`p147` is one more than 148",
        ],
    );
    let clients: String = (0..300).map(|one| format!("[client.c{one}]\n")).collect();
    check(
        &format!("title = \"many\"\n[node.ada]\n{clients}"),
        &[
            "301 nodes, pods and clients are too many",
            "take at most 148 nodes, pods and clients together",
        ],
    );
}

#[test]
fn a_subnet_without_room_is_refused() {
    let text = format!("{TWO_NODES}[fabric]\nsubnet = \"10.0.0.0/30\"\n");
    check(
        &text,
        &[
            "the subnet `10.0.0.0/30` is too small",
            "a prefix length of at most 29 has enough",
        ],
    );
    planned(&text.replace("/30", "/29"));
}

#[test]
fn names_that_stand_for_something_else_are_reserved() {
    for name in ["fabric", "lo", "all", "default"] {
        let what = format!("`{name}` is a reserved name");
        check(&TWO_NODES.replace("ada", name), &[&what]);
        check(&TWO_NODES.replace("web", name), &[&what]);
    }
}

#[test]
fn probes_of_a_promise_s_own_are_counted_with_the_others() {
    let pods: Vec<_> = (0..140).map(|number| format!("\"pod-{number}\"")).collect();
    let text = format!(
        "title = \"many\"\n[node.ada]\npods = [{}]\n[node.bob]\n[[promise]]\npayload = 1300\nexpect = \"delivered\"\n",
        pods.join(", ")
    );
    check(&text, &["120132 probes are too many", "more than 65536"]);
}

#[test]
fn the_same_thing_is_promised_once() {
    let mtu = "[[mtu]]\nfrom = \"web\"\nto = \"db\"\n";
    for (one, other) in [("", ""), ("largest = 1400\n", "largest = 1300\n")] {
        check(
            &format!("{TWO_NODES}{mtu}{one}{mtu}{other}"),
            &[
                "two promises about the sizes from `web` to `db`",
                "first here",
            ],
        );
    }
    let back = "[[mtu]]\nfrom = \"db\"\nto = \"web\"\n";
    planned(&format!("{TWO_NODES}{mtu}{back}"));
    let spoof =
        |rest: &str| format!("[[spoof]]\nthrough = \"bob\"\nas = \"web\"\nto = \"db\"\n{rest}\n");
    let (rule, none) = (spoof("drop = \"rule\""), spoof("drop = \"nothing\""));
    // Who names no family means the first one.
    let ipv4 = spoof("family = \"ipv4\"\ndrop = \"nothing\"");
    for other in [&rule, &none, &ipv4] {
        check(
            &format!("{TWO_NODES}{rule}{other}"),
            &["two promises about the same spoofed packets", "first here"],
        );
    }
    let ipv6 = spoof("family = \"ipv6\"\ndrop = \"nothing\"");
    let both = "[cluster]\nfamilies = [\"ipv4\", \"ipv6\"]\n";
    planned(&format!("{TWO_NODES}{both}{rule}{ipv6}"));
}

#[test]
fn a_key_is_not_overwritten_with_itself() {
    let step = |key: &str| {
        format!("{TWO_NODES}[[step]]\naction = \"overwrite-key\"\nnode = \"ada\"\n{key}\n")
    };
    check(
        &step("key = \"ada\""),
        &[
            "the key of ada is overwritten with its own",
            "changes nothing",
        ],
    );
    for key in ["key = \"bob\"", ""] {
        planned(&step(key));
    }
}

#[test]
fn warnings_of_an_engine_without_a_program_are_refused() {
    let warning = "[[warning]]\nsays = [\"put right\"]\n";
    check(
        &format!("engine = \"none\"{TWO_NODES}{warning}"),
        &[
            "warnings of the engine `none`",
            "it runs nothing that could log one",
        ],
    );
    planned(&format!("{TWO_NODES}{warning}"));
}

#[test]
fn only_a_delay_has_jitter_and_reorders() {
    for key in ["jitter", "reorder"] {
        for other in ["loss = 10", "every = 7", "rate = 500"] {
            check(
                &format!("{TWO_NODES}[[impairment]]\n{other}\n{key} = 5\n"),
                &[
                    &format!("`{key}` without `delay`"),
                    "only what is delayed has it",
                ],
            );
        }
        planned(&format!(
            "{TWO_NODES}[[impairment]]\ndelay = 20\n{key} = 5\n"
        ));
    }
}
