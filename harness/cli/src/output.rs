//! What is printed: documents and tables on standard output, and what goes on on standard error.

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
pub(crate) fn report(told: &JudgedRun) -> Report<'_> {
    Report::new(&told.plan, &told.evidence, &told.verdicts)
}

/// How a run of it ends.
pub(crate) fn status_of(told: &JudgedRun) -> Status {
    match report(told).exit_status() {
        0 => Status::Held,
        1 => Status::Broken,
        _ => Status::Unfit,
    }
}

/// What a scenario came to, in one word.
pub(crate) fn word(told: &JudgedRun) -> &'static str {
    match status_of(told) {
        _ if told.evidence.skipped.is_some() => "skipped",
        Status::Held => "held",
        Status::Broken => "broken",
        Status::BadInput | Status::Unfit => "inconclusive",
    }
}

/// Prints its table, and what went wrong.
pub(crate) fn tell(told: &JudgedRun) -> Status {
    let directory = shown_path(&told.directory);
    let report = report(told);
    let table = report.table(&directory, is_for_a_person());
    print_raw(&escaped_but(&table, COLOURS));
    let failure = report.failure(&directory);
    if !failure.is_empty() {
        print(&format!("\n{failure}"));
    }
    status_of(told)
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

/// Keeps standard output for what this program prints itself: libraries that print, such as
/// wireguard-control where boringtun tells it something new, do so on standard error from now on.
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

/// Says a line on standard error, as far as that takes it; a terminal obeys nothing in it.
pub(crate) fn say(text: impl std::fmt::Display) {
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

/// One line on standard error that says what goes on, where a person watches.
pub(crate) struct Watcher {
    watched: bool,
}

impl Watcher {
    /// Says nothing where nobody watches, or wants it.
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

    /// Something to keep in sight.
    pub(crate) fn line(&self, text: &str) {
        if self.watched {
            self.clear();
            say(text);
        }
    }

    /// What comes next is no progress.
    pub(crate) fn clear(&self) {
        if self.watched {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
