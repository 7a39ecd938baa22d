//! The kinds of promises: the key that states each, and its meaning.

use std::fmt::Write as _;

use serde::Serialize;
use strum::VariantArray as _;

use crate::plan::{CalicoPart, EnginePromise, HostPromise, KindOfPromise};

use super::markdown;

const HEAD: &str = include_str!("promises.md");

const OF_EVERY_SCENARIO: &str = "every scenario";

/// One kind of promise. Texts are Markdown.
#[derive(Debug, Serialize)]
pub(super) struct PromiseGrammar {
    /// What it is about.
    about: &'static str,
    /// By what it is stated.
    stated_by: &'static str,
    /// What is promised.
    doc: &'static str,
    /// Each single promise, where it is several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<&'static str>,
}

/// Every kind of promise.
pub(super) fn all() -> Vec<PromiseGrammar> {
    let kinds = KindOfPromise::VARIANTS.iter().copied();
    kinds
        .map(|kind| {
            let (about, stated_by, doc) = written(kind);
            PromiseGrammar {
                about,
                stated_by,
                doc,
                parts: parts(kind),
            }
        })
        .collect()
}

/// The subject of a kind of promise, the key that states it, and its meaning.
fn written(kind: KindOfPromise) -> (&'static str, &'static str, &'static str) {
    match kind {
        KindOfPromise::Pair => (
            "a pair of endpoints",
            "`[[promise]]`, or the pair's class",
            "what becomes of the probes from one to the other, in each protocol",
        ),
        KindOfPromise::Step => (
            "flows during a step",
            "`[flows]`; `outage` and `leaks` of a `[[step]]`",
            "nothing of a protected pair is readable on the wire, and no flow is interrupted for longer",
        ),
        KindOfPromise::Size => (
            "sizes of packets",
            "`[[mtu]]`",
            "the largest arrives, larger ones do not, and who sends one learns so",
        ),
        KindOfPromise::Spoof => (
            "spoofed packets",
            "`[[spoof]]`",
            "what must drop them drops them, and genuine ones arrive",
        ),
        KindOfPromise::NeverPlaintext => (
            "a pair during the whole run",
            "`[[promise]]` with `expect = \"never-plaintext\"`",
            "nothing of it is readable on the wire at any time",
        ),
        KindOfPromise::Budget => (
            "what a step may cost",
            "`settles-within` and `writes` of a `[[step]]`",
            "it settles in that time, and the engine writes to the kernel no more often",
        ),
        KindOfPromise::Dataplane => (
            "a node's dataplane",
            "`[[dataplane]]`",
            "each part is there, or is not there",
        ),
        KindOfPromise::Calico => (
            "Calico's values",
            "`calico-values = true` of the engine's descriptor",
            "at the end of a run each node's device, rule and peers have them (below); of a node whose agent keeps \
             its dataplane",
        ),
        KindOfPromise::Host => (
            "a host",
            OF_EVERY_SCENARIO,
            "the engine leaves alone what is not its own (below)",
        ),
        KindOfPromise::Engine => (
            "an engine",
            "`[conduct]` of its descriptor",
            "it behaves well besides its work (below)",
        ),
        KindOfPromise::Warning => (
            "a warning",
            "`[[warning]]`",
            "it comes, if the engine's log is judged",
        ),
        KindOfPromise::Evidence => (
            "the evidence",
            OF_EVERY_SCENARIO,
            "nothing is missing of it; if something is, what needs it is inconclusive",
        ),
    }
}

/// Each single promise of a kind that is several.
fn parts(kind: KindOfPromise) -> Vec<&'static str> {
    match kind {
        KindOfPromise::Host => HostPromise::VARIANTS.iter().copied().map(of_host).collect(),
        KindOfPromise::Engine => EnginePromise::VARIANTS
            .iter()
            .copied()
            .map(of_engine)
            .collect(),
        KindOfPromise::Calico => CalicoPart::VARIANTS
            .iter()
            .copied()
            .map(of_calico)
            .collect(),
        KindOfPromise::Pair
        | KindOfPromise::Step
        | KindOfPromise::Size
        | KindOfPromise::Spoof
        | KindOfPromise::NeverPlaintext
        | KindOfPromise::Budget
        | KindOfPromise::Dataplane
        | KindOfPromise::Warning
        | KindOfPromise::Evidence => Vec::new(),
    }
}

fn of_calico(part: CalicoPart) -> &'static str {
    match part {
        CalicoPart::Device => {
            "its tunnel device has the configured name, MTU and port, and the mark (the fifth bit of \
             `iptablesMarkMask`)"
        }
        CalicoPart::Rule => {
            "its rule matches packets without that mark, by a mask of that bit alone, has the priority \
             `wireguardRoutingRulePriority` and looks up the first free table of `routeTableRanges`"
        }
        CalicoPart::Peers => {
            "its peers are the nodes that encrypt, each with its published key, its address and port, the keepalive \
             and its own networks"
        }
    }
}

fn of_host(promise: HostPromise) -> &'static str {
    match promise {
        HostPromise::Links => {
            "its links that were up before the engine started are up at the end, under the same names, and its \
             processes have the same root directory"
        }
        HostPromise::ReversePath => {
            "its reverse-path filter (`rp-filter = \"strict\"`) drops spoofed packets only; not judged if hosts are \
             not encrypted at some time, or if a step makes the filter drop"
        }
        HostPromise::Unchanged => {
            "what was there before the engine is there at the end (links, addresses, rules, routes, nftables, \
             sysctls), unless a step changes hosts"
        }
    }
}

fn of_engine(promise: EnginePromise) -> &'static str {
    match promise {
        EnginePromise::Lives => {
            "its agent does not crash: what holds after a crash is not the engine's work, and the run is inconclusive"
        }
        EnginePromise::Log => {
            "with `[conduct.log]`: its logs have no warning that the scenario does not name"
        }
        EnginePromise::Memory => {
            "with `memory`: none of its processes has had more memory than that"
        }
        EnginePromise::Ends => {
            "with `ends-within`: each agent ends in that time when it is asked to, with status 0, and with \
             `keeps-device` leaves the tunnel device"
        }
        EnginePromise::Secrets => {
            "the private keys and preshared keys of its devices are nowhere else: not in logs, files, the store, \
             command lines, environments, answers over HTTP, frames or what the lab observes, as bytes, base64, \
             hexadecimal or decimal numbers; only root can connect to the devices' control sockets. With \
             `keys-in-state`, files of the state directory that only their owner can read may have them"
        }
    }
}

/// The section about promises.
pub(super) fn section(page: &mut String) {
    page.push_str(HEAD);
    page.push_str("| about | stated by | what is promised |\n|---|---|---|\n");
    let kinds = all();
    for kind in &kinds {
        let (about, stated_by, doc) = (kind.about, kind.stated_by, kind.doc);
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {about} | {stated_by} | {doc} |");
    }
    page.push('\n');
    for kind in kinds.iter().filter(|kind| !kind.parts.is_empty()) {
        let _ = write!(page, "Of {}:\n\n", kind.about);
        for part in &kind.parts {
            page.push_str(&markdown::item(part));
        }
        page.push('\n');
    }
    page.push_str(
        "The table of a run counts both, and has a line of the engine's warnings, memory and times to end; `conduct` in \
         `--json`\nhas these by node. Of an engine without `[conduct]` only this is judged: that its agent does not \
         die.\n\n",
    );
}
