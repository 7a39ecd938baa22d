//! Names and name prefixes of interfaces that the kernel, `/proc/sys` and nftables all accept.

use std::collections::BTreeSet;

use super::{Fields, words};

/// The kernel's limit, in bytes (`IFNAMSIZ` without its end).
const MAX_NAME_BYTES: usize = 15;

/// Directories of `/proc/sys/net/ipv4/conf` that are no interfaces.
const RESERVED: [&str; 2] = ["all", "default"];

/// Whether a device can have that name.
pub(super) fn is_name(name: &str) -> bool {
    begins_names(name)
        && name.len() <= MAX_NAME_BYTES
        && !RESERVED.contains(&name)
        && name.contains(|c| c != '.')
}

/// Whether names can begin so: a dash begins an option, and `@`, `*`, `/`, quotes and spaces have a
/// meaning of their own.
fn begins_names(prefix: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !prefix.is_empty() && prefix.chars().all(fits) && !prefix.starts_with('-')
}

/// `interfacePrefix`: words with commas between them. Those that are wrong are reported, and the rest
/// counts.
pub(super) fn read_prefixes(fields: &mut Fields<'_>) -> Option<BTreeSet<String>> {
    let name = "interfacePrefix";
    let prefixes = fields.text(name, "is empty", |text| {
        let prefixes = words(text);
        (!prefixes.is_empty()).then_some(prefixes)
    })?;
    // One character at least follows it, and nftables ends it by a `*`.
    let (good, bad): (BTreeSet<_>, BTreeSet<_>) = prefixes
        .into_iter()
        .partition(|prefix| begins_names(prefix) && prefix.len() < MAX_NAME_BYTES);
    for prefix in bad {
        let what =
            "begins no interface's name: 1 to 14 letters, digits, dots, dashes and underlines";
        fields.fail::<()>(name, format!("holds `{prefix}`, which {what}"));
    }
    (!good.is_empty()).then_some(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_the_kernel_and_nftables_take() {
        for name in [
            "wireguard.cali",
            "wg-v6.cali",
            "a",
            "_x",
            "0",
            "wg.0",
            "123456789012345",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "all",
            "default",
            "-x",
            "@x",
            "a/b",
            "a b",
            "a*",
            "a\"b",
            "a:b",
            "ä",
            "1234567890123456",
            "a\nb",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
