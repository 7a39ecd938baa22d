//! Requests of the lab to its etcd, through the JSON gateway and the loopback device of the namespace that etcd
//! is in.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wireproof_model::plan::Patience;

use crate::base::error::LabError;
use crate::base::wait::{Deadline, Wait, is_late};
use crate::kernel::namespace::Namespace;

/// Where etcd listens for the lab.
pub(super) const LOCAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);

/// How long an answer may take on a quick machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How many keys are put in one transaction: etcd allows 128.
const KEYS_PER_TRANSACTION: usize = 100;

/// A key's value, and the revision that wrote it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    pub(super) revision: u64,
}

/// The way to an etcd.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) space: Namespace,
    pub(super) patience: Patience,
}

impl Gateway {
    /// How many revisions there have been.
    pub(super) fn revision(&self) -> Result<u64, LabError> {
        let answer = self.call("/v3/kv/range", &json!({"key": STANDARD.encode("x")}))?;
        number(&answer["header"]["revision"])
    }

    /// What is at a key.
    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, LabError> {
        let question = json!({"key": STANDARD.encode(key)});
        Ok(self.range(&question)?.pop())
    }

    /// What is at the keys that begin with `prefix`, which ends with a slash.
    pub(super) fn below(&self, prefix: &str) -> Result<Vec<Entry>, LabError> {
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let question = json!({
            "key": STANDARD.encode(prefix),
            "range_end": STANDARD.encode(end),
        });
        self.range(&question)
    }

    /// Puts them all, many at once.
    pub(super) fn put_all(&self, pairs: &[(String, String)]) -> Result<(), LabError> {
        for pairs in pairs.chunks(KEYS_PER_TRANSACTION) {
            let puts: Vec<_> = pairs.iter().map(|(key, value)| put(key, value)).collect();
            self.call("/v3/kv/txn", &json!({"success": puts}))?;
        }
        Ok(())
    }

    /// Puts a key if `revision` has written it last (0: if it is not there). Returns whether it has.
    pub(super) fn put_if(&self, key: &str, value: &str, revision: u64) -> Result<bool, LabError> {
        let compare = json!({
            "key": STANDARD.encode(key), "target": "MOD", "result": "EQUAL",
            "mod_revision": revision.to_string(),
        });
        let answer = self.call(
            "/v3/kv/txn",
            &json!({"compare": [compare], "success": [put(key, value)]}),
        )?;
        Ok(answer["succeeded"] == true)
    }

    /// Takes a key away.
    pub(super) fn delete(&self, key: &str) -> Result<(), LabError> {
        let question = json!({"key": STANDARD.encode(key)});
        self.call("/v3/kv/deleterange", &question).map(drop)
    }

    /// Forgets the history before `revision`.
    pub(super) fn compact(&self, revision: u64) -> Result<(), LabError> {
        let question = json!({"revision": revision.to_string()});
        self.call("/v3/kv/compaction", &question).map(drop)
    }

    fn range(&self, question: &Value) -> Result<Vec<Entry>, LabError> {
        let answer = self.call("/v3/kv/range", question)?;
        let pairs = answer["kvs"].as_array().into_iter().flatten();
        pairs
            .map(|pair| {
                let value = pair["value"].as_str().unwrap_or_default();
                Ok(Entry {
                    value: STANDARD
                        .decode(value)
                        .map_err(|error| LabError::machine("read a value of etcd", error))?,
                    revision: number(&pair["mod_revision"])?,
                })
            })
            .collect()
    }

    fn call(&self, path: &str, question: &Value) -> Result<Value, LabError> {
        let doing = || format!("ask etcd for {path}");
        let body = question.to_string();
        // HTTP/1.0: the answer ends with the connection.
        let request = format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let deadline = Deadline::after(self.patience.allows(ANSWER_TIMEOUT));
        let wait = Wait {
            who: "etcd",
            until: &format!("etcd answers for {path}"),
            look: "etcd.log in the run directory says what it did",
        };
        let answer = self.space.enter(|| {
            converse(deadline, &request).map_err(|error| match is_late(&error) {
                true => deadline.missed(wait, "no answer"),
                false => LabError::machine(doing(), error),
            })
        })?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| LabError::machine(doing(), "it answers without a header"))?;
        let status = head.lines().next().unwrap_or_default();
        if !status.contains(" 200 ") {
            return Err(LabError::machine(doing(), format!("{status}: {body}")));
        }
        serde_json::from_str(body).map_err(|error| LabError::machine(doing(), error))
    }
}

fn converse(deadline: Deadline, request: &str) -> io::Result<String> {
    let mut stream = deadline.connect(&LOCAL)?;
    deadline.bound(&stream)?;
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        deadline.bound(&stream)?;
        match stream.read(&mut buffer)? {
            0 => return String::from_utf8(answer).map_err(io::Error::other),
            length => answer.extend_from_slice(&buffer[..length]),
        }
        if deadline.passed() {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

fn put(key: &str, value: &str) -> Value {
    json!({"request_put": {"key": STANDARD.encode(key), "value": STANDARD.encode(value)}})
}

fn number(value: &Value) -> Result<u64, LabError> {
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| LabError::machine("read a number of etcd", format!("`{value}` is none")))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::base::error::Doing;

    #[test]
    fn an_etcd_that_does_not_answer_is_named_with_what_it_was_asked() {
        let space = match Namespace::create("store") {
            Ok(space) => space,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        let netlink = crate::kernel::netlink::Netlink::open(&space).unwrap();
        netlink.up("lo").unwrap();
        // It takes connections, and never says a word.
        let listen = || TcpListener::bind(LOCAL).doing("listen");
        let _silent = space.enter(listen).unwrap();
        let gateway = Gateway {
            space,
            patience: Patience::NONE,
        };
        let error = gateway.revision().unwrap_err();
        assert_eq!(
            error.to_string(),
            "wait until etcd answers for /v3/kv/range (etcd): not within 0 ms; last seen: no answer"
        );
        let help = error.help.unwrap_or_default();
        assert!(
            help.contains("etcd.log") && help.contains("--patience 2"),
            "{help}"
        );
    }
}
