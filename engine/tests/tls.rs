//! An etcd that requires client certificates, as real clusters have it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An etcd with certificates of its own. Dropping it ends it.
struct Server {
    folder: tempfile::TempDir,
    url: String,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn openssl(folder: &Path, words: &[&str]) {
    let output = Command::new("openssl")
        .args(words)
        .current_dir(folder)
        .output()
        .expect("openssl cannot be started: run ci/setup");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// `NAME.crt` and `NAME.key`, signed by `ca` or, for `ca` itself, by nobody else.
fn certificate(folder: &Path, name: &str) {
    let (crt, key) = (format!("{name}.crt"), format!("{name}.key"));
    let subject = format!("/CN={name}");
    let mut words = vec![
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &subject,
        "-out",
        &crt,
        "-keyout",
        &key,
    ];
    if name != "ca" {
        words.extend(["-CA", "ca.crt", "-CAkey", "ca.key"]);
        words.extend(["-addext", "subjectAltName=IP:127.0.0.1"]);
        words.extend(["-addext", "basicConstraints=critical,CA:FALSE"]);
    }
    openssl(folder, &words);
}

fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ca", "server", "client"] {
        certificate(folder.path(), name);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let child = Command::new("etcd")
        .current_dir(folder.path())
        .args(["--data-dir", "data"])
        .args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ])
        .args(["--cert-file", "server.crt", "--key-file", "server.key"])
        .args(["--client-cert-auth", "--trusted-ca-file", "ca.crt"])
        .args(["--listen-peer-urls", "http://127.0.0.1:0"])
        .args(["--initial-advertise-peer-urls", "http://127.0.0.1:1"])
        .args(["--initial-cluster", "default=http://127.0.0.1:1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd cannot be started: run ci/setup");
    Server { folder, url, child }
}

/// `wiremesh enable` with these files; its output.
fn enable(server: &Server, files: &[(&str, &str)]) -> String {
    let store = format!("etcd:{}", server.url);
    let mut command = Command::new(env!("CARGO_BIN_EXE_wiremesh"));
    command.args(["enable", "--store", &store]);
    for (variable, file) in files {
        command.env(variable, server.folder.path().join(file));
    }
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(text).unwrap().trim().to_owned()
}

#[test]
fn an_etcd_behind_tls_is_used_by_who_has_a_certificate() {
    let server = server();
    let files = [
        ("ETCD_CA_CERT_FILE", "ca.crt"),
        ("ETCD_CERT_FILE", "client.crt"),
        ("ETCD_KEY_FILE", "client.key"),
    ];
    let end = Instant::now() + Duration::from_secs(20);
    let mut text = enable(&server, &files);
    while text.contains("Connection refused") && Instant::now() < end {
        text = enable(&server, &files);
    }
    assert!(text.starts_with("encryption is on; "), "{text}");
    let text = enable(&server, &files);
    assert!(text.starts_with("encryption is on already; "), "{text}");

    // Who has none is told so by etcd, and who trusts somebody else trusts nobody here.
    let text = enable(&server, &files[..1]);
    assert!(text.contains("it cannot be reached"), "{text}");
    let text = enable(&server, &[("ETCD_CA_CERT_FILE", "client.crt")]);
    assert!(text.contains("invalid peer certificate"), "{text}");
    let text = enable(&server, &[("ETCD_CA_CERT_FILE", "none.crt")]);
    assert!(
        text.contains("cannot use the file in ETCD_CA_CERT_FILE"),
        "{text}"
    );
}
