//! Public keys: base64 of 32 bytes that are not all zero.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// A WireGuard public key (Curve25519, RFC 7748).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// Why a text is not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base64 of 32 bytes.
    #[error("a key is 44 characters of base64")]
    Shape,
    /// All zero: Calico's value for "no key".
    #[error("the key is all zero")]
    Zero,
}

impl PublicKey {
    /// The key of these bytes, unless they are all zero.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        if bytes == [0; 32] {
            return Err(KeyError::Zero);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| KeyError::Shape)?;
        Self::from_bytes(bytes.try_into().map_err(|_| KeyError::Shape)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_written() {
        let key = PublicKey::from_bytes([7; 32]).unwrap();
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn a_zero_key_is_no_key() {
        let zero = BASE64_STANDARD.encode([0; 32]);
        assert_eq!(zero.parse::<PublicKey>(), Err(KeyError::Zero));
    }

    #[test]
    fn a_key_has_32_bytes() {
        for text in ["", "abc", "AAAA", &BASE64_STANDARD.encode([7; 33])] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError::Shape), "{text}");
        }
    }
}
