//! Sound to Opus, 20 ms a packet.

use bytes::Bytes;
use opus::{Application, Bitrate, Channels, Encoder, Signal};

use super::{Config, Error};
use crate::media::{SOUND_RATE, SOUND_SAMPLES};

/// Samples of one packet: 20 ms, what every WebRTC player expects.
const PACKET_SAMPLES: usize = SOUND_SAMPLES / 2;
/// Packets that are expected to get lost, in percent: how much of each packet
/// is spent on repeating the one before it.
const EXPECTED_LOSS_PERCENT: i32 = 8;
/// Opus' effort, 0 to 10: three fifths of the processor time of its usual 9. The
/// welcome speech then is 1.8 dB from what was said, band by band, instead of 1.6.
const COMPLEXITY: i32 = 3;
/// Room for one packet: Opus makes none that is larger.
const PACKET_BYTES: usize = 1_276;

/// An Opus encoder for one stream of mono sound. WebRTC announces it as stereo,
/// as it does all Opus; a packet says itself that it is mono.
pub struct Opus {
    encoder: Encoder,
    pre_skip: u16,
}

impl Opus {
    /// An encoder for a net, with all its memory.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let mut opus = Self::for_files(config)?;
        opus.encoder.set_inband_fec(true)?;
        opus.encoder.set_packet_loss_perc(EXPECTED_LOSS_PERCENT)?;
        Ok(opus)
    }

    /// The same for files, of which nothing gets lost: no packet repeats the one
    /// before it.
    pub fn for_files(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let mut encoder = Encoder::new(SOUND_RATE, Channels::Mono, Application::Voip)?;
        let bps = i32::try_from(config.sound_kbps * 1_000).unwrap_or(i32::MAX);
        encoder.set_bitrate(Bitrate::Bits(bps))?;
        encoder.set_signal(Signal::Voice)?;
        encoder.set_complexity(COMPLEXITY)?;
        // Silence is sent like sound: a gap in the packets looks like loss.
        encoder.set_dtx(false)?;
        let pre_skip = encoder.get_lookahead()?;
        Ok(Self {
            encoder,
            pre_skip: u16::try_from(pre_skip).unwrap_or(0),
        })
    }

    /// Samples at [`SOUND_RATE`] by which decoded sound is late: what a file
    /// calls its pre-skip.
    pub fn pre_skip(&self) -> u16 {
        self.pre_skip
    }

    /// Encodes one chunk of sound to two packets, the earlier one first.
    pub fn encode(&mut self, sound: &[f32; SOUND_SAMPLES]) -> Result<[Bytes; 2], Error> {
        let (first, second) = sound.split_at(PACKET_SAMPLES);
        Ok([self.packet(first)?, self.packet(second)?])
    }

    fn packet(&mut self, sound: &[f32]) -> Result<Bytes, Error> {
        let mut packet = [0; PACKET_BYTES];
        let length = self.encoder.encode_float(sound, &mut packet)?;
        Ok(Bytes::copy_from_slice(&packet[..length]))
    }
}
