//! Durations as Go writes them (`time.ParseDuration`): `1m30s`, `1.5h`, `-2ms`, `0`.

use std::time::Duration;

/// Nanoseconds of each unit.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration of at least zero, and of at most 2^63 - 1 ns (292 years), as Go does. What is
/// below a nanosecond is cut off.
pub fn parse(text: &str) -> Option<Duration> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned == "0" {
        return Some(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return None;
    }
    let mut rest = unsigned;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let unit = u128::from(*nanoseconds);
        let whole = match whole {
            "" => 0,
            whole => u128::from(whole.parse::<u64>().ok()?),
        };
        // 18 digits say more than any unit has nanoseconds.
        let fraction = &fraction[..fraction.len().min(18)];
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        let fraction = fraction.parse::<u128>().unwrap_or_default();
        total = total.checked_add(whole * unit + fraction * unit / scale)?;
        rest = after;
    }
    let nanoseconds = i64::try_from(total).ok()?;
    match (negative, u64::try_from(nanoseconds).ok()?) {
        (true, 1..) => None,
        (_, nanoseconds) => Some(Duration::from_nanos(nanoseconds)),
    }
}

/// The digits that a text begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_s_durations_are_read() {
        let read = |text| parse(text).map(|read| read.as_nanos());
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h0m0s", 3_600_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("10ms5us3ns", 10_005_003),
            ("1µs1μs", 2_000),
            ("0.9999999999999999999s", 999_999_999),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(read(text), Some(nanoseconds), "{text}");
        }
    }

    #[test]
    fn durations_that_go_refuses_are_refused() {
        for text in [
            "",
            "3",
            "-",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1d",
            "1s ",
            " 1s",
            "1S",
            "-1s",
            "1ss",
            "9223372036854775808ns",
            "9223372036854775807s",
            "99999999999999999999s",
            "--1s",
            "١s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-+.0-9a-zµ]{0,40}") {
            parse(&text);
        }

        #[test]
        fn parts_add_up(hours in 0_u64..1000, minutes in 0_u64..1000, milliseconds in 0_u64..100_000) {
            let text = format!("{hours}h{minutes}m{milliseconds}ms");
            let sum = hours * 3_600_000 + minutes * 60_000 + milliseconds;
            prop_assert_eq!(parse(&text), Some(Duration::from_millis(sum)));
        }
    }
}
