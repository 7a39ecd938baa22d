//! The operator's commands on a real directory, and what they say when it is wrong.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn wiremesh(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wiremesh"))
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8(text).unwrap().trim().to_owned(),
    )
}

fn store(folder: &Path) -> String {
    format!("dir:{}", folder.display())
}

#[test]
fn enable_is_one_command_and_disable_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let file = folder.path().join("felixconfiguration.default.yaml");

    let (status, text) = said(&wiremesh(&["enable", "--store", &store]));
    assert_eq!((status, text.as_str()), (Some(0), "encryption is on"));
    let configuration = fs::read_to_string(&file).unwrap();
    assert!(
        configuration.contains("wireguardEnabled: true"),
        "{configuration}"
    );

    let (_, text) = said(&wiremesh(&["enable", "--store", &store]));
    assert_eq!(text, "encryption is on already");

    let (status, text) = said(&wiremesh(&["disable", "--store", &store]));
    assert_eq!((status, text.as_str()), (Some(0), "encryption is off"));
    let configuration = fs::read_to_string(&file).unwrap();
    assert!(
        configuration.contains("wireguardEnabled: false"),
        "{configuration}"
    );
}

#[test]
fn a_security_setting_with_a_slip_is_refused_with_its_place_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["ada", "bob", "node-3"] {
        let node = format!("kind: Node\nmetadata: {{name: {name}}}\nspec: {{}}\n");
        fs::write(path.join(format!("{name}.yaml")), node).unwrap();
    }
    let store = store(path);
    let enable = |more: &[&str]| {
        let arguments = [&["enable", "--store", &store, "--strict"], more].concat();
        said(&wiremesh(&arguments))
    };
    let refused = |more: &[&str], expected: &str| {
        let (status, text) = enable(more);
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
        assert_eq!(fs::read_dir(path).unwrap().count(), 3);
    };
    refused(
        &["--networks", "foo,10.1/16"],
        "invalid value 'foo,10.1/16' for '--networks <CIDR,…>': `foo` at character 1 is no network: \
         write ADDRESS/LENGTH, such as 10.0.0.0/8 or fd00::/8\n  `10.1/16` at character 5 is no \
         network: did you mean `10.1.0.0/16`?",
    );
    refused(
        &["--plain-nodes", "ada,"],
        "`` at character 5 is no name: a comma is one too many, or a name is missing",
    );
    refused(
        &["--plain-nodes", "ada,nope"],
        "invalid value 'ada,nope' for '--plain-nodes <NODE,…>': `nope` at character 5 is no Node of \
         the store: it has ada, bob, node-3",
    );
    refused(
        &["--plain-nodes", "nod-3"],
        "`nod-3` at character 1 is no Node of the store: did you mean `node-3`?",
    );
    let right = ["--plain-nodes", "ada, bob", "--networks", "10.0.0.0/8"];
    assert_eq!(enable(&right), (Some(0), "encryption is on".into()));
}

#[test]
fn a_json_resource_stays_json_and_keeps_its_other_fields() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.json");
    fs::write(
        &file,
        r#"{"kind": "FelixConfiguration", "metadata": {"name": "default"}, "spec": {"bpfEnabled": false}}"#,
    )
    .unwrap();
    let store = store(folder.path());
    said(&wiremesh(&[
        "enable",
        "--store",
        &store,
        "--host-encryption",
    ]));
    let configuration: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(configuration["spec"]["bpfEnabled"], false);
    assert_eq!(configuration["spec"]["wireguardEnabled"], true);
    assert_eq!(
        configuration["spec"]["wireguardHostEncryptionEnabled"],
        true
    );
}

#[test]
fn a_store_that_is_not_there_is_named() {
    let (status, text) = said(&wiremesh(&["enable", "--store", "dir:/no/such/store"]));
    assert_eq!(status, Some(1));
    assert!(text.contains("/no/such/store"), "{text}");
    let (status, text) = said(&wiremesh(&[
        "agent",
        "--node",
        "a",
        "--store",
        "dir:/no/such/store",
    ]));
    assert_eq!(status, Some(1));
    assert!(text.contains("/no/such/store"), "{text}");
}

#[test]
fn a_store_of_an_unknown_kind_is_a_wrong_argument() {
    let (status, text) = said(&wiremesh(&["enable", "--store", "ftp://x"]));
    assert_eq!(status, Some(2));
    assert!(text.contains("dir:PATH"), "{text}");
}

#[test]
fn an_etcd_that_is_not_there_is_named_with_the_reason() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (status, text) = said(&wiremesh(&["enable", "--store", &format!("etcd:{url}")]));
    assert_eq!(status, Some(1));
    let expected =
        format!("cannot use the etcd at {url}: it cannot be reached: Connection refused");
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_password_in_a_url_is_never_told() {
    for store in [
        "etcd:http://user:s3cret@127.0.0.1:1",
        "etcd:http://user:s3cret@127.0.0.1:99999",
        "etcd:http://user:s3cret%zz@127.0.0.1",
        "etcd:user:s3cret@127.0.0.1:2379",
        "etcd:ftp://user:s3cret@127.0.0.1",
        "http://user:s3cret@127.0.0.1:2379",
    ] {
        let (status, text) = said(&wiremesh(&["enable", "--store", store]));
        assert!(matches!(status, Some(1 | 2)), "{store}: {text}");
        assert!(text.contains("127.0.0.1"), "{store}: {text}");
        assert!(!text.contains("s3cret"), "{store}: {text}");
    }
}

#[test]
fn an_etcd_without_a_scheme_is_a_wrong_argument() {
    let (status, text) = said(&wiremesh(&["enable", "--store", "etcd:10.0.0.1:2379"]));
    assert_eq!(status, Some(2));
    assert!(
        text.contains("begins with neither http:// nor https://"),
        "{text}"
    );
}

#[test]
fn https_without_certificates_says_which_files_are_missing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("etcd:https://{}", listener.local_addr().unwrap());
    let (status, text) = said(&wiremesh(&["enable", "--store", &store]));
    assert_eq!(status, Some(1));
    assert!(text.contains("ETCD_CA_CERT_FILE"), "{text}");
}
