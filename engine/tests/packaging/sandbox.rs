//! An agent in namespaces and a root of its own, with what it is given and nothing else.
//!
//! The root is a new tmpfs with the host's programs in it; network, mounts and processes are
//! its own, and so is the user where this test is not root's. When the first process of it
//! ends, the kernel ends the rest.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long an agent may take to get ready or to report why it does not.
const DEADLINE: Duration = Duration::from_secs(30);

/// A place that can be written.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// The host's path; an empty one of its own, if none.
    pub(crate) host: Option<PathBuf>,
    pub(crate) inside: PathBuf,
}

/// What an agent is given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sandbox {
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// In lower case, without `CAP_`.
    pub(crate) capabilities: Vec<String>,
    pub(crate) no_new_privileges: bool,
    pub(crate) read_only_root: bool,
    pub(crate) read_only_sysctls: bool,
    pub(crate) mounts: Vec<Mount>,
    /// Ports and paths that are asked over HTTP when it is ready.
    pub(crate) asks: Vec<(u16, String)>,
    /// What is ended when it is ready, before it is started again.
    pub(crate) restart: Option<Ends>,
}

/// What a supervisor ends when it ends a service.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ends {
    /// The agent itself.
    Agent,
    /// Every process ends.
    Everything,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It announced that it is ready; the answers to what was asked.
    Ready {
        status: String,
        answers: Vec<String>,
        /// What the agent published, after each start.
        keys: Vec<String>,
    },
    /// It reported what stands in the way.
    Struggling { status: String },
}

/// Everything that needs privileges, before they are given up. `$D` is the test's folder.
const ROOT: &str = r#"
R=$D/root
mkdir $R
mount -t tmpfs tmpfs $R
mkdir $R/proc $R/sys $R/dev $R/run $R/var $R/store $R/notify $R/tmp
ln -s ../run $R/var/run
for name in bin sbin lib lib64 usr etc; do
  if [ -L /$name ]; then cp -P /$name $R/$name
  elif [ -d /$name ]; then mkdir $R/$name; mount --rbind /$name $R/$name; fi
done
mount -t tmpfs tmpfs $R/usr/local
mkdir $R/usr/local/bin
touch $R/usr/local/bin/wiremesh
mount --bind $PROGRAM $R/usr/local/bin/wiremesh
mount --rbind /proc $R/proc
mount --rbind /sys $R/sys
mount --bind $D/store $R/store
mount --bind $D/notify $R/notify
for name in null zero urandom; do
  touch $R/dev/$name
  mount --bind /dev/$name $R/dev/$name
done
ln -s /proc/self/fd/0 $R/dev/stdin
"#;

/// Whether a sandbox can be made here. Who has privileges and cannot make one fails.
pub(crate) fn possible() -> bool {
    let mut tried = unshare();
    let tried = tried
        .args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(!is_root(), "root cannot make a namespace here: {why}");
    eprintln!("skipped: this user cannot make namespaces: {why}");
    false
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

impl Sandbox {
    /// Runs the agent until it is ready or reports why it is not.
    pub(crate) fn run(&self) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        for name in ["store", "notify"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fill(&folder.path().join("store"));
        let socket = UnixDatagram::bind(folder.path().join("notify/socket")).unwrap();
        let mut child = unshare()
            .args(["sh", "-eu", "-c", &self.script()])
            .env("D", folder.path())
            .env("PROGRAM", env!("CARGO_BIN_EXE_wiremesh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let outcome = self.follow(
            &socket,
            &mut child,
            &folder.path().join("store/node-1.yaml"),
        );
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        outcome.unwrap_or_else(|why| {
            panic!(
                "{why}; it said:\n{}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    fn follow(
        &self,
        socket: &UnixDatagram,
        child: &mut Child,
        node: &Path,
    ) -> Result<Outcome, String> {
        let key = || {
            let node: serde_json::Value =
                serde_yaml_ng::from_slice(&fs::read(node).unwrap()).unwrap();
            let key = node["status"]["wireguardPublicKey"].as_str();
            key.unwrap_or_default().to_owned()
        };
        let status = match receive_status(socket, child)? {
            Ok(status) => status,
            Err(status) => return Ok(Outcome::Struggling { status }),
        };
        let mut keys = vec![key()];
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stdin = child.stdin.take().unwrap();
        let mut send = |what: String| writeln!(stdin, "{what}").unwrap();
        let mut answers = Vec::new();
        for (port, path) in &self.asks {
            send(format!("ask {port} {path}"));
            answers.push(lines.next().unwrap_or(Ok(String::new())).unwrap());
        }
        if let Some(ends) = self.restart {
            send(match ends {
                Ends::Agent => "end agent".into(),
                Ends::Everything => "end everything".into(),
            });
            assert_eq!(lines.next().unwrap().unwrap(), "ended");
            // What the one that ended had still said is not the next one's.
            socket.set_nonblocking(true).unwrap();
            while socket.recv(&mut [0; 8]).is_ok() {}
            socket.set_nonblocking(false).unwrap();
            send("start".into());
            receive_status(socket, child)?.unwrap();
            keys.push(key());
        }
        Ok(Outcome::Ready {
            status,
            answers,
            keys,
        })
    }

    fn script(&self) -> String {
        let mut script = ROOT.to_owned();
        for Mount { host, inside } in &self.mounts {
            let inside = inside.display();
            script += &format!("mkdir -p $R{inside}\n");
            script += &match host.as_deref().filter(|host| is_the_machines(host)) {
                Some(host) => format!("mount --rbind {} $R{inside}\n", host.display()),
                None => format!("mount -t tmpfs tmpfs $R{inside}\n"),
            };
        }
        if self.read_only_sysctls {
            script += "mount --bind $R/proc/sys $R/proc/sys\n";
            script += "mount -o remount,bind,ro $R/proc/sys\n";
        }
        if self.read_only_root {
            script += "mount -o remount,bind,ro $R\n";
        }
        // It is there only to be asked over.
        script += "ip link set lo up || true\n";
        let set: Vec<_> = self
            .capabilities
            .iter()
            .map(|name| format!(",+{name}"))
            .collect();
        let set = format!("-all{}", set.concat());
        let privileges = if self.no_new_privileges {
            "--no-new-privs"
        } else {
            ""
        };
        let environment = self.environment.iter();
        let environment: Vec<_> = environment
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        script += &format!(
            "start() {{ chroot $R env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin NOTIFY_SOCKET=/notify/socket {} \
             setpriv --bounding-set={set} --inh-caps={set} {privileges} -- '{}' & agent=$!; }}\n",
            environment.join(" "),
            self.command.join("' '"),
        );
        script + ASK
    }
}

/// Starts the agent, and carries out commands. Asks over HTTP, and prints each answer on a line, with tabs for
/// its line ends; ends and starts processes; goes on until nobody commands it any more, so that the namespaces
/// stay meanwhile.
const ASK: &str = r#"
start
while read -r verb what path; do
  case $verb in
  ask)
    bash -c "exec 3<>/dev/tcp/127.0.0.1/$what
      printf 'GET $path HTTP/1.1\r\nHost: node-1\r\n\r\n' >&3
      tr '\n' '\t' <&3; echo" ;;
  end)
    case $what in agent) kill $agent ;; everything) kill -KILL -1 ;; esac
    wait $agent || true
    echo ended ;;
  start) start ;;
  esac
done
wait $agent
"#;

/// The agent's next message: its status, when it is ready or when it is not.
fn receive_status(
    socket: &UnixDatagram,
    child: &mut Child,
) -> Result<Result<String, String>, String> {
    let deadline = Instant::now() + DEADLINE;
    let mut buffer = [0; 8192];
    let patience = Duration::from_millis(200);
    socket.set_read_timeout(Some(patience)).unwrap();
    let message = loop {
        if let Ok(length) = socket.recv(&mut buffer) {
            break String::from_utf8_lossy(&buffer[..length]).into_owned();
        }
        if let Some(status) = child.try_wait().unwrap() {
            return Err(format!("the agent ended: {status}"));
        }
        if Instant::now() > deadline {
            return Err("the agent has said nothing".into());
        }
    };
    let mut lines = message.lines();
    let status = lines.find_map(|line| line.strip_prefix("STATUS="));
    let status = status.unwrap_or_default().to_owned();
    let ready = message.lines().any(|line| line == "READY=1");
    Ok(if ready { Ok(status) } else { Err(status) })
}

/// What a machine has by itself; other paths of the host are made when they are asked for.
fn is_the_machines(host: &Path) -> bool {
    ["/proc", "/dev", "/sys"]
        .iter()
        .any(|start| host.starts_with(start))
}

/// A cluster of two nodes that encrypt; the other one has a key already.
fn fill(store: &Path) {
    let write = |name: &str, text: &str| fs::write(store.join(name), text).unwrap();
    write(
        "felixconfiguration.yaml",
        "kind: FelixConfiguration\nmetadata: {name: default}\nspec:\n  wireguardEnabled: true\n  \
         wireguardHostEncryptionEnabled: true\n",
    );
    write(
        "node-1.yaml",
        "kind: Node\nmetadata: {name: node-1}\nspec: {bgp: {ipv4Address: 10.9.0.1/24}}\n",
    );
    write(
        "node-2.yaml",
        "kind: Node\nmetadata: {name: node-2}\nspec: {bgp: {ipv4Address: 10.9.0.2/24}}\n\
         status: {wireguardPublicKey: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=}\n",
    );
}
