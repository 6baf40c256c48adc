//! The boxes of a fragmented MP4 file: its header, and a fragment's.

use mp4_atom::{
    Audio, Avc1, Avcc, Codec, Colr, Dinf, Dops, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode,
    FourCC, Ftyp, Hdlr, Mdhd, Mdia, Mehd, Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Opus, Smhd, Stbl,
    Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, Url, Visual, Vmhd,
};

use super::track::{Sample, Track};
use crate::media::SOUND_RATE;
use crate::pool::Size;

/// Ticks a second of the file's own clock.
pub(super) const MOVIE_RATE: u32 = 1_000;
/// Number of the pictures' track.
pub(super) const PICTURES: u32 = 1;
/// Number of the sound's track.
pub(super) const SOUND: u32 = 2;

/// ITU-R BT.601, as OpenCV converts: the code for primaries, transfer and matrix.
const BT601: u16 = 6;
/// A sample on which no other depends for its picture.
const KEY_FLAGS: u32 = 0x0200_0000;
/// A sample that needs the one before it.
const DELTA_FLAGS: u32 = 0x0101_0000;

/// What a file says before its first fragment.
pub(super) struct Header {
    pub(super) size: Size,
    pub(super) avcc: Avcc,
    /// Ticks a second of the pictures' track.
    pub(super) picture_rate: u32,
    /// Samples of decoded sound that come before the first real one. Without
    /// them there is no sound.
    pub(super) pre_skip: Option<u16>,
    /// What whoever records wants to know when the file is to go on.
    pub(super) note: Option<String>,
}

/// The box that a note is in: players pass over extensions.
pub(super) const NOTE_BOX: FourCC = FourCC::new(b"uuid");
/// Which extension it is (ISO/IEC 14496-12, 4.2): a number of our own.
const NOTE_ID: [u8; 16] = *b"mouthpiece.note\0";

/// The note in the box's `body`, if it is ours.
pub(super) fn note_in(body: &[u8]) -> Option<String> {
    let note = body.strip_prefix(&NOTE_ID)?;
    String::from_utf8(note.to_vec()).ok()
}

impl Header {
    /// Appends the header of a file that lasts `duration` ticks of
    /// [`MOVIE_RATE`], or of one that isn't finished if that is 0. Both are of
    /// the same length.
    pub(super) fn append(&self, duration: u64, file: &mut Vec<u8>) {
        let ftyp = Ftyp {
            major_brand: FourCC::new(b"iso6"),
            minor_version: 0,
            compatible_brands: [b"iso6", b"mp41", b"cmfc"].map(FourCC::new).into(),
        };
        let trex = |track_id| Trex {
            track_id,
            default_sample_description_index: 1,
            ..Trex::default()
        };
        let mut traks = vec![self.pictures()];
        traks.extend(self.pre_skip.map(sound));
        let moov = Moov {
            mvhd: Mvhd {
                timescale: MOVIE_RATE,
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: SOUND + 1,
                ..Mvhd::default()
            },
            mvex: Some(Mvex {
                mehd: Some(Mehd {
                    fragment_duration: duration,
                }),
                trex: traks.iter().map(|trak| trex(trak.tkhd.track_id)).collect(),
            }),
            trak: traks,
            ..Moov::default()
        };
        append(&ftyp, file);
        append(&moov, file);
        if let Some(note) = &self.note {
            let length = BOX_HEADER + NOTE_ID.len() + note.len();
            file.extend(
                u32::try_from(length)
                    .expect("a note is short")
                    .to_be_bytes(),
            );
            file.extend(NOTE_BOX.as_ref());
            file.extend(NOTE_ID);
            file.extend(note.bytes());
        }
    }

    fn pictures(&self) -> Trak {
        let (width, height) = (pixels(self.size.width), pixels(self.size.height));
        let entry = Codec::Avc1(Avc1 {
            visual: Visual {
                data_reference_index: 1,
                width,
                height,
                ..Visual::default()
            },
            avcc: self.avcc.clone(),
            colr: Some(Colr::Nclx {
                colour_primaries: BT601,
                transfer_characteristics: BT601,
                matrix_coefficients: BT601,
                full_range_flag: false,
            }),
            ..Avc1::default()
        });
        let mut trak = track(PICTURES, self.picture_rate, (b"vide", "Pictures"), entry);
        trak.tkhd.width = width.into();
        trak.tkhd.height = height.into();
        trak.mdia.minf.vmhd = Some(Vmhd::default());
        trak
    }
}

fn sound(pre_skip: u16) -> Trak {
    let entry = Codec::Opus(Opus {
        audio: Audio {
            data_reference_index: 1,
            channel_count: 1,
            sample_size: 16,
            // Sixteen bits before the point: 48 000 fits.
            sample_rate: (SOUND_RATE as u16).into(),
        },
        dops: Dops {
            output_channel_count: 1,
            pre_skip,
            input_sample_rate: SOUND_RATE,
            output_gain: 0,
            channel_mapping: None,
        },
        btrt: None,
    });
    let mut trak = track(SOUND, SOUND_RATE, (b"soun", "Sound"), entry);
    trak.tkhd.volume = 1.into();
    trak.tkhd.alternate_group = 1;
    trak.mdia.minf.smhd = Some(Smhd::default());
    // What the decoder says first is not shown; a length of 0 is the whole file.
    trak.edts = Some(Edts {
        elst: Some(Elst {
            entries: vec![ElstEntry {
                segment_duration: 0,
                media_time: Some(pre_skip.into()),
                media_rate: 1.into(),
            }],
        }),
    });
    trak
}

fn track(track_id: u32, rate: u32, (handler, name): (&[u8; 4], &str), entry: Codec) -> Trak {
    Trak {
        tkhd: Tkhd {
            track_id,
            enabled: true,
            in_movie: true,
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd {
                timescale: rate,
                language: "und".into(),
                ..Mdhd::default()
            },
            hdlr: Hdlr {
                handler: FourCC::new(handler),
                name: name.into(),
            },
            minf: Minf {
                dinf: Dinf {
                    dref: Dref {
                        entries: vec![DrefEntry::Url(Url::default())],
                    },
                },
                stbl: Stbl {
                    stsd: Stsd {
                        codecs: vec![entry],
                    },
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

fn pixels(count: usize) -> u16 {
    u16::try_from(count).expect("encoders take 3840 pixels at most")
}

/// Appends a fragment with the first `counts` samples of each track.
pub(super) fn append_fragment(
    sequence_number: u32,
    tracks: [(&Track, usize); 2],
    file: &mut Vec<u8>,
) {
    let bytes = tracks.map(|(track, count)| track.bytes(count));
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number },
        traf: tracks
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(track, count)| fragment(track, *count))
            .collect(),
    };
    // Where the samples lie depends on the length of the boxes before them,
    // which the offsets, always there, don't change.
    let start = file.len();
    append(&moof, file);
    let mut offset = file.len() - start + BOX_HEADER;
    file.truncate(start);
    let lengths = bytes.iter().map(|bytes| bytes.len()).filter(|len| *len > 0);
    for (traf, length) in moof.traf.iter_mut().zip(lengths) {
        traf.trun[0].data_offset = Some(i32::try_from(offset).expect(BOUNDED));
        offset += length;
    }
    append(&moof, file);
    let length = BOX_HEADER + bytes.iter().map(|bytes| bytes.len()).sum::<usize>();
    file.extend(u32::try_from(length).expect(BOUNDED).to_be_bytes());
    file.extend(b"mdat");
    bytes.iter().for_each(|bytes| file.extend(*bytes));
}

/// Bytes of length and name before what a box holds.
const BOX_HEADER: usize = 8;
const BOUNDED: &str = "a fragment is two seconds long";

fn fragment(track: &Track, count: usize) -> Traf {
    let entry = |(sample, duration): (&Sample, u32)| TrunEntry {
        duration: Some(duration),
        size: Some(u32::try_from(sample.length).expect(BOUNDED)),
        flags: Some(if sample.key { KEY_FLAGS } else { DELTA_FLAGS }),
        cts: None,
    };
    Traf {
        tfhd: Tfhd {
            track_id: track.id,
            default_base_is_moof: true,
            ..Tfhd::default()
        },
        tfdt: Some(Tfdt {
            base_media_decode_time: track.begin(),
        }),
        trun: vec![Trun {
            data_offset: Some(0),
            samples: track.samples(count).map(entry).collect::<Vec<_>>().into(),
        }],
        ..Traf::default()
    }
}

fn append(atom: &impl Encode, file: &mut Vec<u8>) {
    atom.encode(file)
        .expect("memory takes every byte, and our numbers fit their fields");
}
