//! Single values: what they must be, and the problem if they are something else.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use crate::name::NameError;
use crate::problem::{Problem, known_words};
use crate::text::{self, shows};

use super::key::Word;

/// What a name is.
const NAMES: &str = "names are made of a-z, 0-9 and `-`, and start with a letter";

/// A value as the parser found it.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// Why a text does not have the form that it must have.
#[derive(Debug)]
pub(crate) struct Unfit {
    /// The problem's header.
    pub(crate) what: String,
    /// What is wrong at the text.
    pub(crate) label: String,
    /// How to put it right.
    pub(crate) help: String,
}

/// A user's text as it may stand in a message: control characters cannot reach the terminal.
pub(crate) fn shown(text: &str) -> String {
    text::line(text)
}

/// One line of text that is not blank.
pub(super) fn line(key: &str, value: &Value<'_>) -> Result<Spanned<String>, Problem> {
    fitting_line(key, value, in_quotes)
}

/// The advice to put a number or a word in quotes.
pub(super) fn in_quotes(text: &str) -> String {
    format!("put it in quotes: `\"{text}\"`")
}

/// One line of text that is not blank. `advise` is asked for help where a number, `true` or
/// `false` stands instead, with its text: what it advises must be accepted.
pub(super) fn fitting_line(
    key: &str,
    value: &Value<'_>,
    advise: impl Fn(&str) -> String,
) -> Result<Spanned<String>, Problem> {
    let key = shown(key);
    let Some(text) = value.get_ref().as_str() else {
        let help = match value.get_ref() {
            DeValue::Integer(number) => advise(&number.to_string()),
            DeValue::Boolean(flag) => advise(&flag.to_string()),
            DeValue::String(_)
            | DeValue::Float(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => "write it in double quotes: `\"..\"`".to_owned(),
        };
        return Err(mismatch(&key, value, "text", help));
    };
    let (what, label) = if text.trim().is_empty() {
        (format!("`{key}` is empty"), "nothing is written here")
    } else if text.contains(char::is_control) {
        let label = "a line break or another control character";
        (format!("`{key}` is not one line"), label)
    } else if !text.chars().all(shows) {
        let label = "a character without a width, or one that turns the direction of writing";
        (format!("`{key}` is not what it looks like"), label)
    } else {
        return Ok(Spanned::new(value.span(), text.to_owned()));
    };
    let help = "write one line of text";
    Err(Problem::new(what, value.span(), label, help))
}

/// `true` or `false`.
pub(super) fn flag(key: &str, value: &Value<'_>) -> Result<bool, Problem> {
    let help = || format!("write `{key} = true` or `{key} = false`");
    value
        .get_ref()
        .as_bool()
        .ok_or_else(|| mismatch(key, value, "true or false", help()))
}

/// A whole number in `range`. `unit` is what it counts: `bytes`, or nothing.
pub(super) fn number(
    key: &str,
    value: &Value<'_>,
    range: RangeInclusive<u16>,
    unit: &str,
) -> Result<u16, Problem> {
    let (least, most) = range.into_inner();
    let Some(written) = value.get_ref().as_integer() else {
        let help = match value.get_ref().as_str().map(str::parse::<u16>) {
            Some(Ok(number)) if (least..=most).contains(&number) => {
                format!("write `{key} = {number}`, without quotes")
            }
            Some(Ok(_) | Err(_)) | None => format!("write a whole number from {least} to {most}"),
        };
        return Err(mismatch(key, value, "a whole number", help));
    };
    let counted = |number: u16| match unit {
        "" => number.to_string(),
        unit => format!("{number} {unit}"),
    };
    let label = match in_range(written, least, most) {
        Ok(number) => return Ok(number),
        Err(Beyond::Below) => format!("less than {}", counted(least)),
        Err(Beyond::Above) => format!("more than {}", counted(most)),
    };
    Err(Problem::new(
        format!("`{key}` is out of range"),
        value.span(),
        label,
        format!("write a whole number from {least} to {most}"),
    ))
}

/// Any value that JSON has too, passed on as it is.
pub(super) fn json(key: &str, value: &Value<'_>) -> Result<Json, Problem> {
    let beyond = |help: &str| mismatch(&shown(key), value, "a value that JSON has", help.into());
    Ok(match value.get_ref() {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Boolean(flag) => Json::from(*flag),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            Json::from(number.map_err(|_| beyond("write a number of at most 64 bits"))?)
        }
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Json::from)
            .ok_or_else(|| beyond("write a finite number"))?,
        DeValue::Datetime(_) => return Err(beyond("put it in quotes")),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| json(key, item));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(entries) => {
            let entries = entries.iter().map(|(name, value)| {
                let name = name.get_ref().to_string();
                Ok((name.clone(), json(&name, value)?))
            });
            Json::Object(entries.collect::<Result<_, _>>()?)
        }
    })
}

/// A list of anything.
pub(super) fn list<'v, 't>(key: &str, value: &'v Value<'t>) -> Result<&'v DeArray<'t>, Problem> {
    value.get_ref().as_array().ok_or_else(|| {
        let help = match value.get_ref().as_str() {
            Some(text) => format!("write `{key} = [\"{}\"]`", shown(text)),
            None => format!("write `{key} = [\"..\", \"..\"]`"),
        };
        mismatch(key, value, "a list", help)
    })
}

/// A table. `help` is how one is written.
pub(super) fn table<'v, 't>(
    key: &str,
    value: &'v Value<'t>,
    help: &str,
) -> Result<&'v DeTable<'t>, Problem> {
    value
        .get_ref()
        .as_table()
        .ok_or_else(|| mismatch(&shown(key), value, "a table", help.to_owned()))
}

/// A list of tables. `help` is how one is written.
pub(super) fn tables<'v, 't>(
    key: &str,
    value: &'v Value<'t>,
    help: &str,
) -> Result<&'v DeArray<'t>, Problem> {
    value
        .get_ref()
        .as_array()
        .ok_or_else(|| mismatch(key, value, "a list of tables", help.to_owned()))
}

/// A name. `whose` is the kind of thing: `a node`.
pub(super) fn name<N: TryFrom<String, Error = NameError>>(
    written: Spanned<String>,
    whose: &str,
) -> Result<Spanned<N>, Problem> {
    let place = written.span();
    let text = written.into_inner();
    match N::try_from(text.clone()) {
        Ok(name) => Ok(Spanned::new(place, name)),
        Err(error) => Err(Problem::new(
            format!("`{}` cannot be the name of {whose}", shown(&text)),
            place,
            shown(&error.to_string()),
            NAMES,
        )),
    }
}

/// A text with an inner form.
pub(super) fn parsed<T>(
    written: &Spanned<String>,
    parse: impl Fn(&str) -> Result<T, Unfit>,
) -> Result<Spanned<T>, Problem> {
    match parse(written.get_ref()) {
        Ok(value) => Ok(Spanned::new(written.span(), value)),
        Err(Unfit { what, label, help }) => Err(Problem::new(what, written.span(), label, help)),
    }
}

/// The advice for a number, `true` or `false` where a name has to be: no number is one, and the other two name
/// something only if the author defines it elsewhere.
pub(super) fn name_advice(_: &str) -> String {
    format!("write a name in double quotes; {NAMES}")
}

/// The advice for what stands where one of a few words has to be.
pub(super) fn word_advice<T>(kind: &str, words: &[Word<T>], text: &str) -> String {
    let known: Vec<_> = words.iter().map(|(word, ..)| *word).collect();
    match known.contains(&text) {
        true => in_quotes(text),
        false => known_words(kind, text, &known),
    }
}

/// One word of a few. `kind` is what they are: `action`.
pub(super) fn one_of<T: Copy>(
    written: &Spanned<String>,
    kind: &str,
    words: &[Word<T>],
) -> Result<Spanned<T>, Problem> {
    let text = written.get_ref();
    if let Some((_, value, _)) = words.iter().find(|(word, ..)| word == text) {
        return Ok(Spanned::new(written.span(), *value));
    }
    let known: Vec<_> = words.iter().map(|(word, ..)| *word).collect();
    Err(Problem::new(
        format!("unknown {kind} `{}`", shown(text)),
        written.span(),
        format!("no such {kind}"),
        known_words(kind, text, &known),
    ))
}

/// An IPv4 address.
pub(super) fn address(
    written: &Spanned<String>,
    advice: &str,
) -> Result<Spanned<Ipv4Addr>, Problem> {
    let text = written.get_ref();
    if let Ok(address) = text.parse() {
        return Ok(Spanned::new(written.span(), address));
    }
    let (is, label) = if text.parse::<Ipv6Addr>().is_ok() {
        ("an IPv6 address", "an IPv4 address is needed here")
    } else if text.contains('/') {
        ("not an IPv4 address", "an address has no prefix length")
    } else {
        ("not an IPv4 address", "not four numbers from 0 to 255")
    };
    Err(Problem::new(
        format!("`{}` is {is}", shown(text)),
        written.span(),
        label,
        advice,
    ))
}

fn mismatch(key: &str, value: &Value<'_>, wanted: &str, help: String) -> Problem {
    let is = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Problem::new(
        format!("`{key}` must be {wanted}"),
        value.span(),
        format!("this is {is}"),
        help,
    )
}

/// On which side of its range a number is.
enum Beyond {
    Below,
    Above,
}

fn in_range(written: &DeInteger<'_>, least: u16, most: u16) -> Result<u16, Beyond> {
    let beyond = |negative| {
        if negative {
            Beyond::Below
        } else {
            Beyond::Above
        }
    };
    // Whatever does not even fit here is far outside every range.
    let number = i64::from_str_radix(written.as_str(), written.radix())
        .map_err(|_| beyond(written.as_str().starts_with('-')))?;
    match u16::try_from(number) {
        Ok(number) if number > most => Err(Beyond::Above),
        Ok(number) if number < least => Err(Beyond::Below),
        Ok(number) => Ok(number),
        Err(_) => Err(beyond(number < 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_any_of_toml_s_ways() {
        let read = |text: &str| {
            let value = DeValue::parse(text).unwrap();
            number("mtu", &value, 576..=65535, "bytes").map_err(|problem| problem.to_string())
        };
        for (text, number) in [
            ("1_400", 1400),
            ("+1400", 1400),
            ("0x578", 1400),
            ("65535", 65535),
        ] {
            assert_eq!(read(text), Ok(number), "{text}");
        }
        for text in [
            "-0",
            "575",
            "65536",
            "-1",
            "99999999999999999999999",
            "-99999999999999999999999",
        ] {
            assert_eq!(read(text), Err("`mtu` is out of range".into()), "{text}");
        }
        for text in ["1400.0", "\"1400\"", "true", "[1400]"] {
            assert_eq!(
                read(text),
                Err("`mtu` must be a whole number".into()),
                "{text}"
            );
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let value = DeValue::parse("\"a\\u001bb\"").unwrap();
        assert!(line("title", &value).is_err());
        assert_eq!(shown("\u{1b}[2J\n\"'\\"), "\\u001b[2J\\n\"'\\");
    }
}
