//! Traffic of the lab: probes, flows, packets of chosen sizes, transfers and spoofed packets.

/// Responders to the probes: a UDP and a TCP socket at every endpoint.
pub(crate) mod responder;

/// Probes: tagged packets from endpoint to endpoint.
pub(crate) mod probe;

/// Flows: numbered packets from endpoint to endpoint throughout the run.
pub(crate) mod flow;

/// Witnesses of the cluster while it changes: the observers, and the flows that they capture.
pub(crate) mod witness;

/// Size probes: packets of chosen sizes, and whether they arrive.
pub(crate) mod size_probe;

/// Bulk transfers over TCP that fill packets.
pub(crate) mod bulk;

/// Spoofed packets: with a source that is another's.
pub(crate) mod spoof;
