//! Texts that can be a private key, for devices that do not show theirs.
//!
//! Such a key is known by its public key alone, so that what is found has to be compared with that one: in base64
//! and in hexadecimal, the two in which keys of WireGuard are written (wg(8), wireguard.com/xplatform).

use std::collections::BTreeSet;
use std::io::{self, Read};

use wireguard_control::Key as WgKey;
use wireproof_model::evidence::{SecretCopy, SecretPlace};

use super::pattern::{KEY, Key};
use super::{Place, Secrets};

/// Characters of a key in hexadecimal.
const HEX: usize = KEY * 2;

/// Characters of a key in base64, without the one that fills it up.
const BASE64: usize = 43;

/// The most texts that are kept of one place.
const MAX_CANDIDATES: usize = 100_000;

/// A text that can be a key, and its encoding's name.
pub(super) type Candidate = (Key, &'static str);

/// A place where a text was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    place: SecretPlace,
    name: String,
    mode: Option<u32>,
}

impl Secrets {
    /// Keeps the texts of a place that can be a key; none if it has too many.
    pub(super) fn note_candidates(
        &mut self,
        place: &Place<'_>,
        candidates: Option<BTreeSet<Candidate>>,
    ) {
        let Some(candidates) = candidates else {
            // The name may have a key too.
            let name = match self.built() {
                Some(search) => search.redacted(place.name),
                None => place.kind.as_str().to_owned(),
            };
            let cause = format!("it has more than {MAX_CANDIDATES} texts that can be a key");
            return self.unsearched(&name, &cause);
        };
        for candidate in candidates {
            let found = Found {
                place: place.kind,
                name: place.name.to_owned(),
                mode: place.mode,
            };
            self.candidates.entry(candidate).or_default().insert(found);
        }
    }

    /// Notes each text that is the private key of a published key, whose device does not show it.
    pub(super) fn recognise(&mut self) {
        let published = std::mem::take(&mut self.published);
        for ((key, encoding), places) in std::mem::take(&mut self.candidates) {
            let Some(node) = published.get(&public(&key)) else {
                continue;
            };
            // For `redact`.
            self.add(key, node, false);
            for Found { place, name, mode } in places {
                // `redacted` knows no key but those that were known then.
                let name = match self.built() {
                    Some(search) => search.redacted(&name),
                    None => continue,
                };
                let copy = SecretCopy {
                    owner: node.clone(),
                    preshared: false,
                    place,
                    name,
                    encoding: encoding.to_owned(),
                    mode,
                };
                if !self.found.copies.contains(&copy) {
                    self.found.copies.push(copy);
                }
            }
        }
        for (key, node) in published {
            self.found.silent.entry(node).or_default().insert(key);
        }
    }
}

/// Reads what another reader has, and keeps the texts in it that can be a key.
pub(super) struct Candidates<R> {
    reader: R,
    /// Whether any text is kept.
    keeps: bool,
    /// The last characters of the word that has not ended yet.
    word: Vec<u8>,
    found: BTreeSet<Candidate>,
}

impl<R: Read> Candidates<R> {
    pub(super) fn new(reader: R, keeps: bool) -> Self {
        Self {
            reader,
            keeps,
            word: Vec::with_capacity(2 * HEX),
            found: BTreeSet::new(),
        }
    }

    /// What has been found once all has been read, and the reader; none if there is too much.
    pub(super) fn end(mut self) -> (Option<BTreeSet<Candidate>>, R) {
        self.end_word();
        let few = self.found.len() < MAX_CANDIDATES;
        (few.then_some(self.found), self.reader)
    }

    fn end_word(&mut self) {
        let Ok(word) = str::from_utf8(&self.word) else {
            return self.word.clear();
        };
        // What is before it, as of a path, may have the same characters.
        let last = |length: usize| word.get(word.len().checked_sub(length)?..);
        let hex = last(HEX).and_then(|text| WgKey::from_hex(text).ok());
        let base64 = last(BASE64).and_then(|text| WgKey::from_base64(&format!("{text}=")).ok());
        for (key, encoding) in [(hex, "hexadecimal"), (base64, "base64")] {
            if let Some(key) = key
                && self.found.len() < MAX_CANDIDATES
            {
                self.found.insert((key.0, encoding));
            }
        }
        self.word.clear();
    }
}

impl<R: Read> Read for Candidates<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        if !self.keeps {
            return Ok(length);
        }
        for byte in buffer.iter().take(length) {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'/' => {
                    if self.word.len() == self.word.capacity() {
                        self.word.drain(..HEX);
                    }
                    self.word.push(*byte);
                }
                _ => self.end_word(),
            }
        }
        Ok(length)
    }
}

/// The public key of a private one, in base64.
fn public(key: &Key) -> String {
    WgKey(*key).get_public().to_base64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that has few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(7);
            self.0.read(&mut buffer[..length])
        }
    }

    fn found(text: &str) -> Vec<Candidate> {
        let mut candidates = Candidates::new(Slow(text.as_bytes()), true);
        let mut read = String::new();
        candidates.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        candidates.end().0.unwrap().into_iter().collect()
    }

    #[test]
    fn a_key_is_found_in_base64_and_in_hexadecimal_wherever_it_stands() {
        let key = WgKey::generate_private();
        let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        for (text, encoding) in [
            (key.to_base64(), "base64"),
            (format!("PrivateKey = {}\n", key.to_base64()), "base64"),
            (format!("\"key\":\"{}\",", key.to_base64()), "base64"),
            (format!("/var/lib/{}", key.to_base64()), "base64"),
            (format!("private_key={hex}\nfwmark=1"), "hexadecimal"),
            (format!("private_key={}", hex.to_uppercase()), "hexadecimal"),
        ] {
            assert!(found(&text).contains(&(key.0, encoding)), "{text}");
        }
    }

    #[test]
    fn a_long_word_needs_no_more_memory_than_a_key() {
        let key = WgKey::generate_private();
        let text = format!(
            "{} {}/{}",
            "A".repeat(1 << 20),
            "a/".repeat(500),
            key.to_base64()
        );
        assert!(found(&text).contains(&(key.0, "base64")));
    }

    #[test]
    fn a_text_is_a_copy_if_its_public_key_was_published_by_a_silent_node() {
        let (key, other) = (WgKey::generate_private(), WgKey::generate_private());
        let node: wireproof_model::name::NodeName = "ada".parse().unwrap();
        let mut secrets = Secrets::default();
        let place = Place {
            kind: SecretPlace::Log,
            name: "ada.engine.log",
            mode: None,
        };
        let text = format!("key={} other={}", key.to_base64(), other.to_base64());
        secrets.search(&place, &mut text.as_bytes());
        assert_eq!(secrets.candidates.len(), 0, "no node is silent yet");
        secrets.silent.insert(node.clone());
        let public = key.get_public().to_base64();
        secrets.published.insert(public.clone(), node.clone());
        secrets.search(&place, &mut text.as_bytes());
        secrets.recognise();
        let [copy] = secrets.found.copies.as_slice() else {
            panic!("{:?}", secrets.found.copies);
        };
        assert_eq!((&copy.owner, copy.place), (&node, SecretPlace::Log));
        assert_eq!(copy.encoding, "base64");
        assert!(secrets.found.silent[&node].contains(&public));
    }

    #[test]
    fn other_words_are_no_keys() {
        assert_eq!(found("wireguard.cali up 10.240.0.4/24 fwmark=0x100000"), []);
    }
}
