//! What this machine can do and has room for.

/// What this machine can do, and what each missing thing costs.
pub mod preflight;

/// What scenarios need that not every machine has, and whether this one has it.
pub mod need;

/// What memory a run will need, and whether there is as much.
pub mod memory;
