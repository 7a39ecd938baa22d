//! Mutants of scenarios: TOML that is changed by lines, tables and values, so that much of it stays a
//! scenario, and then by bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use crate::bytes;
use crate::random::Random;

/// Values at the edges of what TOML, numbers, durations, networks and names can be.
const EDGES: &[&str] = &[
    "0",
    "1",
    "-1",
    "255",
    "65535",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1.5",
    "-0.0",
    "1e308",
    "1e-320",
    "nan",
    "-inf",
    "0x7fffffffffffffff",
    "0b1",
    "true",
    "false",
    "1979-05-27T07:32:00Z",
    "1979-02-30",
    "24:00:60",
    "[]",
    "[[]]",
    "[\"\"]",
    "[1, \"a\", true]",
    "{}",
    "{ a = { b = { c = 1 } } }",
    "\"\"",
    "\" \"",
    "'",
    "\"\"\"\na\nb\"\"\"",
    "\"a\\u0000b\"",
    "\"a\\u001b[31mb\\nc\"",
    "\"\\u202Eabc\"",
    "\"\\u0085\\u2028\"",
    "\"京都\"",
    "\"e\u{301}\u{1f9ff}\"",
    "\"..\"",
    "\"/\"",
    "\"-x\"",
    "\"@x\"",
    "\"all\"",
    "\"default\"",
    "\"lo\"",
    "\"eth0\"",
    "\"fabric\"",
    "\"abcdefghijklmno\"",
    "\"abcdefghijklmnop\"",
    "\"0s\"",
    "\"1ns\"",
    "\"1ms\"",
    "\"-5s\"",
    "\"1.5s\"",
    "\"1h30m\"",
    "\"99999999999999999999h\"",
    "\"9223372036854775807s\"",
    "\"18446744073709551615ms\"",
    "\"5\"",
    "\"0.0.0.0\"",
    "\"127.0.0.1\"",
    "\"224.0.0.1\"",
    "\"255.255.255.255\"",
    "\"169.254.1.1\"",
    "\"10.240.0.0\"",
    "\"10.240.0.1\"",
    "\"10.240.255.255\"",
    "\"10.241.0.1\"",
    "\"10.65.0.1\"",
    "\"198.51.100.255\"",
    "\"010.240.0.4\"",
    "\"::\"",
    "\"::1\"",
    "\"fd00::4\"",
    "\"fe80::1%eth0\"",
    "\"::ffff:10.240.0.4\"",
    "\"0.0.0.0/0\"",
    "\"10.240.0.0/16\"",
    "\"10.240.0.0/28\"",
    "\"10.240.0.0/31\"",
    "\"10.240.0.0/32\"",
    "\"10.240.0.0/33\"",
    "\"10.240.0.4/16\"",
    "\"255.255.255.255/1\"",
    "\"127.0.0.0/8\"",
    "\"::/0\"",
    "\"fd00::/64\"",
];

/// How many characters a name or a text gets that is made long.
const LONG: &[usize] = &[15, 16, 63, 64, 253, 254, 4096, 65_536, 300_000];

/// How often something is written again.
const MANY: &[usize] = &[2, 3, 16, 256];

/// A line of a file, with its end.
type Line = String;

/// A table with its header line, or what stands before the first one.
type Section = Vec<Line>;

/// Scenarios to start from.
#[derive(Debug)]
pub(crate) struct Seeds {
    files: Vec<Vec<Section>>,
    /// The values that each key has anywhere.
    values: BTreeMap<String, Vec<String>>,
    lines: Vec<Line>,
}

fn is_header(line: &str) -> bool {
    line.starts_with('[')
}

/// A line's key and value, if it has both.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let is_key = !is_header(line) && !line.starts_with('#');
    is_key.then(|| (key.trim(), value.trim()))
}

fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::new()];
    for line in text.split_inclusive('\n') {
        match sections.last_mut() {
            Some(section) if !is_header(line) => section.push(line.to_owned()),
            _ => sections.push(vec![line.to_owned()]),
        }
    }
    sections
}

impl Seeds {
    /// Every scenario of the repository at `root`, the wrong ones too.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for folder in [
            "scenarios",
            "fixtures/bad",
            "fixtures/broken",
            "fixtures/open",
            "fixtures/why",
        ] {
            texts(&root.join(folder), &mut files)?;
        }
        Ok(Self::new(&files))
    }

    fn new(texts: &[String]) -> Self {
        let files: Vec<_> = texts.iter().map(|text| sections(text)).collect();
        let lines: Vec<_> = files.iter().flatten().flatten().cloned().collect();
        let mut values = BTreeMap::<_, Vec<_>>::new();
        for (key, value) in lines.iter().filter_map(|line| entry(line)) {
            values
                .entry(key.to_owned())
                .or_default()
                .push(value.to_owned());
        }
        Self {
            files,
            values,
            lines,
        }
    }

    /// The mutant of a case.
    pub(crate) fn mutant(&self, random: &mut Random) -> Vec<u8> {
        let mut file = random.pick(&self.files).cloned().unwrap_or_default();
        // Half of them change once only: more of those stay scenarios, and are planned.
        let times = if random.once_in(2) {
            1
        } else {
            1 + random.below(4)
        };
        for _ in 0..times {
            self.mutate(random, &mut file);
        }
        let mut text = file.concat().concat().into_bytes();
        if random.once_in(5) {
            for _ in 0..=random.below(3) {
                bytes::mutate(random, &mut text);
            }
        }
        text
    }

    /// Changes one line, one table or one value.
    fn mutate(&self, random: &mut Random, file: &mut Vec<Section>) {
        let at = random.below(file.len());
        match random.below(16) {
            // Tables.
            0 => drop((file.len() > 1).then(|| file.remove(at))),
            1 => {
                let section = file.get(at).cloned().unwrap_or_default();
                let times = random.pick(MANY).copied().filter(|_| random.once_in(8));
                let to = random.below(file.len() + 1);
                drop(file.splice(to..to, vec![section; times.unwrap_or(1)]));
            }
            2 => {
                let other = random.below(file.len());
                file.swap(at, other);
            }
            3 => {
                // A table of another file.
                let other = random
                    .pick(&self.files)
                    .and_then(|other| random.pick(other));
                file.insert(at, other.cloned().unwrap_or_default());
            }
            4 => {
                // The second half of another file.
                let other = random.pick(&self.files).cloned().unwrap_or_default();
                file.truncate(at.max(1));
                file.extend(other.into_iter().skip(at));
            }
            // Lines.
            5..=7 => {
                let Some(section) = file.get_mut(at) else {
                    return;
                };
                let line = random.below(section.len());
                let to = random.below(section.len() + 1);
                match random.below(4) {
                    0 if line < section.len() => drop(section.remove(line)),
                    1 if line < section.len() => section.insert(to, section[line].clone()),
                    2 => section.insert(to, random.pick(&self.lines).cloned().unwrap_or_default()),
                    _ if line < section.len() => {
                        let moved = section.remove(line);
                        let to = random.below(file.len());
                        file[to].push(moved);
                    }
                    _ => {}
                }
            }
            // Values, and the keys they belong to.
            _ => {
                let Some(section) = file.get_mut(at) else {
                    return;
                };
                let line = random.below(section.len());
                if let Some(line) = section.get_mut(line) {
                    *line = self.other_line(random, line);
                }
            }
        }
    }

    /// The line with another value, another key, or another word in it.
    fn other_line(&self, random: &mut Random, line: &str) -> String {
        let Some((key, value)) = entry(line) else {
            return other_word(random, line);
        };
        let edge = |random: &mut Random| random.pick(EDGES).copied().unwrap_or_default().to_owned();
        let (key, value) = match random.below(12) {
            0..=3 => (key.to_owned(), edge(random)),
            4 | 5 => {
                let others = self.values.get(key).map_or(&[][..], Vec::as_slice);
                (
                    key.to_owned(),
                    random.pick(others).cloned().unwrap_or_default(),
                )
            }
            6 => (key.to_owned(), format!("[{value}, {}]", edge(random))),
            7 => (key.to_owned(), nested(random, value)),
            8 => {
                let length = random.pick(LONG).copied().unwrap_or_default();
                let c = random
                    .pick(&['a', '0', '-', 'é', '9'])
                    .copied()
                    .unwrap_or_default();
                let text: String = std::iter::repeat_n(c, length).collect();
                (
                    key.to_owned(),
                    if random.once_in(3) {
                        text
                    } else {
                        format!("\"{text}\"")
                    },
                )
            }
            9 => {
                let keys: Vec<_> = self.values.keys().cloned().collect();
                (
                    random.pick(&keys).cloned().unwrap_or_default(),
                    value.to_owned(),
                )
            }
            10 => (format!("{key}s"), value.to_owned()),
            _ => return other_word(random, line),
        };
        format!("{key} = {value}\n")
    }
}

/// A value that goes deep.
fn nested(random: &mut Random, value: &str) -> String {
    let depth = random
        .pick(&[1, 2, 79, 80, 81, 1000, 20_000])
        .copied()
        .unwrap_or_default();
    match random.below(3) {
        0 => format!("{}{value}{}", "[".repeat(depth), "]".repeat(depth)),
        1 => format!("{}{value}{}", "{ a = ".repeat(depth), " }".repeat(depth)),
        _ => "[".repeat(depth),
    }
}

/// The line with one of its words or numbers changed.
fn other_word(random: &mut Random, line: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut words: Vec<_> = line
        .split(|c: char| !is_word(c))
        .filter(|word| !word.is_empty())
        .collect();
    words.dedup();
    let Some(word) = random.pick(&words) else {
        return format!("{line}{line}");
    };
    let other = match (word.parse::<u64>(), random.below(8)) {
        (Ok(number), 0 | 1) => number.wrapping_add(1).to_string(),
        (Ok(number), 2 | 3) => number.wrapping_sub(1).to_string(),
        (Ok(number), 4) => number.wrapping_mul(1000).to_string(),
        (_, 5) => String::new(),
        (_, 6) => format!("{word}{word}"),
        _ => random.pick(&words).copied().unwrap_or_default().to_owned(),
    };
    line.replacen(word, &other, 1 + random.below(2))
}

/// The text of each `.toml` file below a folder, in the order of their paths.
fn texts(folder: &Path, into: &mut Vec<String>) -> io::Result<()> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            texts(&path, into)?;
        } else if path.extension().is_some_and(|end| end == "toml") {
            into.push(String::from_utf8_lossy(&fs::read(&path)?).into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 2] = [
        "title = \"one\"\n[node.ada]\npods = [\"web\"]\n[[step]]\naction = \"enable\"\n",
        "title = \"two\"\n[fabric]\nmtu = 1500\n",
    ];

    #[test]
    fn a_file_without_mutations_is_what_it_was() {
        for text in TEXTS {
            assert_eq!(sections(text).concat().concat(), text);
        }
    }

    #[test]
    fn a_case_is_the_same_each_time_and_almost_every_one_is_another() {
        let seeds = Seeds::new(&TEXTS.map(str::to_owned));
        let mutant = |case| seeds.mutant(&mut Random::of_case(1, case));
        let all: std::collections::BTreeSet<_> = (0..500).map(mutant).collect();
        assert!(all.len() > 300, "{}", all.len());
        assert_eq!(mutant(77), mutant(77));
        // Most are still text, and values of another file are among them.
        let texts: Vec<_> = all
            .iter()
            .filter_map(|bytes| str::from_utf8(bytes).ok())
            .collect();
        assert!(texts.len() > all.len() / 2, "{}", texts.len());
        assert!(
            texts
                .iter()
                .any(|text| text.contains("title = \"one\"") && text.contains("mtu"))
        );
    }
}
