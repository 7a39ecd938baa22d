//! Plan and evidence to verdicts.
