//! The address of an etcd endpoint.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::user::User;

/// The port of etcd's clients.
const PORT: u16 = 2379;

/// A URL such as `http://10.0.0.1:2379`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Whether it uses TLS.
    pub(super) secure: bool,
    /// A name or a numeric address; IPv6 without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The user of the agent's requests, if the URL has one.
    pub(super) user: Option<User>,
}

impl Endpoint {
    /// Its address, if that is given as an IP address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(address, self.port))
    }

    /// `HOST:PORT`, as a request names it.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        // What is before the last `@` may be a password: no message has it.
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let shown = match (text.contains("://"), user) {
            (true, Some(_)) => format!("{scheme}://…@{authority}"),
            (false, Some(_)) => format!("…@{authority}"),
            (_, None) => text.to_owned(),
        };
        let secure = match scheme {
            "http" => false,
            "https" => true,
            _ => {
                return Err(format!(
                    "`{shown}` begins with neither http:// nor https://"
                ));
            }
        };
        let user = user
            .map(|user| User::from_url(user).map_err(|what| format!("`{shown}` {what}")))
            .transpose()?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest
                    .split_once(']')
                    .ok_or_else(|| format!("`{shown}` has a bracket that is not closed"))?;
                (host, after.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let strange = |c: char| !(c.is_ascii_alphanumeric() || ".:-_".contains(c));
        if host.is_empty() || host.contains(strange) {
            return Err(format!("`{shown}` names no host"));
        }
        let port = match port {
            None => PORT,
            Some(port) => port
                .parse()
                .map_err(|_| format!("`{port}` in `{shown}` is no port"))?,
        };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port,
            user,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_printed_as_it_is_parsed() {
        for (text, printed) in [
            ("http://10.0.0.1:2379", "http://10.0.0.1:2379"),
            ("https://etcd.example", "https://etcd.example:2379"),
            ("http://[fd00::1]:4001/", "http://[fd00::1]:4001"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), printed);
        }
    }

    #[test]
    fn a_password_is_parsed_and_never_printed() {
        let endpoint: Endpoint = "http://o%40p:s%3Aec:r@et@10.0.0.1".parse().unwrap();
        assert_eq!(endpoint.user, User::from_url("o%40p:s%3Aec:r%40et").ok());
        assert_eq!(endpoint.to_string(), "http://10.0.0.1:2379");
        let printed = format!("{endpoint:?}");
        assert!(!printed.contains("ec:r"), "{printed}");
        for text in [
            "http://user:secret@",
            "http://user:secret@x:99999",
            "http://user:secret@[fd00::1",
            "http://user:secret@x y",
            "http://user:secret%zz@x",
            "ftp://user:secret@x",
            "user:secret@x",
            "http//user:secret@x",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn only_numbers_are_an_address() {
        let address = |text: &str| text.parse::<Endpoint>().unwrap().address();
        assert_eq!(
            address("http://[fd00::1]"),
            Some("[fd00::1]:2379".parse().unwrap())
        );
        assert_eq!(address("http://etcd.example"), None);
    }

    #[test]
    fn a_malformed_endpoint_is_refused() {
        for text in [
            "",
            "10.0.0.1:2379",
            "ftp://x",
            "http://",
            "http://x:99999",
            "http://[fd00::1",
            "http://:secret@x",
            "http://user:secret%zz@x",
            "http://user:secret%00@x",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
