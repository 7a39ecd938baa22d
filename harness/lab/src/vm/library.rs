//! The shared libraries that a program needs where it is to run.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::base::error::{Doing, LabError};

/// Program headers name the loader in one of this type (elf(5)).
const PT_INTERP: u32 = 3;

/// What `program` needs besides itself: its loader and its libraries; nothing if it is linked
/// statically.
///
/// # Errors
/// It is no program of this machine, or a library of it is missing.
pub(crate) fn needed_by(program: &Path) -> Result<Vec<PathBuf>, LabError> {
    let doing = || format!("find the libraries of {}", program.display());
    let Some(loader) = loader(program).doing(doing())? else {
        return Ok(Vec::new());
    };
    // The loader tells without running the program; the program itself might not.
    let output = Command::new(&loader)
        .arg("--list")
        .arg(program)
        .output()
        .doing(doing())?;
    if !output.status.success() {
        let cause = String::from_utf8_lossy(&output.stderr);
        return Err(LabError::machine(doing(), cause.trim()));
    }
    let mut needed = vec![loader];
    needed.extend(paths(&String::from_utf8_lossy(&output.stdout)));
    Ok(needed)
}

/// The absolute paths in what the loader lists.
fn paths(listed: &str) -> Vec<PathBuf> {
    let words = listed.lines().filter_map(|line| {
        let target = line.split(" => ").last()?;
        target.split_whitespace().next()
    });
    words
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// The loader that a program names in its header (elf(5)).
fn loader(program: &Path) -> io::Result<Option<PathBuf>> {
    let file = File::open(program)?;
    let header: [u8; 64] = read(&file, 0)?;
    if header[..5] != *b"\x7fELF\x02" {
        return Err(io::Error::other("it is no 64-bit ELF program"));
    }
    let start = number(&header[32..40]);
    let (size, count) = (number(&header[54..56]), number(&header[56..58]));
    for index in 0..count {
        let entry: [u8; 56] = read(&file, start + index * size)?;
        if number(&entry[..4]) == u64::from(PT_INTERP) {
            let length = usize::try_from(number(&entry[32..40]))
                .unwrap_or(0)
                .min(4096);
            let mut path = vec![0; length];
            file.read_exact_at(&mut path, number(&entry[8..16]))?;
            let path = String::from_utf8_lossy(&path);
            return Ok(Some(PathBuf::from(path.trim_end_matches('\0'))));
        }
    }
    Ok(None)
}

fn read<const N: usize>(file: &File, at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// The bytes as a little-endian number.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_needs_its_loader_and_its_libraries() {
        let needed = needed_by(&std::env::current_exe().unwrap()).unwrap();
        let has = |part: &str| {
            needed
                .iter()
                .any(|path| path.to_string_lossy().contains(part))
        };
        assert!(has("ld-linux"), "{needed:?}");
        assert!(has("libc.so"), "{needed:?}");
        assert!(
            needed
                .iter()
                .all(|path| path.is_absolute() && path.exists())
        );
    }

    #[test]
    fn a_file_that_is_no_program_is_an_error() {
        let error = needed_by(Path::new("/etc/hostname")).unwrap_err();
        assert!(
            error.cause.contains("ELF") || error.cause.contains("fill"),
            "{error}"
        );
    }
}
