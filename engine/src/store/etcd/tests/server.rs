//! An etcd of our own: no privileges, a free port, ended by its id.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::super::client::Client;
use super::super::{key, message};

/// How many keys are put in one transaction: etcd allows 128.
const KEYS_PER_TRANSACTION: usize = 100;

pub(super) struct Server {
    data: tempfile::TempDir,
    /// Where it is looked for.
    port: u16,
    /// Where it is.
    serving: u16,
    child: Option<Child>,
    /// `NAME:PASSWORD@` where it asks who its clients are.
    user: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// One that is empty and answers.
    pub(super) async fn start() -> Self {
        let port = free_port();
        let mut server = Self {
            data: tempfile::tempdir().unwrap(),
            port,
            serving: port,
            child: None,
            user: String::new(),
        };
        server.restart().await;
        server
    }

    /// One that asks who its clients are, and has the user `root` with that password.
    pub(super) async fn start_with_users(password: &str) -> Self {
        let mut server = Self::start().await;
        server.add_user("root", password, "root").await;
        server.call("/v3/auth/enable", &json!({})).await;
        server.user = format!("root:{password}@");
        server
    }

    /// Another user, with a role that exists.
    pub(super) async fn add_user(&self, name: &str, password: &str, role: &str) {
        let user = json!({"name": name, "password": password});
        self.call("/v3/auth/user/add", &user).await;
        if role == "root" && self.user.is_empty() {
            self.call("/v3/auth/role/add", &json!({"name": role})).await;
        }
        let grant = json!({"user": name, "role": role});
        self.call("/v3/auth/user/grant", &grant).await;
    }

    /// Another password, which makes all tokens of that user void.
    pub(super) async fn change_password(&self, name: &str, password: &str) {
        let user = json!({"name": name, "password": password});
        self.call("/v3/auth/user/changepw", &user).await;
    }

    /// With what it held, where it was.
    pub(super) async fn restart(&mut self) {
        self.serve_at(self.port).await;
    }

    /// With what it held, where nobody looks for it.
    pub(super) async fn restart_elsewhere(&mut self) {
        self.serve_at(free_port()).await;
    }

    async fn serve_at(&mut self, port: u16) {
        self.serving = port;
        let clients = format!("http://127.0.0.1:{port}");
        // It has no peers. Their URL makes the cluster's id, and so stays the same.
        let log = std::fs::File::create(self.log()).unwrap();
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(self.data.path().join("data"))
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", "http://127.0.0.1:0"])
            .args(["--initial-advertise-peer-urls", "http://127.0.0.1:1"])
            .args(["--initial-cluster", "default=http://127.0.0.1:1"])
            .args(["--auth-token-ttl", "5"])
            .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("etcd cannot be started: run ci/setup"));
        let end = Instant::now() + Duration::from_secs(20);
        while let Err(failure) = self.try_call("/v3/kv/range", &message::get("x")).await {
            if Instant::now() > end {
                let log = std::fs::read_to_string(self.log()).unwrap();
                panic!("etcd does not get ready: {failure}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn log(&self) -> std::path::PathBuf {
        self.data.path().join("log")
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Everything that it holds; it must be stopped.
    pub(super) fn forget(&self) {
        std::fs::remove_dir_all(self.data.path().join("data")).unwrap();
    }

    pub(super) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(super) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Where it is looked for.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn try_call(
        &self,
        path: &str,
        question: &Value,
    ) -> Result<Value, super::super::failure::Failure> {
        let url = format!("http://{}127.0.0.1:{}", self.user, self.serving);
        Client::new(url.parse().unwrap()).call(path, question).await
    }

    async fn call(&self, path: &str, question: &Value) -> Value {
        self.try_call(path, question).await.unwrap()
    }

    pub(super) async fn put(&self, key: &str, value: &Value) {
        self.put_text(key, value.to_string().as_bytes()).await;
    }

    pub(super) async fn put_text(&self, key: &str, value: &[u8]) {
        self.call("/v3/kv/put", &put(key, value)).await;
    }

    /// As another process would, while the caller waits.
    pub(super) fn put_from_elsewhere(&self, key: &str, value: &Value) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_all().build().unwrap();
                runtime.block_on(self.put(key, value));
            });
        });
    }

    /// Each in a revision of its own, if its key comes twice; otherwise many in one.
    pub(super) async fn put_all(&self, pairs: impl Iterator<Item = (String, Value)>) {
        let puts: Vec<_> = pairs
            .map(|(key, value)| json!({"request_put": put(&key, value.to_string().as_bytes())}))
            .collect();
        let url = format!("http://{}127.0.0.1:{}", self.user, self.serving);
        let mut client = Client::new(url.parse().unwrap());
        for puts in puts.chunks(KEYS_PER_TRANSACTION) {
            let all = json!({"success": puts});
            client.call("/v3/kv/txn", &all).await.unwrap();
        }
    }

    pub(super) async fn get(&self, key: &str) -> Value {
        let answer = self.call("/v3/kv/range", &message::get(key)).await;
        let page = message::page(&answer).unwrap();
        let value = page.pairs.into_iter().next().unwrap().value.unwrap();
        serde_json::from_slice(&value).unwrap()
    }

    pub(super) async fn delete(&self, key: &str) {
        self.call("/v3/kv/deleterange", &message::get(key)).await;
    }

    pub(super) async fn revision(&self) -> u64 {
        let answer = self.call("/v3/kv/range", &message::get(key::ROOT)).await;
        message::page(&answer).unwrap().revision
    }

    pub(super) async fn compact(&self) {
        let revision = self.revision().await.to_string();
        self.call("/v3/kv/compaction", &json!({"revision": revision}))
            .await;
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Puts a key, whatever is there.
fn put(key: &str, value: &[u8]) -> Value {
    json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)})
}
