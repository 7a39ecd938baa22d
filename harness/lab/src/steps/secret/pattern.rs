//! How a key can be written: as bytes, base64, hexadecimal or decimal numbers.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Bytes of a key (RFC 7748).
pub(super) const KEY: usize = 32;

/// A key's bytes.
pub(super) type Key = [u8; KEY];

/// The bytes that every copy has. WireGuard clears and sets bits of the first and the last byte of a private
/// key (RFC 7748, section 5), so that a copy of the key before that differs there.
const KEPT: std::ops::Range<usize> = 1..KEY - 1;

/// The characters of a key's base64 that depend on kept bytes alone: bytes 3 to 29.
const KEPT_IN_BASE64: std::ops::Range<usize> = 4..40;

/// The base64 of parts of `bytes`, one for each way in which text before it can shift it: base64 encodes three
/// bytes at a time. Each part ends with such three.
fn base64_anywhere(bytes: &[u8], encode: impl Fn(&[u8]) -> String) -> Vec<Vec<u8>> {
    let whole = |shift: usize| (bytes.len() - shift) / 3 * 3;
    let part = |shift: usize| encode(&bytes[shift..shift + whole(shift)]).into_bytes();
    (0..3).map(part).collect()
}

/// Every text by which a copy of a key is found, with the encoding's name. None is part of another encoding's,
/// and none has fewer than 24 bytes of the key.
pub(super) fn patterns(key: &Key) -> Vec<(&'static str, Vec<u8>)> {
    let kept = &key[KEPT];
    let numbers = |separator: &str| {
        let numbers: Vec<_> = kept.iter().map(u8::to_string).collect();
        numbers.join(separator).into_bytes()
    };
    let hex = |upper: bool, separator: &str| {
        let digits = kept.iter().map(|byte| match upper {
            true => format!("{byte:02X}"),
            false => format!("{byte:02x}"),
        });
        digits.collect::<Vec<_>>().join(separator).into_bytes()
    };
    let text = STANDARD.encode(key);
    let mut all = vec![
        ("bytes", kept.to_vec()),
        ("hexadecimal", hex(false, "")),
        ("hexadecimal", hex(true, "")),
        ("hexadecimal", hex(false, ":")),
        ("hexadecimal", hex(false, " ")),
        ("decimal numbers", numbers(", ")),
        ("decimal numbers", numbers(",")),
        ("decimal numbers", numbers(" ")),
    ];
    let mut add = |encoding, texts: Vec<Vec<u8>>| {
        for text in texts {
            if all.iter().all(|(_, known)| *known != text) {
                all.push((encoding, text));
            }
        }
    };
    add(
        "base64",
        base64_anywhere(kept, |part| STANDARD.encode(part)),
    );
    add(
        "base64",
        base64_anywhere(kept, |part| URL_SAFE.encode(part)),
    );
    // Kubernetes has the base64 of what it keeps, and a key is text already.
    let kept = &text.as_bytes()[KEPT_IN_BASE64];
    add(
        "base64 of base64",
        base64_anywhere(kept, |part| STANDARD.encode(part)),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes to characters of both base64 alphabets.
    const SECRET: Key = [
        0xf9, 0xfb, 0xff, 0xbf, 3, 4, 5, 0xfb, 0xef, 0xbe, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
        20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 0xff,
    ];

    fn found(text: &[u8]) -> Vec<&'static str> {
        let is_in = |pattern: &[u8]| text.windows(pattern.len()).any(|part| part == pattern);
        let all = patterns(&SECRET).into_iter();
        let mut found: Vec<_> = all
            .filter(|(_, pattern)| is_in(pattern))
            .map(|(encoding, _)| encoding)
            .collect();
        found.dedup();
        found
    }

    #[test]
    fn a_copy_is_found_in_each_encoding_by_that_encoding_alone() {
        let base64 = STANDARD.encode(SECRET);
        let hex: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        for (text, encoding) in [
            (SECRET.to_vec(), "bytes"),
            (base64.clone().into_bytes(), "base64"),
            (URL_SAFE.encode(SECRET).into_bytes(), "base64"),
            (STANDARD.encode(&base64).into_bytes(), "base64 of base64"),
            (hex.clone().into_bytes(), "hexadecimal"),
            (hex.to_uppercase().into_bytes(), "hexadecimal"),
            (format!("{SECRET:?}").into_bytes(), "decimal numbers"),
        ] {
            let text = [b"key=".as_slice(), &text, b" and more"].concat();
            assert_eq!(
                found(&text),
                [encoding],
                "{}",
                String::from_utf8_lossy(&text)
            );
        }
    }

    #[test]
    fn a_copy_is_found_before_wireguard_has_clamped_the_key() {
        let mut clamped = SECRET;
        clamped[0] &= 248;
        clamped[31] = (clamped[31] & 127) | 64;
        let base64 = STANDARD.encode(clamped);
        for text in [
            clamped.to_vec(),
            base64.into_bytes(),
            format!("{clamped:?}").into_bytes(),
        ] {
            assert_eq!(found(&text).len(), 1, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn a_copy_is_found_within_a_text_that_is_encoded_as_a_whole() {
        let base64 = STANDARD.encode(SECRET);
        for before in ["", "k", "ke", "key", "PrivateKey = "] {
            let text = STANDARD.encode(format!("{before}{base64}\n"));
            assert_eq!(found(text.as_bytes()), ["base64 of base64"], "{before}");
            let bytes = [before.as_bytes(), &SECRET, b"!"].concat();
            assert_eq!(
                found(STANDARD.encode(bytes).as_bytes()),
                ["base64"],
                "{before}"
            );
        }
    }

    #[test]
    fn another_key_is_not_found() {
        let mut other = SECRET;
        other[15] ^= 1;
        assert_eq!(found(STANDARD.encode(other).as_bytes()), Vec::<&str>::new());
        assert_eq!(found(&other), Vec::<&str>::new());
    }
}
