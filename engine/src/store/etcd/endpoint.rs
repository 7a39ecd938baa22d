//! Where an etcd listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The port of etcd's clients.
const PORT: u16 = 2379;

/// A URL such as `http://10.0.0.1:2379`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Whether it speaks TLS.
    pub(super) secure: bool,
    /// A name or a numeric address; IPv6 without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// Its address, if that is told by numbers.
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
        let (secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(format!("`{text}` begins with neither http:// nor https://")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest
                    .split_once(']')
                    .ok_or_else(|| format!("`{text}` has a bracket that is not closed"))?;
                (host, after.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let strange = |c: char| !(c.is_ascii_alphanumeric() || ".:-_".contains(c));
        if host.is_empty() || host.contains(strange) {
            return Err(format!("`{text}` names no host"));
        }
        let port = match port {
            None => PORT,
            Some(port) => port
                .parse()
                .map_err(|_| format!("`{port}` in `{text}` is no port"))?,
        };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_told_as_it_is_read() {
        for (text, told) in [
            ("http://10.0.0.1:2379", "http://10.0.0.1:2379"),
            ("https://etcd.example", "https://etcd.example:2379"),
            ("http://[fd00::1]:4001/", "http://[fd00::1]:4001"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), told);
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
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "10.0.0.1:2379",
            "ftp://x",
            "http://",
            "http://x:99999",
            "http://[fd00::1",
            "http://user@x",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
