//! Verdicts told.
