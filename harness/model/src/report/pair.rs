//! Promises about pairs, and probes without a promise, in the report.

use serde::Serialize;

use super::judgement::Judgement;
use crate::name::EndpointName;
use crate::plan::{Class, Origin, PairPromise, Probe, Protection, Protocol};

/// One probe of a pair, with its verdict.
#[derive(Debug, Clone, Serialize)]
pub struct Pair<'a> {
    /// The sender.
    pub from: &'a EndpointName,
    /// The receiver.
    pub to: &'a EndpointName,
    /// The protocol of the packets.
    pub protocol: Protocol,
    /// Bytes of payload; none if the plan lacks the probe.
    pub payload: Option<u16>,
    /// What is promised of it.
    #[serde(flatten)]
    pub promised: Promised<'a>,
}

/// What is promised of a probe.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Promised<'a> {
    /// How its packets look.
    Protection {
        /// Which of the traffic classes the pair is in.
        class: Class,
        /// How its packets must look outside the nodes.
        expected: Protection,
        /// The least payload that the author asked for, in bytes; none of the usual probes.
        least_payload: Option<u16>,
        /// What it came to.
        #[serde(flatten)]
        judged: Judgement<'a>,
    },
    /// Nothing: it was sent for another purpose, and is not judged.
    Nothing {
        /// Always `no promise`.
        verdict: &'static str,
        /// Always null: there is no promise.
        class: (),
        /// Always null: there is no promise.
        expected: (),
        /// Always null: there is no promise.
        fact: (),
    },
}

impl<'a> Pair<'a> {
    pub(super) fn judged(
        probe: Option<&Probe>,
        promise: &'a PairPromise,
        judged: Judgement<'a>,
    ) -> Self {
        Self {
            from: &promise.from,
            to: &promise.to,
            protocol: promise.protocol,
            payload: probe.map(|probe| probe.payload),
            promised: Promised::Protection {
                class: promise.class,
                expected: promise.protection,
                least_payload: promise.payload,
                judged,
            },
        }
    }

    pub(super) fn unjudged(probe: &'a Probe) -> Self {
        Self {
            from: &probe.from,
            to: &probe.to,
            protocol: probe.protocol,
            payload: Some(probe.payload),
            promised: Promised::Nothing {
                verdict: "no promise",
                class: (),
                expected: (),
                fact: (),
            },
        }
    }

    /// What it came to, where something was promised.
    pub fn judgement(&self) -> Option<&Judgement<'a>> {
        match &self.promised {
            Promised::Protection { judged, .. } => Some(judged),
            Promised::Nothing { .. } => None,
        }
    }
}

/// `pod-5 → pod-65 udp must be encrypted (cross host, derived)`.
pub(super) fn sentence(promise: &PairPromise) -> String {
    let origin = match promise.origin {
        Origin::Derived => "derived".to_owned(),
        Origin::Stated { line } => format!("stated at line {line}"),
    };
    let payload = promise.payload.map(|bytes| format!(" with {bytes} bytes"));
    format!(
        "{} → {} {}{} must be {} ({}, {origin})",
        promise.from,
        promise.to,
        promise.protocol.as_str(),
        payload.unwrap_or_default(),
        promise.protection.as_str(),
        promise.class.as_str()
    )
}
