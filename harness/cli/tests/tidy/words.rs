//! Words that no identifier has: each stood for an idea for which the field has a word of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

/// The banned word, and the one to write instead.
const BANNED: &[(&str, &str)] = &[
    ("weather", "impairment or fabric effect"),
    ("harm", "impairment"),
    ("mend", "clear impairments"),
    ("intrusion", "spoof"),
    ("intrude", "spoof"),
    ("forged", "spoofed"),
    ("forge", "spoof"),
    ("forger", "spoof sender"),
    ("forgery", "spoof"),
    ("rightful", "genuine"),
    ("court", "judge"),
    ("studio", "capture thread"),
    ("desk", "capture or servers"),
    ("lamp", "beacon sender"),
    ("vessel", "socket"),
    ("portrait", "run traits"),
    ("portraits", "dataplane texts"),
    ("outline", "plan text"),
    ("inquiry", "judge"),
    ("passage", "step window"),
    ("wishes", "options"),
    ("hands", "executor"),
    ("obey", "run, or the verb that is meant"),
];

/// The words of an identifier, in lower case: `StepWindow` and `step_window` have the same.
fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in identifier.chars() {
        let begins = c == '_' || c.is_uppercase() && after_lower;
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase() || c.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

fn identifiers(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Ident(ident) => drop(found.insert(ident.to_string())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// What is wrong with the identifiers of a text of Rust, a line each.
fn wrong_words(text: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    identifiers(text.parse().expect("it is Rust"), &mut found);
    let wrong = found.iter().filter_map(|identifier| {
        let words = words(identifier);
        let mut banned = BANNED.iter();
        let (word, instead) = banned.find(|(word, _)| words.iter().any(|part| part == word))?;
        Some(format!(
            "`{identifier}` has the word `{word}`: write {instead}"
        ))
    });
    wrong.collect()
}

/// The same of files.
pub(crate) fn of(files: &[impl AsRef<Path>]) -> Vec<String> {
    let of_file = |path: &Path| {
        let wrong = wrong_words(&fs::read_to_string(path).unwrap());
        let named = wrong.into_iter();
        named
            .map(|what| format!("{}: {what}", path.display()))
            .collect::<Vec<_>>()
    };
    files
        .iter()
        .flat_map(|path| of_file(path.as_ref()))
        .collect()
}

#[test]
fn a_banned_word_is_found_in_every_style_and_not_in_text() {
    for (text, count) in [
        ("struct PairCourt;", 1),
        ("fn is_harm() {}", 1),
        ("const HANDS: u8 = 1;", 1),
        ("m!(x.old_lamp);", 1),
        ("struct Courtesy;", 0),
        ("fn charm() {}", 0),
        ("const A: &str = \"desk\"; // lamp", 0),
        ("fn forget() {}", 0),
    ] {
        assert_eq!(wrong_words(text).len(), count, "{text}");
    }
}
