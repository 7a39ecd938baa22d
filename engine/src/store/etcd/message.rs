//! etcd's gRPC requests and answers as JSON, with keys and values in base64 and numbers as texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A key, its value, and the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: String,
    /// None: it was deleted.
    pub(super) value: Option<Vec<u8>>,
    pub(super) revision: u64,
}

/// A part of a range of keys.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) pairs: Vec<Pair>,
    /// Whether there is more.
    pub(super) more: bool,
    /// Which etcd cluster answered.
    pub(super) cluster: u64,
    /// The store's revision when it answered.
    pub(super) revision: u64,
}

/// What a watch reports.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WatchEvent {
    /// It has begun, in a store of that cluster that has come to that revision.
    Created { cluster: u64, revision: u64 },
    /// These keys have changed.
    Events(Vec<Pair>),
    /// Nothing, up to now.
    Nothing,
    /// It cannot go on: what it should begin with has been compacted.
    Compacted,
    /// It cannot go on.
    Cancelled(String),
}

/// Asks for the keys from `from` until `end`, as they were at `revision` (0: now).
pub(super) fn range(from: &str, end: &str, limit: usize, revision: u64) -> Value {
    json!({
        "key": STANDARD.encode(from),
        "range_end": STANDARD.encode(end),
        "limit": limit.to_string(),
        "revision": revision.to_string(),
    })
}

/// Asks for one key.
pub(super) fn get(key: &str) -> Value {
    json!({"key": STANDARD.encode(key)})
}

/// Asks to be notified of what changes from `revision` on (0: from now on).
pub(super) fn watch(from: &str, end: &str, revision: u64) -> Value {
    json!({"create_request": {
        "key": STANDARD.encode(from),
        "range_end": STANDARD.encode(end),
        "start_revision": revision.to_string(),
        "progress_notify": true,
    }})
}

/// Asks to put a key, if it has been written at `revision` last (0: if it is not there).
pub(super) fn put_if(key: &str, value: &[u8], revision: u64) -> Value {
    let key = STANDARD.encode(key);
    let compare = json!({
        "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string(),
    });
    let put = json!({"request_put": {"key": key, "value": STANDARD.encode(value)}});
    json!({"compare": [compare], "success": [put]})
}

/// The answer to [`range`] and [`get`].
pub(super) fn page(answer: &Value) -> Result<Page, String> {
    let pairs = list(answer, "kvs")?;
    Ok(Page {
        pairs: pairs.iter().map(pair).collect::<Result<_, _>>()?,
        more: answer["more"] == true,
        cluster: number(&answer["header"], "cluster_id")?,
        revision: number(&answer["header"], "revision")?,
    })
}

/// The answer to [`put_if`]: whether it was put.
pub(super) fn succeeded(answer: &Value) -> Result<bool, String> {
    number(&answer["header"], "revision")?;
    Ok(answer["succeeded"] == true)
}

/// One of the answers to [`watch`].
pub(super) fn parse_watch(line: &Value) -> Result<WatchEvent, String> {
    if let Some(error) = line.get("error") {
        return Ok(WatchEvent::Cancelled(complaint(error)));
    }
    let result = line
        .get("result")
        .ok_or_else(|| format!("`{}` is no answer to a watch", short(line)))?;
    if number(result, "compact_revision").unwrap_or_default() > 0 {
        return Ok(WatchEvent::Compacted);
    }
    if result["canceled"] == true {
        let reason = result["cancel_reason"].as_str();
        return Ok(WatchEvent::Cancelled(
            reason.unwrap_or("for no reason").to_owned(),
        ));
    }
    if result["created"] == true {
        return Ok(WatchEvent::Created {
            cluster: number(&result["header"], "cluster_id")?,
            revision: number(&result["header"], "revision")?,
        });
    }
    let events = list(result, "events")?;
    if events.is_empty() {
        return Ok(WatchEvent::Nothing);
    }
    let event = |event: &Value| {
        let mut pair = pair(&event["kv"])?;
        // A put is the default, and left out.
        if event["type"] == "DELETE" {
            pair.value = None;
        }
        Ok(pair)
    };
    Ok(WatchEvent::Events(
        events.iter().map(event).collect::<Result<_, String>>()?,
    ))
}

/// The message of an error of the gateway.
pub(super) fn complaint(error: &Value) -> String {
    let texts = [&error["message"], &error["error"], error];
    let text = texts.iter().find_map(|text| text.as_str());
    text.map_or_else(|| short(error), str::to_owned)
}

fn pair(value: &Value) -> Result<Pair, String> {
    let bytes = |field| {
        let text = value[field].as_str().unwrap_or_default();
        STANDARD
            .decode(text)
            .map_err(|_| format!("`{}` is no key and value", short(value)))
    };
    Ok(Pair {
        // A key that is no text is none of Calico's.
        key: String::from_utf8_lossy(&bytes("key")?).into_owned(),
        value: Some(bytes("value")?),
        revision: number(value, "mod_revision")?,
    })
}

/// A list, or an empty one that is left out.
fn list<'a>(value: &'a Value, field: &str) -> Result<&'a [Value], String> {
    match value.get(field) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("`{}` has no list of {field}", short(value))),
    }
}

fn number(value: &Value, field: &str) -> Result<u64, String> {
    let number = match &value[field] {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    number.ok_or_else(|| format!("`{}` has no {field}", short(value)))
}

/// The beginning of a value, for messages.
fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // As etcd 3.4 answers.
    const HEADER: &str = r#"{"cluster_id":"7","member_id":"1","revision":"6","raft_term":"2"}"#;

    fn watched(result: &str) -> WatchEvent {
        let line = format!(r#"{{"result":{{"header":{HEADER},{result}}}}}"#);
        parse_watch(&serde_json::from_str(&line).unwrap()).unwrap()
    }

    #[test]
    fn a_range_is_read_as_etcd_writes_it() {
        let text = format!(
            r#"{{"header":{HEADER},"kvs":[{{"key":"L2NhbGljby9h","create_revision":"2","mod_revision":"3","version":"1","value":"MQ=="}}],"more":true,"count":"2"}}"#
        );
        let page = page(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!((page.revision, page.more), (6, true));
        assert_eq!(
            page.pairs,
            [Pair {
                key: "/calico/a".into(),
                value: Some(b"1".to_vec()),
                revision: 3
            }]
        );
    }

    #[test]
    fn a_watch_is_read_as_etcd_writes_it() {
        assert_eq!(
            watched(r#""created":true"#),
            WatchEvent::Created {
                cluster: 7,
                revision: 6
            }
        );
        assert_eq!(
            watched(r#""canceled":true,"compact_revision":"5""#),
            WatchEvent::Compacted
        );
        assert_eq!(
            watched(
                r#""events":[{"type":"DELETE","kv":{"key":"L2NhbGljby9h","mod_revision":"6"}}]"#
            ),
            WatchEvent::Events(vec![Pair {
                key: "/calico/a".into(),
                value: None,
                revision: 6
            }])
        );
        assert_eq!(watched(r#""watch_id":"0""#), WatchEvent::Nothing);
    }

    #[test]
    fn garbage_is_no_answer() {
        assert!(page(&json!({"hello": "world"})).is_err());
        assert!(parse_watch(&json!({"hello": "world"})).is_err());
        assert!(parse_watch(&json!({"result": {"events": [{"kv": {"key": "%"}}]}})).is_err());
    }
}
