//! Line numbers of places in a text.

/// The beginnings of all lines of one text.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Bytes from the beginning of the text, in order.
    starts: Vec<usize>,
}

impl Lines {
    /// Those of `text`.
    pub(crate) fn of(text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    /// The line of a place in bytes, counted from 1.
    pub(crate) fn line(&self, place: usize) -> u32 {
        let line = self.starts.partition_point(|start| *start <= place);
        u32::try_from(line).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn a_line_break_belongs_to_the_line_that_it_ends() {
        let lines = Lines::of("ab\ncd\n\nx");
        let found: Vec<_> = (0..=9).map(|place| lines.line(place)).collect();
        assert_eq!(found, [1, 1, 1, 2, 2, 2, 3, 4, 4, 4]);
        assert_eq!(Lines::of("").line(0), 1);
    }
}
