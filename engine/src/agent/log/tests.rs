//! The number and the text of the lines that are logged for each event.

use std::io;
use std::sync::{Arc, Mutex};

use wiremesh_plan::intent::cluster::Plain;

use super::*;

/// What is written to the log meanwhile, without time and level.
fn lines(work: impl FnOnce(&mut Log)) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, || work(&mut Log::default()));
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn switch_on() -> Change {
    Change::SwitchOn {
        family: Family::V4,
        name: "wg".into(),
    }
}

fn mesh(encrypted: usize, plain: &[&str], dropped: &[&str]) -> Mesh {
    let keyless = |nodes: &[&str]| {
        let nodes = nodes.iter().map(|name| (*name).to_owned());
        nodes.map(|name| (name, Plain::NoKey)).collect()
    };
    Mesh {
        encrypting: true,
        device: None,
        encrypted,
        plain: keyless(plain),
        dropped: keyless(dropped),
    }
}

#[test]
fn a_failure_that_is_tried_a_thousand_times_is_one_line_and_its_end_another() {
    let now = Instant::now();
    let logged = lines(|log| {
        for second in 0..1000 {
            log.failed("nft refuses", now + Duration::from_secs(second));
        }
        log.stands(&[], now + Duration::from_secs(1000));
        log.stands(&[], now + Duration::from_secs(1001));
    });
    assert_eq!(logged, ["ERROR nft refuses", "INFO no longer: nft refuses"]);
}

#[test]
fn a_failure_that_comes_and_goes_is_logged_once_a_minute() {
    let now = Instant::now();
    let logged = lines(|log| {
        for second in 0..120 {
            let now = now + Duration::from_secs(second);
            log.failed("nft refuses", now);
            log.stands(&[], now);
        }
    });
    assert_eq!(
        logged,
        [
            "ERROR nft refuses",
            "INFO no longer: nft refuses",
            "ERROR nft refuses (and 59 times since this was said last)",
            "INFO no longer: nft refuses",
        ]
    );
}

#[test]
fn a_problem_is_logged_once_while_it_holds_whatever_else_fails() {
    let now = Instant::now();
    let logged = lines(|log| {
        let problems = ["pod.json: it is not JSON".to_owned()];
        log.stands(&problems, now);
        log.failed("nft refuses", now);
        log.stands(&problems, now);
        log.stands(&problems, now + 2 * REPEAT_INTERVAL);
    });
    assert_eq!(
        logged,
        [
            "WARN pod.json: it is not JSON",
            "ERROR nft refuses",
            "INFO no longer: nft refuses",
        ]
    );
}

#[test]
fn a_repair_each_second_is_logged_once_a_minute() {
    let now = Instant::now();
    let logged = lines(|log| {
        for second in 0..61 {
            let now = now + Duration::from_secs(second);
            log.changed(&switch_on(), Some(Cause::Drift), now);
        }
    });
    let fields = "cause=\"drift\" family=\"ipv4\" change=\"switch-on\"";
    assert_eq!(
        logged,
        [
            format!("WARN put right: switch wg on {fields}"),
            format!(
                "WARN put right: switch wg on (and 59 times since this was said last) {fields}"
            ),
        ]
    );
}

#[test]
fn a_change_by_intent_is_always_logged() {
    let now = Instant::now();
    let logged = lines(|log| {
        log.changed(&switch_on(), None, now);
        log.changed(&switch_on(), None, now);
    });
    let line = "INFO switch wg on cause=\"intent\" family=\"ipv4\" change=\"switch-on\"";
    assert_eq!(logged, [line, line]);
}

#[test]
fn keyless_nodes_are_one_line_however_many_and_silent_while_they_become_fewer() {
    let names: Vec<_> = (0..100).map(|number| format!("n{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let logged = lines(|log| {
        for gone in 0..=100 {
            log.peers(Family::V4, &mesh(gone, &names[gone..], &[]));
        }
        log.peers(Family::V4, &mesh(100, &[], &[]));
        log.peers(Family::V4, &mesh(100, &[], &["new"]));
        log.peers(Family::V4, &Mesh::default());
    });
    let why = "(it has published no key)";
    assert_eq!(
        logged,
        [
            format!(
                "INFO in clear to 100 of 100 nodes: n00 {why}, n01 {why}, n02 {why}, n03 {why}, \
                 n04 {why}, and 95 more family=\"ipv4\""
            ),
            "INFO encrypted to all 100 other nodes family=\"ipv4\"".into(),
            format!("WARN cut off from 1 of 101 nodes: new {why} family=\"ipv4\""),
        ]
    );
}
