//! What is sent: probes, flows, packets of chosen sizes, transfers and spoofed packets.

/// What answers the probes: a UDP and a TCP socket at every endpoint.
pub(crate) mod responder;

/// Tagged packets from endpoint to endpoint.
pub(crate) mod probe;

/// Numbered packets from endpoint to endpoint while everything else happens.
pub(crate) mod flow;

/// What watches the cluster while it changes: the observers, and the flows that they see.
pub(crate) mod witness;

/// Packets of chosen sizes, and what becomes of them.
pub(crate) mod size_probe;

/// Transfers over TCP that fill packets.
pub(crate) mod bulk;

/// Packets with a source that is another's.
pub(crate) mod spoof;
