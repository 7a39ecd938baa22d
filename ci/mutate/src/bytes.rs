//! Mutations of a file's bytes, whatever they mean.

use crate::random::Random;

/// What parsers, terminals and logs take specially: controls, marks of direction and order, line ends,
/// and bytes that are not UTF-8.
const INSERTED: &[&[u8]] = &[
    b"\0",
    b"\x01",
    b"\x07",
    b"\x08",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\x1b[31m",
    b"\x1b]0;title\x07",
    b"\x7f",
    b"\xc2\x85",     // U+0085, a line end of ISO 6429
    b"\xc2\x9b1m",   // U+009B, ESC [ in one character
    b"\xe2\x80\xa8", // U+2028, a line end of Unicode
    b"\xe2\x80\xae", // U+202E, right to left
    b"\xef\xbb\xbf", // the byte order mark
    b"\xef\xbf\xbf", // U+FFFF, which is no character
    b"\xff",
    b"\xfe\xff",         // the byte order mark of UTF-16
    b"\xc0\x80",         // an overlong NUL
    b"\xed\xa0\x80",     // a surrogate
    b"\xf4\x90\x80\x80", // above U+10FFFF
    b"\xe4\xba",         // a character without its last byte
    "\u{1f9ff}".as_bytes(),
    "e\u{301}\u{302}\u{303}".as_bytes(),
    "\u{3000}".as_bytes(),
    b"\"",
    b"'",
    b"\\",
    b"\"\"\"",
    b"[",
    b"]",
    b"{",
    b"}",
    b"=",
    b":",
    b",",
    b"#",
    b"---\n",
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"!!binary ",
    b"%s%n",
];

/// How long a line gets that is made very long, in bytes: around the limits of 64 KiB for a line.
const LONG: &[usize] = &[300, 4096, 65_535, 65_537, 200_000];

/// Changes one thing.
pub(crate) fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len() + 1);
    match random.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next().to_le_bytes()[0];
            }
        }
        2 => drop(bytes.drain(random.part(bytes.len(), 64))),
        3 => {
            let part = bytes[random.part(bytes.len(), 200)].to_vec();
            drop(bytes.splice(at..at, part));
        }
        4 => bytes.truncate(at),
        5 => {
            let part = bytes[random.part(bytes.len(), 20)].to_vec();
            let end = (at + part.len()).min(bytes.len());
            drop(bytes.splice(at..end, part));
        }
        6 if random.once_in(4) => {
            let length = random.pick(LONG).copied().unwrap_or_default();
            let byte = bytes.get(at).copied().unwrap_or(b'x');
            drop(bytes.splice(at..at, vec![byte; length]));
        }
        _ => {
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() + 1);
                let inserted = random.pick(INSERTED).copied().unwrap_or_default();
                drop(bytes.splice(at..at, inserted.iter().copied()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_is_changed_down_to_nothing() {
        let mut random = Random::of_case(1, 1);
        let mut lengths = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let mut bytes = b"title = \"two nodes\"\n".to_vec();
            mutate(&mut random, &mut bytes);
            mutate(&mut random, &mut bytes);
            lengths.insert(bytes.len());
            let mut nothing = Vec::new();
            mutate(&mut random, &mut nothing);
        }
        assert!(lengths.contains(&0) && lengths.last() > Some(&65_537));
    }
}
