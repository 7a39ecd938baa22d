//! The messages about rules of other programs.

use super::*;

fn net(text: &str) -> IpNet {
    crate::intent::family::network(text).unwrap()
}

#[test]
fn a_rule_is_reported_once_with_the_fate_of_its_packets() {
    let bypass = |last: u8, owner: &str, effect| Bypass {
        network: net(&format!("10.0.0.{last}")),
        owner: owner.into(),
        rule: "20: from all lookup main".into(),
        effect,
    };
    let clear = || Effect::Clear("eth0".into());
    let many: Vec<_> = (2..7).map(|last| bypass(last, "bob", clear())).collect();
    let text_of = |bypasses: &[Bypass], strict: bool| {
        let problems: Vec<_> = problems(bypasses, 99, |_| strict).collect();
        problems.join("\n")
    };
    assert_eq!(
        text_of(&many, false),
        "the rule `20: from all lookup main` of another program, which comes before this node's rule of priority 99, \
         sends 10.0.0.2/32, 10.0.0.3/32, 10.0.0.4/32 and 2 more of bob past the tunnel through eth0: \
         what goes there is not encrypted; delete that rule, or give it a priority above 99"
    );
    assert!(text_of(&many, true).contains("is dropped, since it would be in clear"));
    let of_kernel = [Bypass {
        rule: "0: from all lookup local".into(),
        ..bypass(2, "bob", clear())
    }];
    assert!(
        text_of(&of_kernel, false)
            .ends_with("delete that route of the table local; the rule is the kernel's")
    );
    let refused = [
        bypass(2, "bob", Effect::Refused),
        bypass(3, "cid", Effect::Refused),
    ];
    let text = text_of(&refused, false);
    assert!(
        text.contains("10.0.0.2/32 and 10.0.0.3/32 of bob and cid to nowhere: it is cut off"),
        "{text}"
    );
}

#[test]
fn of_a_node_that_is_cut_off_and_reached_in_clear_the_latter_counts() {
    let bypass = |owner: &str, effect| Bypass {
        network: net("10.0.0.2"),
        owner: owner.into(),
        rule: "20: from all lookup main".into(),
        effect,
    };
    let bypasses = [
        bypass("bob", Effect::Refused),
        bypass("cid", Effect::Skips(200)),
        bypass("bob", Effect::Skips(200)),
        bypass("bob", Effect::Clear("eth0".into())),
    ];
    let effect = |owner| worst(&bypasses, owner).map(|bypass| &bypass.effect);
    assert_eq!(effect("bob"), Some(&Effect::Clear("eth0".into())));
    assert_eq!(effect("cid"), Some(&Effect::Skips(200)));
    assert_eq!(effect("ada"), None);
}
