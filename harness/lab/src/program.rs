//! Programs that the lab runs, and where they are looked for.

use std::env;
use std::process::Command;

/// Where Debian keeps what administers a machine, and where it does not let plain users look.
const SYSTEM_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// A program by name, looked for in [`search_path`].
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", search_path());
    command
}

/// The user's own `PATH`, and after it the system's folders.
pub(crate) fn search_path() -> String {
    match env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{SYSTEM_FOLDERS}"),
        Ok(_) | Err(_) => format!("/usr/bin:/bin:{SYSTEM_FOLDERS}"),
    }
}
