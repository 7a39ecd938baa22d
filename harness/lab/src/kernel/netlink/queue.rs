//! Queueing disciplines: netem, which delays what leaves an interface.

use futures_util::StreamExt;
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use crate::base::error::LabError;

use super::Netlink;

/// `TCA_OPTIONS` (Linux: `rtnetlink.h`).
const OPTIONS: u16 = 2;

/// `TCA_NETEM_REORDER`, `_LATENCY64` and `_JITTER64` (Linux: `pkt_sched.h`).
const REORDER: u16 = 3;
const LATENCY: u16 = 10;
const JITTER: u16 = 11;

/// Packets that may wait.
const LIMIT: u32 = 100_000;

/// What netem does to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delay {
    /// The delay, in milliseconds.
    pub(crate) millis: u16,
    /// More or less of them, evenly distributed.
    pub(crate) jitter: u16,
    /// So many of a hundred are sent at once.
    pub(crate) reorder: u16,
}

impl Netlink {
    /// Delays what leaves an interface, in place of any delay before.
    pub(crate) fn delay(&self, index: u32, delay: Delay) -> Result<(), LabError> {
        let options = DefaultNla::new(OPTIONS, options(delay));
        let message = queue(
            index,
            vec![
                TcAttribute::Kind("netem".into()),
                TcAttribute::Other(options),
            ],
        );
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        let message = RouteNetlinkMessage::NewQueueDiscipline(message);
        self.ask("set a delay (sch_netem)", message, flags)
    }

    /// Undoes [`delay`](Self::delay).
    pub(crate) fn delay_no_more(&self, index: u32) -> Result<(), LabError> {
        let message = RouteNetlinkMessage::DelQueueDiscipline(queue(index, Vec::new()));
        self.ask("end a delay", message, 0)
    }

    fn ask(
        &self,
        operation: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), LabError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut handle = self.handle.clone();
        self.run(operation, async move {
            let mut answers = handle.request(request)?;
            while let Some(answer) = answers.next().await {
                if let NetlinkPayload::Error(error) = answer.payload
                    && error.code.is_some()
                {
                    return Err(rtnetlink::Error::NetlinkError(error));
                }
            }
            Ok(())
        })
    }
}

/// About an interface's root queue.
fn queue(index: u32, attributes: Vec<TcAttribute>) -> TcMessage {
    let mut message = TcMessage::with_index(i32::try_from(index).unwrap_or_default());
    message.header.parent = TcHandle::ROOT;
    message.attributes = attributes;
    message
}

/// `struct tc_netem_qopt` with a limit only, then the attributes with the times in nanoseconds.
fn options(delay: Delay) -> Vec<u8> {
    let percent = |share: u16| u32::MAX / 100 * u32::from(share);
    let nanos = |millis: u16| i64::from(millis) * 1_000_000;
    // Without a gap no packet overtakes another.
    let gap = u32::from(delay.reorder > 0);
    let mut bytes = Vec::new();
    for word in [0, LIMIT, 0, gap, 0, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    attribute(&mut bytes, LATENCY, &nanos(delay.millis).to_ne_bytes());
    attribute(&mut bytes, JITTER, &nanos(delay.jitter).to_ne_bytes());
    if delay.reorder > 0 {
        let (probability, correlation) = (percent(delay.reorder), 0_u32);
        let value = [probability.to_ne_bytes(), correlation.to_ne_bytes()].concat();
        attribute(&mut bytes, REORDER, &value);
    }
    bytes
}

/// Type, length and value, whose length is a multiple of four.
fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `tc qdisc add dev lo root netem delay 20ms 5ms reorder 25% limit 100000` sends it, with
    /// nanoseconds in place of ticks.
    #[test]
    fn a_delay_is_sent_in_nanoseconds() {
        let bytes = options(Delay {
            millis: 20,
            jitter: 5,
            reorder: 25,
        });
        assert_eq!(bytes.len(), 24 + 12 + 12 + 12);
        assert_eq!(bytes[4..8], 100_000_u32.to_ne_bytes());
        assert_eq!(bytes[12..16], 1_u32.to_ne_bytes());
        assert_eq!(
            bytes[24..28],
            [12_u16.to_ne_bytes(), 10_u16.to_ne_bytes()].concat()
        );
        assert_eq!(bytes[28..36], 20_000_000_i64.to_ne_bytes());
        assert_eq!(bytes[40..48], 5_000_000_i64.to_ne_bytes());
        assert_eq!(bytes[52..56], (u32::MAX / 100 * 25).to_ne_bytes());
    }
}
