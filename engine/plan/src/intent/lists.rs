//! Lists with commas between their words, as arguments and annotations hold them.
//!
//! A wrong word is reported with its place. What a wrong network most likely means is read all the
//! same: a network too many is protected rather than one too few.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;

use crate::intent::address::unusable_network;
use crate::intent::family::network;

/// A word that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongWord {
    /// The number of its first character in the list, from 1.
    pub at: usize,
    /// As it is written.
    pub word: String,
    /// What is wrong and what to write, as a predicate; of an empty word, what is missing.
    pub what: String,
}

impl fmt::Display for WrongWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, word, what } = self;
        if word.is_empty() {
            // Nothing is there that could be the subject.
            return write!(f, "{what} at character {at}, or a comma is one too many");
        }
        write!(f, "`{word}` at character {at} {what}")
    }
}

/// The words of a list with the numbers of their first characters; none of a list that is empty.
/// Words may be empty where a comma is one too many.
pub fn words(text: &str) -> Vec<(usize, &str)> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let mut at = 1;
    let word = |part: &str| {
        let spaces = part.chars().take_while(|c| c.is_whitespace()).count();
        let start = at + spaces;
        at += part.chars().count() + 1;
        start
    };
    let parts = text.split(',');
    let starts: Vec<_> = parts.clone().map(word).collect();
    starts.into_iter().zip(parts.map(str::trim)).collect()
}

/// The words of a list of names, and what is wrong with the others.
pub fn names(text: &str) -> (BTreeSet<String>, Vec<WrongWord>) {
    let (empty, words): (Vec<_>, Vec<_>) = words(text)
        .into_iter()
        .partition(|(_, word)| word.is_empty());
    let wrong = empty.into_iter().map(|(at, _)| missing(at, "name"));
    let names = words.into_iter().map(|(_, word)| word.to_owned());
    (names.collect(), wrong.collect())
}

/// The networks of a list, and the words that are not written as one.
pub fn networks(text: &str) -> (BTreeSet<IpNet>, Vec<WrongWord>) {
    let mut networks = BTreeSet::new();
    let mut wrong = Vec::new();
    for (at, word) in words(text) {
        let mut fail = |what: String| {
            wrong.push(WrongWord {
                at,
                word: word.to_owned(),
                what,
            });
        };
        let found = network(word);
        if let Some(what) = found.and_then(unusable_network) {
            fail(format!("is no network of nodes or pods: that is {what}"));
            continue;
        }
        match found {
            _ if word.is_empty() => wrong.push(missing(at, "network")),
            Some(found) if found == found.trunc() => drop(networks.insert(found)),
            Some(found) => {
                let whole = found.trunc();
                fail(format!(
                    "is an address within a network: write `{whole}` for the network, or `{}` for \
                     the address alone",
                    found.addr()
                ));
                networks.insert(whole);
            }
            None => match shortened(word) {
                Some(meant) => {
                    fail(format!("is no network: did you mean `{meant}`?"));
                    networks.insert(meant);
                }
                None => fail(
                    "is no network: write ADDRESS/LENGTH, such as 10.0.0.0/8 or fd00::/8".into(),
                ),
            },
        }
    }
    (networks, wrong)
}

fn missing(at: usize, what: &str) -> WrongWord {
    WrongWord {
        at,
        word: String::new(),
        what: format!("a {what} is missing"),
    }
}

/// The network of IPv4 whose last zeros were left out (`10.1/16`), or that has zeros too many
/// (`010.0.0.0/8`, which some read as octal).
fn shortened(word: &str) -> Option<IpNet> {
    let (address, length) = word.split_once('/')?;
    let mut parts: Vec<_> = address.split('.').map(without_zeros).collect();
    if parts.len() > 4 {
        return None;
    }
    parts.resize(4, "0");
    let whole = network(&format!("{}/{}", parts.join("."), without_zeros(length)))?;
    Some(whole.trunc()).filter(|whole| unusable_network(*whole).is_none())
}

fn without_zeros(number: &str) -> &str {
    let digits = number.trim_start_matches('0');
    match (digits, number) {
        ("", "") => "",
        ("", _) => "0",
        (digits, _) => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        let (_, wrong) = networks(text);
        wrong.iter().map(ToString::to_string).collect()
    }

    fn read(text: &str) -> Vec<String> {
        let (networks, _) = networks(text);
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn networks_and_single_addresses_are_read() {
        let text = " 10.0.0.0/8,fd00::/8 , 192.0.2.1";
        assert_eq!(wrong(text), [""; 0]);
        assert_eq!(read(text), ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]);
        assert_eq!(wrong(" "), [""; 0]);
    }

    #[test]
    fn each_wrong_network_is_reported_with_its_place_and_what_to_write() {
        assert_eq!(
            wrong("foo,10.1/16, 10.0.0.0/33,é,10.2.3.4/16,,fd00::1/8"),
            [
                "`foo` at character 1 is no network: write ADDRESS/LENGTH, such as 10.0.0.0/8 or fd00::/8",
                "`10.1/16` at character 5 is no network: did you mean `10.1.0.0/16`?",
                "`10.0.0.0/33` at character 14 is no network: write ADDRESS/LENGTH, such as 10.0.0.0/8 or fd00::/8",
                "`é` at character 26 is no network: write ADDRESS/LENGTH, such as 10.0.0.0/8 or fd00::/8",
                "`10.2.3.4/16` at character 28 is an address within a network: write `10.2.0.0/16` for the network, or `10.2.3.4` for the address alone",
                "a network is missing at character 40, or a comma is one too many",
                "`fd00::1/8` at character 41 is an address within a network: write `fd00::/8` for the network, or `fd00::1` for the address alone",
            ]
        );
    }

    #[test]
    fn a_network_with_leading_zeros_or_of_no_host_is_wrong() {
        let text = "010.0.0.0/8,10.0.0.0/08,127.0.0.0/8,ff00::/8,::ffff:10.0.0.0/104,0.0.0.0/1";
        assert_eq!(
            wrong(text),
            [
                "`010.0.0.0/8` at character 1 is no network: did you mean `10.0.0.0/8`?",
                "`10.0.0.0/08` at character 13 is no network: did you mean `10.0.0.0/8`?",
                "`127.0.0.0/8` at character 25 is no network of nodes or pods: that is a loopback address",
                "`ff00::/8` at character 37 is no network of nodes or pods: that is a multicast address",
                "`::ffff:10.0.0.0/104` at character 46 is no network of nodes or pods: that is an IPv4-mapped address",
            ]
        );
        assert_eq!(read(text), ["0.0.0.0/1", "10.0.0.0/8"]);
    }

    #[test]
    fn a_wrong_network_is_read_as_what_it_most_likely_means() {
        assert_eq!(
            read("foo,10.1/16,10.2.3.4/16"),
            ["10.1.0.0/16", "10.2.0.0/16"]
        );
    }

    #[test]
    fn a_list_of_names_has_no_empty_words() {
        let (found, wrong) = names("a, b,");
        assert_eq!(found, ["a", "b"].map(String::from).into());
        assert_eq!(
            wrong[0].to_string(),
            "a name is missing at character 6, or a comma is one too many"
        );
        assert_eq!(names(""), Default::default());
    }
}
