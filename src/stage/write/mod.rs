//! Packets to an MP4 file, H.264 and Opus, for as long as the disk lasts.
//!
//! The file is fragmented: every two seconds what came since goes to the disk,
//! so that memory doesn't grow with the recording, and a file that was never
//! finished plays up to its last fragment. It begins with the first key frame.

mod boxes;
mod left;
mod track;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use mp4_atom::Avcc;

use self::boxes::{Header, MOVIE_RATE, PICTURES, SOUND};
pub use self::left::{Left, length};
use self::track::Track;
use crate::media::{Codec, FRAME_PERIOD, Packet, SOUND_RATE};
use crate::pool::Size;

/// Length of a fragment: what a power cut costs, and what memory holds.
const FRAGMENT: Duration = Duration::from_secs(2);
/// Packets of sound kept until the first key frame: 2 s. Sound is encoded
/// before its picture, so some of it comes before the file's beginning is known.
const SOUND_WAITING: usize = 100;
/// Ticks a second of the pictures' track, the usual choice for video.
const PICTURE_RATE: u32 = 90_000;

/// Why a recording ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be made.
    #[error(
        "cannot create the recording {path}: choose a folder that exists and may be written to"
    )]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room left.
    #[error(
        "the disk is full, or files may not grow further: the recording {path} ends here and \
         plays up to here; free some space before the next one"
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("cannot write the recording {path}: it ends here and plays up to here")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was recorded before can't be looked at.
    #[error("cannot read {path}, which is to go on")]
    Look {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is in the recording's place.
    #[error(
        "{path} is no recording of this program, so it can't go on: choose another name, or remove it first"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Pictures that don't go into this file.
    #[error("the recording {path} {reason}; start another one for them")]
    Pictures {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// Nothing came that could be shown.
    #[error(
        "nothing was recorded, so there is no {path}: \
         a recording begins with the first key frame, and none came"
    )]
    Empty {
        /// The file that was removed.
        path: PathBuf,
    },
}

/// A recording.
pub struct Mp4Writer {
    path: PathBuf,
    file: File,
    size: Size,
    pre_skip: Option<u16>,
    note: Option<String>,
    /// Known since the first key frame.
    begun: Option<Begun>,
    waiting: VecDeque<(Duration, Bytes)>,
    pictures: Track,
    sound: Track,
    fragments: u32,
    /// Bytes of the file that play.
    written: u64,
    /// The bytes of one write, kept for their room.
    room: Vec<u8>,
}

/// What the first key frame says.
struct Begun {
    /// Its time in the stream: the file's zero.
    at: Duration,
    header: Header,
}

impl Mp4Writer {
    /// Creates the file `path` for pictures of `size`, and sound whose first
    /// `pre_skip` decoded samples are the encoder's, if there is any.
    pub fn create(path: &Path, size: Size, pre_skip: Option<u16>) -> Result<Self, Error> {
        let file = File::create(path).map_err(|source| Error::Create {
            path: path.into(),
            source,
        })?;
        Ok(Self {
            path: path.into(),
            file,
            size,
            pre_skip,
            note: None,
            begun: None,
            waiting: VecDeque::with_capacity(SOUND_WAITING),
            pictures: Track::new(PICTURES, PICTURE_RATE, FRAME_PERIOD),
            sound: Track::new(SOUND, SOUND_RATE, FRAME_PERIOD / 2),
            fragments: 0,
            written: 0,
            room: Vec::new(),
        })
    }

    /// Notes in the file what it is, for when it is to go on.
    pub fn noted(self, note: String) -> Self {
        Self {
            note: Some(note),
            ..self
        }
    }

    /// Goes on with the recording `path` after what is `left` of it. Times are
    /// those of the file; packets of what it has already are left out.
    pub fn resume(path: &Path, left: Left) -> Result<Self, Error> {
        let open = || {
            let mut file = OpenOptions::new().write(true).open(path)?;
            file.set_len(left.bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(|source| Error::Write {
            path: path.into(),
            source,
        })?;
        let [pictures, sound] = left.ends;
        Ok(Self {
            path: path.into(),
            file,
            size: left.header.size,
            pre_skip: left.header.pre_skip,
            note: None,
            begun: Some(Begun {
                at: Duration::ZERO,
                header: left.header,
            }),
            waiting: VecDeque::new(),
            pictures: Track::new(PICTURES, PICTURE_RATE, FRAME_PERIOD).after(pictures),
            sound: Track::new(SOUND, SOUND_RATE, FRAME_PERIOD / 2).after(sound),
            fragments: left.fragments,
            written: left.bytes,
            room: Vec::new(),
        })
    }

    /// Adds a packet of sound or of H.264. Packets of each come in order; those
    /// from before the first key frame are left out. After an error the
    /// recording is over, and what was written plays.
    pub fn write(&mut self, packet: &Packet) -> Result<(), Error> {
        match packet.codec {
            Codec::Opus => self.write_sound(packet.pts, &packet.data),
            Codec::H264 => self.write_picture(packet)?,
            Codec::Vp8 => return Err(self.refuse("holds H.264, and these pictures are VP8")),
        }
        if self.pictures.span().max(self.sound.span()) >= FRAGMENT {
            self.write_fragment(self.pictures.complete(), self.sound.complete())?;
        }
        Ok(())
    }

    /// Completes the file, and says how many bytes it has.
    pub fn finish(mut self) -> Result<u64, Error> {
        let end = self.length();
        self.write_fragment(self.pictures.len(), self.sound.len())?;
        let Some(begun) = &self.begun else {
            drop(self.file);
            // A file of no bytes helps nobody; if it can't go, it may stay.
            let _stays = fs::remove_file(&self.path);
            return Err(Error::Empty { path: self.path });
        };
        // The header once more, now with the length of the file.
        self.room.clear();
        let duration = end.as_millis() as u64 * u64::from(MOVIE_RATE) / 1_000;
        begun.header.append(duration, &mut self.room);
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&self.room))
            .map_err(|source| Error::Write {
                path: self.path,
                source,
            })?;
        Ok(self.written)
    }

    /// Bytes of the file so far.
    pub fn bytes(&self) -> u64 {
        self.written
    }

    /// How long the recording is so far, the part that isn't in the file yet included.
    pub fn length(&self) -> Duration {
        self.pictures.end().max(self.sound.end())
    }

    /// Bytes of memory that it holds: about a fragment, and the room to write one.
    pub fn held_bytes(&self) -> usize {
        self.pictures.held_bytes() + self.sound.held_bytes() + self.room.capacity()
    }

    fn write_sound(&mut self, pts: Duration, data: &Bytes) {
        match &self.begun {
            Some(begun) => {
                if let Some(at) = pts.checked_sub(begun.at) {
                    self.sound.push(at, true, |file| file.extend(data));
                }
            }
            None => {
                if self.waiting.len() == SOUND_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back((pts, data.clone()));
            }
        }
    }

    fn write_picture(&mut self, packet: &Packet) -> Result<(), Error> {
        let parameters = parameters(&packet.data);
        let begun = match (&self.begun, parameters) {
            (None, Some(parameters)) if packet.key => self.begin(packet.pts, parameters)?,
            (None, _) => return Ok(()),
            (Some(begun), Some([sps, pps])) if begun.differs(sps, pps) => {
                return Err(self.refuse("can't go on: its pictures became others"));
            }
            (Some(begun), _) => begun.at,
        };
        if let Some(at) = packet.pts.checked_sub(begun) {
            self.pictures.push(at, packet.key, |file| {
                for nal in nals(&packet.data).filter(|nal| !describes(nal)) {
                    file.extend((nal.len() as u32).to_be_bytes());
                    file.extend(nal);
                }
            });
        }
        Ok(())
    }

    /// Begins the file with the key frame at `pts`, which is returned.
    fn begin(&mut self, pts: Duration, [sps, pps]: [&[u8]; 2]) -> Result<Duration, Error> {
        let Ok(avcc) = Avcc::new(sps, pps) else {
            return Err(self.refuse("can't begin: its pictures don't say how to be decoded"));
        };
        let header = Header {
            size: self.size,
            avcc,
            picture_rate: PICTURE_RATE,
            pre_skip: self.pre_skip,
            note: self.note.take(),
        };
        self.room.clear();
        header.append(0, &mut self.room);
        self.begun = Some(Begun { at: pts, header });
        self.write_room()?;
        for (pts, data) in std::mem::take(&mut self.waiting) {
            self.write_sound(pts, &data);
        }
        Ok(pts)
    }

    /// Writes the first samples of each track, and forgets them.
    fn write_fragment(&mut self, pictures: usize, sound: usize) -> Result<(), Error> {
        if pictures + sound == 0 {
            return Ok(());
        }
        self.fragments += 1;
        self.room.clear();
        let tracks = [(&self.pictures, pictures), (&self.sound, sound)];
        boxes::append_fragment(self.fragments, tracks, &mut self.room);
        self.pictures.forget(pictures);
        self.sound.forget(sound);
        self.write_room()
    }

    fn write_room(&mut self) -> Result<(), Error> {
        if let Err(source) = self.file.write_all(&self.room) {
            // Half a fragment is of no use; without it the file is whole.
            let _stays = self.file.set_len(self.written);
            let path = self.path.clone();
            return Err(match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => Error::Full { path },
                _ => Error::Write { path, source },
            });
        }
        self.written += self.room.len() as u64;
        Ok(())
    }

    fn refuse(&self, reason: &'static str) -> Error {
        Error::Pictures {
            path: self.path.clone(),
            reason,
        }
    }
}

impl Begun {
    fn differs(&self, sps: &[u8], pps: &[u8]) -> bool {
        let avcc = &self.header.avcc;
        avcc.sequence_parameter_sets[0] != sps || avcc.picture_parameter_sets[0] != pps
    }
}

/// The units of a packet in Annex B, without what separates them.
fn nals(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let start = |data: &[u8]| data.windows(3).position(|bytes| bytes == [0, 0, 1]);
    let mut rest = start(data).map(|at| &data[at + 3..]);
    std::iter::from_fn(move || {
        let data = rest?;
        let next = start(data);
        rest = next.map(|at| &data[at + 3..]);
        let nal = &data[..next.unwrap_or(data.len())];
        // A unit ends with a one: zeros after it belong to the separator.
        let length = nal
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        Some(&nal[..length])
    })
    .filter(|nal| !nal.is_empty())
}

/// Unit types of H.264.
const SPS: u8 = 7;
const PPS: u8 = 8;

fn unit_type(nal: &[u8]) -> u8 {
    nal[0] & 0x1F
}

/// Whether the unit belongs into the file's header.
fn describes(nal: &[u8]) -> bool {
    matches!(unit_type(nal), SPS | PPS)
}

/// The parameter sets in a packet.
fn parameters(data: &[u8]) -> Option<[&[u8]; 2]> {
    let mut units = nals(data).take_while(|nal| describes(nal));
    let (mut sps, mut pps) = (None, None);
    for nal in &mut units {
        let kind = if unit_type(nal) == SPS {
            &mut sps
        } else {
            &mut pps
        };
        kind.get_or_insert(nal);
    }
    Some([sps?, pps?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_between_separators_of_either_length() {
        let data = [
            0, 0, 0, 1, 0x67, 5, 0, 0, 1, 0x68, 0, 0, 1, 0x65, 9, 0, 3, 0, 0,
        ];
        let found: Vec<&[u8]> = nals(&data).collect();
        assert_eq!(found, [&[0x67, 5][..], &[0x68], &[0x65, 9, 0, 3]]);
        assert_eq!(parameters(&data), Some([&[0x67, 5][..], &[0x68]]));
        assert_eq!(parameters(&data[9..]), None);
        assert_eq!(nals(&[1, 2, 3]).count() + nals(&[]).count(), 0);
    }
}
