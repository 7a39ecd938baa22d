//! Counted nouns: a number with the noun in the singular or plural.

use std::fmt::Display;

/// The plural of a noun, or of the noun that a phrase such as `kind of fabric` begins with.
pub fn plural(noun: &str) -> String {
    if let Some((head, rest)) = noun.split_once(" of ") {
        return format!("{} of {rest}", plural(head));
    }
    let ends = |endings: &[&str]| endings.iter().any(|end| noun.ends_with(end));
    match noun.strip_suffix('y') {
        Some(stem) if !ends(&["ay", "ey", "oy", "uy"]) => format!("{stem}ies"),
        _ if ends(&["s", "x", "z", "ch", "sh"]) => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

/// A number and what it counts: `1 promise`, `2 promises`.
pub fn counted(count: impl TryInto<u64> + Display + Copy, noun: &str) -> String {
    match count.try_into() {
        Ok(1) => format!("{count} {noun}"),
        Ok(_) | Err(_) => format!("{count} {}", plural(noun)),
    }
}

#[cfg(test)]
mod tests {
    use super::{counted, plural};

    #[test]
    fn a_plural_is_english() {
        for (one, many) in [
            ("class", "classes"),
            ("key", "keys"),
            ("family", "families"),
            ("switch", "switches"),
            ("kind of fabric", "kinds of fabric"),
            ("endpoint", "endpoints"),
        ] {
            assert_eq!(plural(one), many);
        }
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(counted(1_usize, "promise"), "1 promise");
        assert_eq!(counted(0_u64, "promise"), "0 promises");
        assert_eq!(counted(2_u32, "class"), "2 classes");
    }
}
