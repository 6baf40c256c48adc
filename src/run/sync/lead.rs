//! When a file's tracks begin. Decoders count from where their own track does.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use mp4_atom::{Atom, FourCC, Header, Moof, Moov, ReadFrom, Traf, Trak};
use symphonia::core::formats::{TrackType, probe::Hint};
use symphonia::core::io::MediaSourceStream;

use super::Error;

/// Bytes of an index that is read: that of a day's video.
const INDEX_BYTES: usize = 64 << 20;
/// Boxes that an MP4 or MOV file begins with.
const MP4_BEGINS: [&[u8; 4]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];
/// Packets among which both tracks begin.
const FIRST: usize = 1_000;

/// Seconds by which the first sound that is decoded comes after the first picture.
pub(super) fn of_sound(path: &Path) -> Result<f64, Error> {
    let trouble = |what: &str| Error::Container {
        path: path.to_owned(),
        problem: format!("{what}: it may be damaged or cut off; export it anew as MP4"),
    };
    let mut head = [0; 8];
    let mut file = File::open(path).map_err(|_| trouble("it can't be opened"))?;
    let is_mp4 =
        file.read_exact(&mut head).is_ok() && MP4_BEGINS.iter().any(|kind| head[4..] == kind[..]);
    let lead = file.seek(SeekFrom::Start(0)).ok().and_then(|_| {
        if is_mp4 {
            mp4(&mut BufReader::new(file))
        } else {
            packets(file)
        }
    });
    lead.ok_or_else(|| trouble("it doesn't say when its sound and its pictures begin"))
}

/// By the index of an MP4 file: its edit lists say what of a track is shown when.
fn mp4(file: &mut (impl Read + Seek)) -> Option<f64> {
    let mut index: Option<Moov> = None;
    while let Ok(Some(header)) = <Option<Header> as ReadFrom>::read_from(file) {
        let size = header.size;
        if header.kind == Moov::KIND {
            index = Some(body(file, size?)?);
            let moov = index.as_ref()?;
            // With samples in the index there are no fragments.
            if moov.mvex.is_none() {
                return between(moov, None);
            }
        } else if header.kind == Moof::KIND {
            let moof: Moof = body(file, size?)?;
            return between(index.as_ref()?, Some(&moof));
        } else {
            file.seek_relative(i64::try_from(size?).ok()?).ok()?;
        }
    }
    between(index.as_ref()?, None)
}

fn body<A: Atom>(file: &mut impl Read, size: usize) -> Option<A> {
    if size > INDEX_BYTES {
        return None;
    }
    let mut bytes = vec![0; size];
    file.read_exact(&mut bytes).ok()?;
    A::decode_body(&mut bytes.as_slice()).ok()
}

/// Seconds from the first picture to the first sound.
fn between(moov: &Moov, first: Option<&Moof>) -> Option<f64> {
    let track = |kind: &[u8; 4]| {
        let mut tracks = moov.trak.iter();
        tracks.find(|trak| trak.mdia.hdlr.handler == FourCC::new(kind))
    };
    let begin = |trak: &Trak| {
        let fragment = first.and_then(|moof| {
            let mut trafs = moof.traf.iter();
            trafs.find(|traf| traf.tfhd.track_id == trak.tkhd.track_id)
        });
        begins(trak, fragment, moov.mvhd.timescale)
    };
    let (pictures, sound) = (track(b"vide")?, track(b"soun")?);
    // Pictures from before the edit aren't shown. Sound is decoded from its first
    // sample on, and Opus leaves out itself what the edit does.
    let opus = sound
        .mdia
        .minf
        .stbl
        .stsd
        .codecs
        .iter()
        .find_map(|codec| match codec {
            mp4_atom::Codec::Opus(opus) => Some(f64::from(opus.dops.pre_skip)),
            _ => None,
        });
    let skipped = opus.unwrap_or(0.0) / 48_000.0;
    Some(begin(sound) + skipped - begin(pictures).max(0.0))
}

/// When the first sample of a track is shown, in seconds; negative if it isn't.
fn begins(trak: &Trak, fragment: Option<&Traf>, movie_rate: u32) -> f64 {
    let rate = f64::from(trak.mdia.mdhd.timescale.max(1));
    let edits = trak.edts.iter().filter_map(|edts| edts.elst.as_ref());
    let (mut empty, mut from) = (0, 0);
    for edit in edits.flat_map(|elst| &elst.entries) {
        match edit.media_time {
            None => empty += edit.segment_duration,
            Some(time) => {
                from = time;
                break;
            }
        }
    }
    let base = fragment
        .and_then(|traf| traf.tfdt.as_ref())
        .map_or(0, |tfdt| tfdt.base_media_decode_time);
    let shown_after = match fragment {
        Some(traf) => traf
            .trun
            .first()
            .and_then(|trun| trun.samples.get(0))
            .and_then(|sample| sample.cts)
            .map_or(0, i64::from),
        None => trak
            .mdia
            .minf
            .stbl
            .ctts
            .as_ref()
            .and_then(|ctts| ctts.entries.first())
            .map_or(0, |entry| entry.sample_offset),
    };
    empty as f64 / f64::from(movie_rate.max(1))
        + (base as f64 + shown_after as f64 - from as f64) / rate
}

/// By the times of the first packets.
fn packets(file: File) -> Option<f64> {
    let source = MediaSourceStream::new(Box::new(file), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), source, Default::default(), Default::default())
        .ok()?;
    let sound = format.default_track(TrackType::Audio)?.clone();
    let pictures = format.default_track(TrackType::Video)?.clone();
    let (mut heard, mut seen) = (None, None);
    for _ in 0..FIRST {
        let packet = format.next_packet().ok()??;
        for (track, first) in [(&sound, &mut heard), (&pictures, &mut seen)] {
            if packet.track_id == track.id && first.is_none() {
                *first = track.time_base?.calc_time(packet.pts);
            }
        }
        if let (Some(heard), Some(seen)) = (heard, seen) {
            return Some(heard.as_secs_f64() - seen.as_secs_f64());
        }
    }
    None
}
