//! The position of a flow at a time, and whether it has progressed since.

use wireproof_model::plan::FlowId;

use super::Logs;

/// How many packets a flow had sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    flow: FlowId,
    sent: usize,
    /// Whether what it sends must arrive.
    arrives: bool,
}

impl Mark {
    pub(super) fn at(flow: FlowId, arrives: bool, logs: &Logs) -> Self {
        let sent = logs.flows.get(&flow).map_or(0, |log| log.packets.len());
        Self {
            flow,
            sent,
            arrives,
        }
    }

    /// Whether a later packet has been sent, and has arrived where it must.
    pub(super) fn is_passed(&self, logs: &Logs) -> bool {
        logs.flows.get(&self.flow).is_some_and(|log| {
            let reached = match self.arrives {
                true => log.arrived,
                false => log.packets.len(),
            };
            reached > self.sent
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wireproof_model::evidence::Nanos;

    use super::super::Log;
    use super::*;

    /// A step that settles before the next packet is due must not end without one: nothing would be proven of it.
    #[test]
    fn a_step_lasts_until_each_flow_has_sent_and_those_that_must_arrive_have() {
        let id = FlowId(0);
        let passed = |arrives: bool, before: &Logs, after: &Logs| {
            Mark::at(id, arrives, before).is_passed(after)
        };
        let at = |sent: usize, arrived: usize| {
            let mut log = Log::default();
            log.packets.resize(sent, (Nanos(0), None));
            log.arrived = arrived;
            let flows = BTreeMap::from([(id, log)]);
            Logs {
                flows,
                ..Logs::default()
            }
        };
        for (before, after, arrives, expected) in [
            (at(3, 0), at(3, 0), false, false),
            (at(3, 0), at(4, 0), false, true),
            (at(3, 2), at(4, 3), true, false),
            (at(3, 2), at(4, 4), true, true),
            (Logs::default(), at(1, 0), false, true),
        ] {
            assert_eq!(passed(arrives, &before, &after), expected);
        }
    }
}
