//! What of an unfinished recording is whole, so that it may go on.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use mp4_atom::{Atom, Codec, FourCC, Header as BoxHeader, Moof, Moov, ReadFrom};

use super::boxes::{Header, MOVIE_RATE, NOTE_BOX, PICTURES, SOUND, note_in};
use super::{Error, PICTURE_RATE};
use crate::media::SOUND_RATE;
use crate::pool::Size;

/// Bytes of a box that is read whole: a header and a fragment's are far smaller.
const BOX_BYTES: usize = 1 << 20;

/// A recording that was begun before, by this program.
pub struct Left {
    pub(super) header: Header,
    /// Fragments that are whole, and the bytes up to their end.
    pub(super) fragments: u32,
    pub(super) bytes: u64,
    /// Where each track ends, in its ticks.
    pub(super) ends: [u64; 2],
    finished: bool,
}

impl Left {
    /// Looks at the recording `path`. `None` where there is none, or not one
    /// fragment of it.
    ///
    /// # Errors
    ///
    /// When there is something else, or it can't be read.
    pub fn find(path: &Path) -> Result<Option<Self>, Error> {
        let read = |source| Error::Look {
            path: path.to_owned(),
            source,
        };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(read)?,
        };
        let length = file.metadata().map_err(read)?.len();
        if length == 0 {
            return Ok(None);
        }
        let mut file = BufReader::new(file);
        let foreign = || Error::Foreign {
            path: path.to_owned(),
        };
        let (header, duration, start) = header(&mut file, length)
            .map_err(read)?
            .ok_or_else(foreign)?;
        let mut left = Self {
            header,
            fragments: 0,
            bytes: start,
            ends: [0; 2],
            finished: duration > 0,
        };
        while let Some(moof) = fragment(&mut file, length).map_err(read)? {
            for traf in &moof.traf {
                let track = match traf.tfhd.track_id {
                    PICTURES => 0,
                    SOUND => 1,
                    _ => return Err(foreign()),
                };
                let lasts = traf.trun.iter().flat_map(|trun| trun.samples.iter());
                let lasts = lasts.filter_map(|sample| sample.duration).map(u64::from);
                let begin = traf.tfdt.as_ref().map(|tfdt| tfdt.base_media_decode_time);
                left.ends[track] = begin.unwrap_or_default() + lasts.sum::<u64>();
            }
            left.fragments = moof.mfhd.sequence_number;
            left.bytes = file.stream_position().map_err(read)?;
        }
        Ok((left.fragments > 0).then_some(left))
    }

    /// What was noted when it began.
    pub fn note(&self) -> Option<&str> {
        self.header.note.as_deref()
    }

    /// Size of its pictures.
    pub fn size(&self) -> Size {
        self.header.size
    }

    /// Whether nothing is missing.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Up to where both pictures and sound are there.
    pub fn end(&self) -> Duration {
        let time = |ticks: u64, rate: u32| {
            Duration::from_nanos((u128::from(ticks) * 1_000_000_000 / u128::from(rate)) as u64)
        };
        let pictures = time(self.ends[0], PICTURE_RATE);
        match self.header.pre_skip {
            Some(_) => pictures.min(time(self.ends[1], SOUND_RATE)),
            None => pictures,
        }
    }
}

/// How long the recording `path` plays: what it says itself once it is finished,
/// else up to its last whole fragment.
///
/// # Errors
///
/// When it can't be read, or is no recording of this program.
pub fn length(path: &Path) -> Result<Duration, Error> {
    let read = |source| Error::Look {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let bytes = file.metadata().map_err(read)?.len();
    if let Some((_, duration @ 1.., _)) = header(&mut BufReader::new(file), bytes).map_err(read)? {
        return Ok(Duration::from_secs(duration) / MOVIE_RATE);
    }
    Ok(Left::find(path)?.map_or(Duration::ZERO, |left| left.end()))
}

/// The header that `file` begins with, if it is one of ours, how long it says that
/// the file is, 0 while it isn't finished, and where it ends.
fn header(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<(Header, u64, u64)>> {
    let (mut moov, mut note, mut end) = (None, None, 0);
    while let Some((kind, size)) = next_box(file, length)? {
        if kind == Moof::KIND || size > BOX_BYTES {
            break;
        }
        let mut body = vec![0; size];
        file.read_exact(&mut body)?;
        if kind == Moov::KIND {
            moov = Moov::decode_body(&mut body.as_slice()).ok();
        } else if kind == NOTE_BOX {
            note = note_in(&body);
        }
        end = file.stream_position()?;
    }
    let Some((header, duration)) = moov.and_then(|moov| read_back(&moov, note)) else {
        return Ok(None);
    };
    // What is ours is so to the byte.
    let mut ours = Vec::new();
    header.append(duration, &mut ours);
    let mut theirs = vec![0; ours.len()];
    file.seek(SeekFrom::Start(0))?;
    let whole = file.read_exact(&mut theirs).is_ok() && ours == theirs;
    Ok((whole && end == ours.len() as u64).then_some((header, duration, end)))
}

fn read_back(moov: &Moov, note: Option<String>) -> Option<(Header, u64)> {
    let entry = |kind: &[u8; 4]| {
        let mut tracks = moov.trak.iter();
        let trak = tracks.find(|trak| trak.mdia.hdlr.handler == FourCC::new(kind))?;
        trak.mdia.minf.stbl.stsd.codecs.first()
    };
    let Some(Codec::Avc1(pictures)) = entry(b"vide") else {
        return None;
    };
    let header = Header {
        size: Size {
            width: pictures.visual.width.into(),
            height: pictures.visual.height.into(),
        },
        avcc: pictures.avcc.clone(),
        picture_rate: PICTURE_RATE,
        pre_skip: match entry(b"soun") {
            Some(Codec::Opus(sound)) => Some(sound.dops.pre_skip),
            Some(_) => return None,
            None => None,
        },
        note,
    };
    Some((header, moov.mvex.as_ref()?.mehd.as_ref()?.fragment_duration))
}

/// The next fragment, if all of it is there: it is then passed over.
fn fragment(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<Moof>> {
    let Some((Moof::KIND, size @ ..=BOX_BYTES)) = next_box(file, length)? else {
        return Ok(None);
    };
    let mut body = vec![0; size];
    file.read_exact(&mut body)?;
    let Ok(moof) = Moof::decode_body(&mut body.as_slice()) else {
        return Ok(None);
    };
    let Some((kind, size)) = next_box(file, length)? else {
        return Ok(None);
    };
    file.seek(SeekFrom::Current(size as i64))?;
    Ok((kind == FourCC::new(b"mdat")).then_some(moof))
}

/// Kind and length of the next box, if all of it is there.
fn next_box(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<(FourCC, usize)>> {
    let Ok(Some(header)) = <Option<BoxHeader> as ReadFrom>::read_from(file) else {
        return Ok(None);
    };
    let room = length - file.stream_position()?.min(length);
    Ok(header
        .size
        .filter(|size| *size as u64 <= room)
        .map(|size| (header.kind, size)))
}
