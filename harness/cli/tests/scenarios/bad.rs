//! Wrong input is refused, with the exact message that reviewers have read.

use std::path::Path;

use libtest_mimic::Failed;
use wireproof::engines;
use wireproof::input;
use wireproof_model::resolve;

use crate::snapshot;

pub(crate) fn is_refused(path: &Path) -> Result<(), Failed> {
    let text = input::text(path)?;
    // The message shows the name that the user gave; here, the file's own.
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    match resolve::plan(name, &text, &engines::built_in()) {
        Ok(_) => Err("the input was accepted".into()),
        Err(problems) => {
            snapshot::check(path, None, &problems.render());
            Ok(())
        }
    }
}
