//! Calico's selectors: expressions over labels (Calico: `libcalico-go/lib/selector`).
//!
//! ```text
//! or    = and {"||" and}
//! and   = term {"&&" term}
//! term  = {"!"} ("(" or ")" | "all()" | "global()" | "has(" label ")" | label test)
//! test  = ("==" | "!=" | "contains" | "starts with" | "ends with") text
//!       | ("in" | "not in") "{" [text {"," text}] "}"
//! ```
//!
//! Texts are in single or double quotes. An empty selector is `all()`.

use std::collections::{BTreeMap, BTreeSet};

/// How deep parentheses may be inside of each other.
const MAX_DEPTH: usize = 64;

/// What makes a label belong to a namespace, which `global()` is none of.
const NAMESPACE: &str = "projectcalico.org/namespace";

/// A selector that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `all()`, and the empty selector.
    All,
    /// `global()`: what belongs to no namespace.
    Global,
    /// `has(label)`.
    Has(String),
    /// A label, and what is asked of its value.
    Test(String, Test),
    /// `! selector`.
    Not(Box<Self>),
    /// `&&` between all of them.
    And(Vec<Self>),
    /// `||` between all of them.
    Or(Vec<Self>),
}

/// What is asked of a label's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `==`.
    Equals(String),
    /// Also of a label that is not there.
    Differs(String),
    /// `contains`.
    Contains(String),
    /// `starts with`.
    StartsWith(String),
    /// `ends with`.
    EndsWith(String),
    /// `in`: one of these.
    In(BTreeSet<String>),
    /// Also of a label that is not there.
    NotIn(BTreeSet<String>),
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// It is none: what is wrong, as a predicate.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text };
        if parser.skip().is_empty() {
            return Ok(Self::All);
        }
        let selector = parser.or(0)?;
        match parser.skip() {
            "" => Ok(selector),
            rest => Err(format!("has `{rest}` after its end")),
        }
    }

    /// Whether it selects what has these labels.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::All => true,
            Self::Global => !labels.contains_key(NAMESPACE),
            Self::Has(label) => labels.contains_key(label),
            Self::Not(inner) => !inner.selects(labels),
            Self::And(all) => all.iter().all(|inner| inner.selects(labels)),
            Self::Or(any) => any.iter().any(|inner| inner.selects(labels)),
            Self::Test(label, test) => {
                let value = labels.get(label);
                let has = |fits: &dyn Fn(&String) -> bool| value.is_some_and(fits);
                match test {
                    Test::Equals(text) => value == Some(text),
                    Test::Differs(text) => value != Some(text),
                    Test::Contains(text) => has(&|value| value.contains(text)),
                    Test::StartsWith(text) => has(&|value| value.starts_with(text)),
                    Test::EndsWith(text) => has(&|value| value.ends_with(text)),
                    Test::In(texts) => has(&|value| texts.contains(value)),
                    Test::NotIn(texts) => !has(&|value| texts.contains(value)),
                }
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// What is left after spaces.
    fn skip(&mut self) -> &'a str {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        self.rest
    }

    /// Takes a word, if it comes next.
    fn take(&mut self, word: &str) -> bool {
        match self.skip().strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        match self.take(word) {
            true => Ok(()),
            false => Err(self.lacks(&format!("`{word}`"))),
        }
    }

    fn lacks(&mut self, what: &str) -> String {
        match self.skip() {
            "" => format!("ends where {what} must be"),
            rest => format!("has `{rest}` where {what} must be"),
        }
    }

    fn or(&mut self, depth: usize) -> Result<Selector, String> {
        let mut any = vec![self.and(depth)?];
        while self.take("||") {
            any.push(self.and(depth)?);
        }
        Ok(match any.len() {
            1 => any.remove(0),
            _ => Selector::Or(any),
        })
    }

    fn and(&mut self, depth: usize) -> Result<Selector, String> {
        let mut all = vec![self.term(depth)?];
        while self.take("&&") {
            all.push(self.term(depth)?);
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Selector::And(all),
        })
    }

    fn term(&mut self, depth: usize) -> Result<Selector, String> {
        let mut negated = false;
        while self.take("!") {
            negated = !negated;
        }
        let term = self.positive(depth)?;
        Ok(match negated {
            true => Selector::Not(Box::new(term)),
            false => term,
        })
    }

    fn positive(&mut self, depth: usize) -> Result<Selector, String> {
        if self.take("(") {
            if depth == MAX_DEPTH {
                return Err(format!("goes deeper than {MAX_DEPTH} parentheses"));
            }
            let inner = self.or(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        for (word, selector) in [("all(", Selector::All), ("global(", Selector::Global)] {
            if self.take(word) {
                self.expect(")")?;
                return Ok(selector);
            }
        }
        if self.take("has(") {
            let label = self.label()?;
            self.expect(")")?;
            return Ok(Selector::Has(label));
        }
        let label = self.label()?;
        Ok(Selector::Test(label, self.test()?))
    }

    fn label(&mut self) -> Result<String, String> {
        let rest = self.skip();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_./-".contains(c)));
        let (label, after) = rest.split_at(end.unwrap_or(rest.len()));
        if !(1..=512).contains(&label.len()) {
            return Err(self.lacks("a label"));
        }
        self.rest = after;
        Ok(label.to_owned())
    }

    fn test(&mut self) -> Result<Test, String> {
        if self.take("==") {
            return self.text().map(Test::Equals);
        }
        if self.take("!=") {
            return self.text().map(Test::Differs);
        }
        if self.take("contains") {
            return self.text().map(Test::Contains);
        }
        if self.take("starts") {
            self.expect("with")?;
            return self.text().map(Test::StartsWith);
        }
        if self.take("ends") {
            self.expect("with")?;
            return self.text().map(Test::EndsWith);
        }
        if self.take("not") {
            self.expect("in")?;
            return self.texts().map(Test::NotIn);
        }
        if self.take("in") {
            return self.texts().map(Test::In);
        }
        Err(self.lacks("==, !=, in, not in, contains, starts with or ends with"))
    }

    fn text(&mut self) -> Result<String, String> {
        for quote in ['"', '\''] {
            if let Some(rest) = self.skip().strip_prefix(quote) {
                let (text, after) = rest
                    .split_once(quote)
                    .ok_or_else(|| format!("has no {quote} at the end of a text"))?;
                self.rest = after;
                return Ok(text.to_owned());
            }
        }
        Err(self.lacks("a text in quotes"))
    }

    fn texts(&mut self) -> Result<BTreeSet<String>, String> {
        self.expect("{")?;
        let mut texts = BTreeSet::new();
        while !self.take("}") {
            texts.insert(self.text()?);
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selects(selector: &str) -> bool {
        let labels = [("gpu", "a100"), ("zone", "west-1"), ("k8s.io/os", "linux")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parsed = Selector::parse(selector).unwrap_or_else(|wrong| panic!("{selector} {wrong}"));
        parsed.selects(&labels.into())
    }

    #[test]
    fn every_part_of_the_grammar_selects_the_right_labels() {
        for selector in [
            "",
            "  ",
            "all()",
            "global()",
            "has(gpu)",
            "has( k8s.io/os )",
            "!has(x)",
            "!!has(gpu)",
            "gpu == 'a100'",
            "gpu == \"a100\"",
            "gpu!='x'",
            "x != 'y'",
            "gpu in {'a100', 'b'}",
            "gpu not in {'b'}",
            "x not in {'b'}",
            "zone contains 'st'",
            "zone starts with 'west'",
            "zone ends with '-1'",
            "has(x) || has(gpu) && has(zone)",
            "all() || has(x) && has(x)",
            "(has(x) || has(gpu)) && !(zone == 'east')",
            "gpu in {'a100',}",
            "x not in {}",
            "!x == 'y'",
            "zone starts\twith 'w'",
            "has(all) || all()",
            "gpu notin {'b'}",
        ] {
            assert!(selects(selector), "{selector}");
        }
        for selector in [
            "!all()",
            "has(x)",
            "gpu == 'A100'",
            "x == ''",
            "gpu in {}",
            "gpu in {'b'}",
            "x contains ''",
            "gpu not in {'a100'}",
            "(has(x) || has(gpu)) && has(x)",
            "!(has(gpu) || has(x))",
        ] {
            assert!(!selects(selector), "{selector}");
        }
    }

    #[test]
    fn a_wrong_selector_is_reported_with_what_is_wrong() {
        for (selector, what) in [
            (
                "gpu",
                "ends where ==, !=, in, not in, contains, starts with or ends with must be",
            ),
            ("gpu = 'x'", "has `= 'x'` where ==, !="),
            ("gpu == x", "has `x` where a text in quotes must be"),
            ("gpu == 'x", "has no ' at the end of a text"),
            ("has(gpu", "ends where `)` must be"),
            ("has(gpu))", "has `)` after its end"),
            ("has(gpu) &&", "ends where a label must be"),
            ("has(gpu) & has(x)", "has `& has(x)` after its end"),
            ("gpu in {'a' 'b'}", "has `'b'}` where `}` must be"),
            ("has()", "has `)` where a label must be"),
        ] {
            let wrong = Selector::parse(selector).unwrap_err();
            assert!(wrong.starts_with(what), "{selector}: {wrong}");
        }
        let deep = format!("{}all(){}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(Selector::parse(&deep).unwrap_err().contains("deeper"));
        let bangs = format!("{}all()", "!".repeat(100_000));
        assert!(Selector::parse(&bangs).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ !(){}&|='\",a-hä]{0,40}") {
            let _ = Selector::parse(&text);
        }

        #[test]
        fn not_is_the_opposite(has in "[a-c]", value in "[a-c]", label in "[a-c]") {
            let labels = BTreeMap::from([(has, value)]);
            for test in ["== 'a'", "!= 'a'", "in {'a', 'b'}", "not in {'b'}", "contains 'c'"] {
                let of = |text: String| Selector::parse(&text).unwrap().selects(&labels);
                prop_assert_ne!(of(format!("{label} {test}")), of(format!("!({label} {test})")));
            }
        }
    }
}
