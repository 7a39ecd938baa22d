//! Comments in capture files, on the frames that decided something.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;

use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader, PcapNgWriter};
use wireproof_model::report::Frame;
use wireproof_model::text::shown_path;

use crate::base::error::{Doing, LabError};

/// Writes each comment to its frame, where Wireshark shows it (`frame.comment`). Files that no comment
/// is about stay as they are.
///
/// # Errors
/// A capture file of the run directory cannot be read, or not written.
pub fn annotate(directory: &Path, comments: Vec<(Frame, String)>) -> Result<(), LabError> {
    let mut files: BTreeMap<String, BTreeMap<u32, Vec<String>>> = BTreeMap::new();
    for (frame, text) in comments {
        let frames = files.entry(frame.file).or_default();
        frames.entry(frame.number).or_default().push(text);
    }
    for (name, comments) in files {
        let path = directory.join(name);
        rewrite(&path, &comments).doing(format!("comment on frames of {}", shown_path(&path)))?;
    }
    Ok(())
}

/// The new file takes the old one's place at once, so that there is a whole one at any time.
fn rewrite(path: &Path, comments: &BTreeMap<u32, Vec<String>>) -> io::Result<()> {
    let fresh = path.with_extension("pcapng.new");
    let mut reader =
        PcapNgReader::new(BufReader::new(File::open(path)?)).map_err(io::Error::other)?;
    let section = reader.section().clone();
    let writer = BufWriter::new(File::create(&fresh)?);
    let mut writer =
        PcapNgWriter::with_section_header(writer, section).map_err(io::Error::other)?;
    let mut number = 0;
    while let Some(block) = reader.next_block() {
        let mut block = block.map_err(io::Error::other)?;
        if let Block::EnhancedPacket(packet) = &mut block {
            number += 1;
            let own = comments.get(&number).into_iter().flatten();
            let own = own.map(|text| EnhancedPacketOption::Comment(Cow::Borrowed(text)));
            packet.options.extend(own);
        }
        writer.write_block(&block).map_err(io::Error::other)?;
    }
    writer.into_inner().flush()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pcap_file::DataLink;
    use pcap_file::pcapng::PcapNgBlock as _;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
    use pcap_file::pcapng::blocks::interface_description::{
        InterfaceDescriptionBlock, InterfaceDescriptionOption,
    };

    use super::*;

    fn frame(number: u8) -> EnhancedPacketBlock<'static> {
        EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_nanos(1_700_000_000_123_456_789),
            original_len: 9000,
            data: Cow::Owned(vec![number; 3]),
            options: vec![],
        }
    }

    #[test]
    fn comments_stand_at_their_frames_and_all_else_stays() {
        let folder =
            std::env::temp_dir().join(format!("wireproof-comments-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0xffff,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed("eth0")),
                InterfaceDescriptionOption::IfTsResol(9),
            ],
        };
        for name in ["a.pcapng", "b.pcapng"] {
            let file = File::create(folder.join(name)).unwrap();
            let mut writer = PcapNgWriter::new(file).unwrap();
            writer.write_block(&interface.clone().into_block()).unwrap();
            for number in 1..=3 {
                writer.write_block(&frame(number).into_block()).unwrap();
            }
        }
        let untouched = fs::read(folder.join("b.pcapng")).unwrap();
        let comment = |number, text: &str| {
            let file = "a.pcapng".to_owned();
            (Frame { file, number }, text.to_owned())
        };
        annotate(&folder, vec![comment(2, "this"), comment(2, "and → that")]).unwrap();

        let file = File::open(folder.join("a.pcapng")).unwrap();
        let mut reader = PcapNgReader::new(file).unwrap();
        let mut blocks = Vec::new();
        while let Some(block) = reader.next_block() {
            blocks.push(block.unwrap().into_owned());
        }
        let mut second = frame(2);
        second.options = ["this", "and → that"]
            .map(|text| EnhancedPacketOption::Comment(Cow::Borrowed(text)))
            .into();
        assert_eq!(
            blocks,
            [
                interface.into_block(),
                frame(1).into_block(),
                second.into_block(),
                frame(3).into_block()
            ]
        );
        assert_eq!(fs::read(folder.join("b.pcapng")).unwrap(), untouched);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }
}
