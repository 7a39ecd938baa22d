//! Arguments, help, and what each command does.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::builder::NonEmptyStringValueParser;
use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};
use nix::libc::SIGXFSZ;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::Family;
use wiremesh_plan::intent::text;

use crate::agent::{self, AgentConfig, AgentError};
use crate::hooks::Hooks;
use crate::host::apply::Preference;
use crate::host::device::{self, DeviceError};
use crate::host::guard::{self, GuardError};
use crate::host::kernel::ObserveError;
use crate::host::netlink::{Netlink, NetlinkError};
use crate::host::tunnel::{self, TunnelError};
use crate::operator::operate::{self, EnableOptions, OperateError};
use crate::operator::render;
use crate::store::{Store, StoreError};

/// The argument that names a store.
mod argument;

/// The `status` command.
mod status;

use argument::StoreParser;
use status::StatusArguments;

/// Encrypts the traffic between a cluster's nodes with WireGuard, as Calico does.
///
/// `wiremesh enable` states the intent; the agent on each node does the rest.
#[derive(Debug, Parser)]
#[command(name = "wiremesh", version)]
struct Arguments {
    /// How the log on standard error is written
    #[arg(long, value_enum, global = true, display_order = 100, env = "WIREMESH_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    verb: Verb,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// A line of words
    Text,
    /// A JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run on a node: make and keep its tunnel device, peers, routes, rule and marks
    Agent(Agent),
    /// Ask every agent to encrypt
    Enable {
        #[command(flatten)]
        store: StoreArgument,
        #[command(flatten)]
        options: EnableOptions,
    },
    /// Ask every agent to stop encrypting, and to remove all that it made
    Disable {
        #[command(flatten)]
        store: StoreArgument,
    },
    /// Set the rules of encrypt or drop that the agent has kept; run it before the network is up
    Guard {
        #[command(flatten)]
        state: StateArgument,
        /// Where the cluster's resources are: where the kept rules cannot be used, everything is
        /// dropped but the way to an etcd whose address is given in numbers
        #[arg(
            long,
            value_name = "dir:PATH|etcd:URL",
            env = "WIREMESH_STORE",
            hide_env_values = true
        )]
        store: Option<String>,
    },
    /// Ask a node's agent for a new key
    RotateKey {
        /// The node's name in the store
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        node: String,
        #[command(flatten)]
        store: StoreArgument,
    },
    /// Tell how this node and its peers stand
    Status(StatusArguments),
    /// Show a WireGuard device, as `wg show` does
    Show {
        /// The device
        #[arg(default_value = "wireguard.cali")]
        interface: String,
        /// A store that knows whose keys these are
        #[arg(long, value_name = "dir:PATH|etcd:URL", value_parser = StoreParser)]
        store: Option<Store>,
    },
    /// The userspace tunnel process; agents start it
    #[command(hide = true)]
    Tunnel {
        /// The device's name
        interface: String,
    },
}

#[derive(Debug, Args)]
struct StoreArgument {
    /// Where the cluster's resources are: a directory of Calico v3 resources, one file each,
    /// or Calico's etcd (https with ETCD_CA_CERT_FILE, ETCD_CERT_FILE, ETCD_KEY_FILE; a user with
    /// ETCD_USERNAME and ETCD_PASSWORD)
    #[arg(long, value_name = "dir:PATH|etcd:URL", value_parser = StoreParser)]
    store: Store,
}

#[derive(Debug, Args)]
struct StateArgument {
    /// Where the agent keeps the rules of encrypt or drop for the next boot
    #[arg(
        long,
        value_name = "DIR",
        env = "STATE_DIRECTORY",
        default_value = "/var/lib/wiremesh"
    )]
    state: PathBuf,
}

#[derive(Debug, Args)]
struct NodeArgument {
    /// This node's name in the store
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    store: StoreArgument,
}

#[derive(Debug, Args)]
struct Agent {
    #[command(flatten)]
    node: NodeArgument,
    /// Which WireGuard makes new devices: auto (the kernel's, else userspace), kernel, userspace
    /// (this program's own), or a program such as wireguard-go or boringtun-cli
    #[arg(long, value_name = "NAME|PROGRAM", default_value = "auto")]
    backend: Preference,
    /// Serve Prometheus metrics, /healthz and /readyz there; else where FelixConfiguration says, if it does
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// A mount of /proc whose sysctls can be written, where the first cannot
    #[arg(long, value_name = "PATH", default_value = "/proc")]
    procfs: PathBuf,
    #[command(flatten)]
    state: StateArgument,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    #[error(transparent)]
    Guard(#[from] GuardError),
    #[error(transparent)]
    Operate(#[from] OperateError),
    /// What `status --check` has found is printed with the status.
    #[error("this node or one of its peers is not as intended")]
    NotAsIntended,
    #[error("{0} is no WireGuard device on this node")]
    NoDevice(String),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

/// A program, from arguments to exit status: 0 done, 1 failed, 2 wrong arguments. A test's program has
/// arguments besides, which say what hooks it has.
pub(crate) fn main(
    with_arguments: impl FnOnce(clap::Command) -> clap::Command,
    hooks: impl FnOnce(&ArgMatches) -> Hooks,
) -> ExitCode {
    let matches = with_arguments(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let hooks = hooks(&matches);
    let log = tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| EnvFilter::new("info,gotatun=off")),
        )
        .with_writer(|| text::Log(io::stderr()))
        // In which module a line is written is no matter of whoever reads or matches the log.
        .with_target(false)
        .with_ansi(false);
    match arguments.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    match run_command(arguments.verb, hooks) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match arguments.log_format {
                LogFormat::Text => eprintln!("wiremesh: {}", text::message(&failure.to_string())),
                LogFormat::Json => tracing::error!("{failure}"),
            }
            match failure {
                Failure::Operate(error) if error.is_of_arguments() => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run_command(verb: Verb, hooks: Hooks) -> Result<(), Failure> {
    match verb {
        Verb::Enable { store, options } => blocking(async {
            let stated = operate::enable(&store.store, &options).await?;
            print(&format!("{stated}\n"));
            Ok(())
        }),
        Verb::Disable { store } => blocking(async {
            let stated = operate::disable(&store.store).await?;
            print(&format!("{stated}\n"));
            Ok(())
        }),
        Verb::Guard { state, store } => blocking(async {
            // A store that cannot be read must not keep the rules from being set.
            let store = store.and_then(|store| store.parse::<Store>().ok());
            let store = store.map_or_else(Vec::new, |store| store.endpoints());
            print(match guard::restore(&state.state, &store).await? {
                true => "encrypt or drop is in force\n",
                false => "encrypt or drop was not asked for\n",
            });
            Ok(())
        }),
        Verb::RotateKey { node, store } => blocking(async {
            operate::rotate_key(&store.store, &node).await?;
            print(&format!("{node} is asked for a new key\n"));
            Ok(())
        }),
        Verb::Agent(arguments) => blocking(async {
            agent::run(AgentConfig {
                node: arguments.node.node,
                store: arguments.node.store.store.with_hooks(&hooks),
                hooks,
                preference: arguments.backend,
                metrics: arguments.metrics,
                procfs: arguments.procfs,
                state: arguments.state.state,
            })
            .await?;
            Ok(())
        }),
        Verb::Status(arguments) => blocking(status::run(arguments)),
        Verb::Show { interface, store } => blocking(show(&interface, store.as_ref())),
        Verb::Tunnel { interface } => {
            threaded(async { Ok(tunnel::serve(&interface, &hooks).await?) })
        }
    }
}

async fn show(interface: &str, store: Option<&Store>) -> Result<(), Failure> {
    let links = Netlink::open()?.links().await?;
    let backend = links
        .values()
        .find(|link| link.name == interface)
        .and_then(|link| device::backend_of(&link.kind, &link.name))
        .ok_or_else(|| Failure::NoDevice(interface.to_owned()))?;
    let state = device::read(interface, backend)?;
    let names = match store {
        None => Default::default(),
        Some(store) => {
            let (cluster, _) = Cluster::new("", &store.read().await?.resources);
            let known = cluster.nodes.keys();
            known
                .flat_map(|name| Family::ALL.map(|family| (name, family)))
                .filter_map(|(name, family)| {
                    Some((cluster.key_of(name, family).ok()?, name.clone()))
                })
                .collect()
        }
    };
    print(&render::device(
        interface,
        &state,
        &names,
        SystemTime::now(),
    ));
    Ok(())
}

/// A reader that has gone away is no reason to fail.
fn print(text: &str) {
    let _ = io::stdout().write_all(text::lines(text).as_bytes());
}

/// The agent and the commands do one thing at a time.
fn blocking(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let result = runtime.block_on(async {
        // A file that grows past a limit (`ulimit -f`) is an error of the write, as on a full disk, and
        // no reason to die: whoever catches the signal is told `EFBIG` (setrlimit(2)).
        let _limit = signal(SignalKind::from_raw(SIGXFSZ));
        work.await
    });
    // What is still being read when a signal ends this is not waited for.
    runtime.shutdown_background();
    result
}

/// The tunnel encrypts on every core.
fn threaded(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let result = runtime.block_on(work);
    // What still runs ends with the process, which is not to wait for it.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name() {
        for verb in ["agent", "status", "rotate-key"] {
            let with = |node: &str| {
                let store = ["--store", "dir:/resources"];
                let node = ["wiremesh", verb, "--node", node];
                Arguments::try_parse_from(node.iter().chain(&store))
            };
            assert!(with("ada").is_ok(), "{verb}");
            assert!(with("").is_err(), "{verb}");
        }
    }

    #[test]
    fn the_commands_of_the_readme_are_understood() {
        let commands: Vec<_> = include_str!("../../README.md")
            .split('`')
            .filter(|text| text.starts_with("wiremesh ") && !text.contains('\n'))
            .map(|text| text.replace("STORE", "dir:/resources"))
            // A mere name of a verb, in prose, has no arguments.
            .filter(|text| text.contains(" --") || text == "wiremesh show")
            .collect();
        assert!(commands.len() > 8, "{commands:?}");
        for command in commands {
            let store = match command.contains("--store") || !command.contains("agent") {
                true => "",
                false => " --node node-1 --store dir:/resources",
            };
            let command = format!("{command}{store}");
            if let Err(error) = Arguments::try_parse_from(command.split(' ')) {
                panic!("{command}: {error}");
            }
        }
    }
}
