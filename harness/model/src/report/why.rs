//! Explanations of broken promises as text.

use super::table::wrapped;
use crate::verdict::Explanation;

/// Columns of what stands before each part.
const INDENT: usize = 14;

/// The explanation of one promise, in lines that fit a terminal.
pub(super) fn describe(why: &Explanation) -> String {
    let mut text = cause(&why.cause);
    for (name, value) in [
        ("    lookup    ", &why.lookup),
        ("    won       ", &why.won),
        ("    expected  ", &why.expected),
    ] {
        if let Some(value) = value {
            text += &part(name, value);
        }
    }
    if !why.moved.is_empty() {
        text += &part("    moved     ", &why.moved.join(", "));
    }
    text
}

/// A cause alone.
pub(super) fn cause(cause: &str) -> String {
    part("  why:        ", cause)
}

fn part(name: &str, value: &str) -> String {
    format!("{name}{}\n", wrapped(value.split(' '), INDENT, INDENT))
}
