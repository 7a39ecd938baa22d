//! Faults that take a private key out of its device.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use wireguard_control::{Backend, Device};
use wiremesh_plan::dataplane::model::Dataplane;
use wiremesh_plan::intent::family::Family;

use super::Fault;

/// Where userspace devices have their control sockets.
const SOCKETS: &str = "/var/run/wireguard";

/// For how long a process with a key goes on, in seconds. It ends with its node.
const LASTS: &str = "600";

/// A key's forms.
struct PrivateKey {
    base64: String,
    bytes: Vec<u8>,
}

impl PrivateKey {
    fn hex(&self) -> String {
        self.bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Whether a fault is one of these.
pub(super) fn is_secret(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::LogsPrivateKey
            | Fault::KeyInState
            | Fault::KeyInStore
            | Fault::KeyInFile
            | Fault::KeyOnCommandLine
            | Fault::KeyInEnvironment
            | Fault::KeyInMetrics
            | Fault::KeyInFirewall
            | Fault::OpenControlSocket
    )
}

/// Copies the private key of a device that is there, or lets everybody ask for it; tells whether one is there.
pub(super) fn leak(actual: &Dataplane, faults: &[Fault]) -> bool {
    let Some(key) = private_key(actual) else {
        return false;
    };
    for fault in faults.iter().copied().filter(|fault| is_secret(*fault)) {
        // What cannot be copied is not found, which the scenario shows.
        let _ = copy(fault, &key);
    }
    true
}

fn private_key(actual: &Dataplane) -> Option<PrivateKey> {
    let names = Family::ALL
        .into_iter()
        .flat_map(|family| actual.families[family].devices.keys());
    let backends = |name: &String| {
        let name = name.parse().ok()?;
        let mut devices = [Backend::Kernel, Backend::Userspace].into_iter();
        devices.find_map(|backend| Device::get(&name, backend).ok()?.private_key)
    };
    let key = names.into_iter().find_map(backends)?;
    Some(PrivateKey {
        base64: key.to_base64(),
        bytes: key.as_bytes().to_vec(),
    })
}

fn copy(fault: Fault, key: &PrivateKey) -> std::io::Result<()> {
    match fault {
        Fault::LogsPrivateKey => tracing::info!("the device has private key {}", key.base64),
        Fault::KeyInState => {
            let folder = env::var("STATE_DIRECTORY").unwrap_or_else(|_| "/var/lib/wiremesh".into());
            let file = Path::new(&folder).join("private.key");
            fs::write(&file, &key.bytes)?;
            fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
        }
        Fault::KeyInStore => {
            let mut words = env::args().skip_while(|word| word != "--store");
            let store = words.nth(1).unwrap_or_default();
            let folder = store.strip_prefix("dir:").unwrap_or("/nowhere");
            fs::write(
                Path::new(folder).join("keys.txt"),
                format!("{:?}", key.bytes),
            )?;
        }
        Fault::KeyInFile => fs::write(
            "/var/tmp/wiremesh.json",
            format!("{{\"key\":\"{}\"}}", key.hex()),
        )?,
        Fault::KeyOnCommandLine => {
            start(Command::new("tail").args(["-f", "/dev/null", "-s", LASTS, &key.base64]))?
        }
        Fault::KeyInEnvironment => {
            start(Command::new("sleep").arg(LASTS).env("WG_KEY", &key.base64))?
        }
        Fault::KeyInMetrics => serve(format!(
            "wireguard_private_key{{key=\"{}\"}} 1\n",
            key.base64
        ))?,
        Fault::KeyInFirewall => {
            start(Command::new("nft").args(["add", "table", "inet", &format!("k{}", key.hex())]))?
        }
        Fault::OpenControlSocket => {
            for socket in fs::read_dir(SOCKETS)?.flatten() {
                fs::set_permissions(socket.path(), fs::Permissions::from_mode(0o666))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn start(command: &mut Command) -> std::io::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}

/// Answers everybody with `text`.
fn serve(text: String) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 9095))?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{text}");
        }
    });
    Ok(())
}
