//! Output: documents and tables on standard output, progress and errors on standard error.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;

use nix::unistd::dup2_stdout;
use serde_json::{Value, json};
use wireproof_lab::base::error::LabError;
use wireproof_model::report::{COLOURS, Report};
use wireproof_model::text::{escaped, escaped_but, shown_path};

use crate::failure::{Failure, Status};
use crate::format::VERSION;
use crate::scenario::JudgedRun;

/// The report of a scenario.
pub(crate) fn report(judged: &JudgedRun) -> Report<'_> {
    Report::new(&judged.plan, &judged.evidence, &judged.verdicts)
}

/// The exit status of a run of it.
pub(crate) fn status_of(judged: &JudgedRun) -> Status {
    match report(judged).exit_status() {
        0 => Status::Held,
        1 => Status::Broken,
        _ => Status::Unfit,
    }
}

/// The outcome of a scenario, in one word.
pub(crate) fn word(judged: &JudgedRun) -> &'static str {
    match status_of(judged) {
        _ if judged.evidence.skipped.is_some() => "skipped",
        Status::Held => "held",
        Status::Broken => "broken",
        Status::BadInput | Status::Unfit => "inconclusive",
    }
}

/// Prints a run's table, and its failures.
pub(crate) fn print_report(judged: &JudgedRun) -> Status {
    let directory = shown_path(&judged.directory);
    let report = report(judged);
    let table = report.table(&directory, is_for_a_person());
    print_raw(&escaped_but(&table, COLOURS));
    let failure = report.failure(&directory);
    if !failure.is_empty() {
        print(&format!("\n{failure}"));
    }
    status_of(judged)
}

/// A scenario's part of a document.
pub(crate) fn document(path: &Path, result: &Value) -> Value {
    let mut document = result.clone();
    document["scenario"] = json!(path.display().to_string());
    document
}

/// The same of one that has no verdict.
pub(crate) fn failed(title: Option<&str>, failure: &Failure) -> Value {
    json!({
        "title": title,
        "status": failure.status() as u8,
        "error": failure.to_string(),
    })
}

/// Where this program's own words go, once [`keep_output`] has been called.
static OUTPUT: OnceLock<File> = OnceLock::new();

/// Keeps standard output for what this program prints itself: libraries that print, such as wireguard-control
/// where boringtun answers with an unknown key, do so on standard error from now on.
pub(crate) fn keep_output() {
    if let Ok(output) = io::stdout().as_fd().try_clone_to_owned()
        && dup2_stdout(io::stderr()).is_ok()
    {
        let _ = OUTPUT.set(output.into());
    }
}

/// Why something could not be printed.
static UNPRINTED: OnceLock<String> = OnceLock::new();

/// Prints on standard output what a terminal obeys in no part.
pub(crate) fn print(text: &str) {
    print_raw(&escaped(text));
}

/// Prints on standard output, as it is. A reader that has gone away, such as `head`, is no reason to fail; what
/// else goes wrong is kept for [`all_was_printed`].
fn print_raw(text: &str) {
    let printed = match OUTPUT.get() {
        Some(mut output) => output.write_all(text.as_bytes()),
        None => {
            let mut output = io::stdout();
            output
                .write_all(text.as_bytes())
                .and_then(|()| output.flush())
        }
    };
    if let Err(error) = printed
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = UNPRINTED.set(error.to_string());
    }
}

/// Whether everything was printed that was to be, but for a reader that has gone away.
///
/// # Errors
/// The disk is full, or what standard output is takes nothing.
pub(crate) fn all_was_printed() -> Result<(), Failure> {
    match UNPRINTED.get() {
        None => Ok(()),
        Some(cause) => Err(LabError::machine("print on standard output", cause)
            .help("what was printed is not whole; run directories are")
            .into()),
    }
}

/// Prints a line on standard error, as far as that takes it, with control characters escaped.
pub(crate) fn print_error(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", escaped(&text.to_string()));
}

fn is_for_a_person() -> bool {
    match OUTPUT.get() {
        Some(output) => output.is_terminal(),
        None => io::stdout().is_terminal(),
    }
}

/// The one document of a command.
pub(crate) fn print_json(document: &Value) {
    let mut document = document.clone();
    if let Some(document) = document.as_object_mut() {
        document.insert("version".into(), VERSION.into());
    }
    print(&format!("{document:#}\n"));
}

/// One line of progress on standard error, where a person watches.
pub(crate) struct Watcher {
    watched: bool,
}

impl Watcher {
    /// Prints nothing where standard error is no terminal, or where it is not wanted.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            watched: !quiet && io::stderr().is_terminal(),
        }
    }

    /// A phase of a scenario begins.
    pub(crate) fn phase(&self, path: &Path, phase: &str) {
        if self.watched {
            let _ = write!(io::stderr(), "\r\x1b[K{}: {phase} ...", shown_path(path));
        }
    }

    /// A line that stays on the terminal.
    pub(crate) fn line(&self, text: &str) {
        if self.watched {
            self.clear();
            print_error(text);
        }
    }

    /// Clears the progress line: what comes next is no progress.
    pub(crate) fn clear(&self) {
        if self.watched {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
