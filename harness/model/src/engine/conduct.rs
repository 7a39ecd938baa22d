//! An engine's claims about its own conduct: `[conduct]` of its descriptor.

use toml::Spanned;

use crate::document::{Key, Syntax, Table, Unfit, shown};
use crate::plan::{Conduct, LogForm};
use crate::problem::Problem;
use crate::scenario::{DURATION, millis};

/// The log's form as it is written.
const LOG_FORM: &str = "harmless = [\" INFO \"], warning = [\" WARN \", \" ERROR \"]";

/// What a unit of memory is in KiB.
const UNITS: &[(&str, u64)] = &[("KiB", 1), ("MiB", 1024), ("GiB", 1024 * 1024)];

const LOG: Key = Key::table(
    "log",
    "how a line of its log shows its level; without it no log is judged",
);

const MEMORY: Key = Key::optional(
    "memory",
    "the most memory that each of its processes may have had (`VmHWM`)",
    "any amount",
);

const ENDS_WITHIN: Key = Key::optional(
    "ends-within",
    "how long its agent may take to end after SIGTERM, at the end of the run and in steps, with status 0",
    "any time",
);

const KEEPS_DEVICE: Key = Key::or(
    "keeps-device",
    "whether the tunnel device answers when the agent has ended",
    "false",
);

const KEYS_IN_STATE: Key = Key::or(
    "keys-in-state",
    "whether it keeps private keys in its state directory, in files that only their owner can read",
    "false",
);

const HARMLESS: Key = Key::required(
    "harmless",
    "parts of lines that are no warnings; a log without any is not believed",
    "harmless = [\" INFO \"]",
);

const WARNING: Key = Key::required(
    "warning",
    "parts of lines that are warnings or worse",
    "warning = [\" WARN \", \" ERROR \"]",
);

const AMOUNT: Syntax = Syntax::Described("a number of `KiB`, `MiB` or `GiB`");

pub(super) fn conduct(table: &mut Table<'_, '_>) -> Conduct {
    let log = table.inner_table(LOG, "the log's form", LOG_FORM, log);
    let memory = table.parsed(MEMORY, AMOUNT, memory);
    let ends_within = table.parsed(ENDS_WITHIN, DURATION, millis);
    let keeps_device = table.flag(KEEPS_DEVICE).unwrap_or_default();
    if keeps_device && !table.has(ENDS_WITHIN) {
        table.report(Problem::new(
            "`keeps-device` needs `ends-within`",
            table.place(),
            "the device is looked for when the agent has ended",
            "add `ends-within = \"5s\"`",
        ));
    }
    Conduct {
        log,
        memory: memory.map(Spanned::into_inner),
        ends_within: ends_within.map(Spanned::into_inner),
        keeps_device,
        keys_in_state: table.flag(KEYS_IN_STATE).unwrap_or_default(),
    }
}

fn log(table: &mut Table<'_, '_>) -> LogForm {
    LogForm {
        harmless: marks(table, HARMLESS),
        warning: marks(table, WARNING),
    }
}

fn marks(table: &mut Table<'_, '_>, key: Key) -> Vec<String> {
    let Some(marks) = table.texts(key) else {
        return Vec::new();
    };
    if marks.get_ref().is_empty() {
        table.report(Problem::new(
            format!("`{}` is empty", key.name),
            marks.span(),
            "the list has no text that a line could have",
            "name a part of such a line, or leave `log` out",
        ));
    }
    let marks = marks.into_inner().into_iter();
    marks.map(Spanned::into_inner).collect()
}

/// An amount of memory, in KiB: `64 MiB`.
fn memory(text: &str) -> Result<u64, Unfit> {
    let unfit = |label: &str| Unfit {
        what: format!("`{}` cannot be an amount of memory", shown(text)),
        label: label.to_owned(),
        help: "write a whole number with `KiB`, `MiB` or `GiB`: `64 MiB`".to_owned(),
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
    let factor = unit.map(|(_, factor)| *factor);
    let number = number.parse::<u64>().ok();
    match number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
    {
        Some(0) => Err(unfit("no process has so little")),
        Some(kib) => Ok(kib),
        None => Err(unfit("not a number and its unit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_a_unit() {
        assert_eq!(memory("64 MiB").ok(), Some(65_536));
        assert_eq!(memory("1GiB").ok(), Some(1_048_576));
        for wrong in [
            "64",
            "MiB",
            "0 KiB",
            "-1 MiB",
            "1 MB",
            "99999999999999999999 GiB",
        ] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }
}
