//! Snapshots beside the file that they belong to.

use std::path::Path;

/// Whether `text` is another than what is in the snapshot that [`check`] would compare it with.
pub(crate) fn differs(file: &Path, part: &str, text: &str) -> bool {
    known(file, part).unwrap_or_default().trim_end() != text.trim_end()
}

/// What is in a snapshot; none if there is none.
pub(crate) fn known(file: &Path, part: &str) -> Option<String> {
    let path = file.with_extension(format!("{part}.snap"));
    let text = std::fs::read_to_string(path).ok()?;
    // insta writes what it knows about a snapshot between two lines of dashes.
    text.splitn(3, "---\n").nth(2).map(str::to_owned)
}

/// Compares `text` with `<file>.snap`, or `<file>.<part>.snap`; panics with the difference.
pub(crate) fn check(file: &Path, part: Option<&str>, text: &str) {
    let stem = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let name = match part {
        Some(part) => format!("{stem}.{part}"),
        None => stem.to_owned(),
    };
    let mut settings = insta::Settings::new();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path(file.parent().unwrap_or(Path::new("")));
    settings.bind(|| insta::assert_snapshot!(name, text));
}
