//! Search of many texts in many others, in a time that grows with their bytes: Aho and Corasick, "Efficient
//! string matching: an aid to bibliographic search" (1975).

/// For each text and each part the first of the others that it has to do with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matches {
    /// For each text the first part that is in it.
    pub(super) first_parts: Vec<Option<usize>>,
    /// For each part the first text that it is in.
    pub(super) first_texts: Vec<Option<usize>>,
}

impl Matches {
    /// What of `parts` is in which of `texts`.
    pub(super) fn of(texts: &[&str], parts: &[&str]) -> Self {
        let mut trie = Trie::new();
        let ends: Vec<usize> = parts
            .iter()
            .map(|part| trie.insert(part.as_bytes()))
            .collect();
        for (number, end) in ends.iter().enumerate() {
            trie.states[*end].part.get_or_insert(number);
        }
        let order = trie.link();
        let first_parts = texts.iter().enumerate();
        let first_parts = first_parts.map(|(number, text)| trie.read(number, text.as_bytes()));
        let first_parts = first_parts.collect();
        // Where a state was passed, so was each that its own text ends with.
        for state in order.into_iter().rev() {
            let passed = trie.states[state].text;
            let suffix = trie.states[state].suffix;
            let shorter = &mut trie.states[suffix].text;
            *shorter = earlier(*shorter, passed);
        }
        Self {
            first_parts,
            first_texts: ends.iter().map(|end| trie.states[*end].text).collect(),
        }
    }
}

/// The beginnings of all parts.
struct Trie {
    states: Vec<State>,
}

/// One beginning of parts. State 0 is the empty one.
#[derive(Default)]
struct State {
    /// The last byte of it.
    byte: u8,
    /// The first that is longer by a byte; 0 is none.
    child: usize,
    /// The next that has the same bytes but the last one; 0 is none.
    sibling: usize,
    /// The longest other beginning that it ends with.
    suffix: usize,
    /// The first part that it ends with.
    part: Option<usize>,
    /// The first text that it was found in.
    text: Option<usize>,
}

impl Trie {
    fn new() -> Self {
        Self {
            states: vec![State::default()],
        }
    }

    /// Adds a part, and returns its state.
    fn insert(&mut self, part: &[u8]) -> usize {
        let mut here = 0;
        for byte in part {
            here = match self.child(here, *byte) {
                Some(child) => child,
                None => {
                    let new = self.states.len();
                    self.states.push(State {
                        byte: *byte,
                        sibling: self.states[here].child,
                        ..State::default()
                    });
                    self.states[here].child = new;
                    new
                }
            };
        }
        here
    }

    fn child(&self, state: usize, byte: u8) -> Option<usize> {
        self.children(state)
            .find(|child| self.states[*child].byte == byte)
    }

    /// At most 256.
    fn children(&self, state: usize) -> impl Iterator<Item = usize> {
        let some = |state: usize| (state != 0).then_some(state);
        std::iter::successors(some(self.states[state].child), move |child| {
            some(self.states[*child].sibling)
        })
    }

    /// The longest beginning after one more byte.
    fn step(&self, mut state: usize, byte: u8) -> usize {
        loop {
            match self.child(state, byte) {
                Some(child) => return child,
                None if state == 0 => return 0,
                None => state = self.states[state].suffix,
            }
        }
    }

    /// Finds what each state ends with. Returns all states but the empty one, short ones first.
    fn link(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = self.children(0).collect();
        let mut next = 0;
        while let Some(&state) = order.get(next) {
            next += 1;
            let suffix = self.states[state].suffix;
            let shorter = self.states[suffix].part;
            let part = &mut self.states[state].part;
            *part = earlier(*part, shorter);
            let children: Vec<usize> = self.children(state).collect();
            for child in children {
                let byte = self.states[child].byte;
                self.states[child].suffix = self.step(suffix, byte);
                order.push(child);
            }
        }
        order
    }

    /// Notes where a text passes, and returns the first part in it.
    fn read(&mut self, number: usize, text: &[u8]) -> Option<usize> {
        let mut state = 0;
        let mut first = self.states[0].part;
        self.states[0].text.get_or_insert(number);
        for byte in text {
            state = self.step(state, *byte);
            self.states[state].text.get_or_insert(number);
            first = earlier(first, self.states[state].part);
        }
        first
    }
}

/// The smaller number, where there is one.
fn earlier(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_by_one(texts: &[&str], parts: &[&str]) -> Matches {
        let first_part = |text: &&str| parts.iter().position(|part| text.contains(part));
        let first_text = |part: &&str| texts.iter().position(|text| text.contains(part));
        Matches {
            first_parts: texts.iter().map(first_part).collect(),
            first_texts: parts.iter().map(first_text).collect(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn each_match_is_found(
            texts in prop::collection::vec("[abä]{0,8}", 0..6),
            parts in prop::collection::vec("[abä]{0,4}", 0..6),
        ) {
            let texts: Vec<_> = texts.iter().map(String::as_str).collect();
            let parts: Vec<_> = parts.iter().map(String::as_str).collect();
            prop_assert_eq!(Matches::of(&texts, &parts), one_by_one(&texts, &parts));
        }
    }
}
