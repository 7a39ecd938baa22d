//! The archive that a kernel unpacks as its first root: cpio in the "newc" format
//! (Linux: `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;

/// An archive that is being written. Folders come of themselves, each once.
#[derive(Debug)]
pub(crate) struct Archive<W> {
    to: W,
    entries: u32,
    folders: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(to: W) -> Self {
        Self {
            to,
            entries: 0,
            folders: BTreeSet::new(),
        }
    }

    /// A folder, and those that it is in. `path` is absolute.
    pub(crate) fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut whole = PathBuf::new();
        for part in path.components() {
            let Component::Normal(part) = part else {
                continue;
            };
            whole.push(part);
            if self.folders.insert(whole.clone()) {
                self.entry(&whole.clone(), FOLDER, &[])?;
            }
        }
        Ok(())
    }

    /// A file with its permissions, such as 0o755.
    pub(crate) fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        self.folder(path.parent().unwrap_or(Path::new("")))?;
        self.entry(path, FILE | mode, content)
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &Path, to: &Path) -> io::Result<()> {
        self.folder(path.parent().unwrap_or(Path::new("")))?;
        self.entry(path, LINK, to.as_os_str().as_encoded_bytes())
    }

    /// Writes the archive's end.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry(Path::new("TRAILER!!!"), 0, &[])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let name = path.as_os_str().as_encoded_bytes();
        self.entries += 1;
        let too_large = |_| io::Error::other(format!("{} is too large", path.display()));
        let size = u32::try_from(content.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        let fields = [
            self.entries, // inode
            mode,
            0, // user
            0, // group
            1, // links
            0, // time of change
            size,
            0, // major and minor number of the device it is on
            0,
            0, // and of the device it is
            0,
            name_size,
            0, // checksum, which this format has not
        ];
        let mut header = String::from("070701");
        for field in fields {
            header += &format!("{field:08x}");
        }
        self.to.write_all(header.as_bytes())?;
        self.to.write_all(name)?;
        // The name ends with a zero; both it and the content are padded to four bytes.
        self.pad(header.len() + name.len(), 1)?;
        self.to.write_all(content)?;
        self.pad(content.len(), 0)
    }

    fn pad(&mut self, length: usize, at_least: usize) -> io::Result<()> {
        let whole = (length + at_least).next_multiple_of(4);
        self.to.write_all(&[0; 4][..whole - length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_to_four_bytes_and_folders_come_once() {
        let mut archive = Archive::new(Vec::new());
        archive
            .file(Path::new("/usr/bin/a"), 0o755, b"12345")
            .unwrap();
        archive.file(Path::new("/usr/bin/b"), 0o644, b"").unwrap();
        archive
            .link(Path::new("/usr/c"), Path::new("bin/a"))
            .unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let headers = text.match_indices("070701").map(|(at, _)| at);
        assert!(headers.clone().all(|at| at % 4 == 0));
        let names: Vec<_> = headers
            .map(|at| text[at + 110..].split('\0').next().unwrap())
            .collect();
        let expected = ["usr", "usr/bin", "usr/bin/a", "usr/bin/b", "usr/c"];
        assert_eq!(names[..5], expected);
        assert_eq!(names[5..], ["TRAILER!!!"]);
    }
}
