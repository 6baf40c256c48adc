//! The inside of a sound file: its container and the decoder of its first
//! sound track. What is damaged is stepped over; what is cut off ends there.

use std::fs::File;
use std::io::{self, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use opus::Channels as OpusChannels;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::common::Limit;
use symphonia::core::errors::Error as Trouble;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use super::door;
use super::file::Error;
use crate::media::SOUND_RATE;

/// Packets in a row that may be damaged before the file is given up: at least
/// five seconds of sound in every format.
const DAMAGED: usize = 500;
/// Bytes of a tag or a cover that are read: nobody hears them.
const TAG_BYTES: usize = 64 << 10;
/// Fewer bytes a second than any coded sound has: a longer duration is a lie.
const LEAST_BYTES_PER_SECOND: u64 = 64;
/// Samples per channel of the longest Opus packet, 120 ms.
const OPUS_FRAMES: usize = SOUND_RATE as usize * 120 / 1000;

/// A container and the decoder of one of its tracks.
pub(super) struct Stream {
    format: Box<dyn FormatReader>,
    decoder: Decoder,
    track: u32,
    ticks: Option<TimeBase>,
}

/// How packets become samples.
enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<Opus>),
}

/// Samples of one packet: their rate and how many channels are interleaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub rate: u32,
    pub channels: usize,
}

impl Stream {
    /// Opens `file` from its beginning. `hint` is a file extension or a media type.
    pub fn open(file: &File, hint: Option<&str>) -> Result<Self, Error> {
        let mut file = file.try_clone().map_err(Error::Read)?;
        file.rewind().map_err(Error::Read)?;
        if file.metadata().map_err(Error::Read)?.len() == 0 {
            return Err(Error::Empty);
        }
        guarded(|| Self::probe(file, hint))
    }

    fn probe(file: File, hint: Option<&str>) -> Result<Self, Error> {
        let source = MediaSourceStream::new(Box::new(file), Default::default());
        let meta = MetadataOptions::default()
            .limit_tag_bytes(Limit::Maximum(TAG_BYTES))
            .limit_visual_bytes(Limit::Maximum(TAG_BYTES));
        let format = symphonia::default::get_probe()
            .probe(&guess(hint), source, Default::default(), meta)
            .map_err(|trouble| match trouble {
                Trouble::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    Error::Read(error)
                }
                _ => Error::Format,
            })?;
        let (decoder, track) = start(&*format)?;
        let (track, ticks) = (track.id, track.time_base);
        Ok(Self {
            format,
            decoder,
            track,
            ticks,
        })
    }

    /// What the container says about its length, where that can be true of a
    /// file of `bytes`.
    pub fn claimed(&self, bytes: u64) -> Option<Duration> {
        let mut tracks = self.format.tracks().iter();
        let track = tracks.find(|track| track.id == self.track)?;
        let audio = track
            .codec_params
            .as_ref()
            .and_then(|params| params.audio());
        let rate = audio.and_then(|audio| audio.sample_rate);
        let claim = match (track.num_frames, rate) {
            (Some(frames), Some(rate)) if rate > 0 => seconds(frames, 1, rate),
            _ => seconds(
                track.duration?.get(),
                track.time_base?.numer.get(),
                track.time_base?.denom.get(),
            ),
        }?;
        // A header written before its sound, or a file cut off, claims too much.
        let most = match audio.and_then(|audio| self.bytes_per_second(audio)) {
            Some(per_second) => seconds(bytes, 1, per_second)?,
            None if claim.as_secs() > bytes / LEAST_BYTES_PER_SECOND => return None,
            None => claim,
        };
        Some(claim.min(most)).filter(|claim| !claim.is_zero())
    }

    /// Known where every sample takes the same room.
    fn bytes_per_second(&self, audio: &AudioCodecParameters) -> Option<u32> {
        let Decoder::Symphonia(decoder) = &self.decoder else {
            return None;
        };
        let bits = audio.bits_per_coded_sample.or(audio.bits_per_sample)?;
        let channels = audio.channels.as_ref()?.count() as u32;
        let per_second = audio
            .sample_rate?
            .checked_mul(bits / 8)?
            .checked_mul(channels)?;
        (decoder.codec_info().short_name.starts_with("pcm") && per_second > 0).then_some(per_second)
    }

    /// Reads on to the end and adds up what the packets say of their length,
    /// or what they hold where they don't say it.
    pub fn measure(&mut self) -> Result<Duration, Error> {
        let said = guarded(|| {
            let (mut ticks, mut samples) = (0_u64, 0_u64);
            while let Some(packet) = self.packet()? {
                match &self.decoder {
                    Decoder::Opus(_) => samples += Opus::samples(&packet),
                    Decoder::Symphonia(_) => ticks = ticks.saturating_add(packet.dur.get()),
                }
            }
            Ok(match self.ticks {
                Some(base) if ticks > 0 => seconds(ticks, base.numer.get(), base.denom.get()),
                _ => seconds(samples, 1, SOUND_RATE),
            })
        })?;
        said.ok_or(Error::Damaged)
    }

    /// Decodes the next packet that can be decoded into `samples`, interleaved.
    /// `None` is the end of the file.
    pub fn decode(&mut self, samples: &mut Vec<f32>) -> Result<Option<Spec>, Error> {
        samples.clear();
        guarded(|| {
            for _ in 0..DAMAGED {
                let Some(packet) = self.packet()? else {
                    return Ok(None);
                };
                let spec = match &mut self.decoder {
                    Decoder::Symphonia(decoder) => decoder.decode(&packet).ok().map(|buffer| {
                        buffer.copy_to_vec_interleaved(samples);
                        Spec {
                            rate: buffer.spec().rate(),
                            channels: buffer.spec().channels().count(),
                        }
                    }),
                    Decoder::Opus(decoder) => decoder.decode(&packet, self.ticks, samples),
                };
                if let Some(spec) = spec.filter(|_| !samples.is_empty()) {
                    return Ok(Some(spec));
                }
            }
            Err(Error::Damaged)
        })
    }

    /// The next packet of our track; `None` where the file ends or can't be read on.
    fn packet(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => return Ok(Some(packet)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                // One file after the other in the same file, as internet radio has it.
                Err(Trouble::ResetRequired) => {
                    let (decoder, track) = start(&*self.format)?;
                    (self.track, self.ticks) = (track.id, track.time_base);
                    self.decoder = decoder;
                }
                Err(Trouble::IoError(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(Error::Read(error));
                }
                Err(_) => return Ok(None),
            }
        }
    }
}

/// Finds the sound in `format` and makes its decoder.
fn start(format: &dyn FormatReader) -> Result<(Decoder, &Track), Error> {
    let track = format
        .default_track(TrackType::Audio)
        .ok_or(Error::NoSound)?;
    let Some(CodecParameters::Audio(params)) = &track.codec_params else {
        return Err(Error::NoSound);
    };
    if let Some(rate) = params
        .sample_rate
        .filter(|rate| !door::RATES.contains(rate))
    {
        return Err(door::Error::Rate(rate).into());
    }
    if params.codec == CODEC_ID_OPUS {
        return Ok((Decoder::Opus(Box::new(Opus::new(params)?)), track));
    }
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &Default::default())
        .map_err(|_| Error::Codec)?;
    Ok((Decoder::Symphonia(decoder), track))
}

/// Opus, which symphonia finds in Ogg, WebM and MP4 but doesn't decode.
struct Opus {
    decoder: opus::Decoder,
    channels: usize,
    /// Samples per channel that the encoder put before the sound.
    skip: usize,
}

impl Opus {
    fn new(params: &AudioCodecParameters) -> Result<Self, Error> {
        let head = params.extra_data.as_deref().unwrap_or_default();
        let channels = match params
            .channels
            .as_ref()
            .map_or(0, |channels| channels.count())
        {
            1 => OpusChannels::Mono,
            2 => OpusChannels::Stereo,
            _ => return Err(Error::Codec),
        };
        Ok(Self {
            decoder: opus::Decoder::new(SOUND_RATE, channels).map_err(|_| Error::Codec)?,
            channels: channels as usize,
            skip: pre_skip(head).into(),
        })
    }

    /// Samples per channel in `packet`.
    fn samples(packet: &Packet) -> u64 {
        opus::packet::get_nb_samples(&packet.data, SOUND_RATE).map_or(0, |samples| samples as u64)
    }

    fn decode(
        &mut self,
        packet: &Packet,
        ticks: Option<TimeBase>,
        samples: &mut Vec<f32>,
    ) -> Option<Spec> {
        if packet.data.is_empty() {
            return None;
        }
        samples.resize(OPUS_FRAMES * self.channels, 0.0);
        let Ok(frames) = self.decoder.decode_float(&packet.data, samples, false) else {
            samples.clear();
            return None;
        };
        let padding = ticks
            .and_then(|base| seconds(packet.trim_end.get(), base.numer.get(), base.denom.get()))
            .map_or(0, |time| {
                (time.as_secs_f64() * f64::from(SOUND_RATE)).round() as usize
            });
        samples.truncate(frames.saturating_sub(padding) * self.channels);
        let skipped = self.skip.min(samples.len() / self.channels);
        samples.drain(..skipped * self.channels);
        self.skip -= skipped;
        Some(Spec {
            rate: SOUND_RATE,
            channels: self.channels,
        })
    }
}

/// What an identification header says of the samples before the sound: behind 8
/// bytes of magic, the version and the channels. Ogg and WebM write its numbers
/// little-endian and call it version 1 (RFC 7845); MP4 writes them big-endian and
/// calls it version 0.
fn pre_skip(head: &[u8]) -> u16 {
    match head.get(8..12) {
        Some(&[0, _, high, low]) => u16::from_be_bytes([high, low]),
        Some(&[_, _, low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    }
}

/// Runs a decoder on bytes that strangers sent: its bugs are their file's trouble.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Whoever sees the error drops the file, so that nothing half done is used.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::Damaged))
}

/// `n × numerator / denominator` seconds, unless that is absurd.
fn seconds(n: u64, numerator: u32, denominator: u32) -> Option<Duration> {
    let nanos = u128::from(n) * u128::from(numerator) * 1_000_000_000 / u128::from(denominator);
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

fn guess(hint: Option<&str>) -> Hint {
    let mut guess = Hint::new();
    match hint {
        Some(media_type) if media_type.contains('/') => guess.mime_type(media_type),
        Some(name) => guess.with_extension(name.rsplit('.').next().unwrap_or(name)),
        None => &mut guess,
    };
    guess
}
