//! What passes from stage to stage.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// Frames a second: one picture for every chunk of sound.
pub const FPS: u32 = 25;
/// Length of one frame of video, and of the chunk of sound that drives it.
pub const FRAME_PERIOD: Duration = Duration::from_millis(40);
/// Sample rate of what the viewers hear.
pub const SOUND_RATE: u32 = 48_000;
/// Samples of one chunk at [`SOUND_RATE`].
pub const SOUND_SAMPLES: usize = 1_920;
/// Sample rate of what the model hears.
pub const SPEECH_RATE: u32 = 16_000;
/// Samples of one chunk at [`SPEECH_RATE`].
pub const SPEECH_SAMPLES: usize = 640;

/// 40 ms of mono sound at both rates, sample 0 of each at the same moment.
/// Plain data: it is copied, never allocated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AudioChunk {
    /// When the program accepted this sound. `None` for silence of our own making.
    pub accepted: Option<Instant>,
    /// At [`SOUND_RATE`], in -1.0..=1.0.
    pub sound: [f32; SOUND_SAMPLES],
    /// At [`SPEECH_RATE`], in -1.0..=1.0.
    pub speech: [f32; SPEECH_SAMPLES],
}

impl AudioChunk {
    /// Digital silence.
    pub const SILENCE: Self = Self {
        accepted: None,
        sound: [0.0; SOUND_SAMPLES],
        speech: [0.0; SPEECH_SAMPLES],
    };
}

/// Bands of a mel spectrogram.
pub const MEL_BANDS: usize = 80;
/// Steps of mel in one window, 12.5 ms each.
pub const MEL_STEPS: usize = 16;
/// What a Wav2Lip-type model hears: `[band][step]`, as the tensor lies.
pub type MelWindow = [[f32; MEL_STEPS]; MEL_BANDS];

/// A packet of Opus as it came from whoever publishes a voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoicePacket {
    /// When it came.
    pub arrived: Instant,
    /// Whose it is: another number is another stream, with times of its own.
    pub ssrc: u32,
    /// The moment of its first sample at [`SOUND_RATE`], from any beginning. It wraps.
    pub timestamp: u32,
    /// The bitstream.
    pub data: Bytes,
}

/// How a packet was coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Annex B, one access unit a packet.
    H264,
    /// One frame a packet.
    Vp8,
    /// 20 ms a packet.
    Opus,
}

/// Encoded sound or picture, ready for the network or a file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Packet {
    /// How `data` was coded.
    pub codec: Codec,
    /// Time since the stream began, one clock for sound and picture.
    pub pts: Duration,
    /// Whether a decoder can start here. Always true for sound.
    pub key: bool,
    /// When the sound of this moment was accepted.
    pub accepted: Option<Instant>,
    /// The bitstream.
    pub data: Bytes,
}
