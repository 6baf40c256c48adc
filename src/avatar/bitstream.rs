//! H.264 from an MP4 file, picture by picture.
//!
//! The compressed clip stays in memory (a few hundred kilobytes a second): to
//! jump back to the loop's start then costs no file access and no allocation.

use std::fs::File;
use std::path::Path;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig};
use openh264::formats::YUVSource;
use serde::Deserialize;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::video::well_known::CODEC_ID_H264;
use symphonia::core::codecs::video::well_known::extra_data::VIDEO_EXTRA_DATA_ID_AVC_DECODER_CONFIG;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::Error;
use super::shrink::Shrinker;
use crate::pool::Size;

/// Largest clip: its compressed bytes stay in memory.
const MOST_BYTES: u64 = 256 << 20;

/// How the numbers of a picture stand for colours. Inside the program every
/// picture is BT.601, limited range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// ITU-R BT.601, limited range.
    #[default]
    Bt601,
    /// ITU-R BT.709, limited range.
    Bt709,
}

impl Colour {
    /// Converts a picture of `size` to BT.601, limited range, in place.
    ///
    /// # Panics
    ///
    /// If `i420` has fewer than [`Size::i420_bytes`] bytes.
    pub fn to_bt601(self, size: Size, i420: &mut [u8]) {
        match self {
            Self::Bt601 => {}
            Self::Bt709 => to_bt601(size, i420),
        }
    }
}

/// A clip's access units, in Annex B, in the order of decoding.
#[derive(Debug)]
pub(super) struct Bitstream {
    bytes: Vec<u8>,
    units: Vec<Unit>,
    colour: Colour,
    /// Size of what is decoded.
    pub filmed: Size,
    /// Size of what is made of it.
    size: Size,
}

#[derive(Debug)]
struct Unit {
    start: usize,
    end: usize,
    key: bool,
}

impl Bitstream {
    /// Reads the whole video track of the MP4 file at `path`, of the first size, to be
    /// shown at the second.
    pub fn read(path: &Path, colour: Colour, sizes: [Size; 2]) -> Result<Self, Error> {
        let broken = |problem: String| Error::broken(path, problem);
        let file = File::open(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        if file.metadata().map_or(0, |m| m.len()) > MOST_BYTES {
            let most = MOST_BYTES >> 20;
            return Err(broken(format!(
                "the clip is larger than {most} MB: shorten it, or encode it smaller"
            )));
        }
        let stream = MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default());
        let mut reader = symphonia::default::get_probe()
            .probe(
                Hint::new().with_extension("mp4"),
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
            .map_err(|e| {
                broken(format!(
                    "this is no MP4 file that can be read ({e}): encode the clip as H.264 in MP4"
                ))
            })?;
        let track = reader
            .first_track(TrackType::Video)
            .ok_or_else(|| broken("there is no video in this file".into()))?;
        let track_id = track.id;
        let Some(CodecParameters::Video(codec)) = &track.codec_params else {
            return Err(broken(
                "the video's codec is not known: encode it as H.264".into(),
            ));
        };
        let config = codec
            .extra_data
            .iter()
            .find(|extra| extra.id == VIDEO_EXTRA_DATA_ID_AVC_DECODER_CONFIG)
            .filter(|_| codec.codec == CODEC_ID_H264)
            .ok_or_else(|| broken("the video is not H.264: encode it as H.264".into()))?;
        let (length_bytes, headers) = parameter_sets(&config.data).ok_or_else(|| {
            broken("the H.264 parameter sets are damaged: encode the clip anew".into())
        })?;
        let mut clip = Self {
            bytes: Vec::new(),
            units: Vec::new(),
            colour,
            filmed: sizes[0],
            size: sizes[1],
        };
        loop {
            match reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == track_id => {
                    if !clip.append(&packet.data, length_bytes, &headers) {
                        let n = clip.units.len();
                        return Err(broken(format!(
                            "frame {n} is damaged: encode the clip anew"
                        )));
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(e) => {
                    let n = clip.units.len();
                    return Err(broken(format!(
                        "the file breaks off after {n} frames ({e})"
                    )));
                }
            }
        }
        match clip.units.first() {
            None => return Err(broken("there are no frames in this file".into())),
            Some(first) if !first.key => {
                return Err(broken(
                    "the first frame is no key frame: encode the clip anew".into(),
                ));
            }
            Some(_) => {}
        }
        clip.bytes.shrink_to_fit();
        Ok(clip)
    }

    /// Frames of the clip.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends one sample of an MP4 file. False if its lengths don't add up.
    fn append(&mut self, sample: &[u8], length_bytes: usize, headers: &[u8]) -> bool {
        let start = self.bytes.len();
        let mut rest = sample;
        let mut key = false;
        while !rest.is_empty() {
            if rest.len() < length_bytes {
                return false;
            }
            let (length, after) = rest.split_at(length_bytes);
            let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            if after.len() < length || length == 0 {
                return false;
            }
            let (nal, after) = after.split_at(length);
            if nal[0] & 31 == NAL_IDR && !key {
                key = true;
                self.bytes.extend_from_slice(headers);
            }
            self.bytes.extend_from_slice(&START_CODE);
            self.bytes.extend_from_slice(nal);
            rest = after;
        }
        self.units.push(Unit {
            start,
            end: self.bytes.len(),
            key,
        });
        true
    }
}

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// ITU-T H.264, table 7-1: a slice of an IDR picture.
const NAL_IDR: u8 = 5;

/// SPS and PPS in Annex B and the size of a sample's length fields, from an
/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1).
fn parameter_sets(config: &[u8]) -> Option<(usize, Vec<u8>)> {
    let length_bytes = usize::from(config.get(4)? & 3) + 1;
    let mut headers = Vec::new();
    let mut at = 5;
    for mask in [31, 255] {
        let count = *config.get(at)? & mask;
        at += 1;
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes([*config.get(at)?, *config.get(at + 1)?]));
            at += 2;
            headers.extend_from_slice(&START_CODE);
            headers.extend_from_slice(config.get(at..at + length)?);
            at += length;
        }
    }
    Some((length_bytes, headers))
}

/// Decodes a [`Bitstream`] forwards, and jumps to key frames.
pub(super) struct Pictures {
    decoder: Decoder,
    shrinker: Shrinker,
    next_unit: usize,
    next_picture: usize,
}

impl Pictures {
    /// A decoder at the clip's start.
    pub fn new() -> Result<Self, openh264::Error> {
        let config = DecoderConfig::new();
        Ok(Self {
            decoder: Decoder::with_api_config(OpenH264API::from_source(), config)?,
            shrinker: Shrinker::default(),
            next_unit: 0,
            next_picture: 0,
        })
    }

    /// Decodes frame `index` of `clip` into `i420`, passing over what lies between.
    pub fn decode(
        &mut self,
        clip: &Bitstream,
        index: usize,
        i420: &mut [u8],
    ) -> Result<(), openh264::Error> {
        let key = (0..=index)
            .rev()
            .find(|n| clip.units[*n].key)
            .unwrap_or_default();
        if index < self.next_picture || self.next_picture < key {
            // What the decoder still holds belongs to the place we leave.
            self.decoder.flush_remaining()?;
            (self.next_unit, self.next_picture) = (key, key);
        }
        while self.next_picture <= index {
            let wanted = self.next_picture == index;
            if let Some(unit) = clip.units.get(self.next_unit) {
                self.next_unit += 1;
                let unit = &clip.bytes[unit.start..unit.end];
                let Some(picture) = self.decoder.decode(unit)? else {
                    continue;
                };
                if wanted {
                    copy(&picture, clip, &mut self.shrinker, i420)?;
                }
                self.next_picture += 1;
            } else {
                // The decoder reorders: the last pictures come only now.
                let late = self.decoder.flush_remaining()?;
                let Some(picture) = late.get(index - self.next_picture) else {
                    return Err(openh264::Error::msg("the clip ends early"));
                };
                copy(picture, clip, &mut self.shrinker, i420)?;
                self.next_picture = clip.len();
                return Ok(());
            }
        }
        Ok(())
    }
}

fn copy(
    picture: &DecodedYUV<'_>,
    clip: &Bitstream,
    shrinker: &mut Shrinker,
    i420: &mut [u8],
) -> Result<(), openh264::Error> {
    let (filmed, size) = (clip.filmed, clip.size);
    if picture.dimensions() != (filmed.width, filmed.height) {
        return Err(openh264::Error::msg("a picture has another size"));
    }
    let (luma, u, v) = picture.strides();
    let planes = size.planes_mut(i420);
    for ((to, from), (stride, part)) in planes
        .into_iter()
        .zip([picture.y(), picture.u(), picture.v()])
        .zip([(luma, 1), (u, 2), (v, 2)])
    {
        let [filmed, size] = [filmed, size].map(|of| Size {
            width: of.width / part,
            height: of.height / part,
        });
        if size != filmed {
            shrinker.shrink(from, stride, filmed, size, to);
            continue;
        }
        for (to, from) in to.chunks_exact_mut(size.width).zip(from.chunks(stride)) {
            to.copy_from_slice(&from[..size.width]);
        }
    }
    clip.colour.to_bt601(clip.size, i420);
    Ok(())
}

/// Converts limited-range BT.709 to limited-range BT.601, in place: the product of
/// the two standards' matrices, in 1/256, which 16 bits have room for and which is
/// within one of what more bits give.
fn to_bt601(size: Size, i420: &mut [u8]) {
    /// The widest stretch of a row that is converted at a time.
    const STRETCH: usize = 256;
    let width = size.width;
    let [y, u, v] = size.planes_mut(i420);
    let rows = y.chunks_exact_mut(2 * width);
    let chroma = u
        .chunks_exact_mut(width / 2)
        .zip(v.chunks_exact_mut(width / 2));
    let mut more = [0_i16; STRETCH];
    for (rows, (u, v)) in rows.zip(chroma) {
        let (upper, lower) = rows.split_at_mut(width);
        let luma = upper.chunks_mut(STRETCH).zip(lower.chunks_mut(STRETCH));
        let chroma = u.chunks_mut(STRETCH / 2).zip(v.chunks_mut(STRETCH / 2));
        for ((upper, lower), (u, v)) in luma.zip(chroma) {
            for ((u, v), more) in u.iter_mut().zip(v).zip(more.chunks_exact_mut(2)) {
                let (cb, cr) = (i16::from(*u) - 128, i16::from(*v) - 128);
                more.fill((26 * cb + 50 * cr + 128) >> 8);
                *u = (128 + cb - ((3 * cb + 28 * cr + 128) >> 8)).clamp(0, 255) as u8;
                *v = (128 + cr - ((19 * cb + 4 * cr + 128) >> 8)).clamp(0, 255) as u8;
            }
            for luma in [upper, lower] {
                for (luma, more) in luma.iter_mut().zip(&more) {
                    *luma = (i16::from(*luma) + more).clamp(0, 255) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Y, Cb, Cr of a colour with the luma weights of red and blue of a standard.
    fn ycc([r, g, b]: [f64; 3], kr: f64, kb: f64) -> [f64; 3] {
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        [
            16.0 + 219.0 * y,
            128.0 + 112.0 * (b - y) / (1.0 - kb),
            128.0 + 112.0 * (r - y) / (1.0 - kr),
        ]
    }

    #[test]
    fn colours_stay_the_same_from_bt709_to_bt601() {
        let size = Size {
            width: 2,
            height: 2,
        };
        for rgb in [
            [0.8, 0.55, 0.45],
            [0.1, 0.2, 0.7],
            [1.0, 1.0, 1.0],
            [0.2, 0.7, 0.3],
        ] {
            let [y, u, v] = ycc(rgb, 0.2126, 0.0722).map(|x| x.round() as u8);
            let mut picture = [y, y, y, y, u, v];
            to_bt601(size, &mut picture);
            let wanted = ycc(rgb, 0.299, 0.114);
            for (got, wanted) in [picture[0], picture[4], picture[5]].iter().zip(wanted) {
                assert!((f64::from(*got) - wanted).abs() <= 1.5, "{rgb:?}");
            }
        }
    }

    #[test]
    fn parameter_sets_that_break_off_are_refused() {
        let whole = [1, 66, 0, 30, 255, 225, 0, 2, 103, 66, 1, 0, 1, 104];
        let (length_bytes, headers) = parameter_sets(&whole).expect("whole");
        assert_eq!(length_bytes, 4);
        assert_eq!(headers, [0, 0, 0, 1, 103, 66, 0, 0, 0, 1, 104]);
        for end in 0..whole.len() {
            assert!(parameter_sets(&whole[..end]).is_none(), "{end}");
        }
    }
}
