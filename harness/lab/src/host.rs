//! The capabilities and the memory of this machine.

/// Capabilities of this machine, and what each missing one costs.
pub mod preflight;

/// Requirements of scenarios that not every machine meets: whether this one does.
pub mod need;

/// The memory that a run will need, and whether there is as much.
pub mod memory;
