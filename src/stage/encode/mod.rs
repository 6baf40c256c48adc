//! Frame and sound to packets, once for everyone who watches.

mod h264;
mod opus;
mod vp8;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::h264::H264;
pub use self::opus::Opus;
pub use self::vp8::Vp8;
use crate::hub::{Hub, KeyRequest};
use crate::media::{Codec, FPS, Packet};
use crate::pool::Frame;

/// How sound and pictures are encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bitrate of the pictures in kbit/s.
    pub video_kbps: u32,
    /// Bitrate of the sound in kbit/s.
    pub sound_kbps: u32,
    /// Seconds from one key frame to the next when nobody asks for one.
    pub key_interval_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            video_kbps: 1_000,
            sound_kbps: 40,
            key_interval_s: 10,
        }
    }
}

/// Bitrates of pictures that the encoders can do something with, in kbit/s.
const VIDEO_KBPS: std::ops::RangeInclusive<u32> = 50..=50_000;
/// Bitrates of sound that Opus has, in kbit/s.
const SOUND_KBPS: std::ops::RangeInclusive<u32> = 6..=510;
/// Intervals between key frames that make sense, in seconds.
const KEY_INTERVAL_S: std::ops::RangeInclusive<u32> = 1..=600;

/// Why nothing was encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of the configuration that no encoder takes.
    #[error("encode.{key} is {given}; set it to {lowest} at least and {highest} at most")]
    Range {
        /// The key in the section.
        key: &'static str,
        /// Its value.
        given: u32,
        /// The lowest value that works.
        lowest: u32,
        /// The highest value that works.
        highest: u32,
    },
    /// The H.264 encoder failed.
    #[error("the H.264 encoder failed on pictures of {width}x{height}: {source}")]
    H264 {
        /// Columns of the picture.
        width: usize,
        /// Rows of the picture.
        height: usize,
        /// What openh264 said.
        source: openh264::Error,
    },
    /// The H.264 encoder did not take a bitrate.
    #[error("the H.264 encoder does not take {bps} bit/s; choose a higher bitrate")]
    Bitrate {
        /// Bits a second that were asked for.
        bps: u32,
    },
    /// The VP8 encoder failed.
    #[error("the VP8 encoder failed on pictures of {width}x{height}: {reason}")]
    Vp8 {
        /// Columns of the picture.
        width: usize,
        /// Rows of the picture.
        height: usize,
        /// What libvpx said.
        reason: crate::native::VpxError,
    },
    /// The Opus encoder failed.
    #[error("the Opus encoder failed: {0}")]
    Opus(#[from] ::opus::Error),
}

impl Config {
    /// Refuses values that no encoder takes.
    pub fn check(&self) -> Result<(), Error> {
        let rows = [
            ("video_kbps", self.video_kbps, VIDEO_KBPS),
            ("sound_kbps", self.sound_kbps, SOUND_KBPS),
            ("key_interval_s", self.key_interval_s, KEY_INTERVAL_S),
        ];
        for (key, given, range) in rows {
            if !range.contains(&given) {
                return Err(Error::Range {
                    key,
                    given,
                    lowest: *range.start(),
                    highest: *range.end(),
                });
            }
        }
        Ok(())
    }

    fn key_interval_frames(&self) -> u32 {
        self.key_interval_s * FPS
    }
}

/// One encoded picture.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The bitstream.
    pub data: Bytes,
    /// Whether a decoder can start here.
    pub key: bool,
}

/// Time from one key frame to the next for who lost pictures. Viewers who lose
/// packets ask often, and key frames cost everyone quality.
const LOST_PATIENCE: Duration = Duration::from_millis(500);
/// The same for who is new and sees nothing yet: two frames, so that a crowd
/// that comes at once shares one.
const JOINED_PATIENCE: Duration = Duration::from_millis(80);

/// When key frames are given: at once, unless one was given just before.
/// A request that came too early is kept until its time.
#[derive(Debug, Default)]
struct Keys {
    wanted: Option<KeyRequest>,
    last: Option<Duration>,
}

impl Keys {
    /// Whether the frame at `pts` is to be a key frame.
    fn due(&mut self, request: Option<KeyRequest>, pts: Duration) -> bool {
        self.wanted = self.wanted.max(request);
        let patience = match self.wanted {
            None => return false,
            Some(KeyRequest::Lost) => LOST_PATIENCE,
            Some(KeyRequest::Joined) => JOINED_PATIENCE,
        };
        self.last
            .is_none_or(|last| pts.saturating_sub(last) >= patience)
    }

    /// Notes that the frame at `pts` is a key frame.
    fn given(&mut self, pts: Duration) {
        self.wanted = None;
        self.last = Some(pts);
    }
}

/// The pictures of a session: one encoder for each codec that is watched.
pub struct Pictures {
    config: Config,
    h264: Option<H264>,
    h264_keys: Keys,
    vp8: Option<Vp8>,
    vp8_keys: Keys,
}

impl Pictures {
    /// Encoders are made when somebody watches.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            config: config.clone(),
            h264: None,
            h264_keys: Keys::default(),
            vp8: None,
            vp8_keys: Keys::default(),
        })
    }

    /// Encodes `frame` once in each codec that `hub`'s watchers want, and hands
    /// them the packets. An encoder that fails is made anew for the next frame,
    /// and doesn't keep the other one from its work.
    pub fn encode(&mut self, frame: &Frame, hub: &Hub) -> Result<(), Error> {
        let h264 = self.encode_h264(frame, hub);
        if h264.is_err() {
            self.h264 = None;
        }
        let vp8 = self.encode_vp8(frame, hub);
        if vp8.is_err() {
            self.vp8 = None;
        }
        h264.and(vp8)
    }

    /// Changes the bitrate of all pictures from the next frame on.
    pub fn set_bitrate(&mut self, kbps: u32) -> Result<(), Error> {
        let config = Config {
            video_kbps: kbps,
            ..self.config.clone()
        };
        config.check()?;
        self.config = config;
        if let Some(h264) = &mut self.h264 {
            h264.set_bitrate(kbps * 1_000)?;
        }
        if let Some(vp8) = &mut self.vp8 {
            vp8.set_bitrate(kbps * 1_000)?;
        }
        Ok(())
    }

    fn encode_h264(&mut self, frame: &Frame, hub: &Hub) -> Result<(), Error> {
        if hub.watchers(Codec::H264) == 0 {
            return Ok(());
        }
        let encoder = match &mut self.h264 {
            Some(encoder) if encoder.size() == frame.size() => encoder,
            other => other.insert(H264::new(&self.config, frame.size())?),
        };
        let keys = &mut self.h264_keys;
        let key = keys.due(hub.take_key_request(Codec::H264), frame.pts);
        let encoded = encoder.encode(frame.i420(), frame.pts, key)?;
        send(hub, Codec::H264, frame, encoded, keys);
        Ok(())
    }

    fn encode_vp8(&mut self, frame: &Frame, hub: &Hub) -> Result<(), Error> {
        if hub.watchers(Codec::Vp8) == 0 {
            // Few viewers need VP8; without one its memory is better free.
            self.vp8 = None;
            return Ok(());
        }
        let encoder = match &mut self.vp8 {
            Some(encoder) if encoder.size() == frame.size() => encoder,
            other => other.insert(Vp8::new(&self.config, frame.size())?),
        };
        let keys = &mut self.vp8_keys;
        let key = keys.due(hub.take_key_request(Codec::Vp8), frame.pts);
        let encoded = encoder.encode(frame.i420(), frame.pts, key)?;
        send(hub, Codec::Vp8, frame, encoded, keys);
        Ok(())
    }
}

fn send(hub: &Hub, codec: Codec, frame: &Frame, encoded: Encoded, keys: &mut Keys) {
    if encoded.key {
        keys.given(frame.pts);
    }
    hub.send(Packet {
        codec,
        pts: frame.pts,
        key: encoded.key,
        accepted: frame.accepted,
        data: encoded.data,
    });
}

#[cfg(test)]
mod tests;
