//! The kernel's own description of its types (`Documentation/bpf/btf.rst`), as far as the offsets of fields and
//! the names of enumerators go.
//!
//! Every run reads it. btfparse 1.3 (Apache-2.0) makes maps of all 126,000 types first: 134 to 168 ms a run, of which
//! an emulated machine makes seconds; arming all observers, this reader among them, takes 60 ms. btf-rs is LGPL.

use std::collections::BTreeMap;

/// Bytes of a type's head: name, information, and size or type.
const HEAD: usize = 12;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;

/// How deep structures without names may be nested.
const DEPTH: usize = 8;

/// A kernel's types.
#[derive(Debug)]
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    names: &'a [u8],
    /// Where each type begins in `types`; `starts[i]` is that of type `i + 1`.
    starts: Vec<usize>,
}

/// One type's head.
#[derive(Debug, Clone, Copy)]
struct Head {
    name: usize,
    kind: u32,
    /// Members, or the like.
    count: usize,
    /// Whether members' offsets hold sizes of bit fields too.
    bits: bool,
}

impl<'a> Btf<'a> {
    /// Finds its way through `/sys/kernel/btf/vmlinux`; none if it is not as it should be.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        if magic != MAGIC {
            return None;
        }
        let header = word(bytes, 4)?;
        let part = |at: usize| {
            let start = header + word(bytes, at)?;
            bytes.get(start..start + word(bytes, at + 4)?)
        };
        let (types, names) = (part(8)?, part(16)?);
        let mut starts = Vec::new();
        let mut at = 0;
        while at < types.len() {
            starts.push(at);
            at += HEAD + behind(head(types, at)?)?;
        }
        Some(Self {
            types,
            names,
            starts,
        })
    }

    /// Where a field is in a structure, in bytes; what is in structures without a name counts as
    /// the outer one's, as it does in C.
    pub(crate) fn offset(&self, structure: &str, field: &str) -> Option<u32> {
        let mut known = self.starts.iter();
        let start = known.find(|start| {
            let found = head(self.types, **start);
            found.is_some_and(|head| head.kind == 4 && self.name(head.name) == structure.as_bytes())
        })?;
        let bits = self.field(*start, field, DEPTH)?;
        (bits % 8 == 0).then_some(bits / 8)
    }

    fn field(&self, start: usize, field: &str, depth: usize) -> Option<u32> {
        let head = head(self.types, start)?;
        if !matches!(head.kind, 4 | 5) || depth == 0 {
            return None;
        }
        (0..head.count).find_map(|number| {
            let at = start + HEAD + number * 12;
            let offset = u32::try_from(word(self.types, at + 8)?).ok()?;
            let offset = match head.bits {
                true => offset & 0x00ff_ffff,
                false => offset,
            };
            let name = self.name(word(self.types, at)?);
            if name == field.as_bytes() {
                return Some(offset);
            }
            let kind = word(self.types, at + 4)?;
            let inner = self.starts.get(kind.checked_sub(1)?)?;
            let nested = name
                .is_empty()
                .then(|| self.field(*inner, field, depth - 1))?;
            Some(offset + nested?)
        })
    }

    /// What the numbers of an enumeration are called.
    pub(crate) fn words(&self, enumeration: &str) -> BTreeMap<u32, String> {
        let mut known = self.starts.iter();
        let found = known.find_map(|start| {
            let head = head(self.types, *start)?;
            let is_it = head.kind == 6 && self.name(head.name) == enumeration.as_bytes();
            is_it.then_some((*start, head.count))
        });
        let Some((start, count)) = found else {
            return BTreeMap::new();
        };
        let word_at = |number: usize| {
            let at = start + HEAD + number * 8;
            let name = self.name(word(self.types, at)?);
            let value = u32::try_from(word(self.types, at + 4)?).ok()?;
            Some((value, String::from_utf8_lossy(name).into_owned()))
        };
        (0..count).filter_map(word_at).collect()
    }

    fn name(&self, at: usize) -> &'a [u8] {
        let rest = self.names.get(at..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

fn head(types: &[u8], at: usize) -> Option<Head> {
    let info = u32::try_from(word(types, at + 4)?).ok()?;
    Some(Head {
        name: word(types, at)?,
        kind: info >> 24 & 0x1f,
        count: usize::try_from(info & 0xffff).ok()?,
        bits: info >> 31 == 1,
    })
}

/// How many bytes are behind a type's head (`include/uapi/linux/btf.h`); none of an unknown kind.
fn behind(head: Head) -> Option<usize> {
    Some(match head.kind {
        // Integers, variables and tags of declarations.
        1 | 14 | 17 => 4,
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats, tags of types.
        2 | 7..=12 | 16 | 18 => 0,
        // Arrays.
        3 => 12,
        // Structures, unions, sections and enumerations of 64 bits.
        4 | 5 | 15 | 19 => head.count * 12,
        // Enumerations, and functions' parameters.
        6 | 13 => head.count * 8,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_ne_bytes(word.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types from 32-bit words, and names from a text with zeroes.
    fn btf(types: &[u32], names: &str) -> Vec<u8> {
        let length = |bytes: usize| u32::try_from(bytes).unwrap();
        let head = [
            u32::from(MAGIC) | 1 << 16,
            24,
            0,
            length(types.len() * 4),
            length(types.len() * 4),
            length(names.len()),
        ];
        let words = head.iter().chain(types);
        let mut bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(names.as_bytes());
        bytes
    }

    #[test]
    fn a_field_is_found_inside_of_what_has_no_name() {
        // 1: int; 2: union { int b; }; 3: struct s { int a; union 2; }; 4: enum e { X = 7 }.
        let types = [
            [0, 1 << 24, 4, 32].as_slice(),
            &[0, 5 << 24 | 1, 4, 5, 1, 0],
            &[1, 4 << 24 | 2, 8, 3, 1, 0, 0, 2, 32],
            &[7, 6 << 24 | 1, 4, 9, 7],
        ];
        let bytes = btf(&types.concat(), "\0s\0a\0b\0e\0X\0");
        let read = Btf::read(&bytes).unwrap();
        assert_eq!(read.offset("s", "a"), Some(0));
        assert_eq!(read.offset("s", "b"), Some(4));
        assert_eq!(read.offset("s", "c"), None);
        assert_eq!(read.words("e"), BTreeMap::from([(7, "X".to_owned())]));
        assert_eq!(read.words("s"), BTreeMap::new());
    }

    #[test]
    fn malformed_btf_is_refused() {
        for bytes in [&b""[..], b"\x9f", &[0; 24], &btf(&[0, 31 << 24, 0], "")] {
            assert!(Btf::read(bytes).is_none());
        }
    }
}
