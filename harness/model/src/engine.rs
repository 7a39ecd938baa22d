//! How to run an engine under test.
