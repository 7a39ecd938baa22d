//! The operator's commands on a real directory, and their errors when it is wrong.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn wiremesh(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wiremesh"))
        .args(arguments)
        .output()
        .unwrap()
}

fn printed(output: &Output) -> (Option<i32>, String) {
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

    let (status, text) = printed(&wiremesh(&["enable", "--store", &store]));
    let on = "encryption is on; host encryption is off, strict mode is off";
    assert_eq!((status, text.as_str()), (Some(0), on));
    let configuration = fs::read_to_string(&file).unwrap();
    assert!(
        configuration.contains("wireguardEnabled: true"),
        "{configuration}"
    );

    let (_, text) = printed(&wiremesh(&["enable", "--store", &store]));
    let already = "encryption is on already; host encryption is off, strict mode is off";
    assert_eq!(text, already);

    let (status, text) = printed(&wiremesh(&["disable", "--store", &store]));
    assert_eq!((status, text.as_str()), (Some(0), "encryption is off"));
    let configuration = fs::read_to_string(&file).unwrap();
    assert!(
        configuration.contains("wireguardEnabled: false"),
        "{configuration}"
    );
}

/// Before any node is there, IPv4 is meant; a network that is to be protected is so in its own family.
#[test]
fn enable_counts_the_families_of_the_networks_that_it_is_given() {
    for (networks, v4, v6) in [
        ("10.77.0.0/16", true, false),
        ("fd00:99::/32", false, true),
        ("fd00:99::/32,10.77.0.0/16", true, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (status, _) = printed(&wiremesh(&[
            "enable",
            "--store",
            &store,
            "--strict",
            "--networks",
            networks,
        ]));
        assert_eq!(status, Some(0));
        let file = folder.path().join("felixconfiguration.default.yaml");
        let written = fs::read_to_string(file).unwrap();
        assert_eq!(written.contains("wireguardEnabled: true"), v4, "{written}");
        assert_eq!(
            written.contains("wireguardEnabledV6: true"),
            v6,
            "{written}"
        );
    }
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
        printed(&wiremesh(&arguments))
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
        "a name is missing at character 5, or a comma is one too many",
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
    let on = "encryption is on; host encryption is off, strict mode is on, but for ada, bob, also in 10.0.0.0/8";
    assert_eq!(enable(&right), (Some(0), on.into()));

    // An empty list is a slip; what takes a list away has a word of its own.
    for (argument, what) in [
        ("--networks", "networks"),
        ("--plain-nodes", "names of nodes"),
    ] {
        for empty in ["", " "] {
            let (status, text) = enable(&[argument, empty]);
            assert_eq!(status, Some(2), "{text}");
            let expected =
                format!("it is empty: give {what}, or `none` to take away what was given");
            assert!(text.contains(&expected), "{text}");
        }
    }
    let text = fs::read_to_string(path.join("felixconfiguration.default.yaml")).unwrap();
    assert!(
        text.contains("ada, bob") && text.contains("10.0.0.0/8"),
        "{text}"
    );
    let on = "encryption is on; host encryption is off, strict mode is on";
    let (_, text) = enable(&["--plain-nodes", "none"]);
    assert_eq!(text, format!("{on}, also in 10.0.0.0/8"));
    let (_, text) = enable(&["--networks", "none"]);
    assert_eq!(text, on);
    let text = fs::read_to_string(path.join("felixconfiguration.default.yaml")).unwrap();
    assert!(
        !text.contains("plain-nodes") && !text.contains("networks"),
        "{text}"
    );

    // Strict mode stays asked for, which is said.
    let (status, text) = printed(&wiremesh(&["disable", "--store", &store]));
    assert_eq!(status, Some(0));
    assert!(
        text.starts_with("encryption is off; strict mode stays asked for"),
        "{text}"
    );
    let without = [
        "enable",
        "--store",
        &store,
        "--strict=false",
        "--networks",
        "10.0.0.0/8",
    ];
    let (status, text) = printed(&wiremesh(&without));
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("'--networks' needs strict mode"), "{text}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_written_beside_or_over() {
    for (files, expected) in [
        (
            &[("broken.yaml", "kind: FelixConfiguration\nspec: {\n")][..],
            "broken.yaml:3:1: it is not YAML",
        ),
        (
            &[("broken.json", "{\n ?")],
            "broken.json:2:2: it is not JSON: ",
        ),
        (
            &[(
                "f.yaml",
                "kind: FelixConfiguration\nmetadata: {name: default}\nspec: [x]\n",
            )],
            "f.yaml: `spec` is not a mapping",
        ),
        (
            &[(
                "f.yaml",
                "kind: FelixConfiguration\nmetadata: {name: default}\nspec: {}\nspec: {}\n",
            )],
            "f.yaml:4:1: the field `spec` is here again, after line 3, column 1",
        ),
        (
            &[
                (
                    "f.yaml",
                    "kind: FelixConfiguration\nmetadata: {name: default}\n",
                ),
                (
                    "g.yaml",
                    "kind: FelixConfiguration\nmetadata: {name: default}\n",
                ),
            ],
            "f.yaml and g.yaml both hold it, so FelixConfiguration default is not written",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        for verb in ["enable", "disable"] {
            let (status, text) = printed(&wiremesh(&[verb, "--store", &store(folder.path())]));
            assert_eq!(status, Some(1), "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(text.contains("\n  help: "), "{text}");
        }
        for (name, text) in files {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), *text);
        }
        let names = fs::read_dir(folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name != ".lock").count(), files.len());
    }
}

#[test]
fn a_key_of_an_unknown_node_is_not_rotated_and_the_known_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ada", "node-3"] {
        let node = format!("kind: Node\nmetadata: {{name: {name}}}\n");
        fs::write(folder.path().join(format!("{name}.YAML")), node).unwrap();
    }
    let rotate = |node: &str| {
        let store = store(folder.path());
        printed(&wiremesh(&[
            "rotate-key",
            "--node",
            node,
            "--store",
            &store,
        ]))
    };
    let (status, text) = rotate("nope");
    assert_eq!(status, Some(2), "{text}");
    assert!(
        text.ends_with("the store has no such Node: it has ada, node-3"),
        "{text}"
    );
    assert!(rotate("Ada").1.ends_with("did you mean `ada`?"));
    // A file in upper case is one all the same.
    assert_eq!(
        rotate("ada"),
        (Some(0), "ada is asked for a new key".into())
    );
    // Eight are listed.
    for (number, more) in [(6, false), (7, true)] {
        for last in 0..number {
            let node = format!("kind: Node\nmetadata: {{name: pool-{last}}}\n");
            fs::write(folder.path().join(format!("pool-{last}.yaml")), node).unwrap();
        }
        let text = rotate("nope").1;
        assert_eq!(text.ends_with("pool-5 and 1 more"), more, "{text}");
        assert!(text.contains("pool-5"), "{text}");
    }
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
    printed(&wiremesh(&[
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

/// Who switches strict mode off would wait for nodes that hold it in force.
#[test]
fn a_mistake_that_keeps_nodes_as_they_are_is_named_by_enable_and_disable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.yaml");
    let text = "kind: FelixConfiguration\nmetadata: {name: default, annotations: {wiremesh/strict: 'true'}}\n\
        spec: {wireguardEnabled: true, wireGuardMTU: 1400}\n";
    let store = store(folder.path());
    let misspelt = "\n  `spec.wireGuardMTU` is no field: did you mean `wireguardMTU`?";
    let hosts = "\n  `spec.wireguardHostEncryptionEnabled` is not stated";
    for (verb, named, absent) in [
        (&["enable"][..], &[misspelt, hosts][..], "no such text"),
        (&["enable", "--host-encryption"], &[misspelt], hosts),
        (&["disable"], &[misspelt], hosts),
    ] {
        fs::write(&file, text).unwrap();
        let (status, text) = printed(&wiremesh(&[verb, &["--store", &store]].concat()));
        assert_eq!(status, Some(0), "{text}");
        let whole = "has mistakes. Until they are corrected, a node on which strict mode is in force switches \
             nothing off:";
        for expected in [&[whole], named].concat() {
            assert!(text.contains(expected), "{verb:?} {expected}\n{text}");
        }
        assert!(!text.contains(absent), "{text}");
    }
    fs::write(&file, text.replace(", wireGuardMTU: 1400", "")).unwrap();
    let (_, text) = printed(&wiremesh(&["disable", "--store", &store]));
    assert!(!text.contains("mistake"), "{text}");
}

#[test]
fn a_store_that_is_not_there_is_named() {
    let (status, text) = printed(&wiremesh(&["enable", "--store", "dir:/no/such/store"]));
    assert_eq!(status, Some(1));
    assert!(text.contains("/no/such/store"), "{text}");
    let (status, text) = printed(&wiremesh(&[
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
fn a_status_that_fails_is_json_too_where_json_is_asked_for() {
    let output = wiremesh(&[
        "status",
        "--node",
        "a",
        "--store",
        "dir:/no/such/store",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["version"], &document["node"]),
        (&1.into(), &"a".into())
    );
    let error = document["error"].as_str().unwrap();
    assert!(error.contains("/no/such/store"), "{error}");
}

#[test]
fn a_store_of_an_unknown_kind_is_a_wrong_argument() {
    let (status, text) = printed(&wiremesh(&["enable", "--store", "ftp://x"]));
    assert_eq!(status, Some(2));
    assert!(text.contains("dir:PATH"), "{text}");
}

#[test]
fn an_etcd_that_is_not_there_is_named_with_the_reason() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (status, text) = printed(&wiremesh(&["enable", "--store", &format!("etcd:{url}")]));
    assert_eq!(status, Some(1));
    let expected =
        format!("cannot use the etcd at {url}: it cannot be reached: Connection refused");
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_password_in_a_url_is_never_printed() {
    for store in [
        "etcd:http://user:s3cret@127.0.0.1:1",
        "etcd:http://user:s3cret@127.0.0.1:99999",
        "etcd:http://user:s3cret%zz@127.0.0.1",
        "etcd:user:s3cret@127.0.0.1:2379",
        "etcd:ftp://user:s3cret@127.0.0.1",
        "http://user:s3cret@127.0.0.1:2379",
    ] {
        let (status, text) = printed(&wiremesh(&["enable", "--store", store]));
        assert!(matches!(status, Some(1 | 2)), "{store}: {text}");
        assert!(text.contains("127.0.0.1"), "{store}: {text}");
        assert!(!text.contains("s3cret"), "{store}: {text}");
    }
}

#[test]
fn an_etcd_without_a_scheme_is_a_wrong_argument() {
    let (status, text) = printed(&wiremesh(&["enable", "--store", "etcd:10.0.0.1:2379"]));
    assert_eq!(status, Some(2));
    assert!(
        text.contains("begins with neither http:// nor https://"),
        "{text}"
    );
}

#[test]
fn https_without_certificates_names_the_missing_files() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("etcd:https://{}", listener.local_addr().unwrap());
    let (status, text) = printed(&wiremesh(&["enable", "--store", &store]));
    assert_eq!(status, Some(1));
    assert!(text.contains("ETCD_CA_CERT_FILE"), "{text}");
}
