//! What can be wrong with a scenario.
