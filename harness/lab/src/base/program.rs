//! Programs that the lab runs, and where they are looked for.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Where Debian keeps what administers a machine, and where it does not let plain users look.
const SYSTEM_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// A program by name, looked for in [`search_path`].
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", search_path());
    command
}

/// Where a program is: the file of that path, or one of that name in [`search_path`].
pub fn find(name: &str) -> Option<PathBuf> {
    let found = match name.contains('/') {
        true => Some(PathBuf::from(name)).filter(|path| path.is_file()),
        false => env::split_paths(&search_path())
            .map(|folder| folder.join(name))
            .find(|path| path.is_file()),
    };
    found.and_then(|path| std::path::absolute(path).ok())
}

/// The user's own `PATH`, and after it the system's folders.
pub(crate) fn search_path() -> String {
    match env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{SYSTEM_FOLDERS}"),
        Ok(_) | Err(_) => format!("/usr/bin:/bin:{SYSTEM_FOLDERS}"),
    }
}
