//! The agent's user at etcd: the user and password that Calico's own variables hold, or those of the URL. A
//! password is sent to etcd, and nowhere else.

use std::env;
use std::fmt;

/// The variable with the user's name, as Calico names it.
const NAME: &str = "ETCD_USERNAME";
const PASSWORD: &str = "ETCD_PASSWORD";

/// A user of etcd.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl User {
    /// Reads `NAME:PASSWORD` of a URL, whose special characters are percent-encoded (RFC 3986, 3.2.1).
    ///
    /// # Errors
    /// It names no user, or cannot be decoded. The reason, without what was written, as a predicate.
    pub(super) fn from_url(text: &str) -> Result<Self, &'static str> {
        let (name, password) = text.split_once(':').unwrap_or((text, ""));
        let wrong = "has a user or password with a `%` that two hexadecimal digits do not follow, or \
                     with a character that is no text";
        let (name, password) = (decoded(name).ok_or(wrong)?, decoded(password).ok_or(wrong)?);
        match name.is_empty() {
            true => Err("has a password, and no user"),
            false => Ok(Self { name, password }),
        }
    }

    /// The user of Calico's variables, if there is one.
    pub(super) fn from_environment() -> Option<Self> {
        let name = env::var(NAME).ok().filter(|name| !name.is_empty())?;
        let password = env::var(PASSWORD).unwrap_or_default();
        Some(Self { name, password })
    }

    /// What is sent to etcd to get a token.
    pub(super) fn question(&self) -> serde_json::Value {
        serde_json::json!({"name": self.name, "password": self.password})
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_a_url_is_decoded_and_its_password_is_not_printed() {
        let user = User::from_url("o%40p:s%3Aec:r@et").unwrap();
        assert_eq!(user.question()["name"], "o@p");
        assert_eq!(user.question()["password"], "s:ec:r@et");
        assert_eq!(format!("{user:?}"), "User { name: \"o@p\", .. }");
        for wrong in [
            ":secret",
            "user:secret%zz",
            "user:secret%4",
            "user:secret%00",
            "u:%ff",
        ] {
            let what = User::from_url(wrong).unwrap_err();
            assert!(!what.contains("secret"), "{wrong}: {what}");
        }
    }
}
