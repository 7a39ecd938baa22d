//! The word that was probably meant.

use strsim::damerau_levenshtein;

/// The known word that is nearest to `word`, if one is near. `node-3` is no slip for `node-1`:
/// words that differ in their digits only are meant to differ.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |word: &str| word.replace(|c: char| c.is_ascii_digit(), "");
    let meant = letters(word);
    known
        .into_iter()
        .filter(|candidate| letters(candidate) != meant)
        .map(|candidate| (damerau_levenshtein(word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.chars().count() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_has_a_nearest_word_and_another_word_has_none() {
        let known = ["strict", "plain-nodes", "node-1"];
        assert_eq!(nearest("strcit", known), Some("strict"));
        assert_eq!(nearest("plain-node", known), Some("plain-nodes"));
        assert_eq!(nearest("nod-1", known), Some("node-1"));
        assert_eq!(nearest("node-2", known), None);
        assert_eq!(nearest("moon", known), None);
    }
}
