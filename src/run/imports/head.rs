//! What an upload is, by its first bytes, before anything that decodes sees it.
//!
//! Decoders go by content as well, and know formats that are lists of other files
//! and addresses. What is none of these never reaches them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::model::{self, weights};

/// Bytes that are looked at.
const HEAD: u64 = 512;
/// The boxes that a film of the MP4 and QuickTime family may begin with
/// (ISO/IEC 14496-12, 4.2; QuickTime File Format, "Overview of the file format").
const BOXES: [&[u8; 4]; 8] = [
    b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp",
];

/// Why an upload is refused at once.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has no bytes.
    #[error("the file is empty: send another one")]
    Empty,
    /// It is text.
    #[error(
        "the file is text, whatever it is called: send a video (MP4, MOV, WebM, MKV, GIF) or a photo (JPEG, PNG, WebP), with curl as `-F file=@anna.mp4`"
    )]
    Text,
    /// It is packed.
    #[error("the file is an archive: unpack it, and send the video or photo itself")]
    Archive,
    /// It is something else.
    #[error(
        "the file is no video (MP4, MOV, WebM, MKV, GIF) and no photo (JPEG, PNG, WebP): send one of these"
    )]
    Other,
    /// It is no network, or not a whole one.
    #[error("the field `{field}`: {source}")]
    Network {
        /// The field that it came in.
        field: &'static str,
        /// What is wrong with it.
        source: model::Problem,
    },
    /// It can't be read again.
    #[error("what was uploaded can't be read: {0}")]
    Read(#[from] io::Error),
}

/// Refuses what is no video and no photo.
pub(super) fn check_picture(path: &Path) -> Result<(), Error> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    if is_picture(&head) {
        return Ok(());
    }
    let printed = |byte: &u8| matches!(byte, 9..=13 | 32..=126 | 128..);
    let packed: [&[u8]; 5] = [b"PK", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ"];
    Err(if head.is_empty() {
        Error::Empty
    } else if packed.iter().any(|magic| head.starts_with(magic)) {
        Error::Archive
    } else if head.iter().all(printed) {
        Error::Text
    } else {
        Error::Other
    })
}

/// Refuses what is no whole ONNX file.
pub(super) fn check_network(path: &Path, field: &'static str) -> Result<(), Error> {
    let network = |source| Error::Network { field, source };
    weights(path).map(drop).map_err(network)
}

fn is_picture(head: &[u8]) -> bool {
    let at = |from: usize| head.get(from..from + 4);
    let film = at(4).is_some_and(|kind| BOXES.iter().any(|known| *known == kind));
    let matroska = head.starts_with(&[0x1A, 0x45, 0xDF, 0xA3]);
    let gif = head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a");
    let jpeg = head.starts_with(&[0xFF, 0xD8, 0xFF]);
    let png = head.starts_with(b"\x89PNG\r\n\x1a\n");
    let webp = head.starts_with(b"RIFF") && at(8) == Some(b"WEBP");
    film || matroska || gif || jpeg || png || webp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        check_picture(file.path()).map_or_else(|e| e.to_string(), |()| "taken".into())
    }

    #[test]
    fn videos_and_photos_are_known_by_their_first_bytes() {
        for begun in [
            &b"\0\0\0\x20ftypisom"[..],
            b"\0\0\0\x08wide\0\0",
            &[0x1A, 0x45, 0xDF, 0xA3, 1],
            b"GIF89a\x01",
            &[0xFF, 0xD8, 0xFF, 0xE0],
            b"\x89PNG\r\n\x1a\n\0",
            b"RIFF\x01\0\0\0WEBPVP8 ",
        ] {
            assert_eq!(said(begun), "taken", "{begun:?}");
        }
    }

    #[test]
    fn what_names_other_files_or_holds_them_is_refused_and_told_what_it_is() {
        for (begun, word) in [
            (&b""[..], "empty"),
            (b"Dear Sir or Madam", "text"),
            (b"#EXTM3U\n#EXTINF:1,\nhttp://192.0.2.1/secret\n", "text"),
            (b"ffconcat version 1.0\nfile /etc/passwd\n", "text"),
            (b"PK\x03\x04\x14\0", "archive"),
            (b"\x1f\x8b\x08\0", "archive"),
            (b"RIFF\x01\0\0\0WAVEfmt ", "no video"),
            (b"\0\0\0\0\0\0\0\0", "no video"),
        ] {
            assert!(said(begun).contains(word), "{begun:?}: {}", said(begun));
        }
    }
}
