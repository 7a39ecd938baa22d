//! The words and forms of keys, each list once, and paragraphs about keys.

use std::fmt::Write as _;

use crate::document::KeyGrammar;

use super::markdown;

/// What stands below a table of keys.
pub(super) fn details(page: &mut String, keys: &[&KeyGrammar]) {
    let mut listed: Vec<&KeyGrammar> = Vec::new();
    for key in keys {
        let choices = key.value.choices();
        let same = |other: &&KeyGrammar| other.value.choices() == choices;
        if choices.is_empty() || listed.iter().any(same) {
            continue;
        }
        listed.push(key);
        let names = keys.iter().filter(|key| same(key)).map(|key| key.name);
        let mut names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
        names.dedup();
        // Writing to a string cannot fail.
        let _ = write!(page, "{}:\n\n", names.join(", "));
        for choice in choices {
            let item = format!("`{}`: {}", choice.word, choice.doc);
            page.push_str(&markdown::item(&item));
        }
        page.push('\n');
    }
    let mut paragraphs: Vec<_> = keys.iter().map(|key| key.more).collect();
    paragraphs.dedup();
    paragraphs.into_iter().for_each(|text| more(page, text));
}

/// Paragraphs, if there are any.
pub(super) fn more(page: &mut String, text: &str) {
    if !text.is_empty() {
        let _ = write!(page, "{}\n\n", text.trim_end());
    }
}
