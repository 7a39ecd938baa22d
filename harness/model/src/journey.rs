//! The way of one probe.
