//! A voice that is published: packets of Opus become live sound.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use opus::{Channels, Decoder};

use super::door::{self, Door};
use super::inlet::Published;
pub use super::jitter::Counts;
use super::jitter::{Jitter, Play};
use crate::media::{AudioChunk, SOUND_RATE, VoicePacket};

/// Samples of the longest packet that there is: 120 ms.
const LONGEST: usize = SOUND_RATE as usize / 1_000 * 120;
/// Samples of silence before a voice: what the door wants to have heard beyond
/// the end of a chunk. So a chunk is complete with its last packet, not with the
/// one after that.
const LEAD: usize = SOUND_RATE as usize / 1_000 * 8;
/// How long a decoder may make up what is missing. Then it is silent, as who
/// sends nothing mostly is.
const MADE_UP: Duration = Duration::from_millis(100);

/// Why a voice can't be heard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No memory.
    #[error("cannot make a decoder of Opus")]
    Decoder(#[from] opus::Error),
    /// The filters can't be made.
    #[error(transparent)]
    Door(#[from] door::Error),
}

/// What listens to a publisher.
pub struct Voice {
    jitter: Jitter,
    /// It mixes two channels to one.
    decoder: Decoder,
    sound: Vec<f32>,
    /// Samples made up in a row.
    made_up: usize,
    door: Door,
    paused: bool,
}

impl Voice {
    /// A voice that hasn't begun, at `now`.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub fn new(now: Instant) -> Result<Self, Error> {
        Ok(Self {
            jitter: Jitter::new(now),
            decoder: Decoder::new(SOUND_RATE, Channels::Mono)?,
            sound: vec![0.0; LONGEST],
            made_up: 0,
            door: Door::new(SOUND_RATE, 1)?,
            paused: true,
        })
    }

    /// Lets in what `packets` brings until they end, and then what is left, or
    /// until the session has ended. Returns what became of them.
    pub fn run(mut self, packets: &Receiver<VoicePacket>, published: &Published) -> Counts {
        let listens = Cell::new(true);
        let hear = |chunk: &AudioChunk| listens.set(published.hear(chunk));
        let mut due = None;
        while listens.get() {
            let packet = match due {
                Some(due) => packets.recv_deadline(due),
                None => packets.recv().map_err(RecvTimeoutError::from),
            };
            match packet {
                Ok(packet) => self.push(packet),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            due = self.play(Instant::now(), hear);
        }
        while listens.get()
            && !self.jitter.is_empty()
            && let Some(due_at) = due
        {
            std::thread::sleep(due_at.saturating_duration_since(Instant::now()));
            due = self.play(Instant::now(), hear);
        }
        self.pause(hear);
        self.jitter.counts()
    }

    /// Takes a packet.
    pub fn push(&mut self, packet: VoicePacket) {
        self.jitter.push(packet);
    }

    /// Hands on the sound that is due at `now`. Returns when more is, unless the
    /// voice has paused.
    pub fn play(&mut self, now: Instant, mut on_chunk: impl FnMut(&AudioChunk)) -> Option<Instant> {
        loop {
            let (samples, accepted) = match self.jitter.play(now) {
                Play::Packet(data, arrived) => {
                    self.made_up = 0;
                    (self.decode(&data), arrived)
                }
                Play::Missing(samples, after) => (self.make_up(samples, after.as_deref()), now),
                Play::Wait(due) => return Some(due),
                Play::Paused => {
                    self.pause(on_chunk);
                    return None;
                }
            };
            if std::mem::take(&mut self.paused) {
                self.door.push(&[0.0; LEAD], Some(accepted), &mut on_chunk);
            }
            let sound = &self.sound[..samples];
            self.door.push(sound, Some(accepted), &mut on_chunk);
        }
    }

    /// Decodes a packet. What can't be decoded is made up.
    fn decode(&mut self, data: &[u8]) -> usize {
        match self.decoder.decode_float(data, &mut self.sound, false) {
            Ok(samples) => samples,
            Err(_) => self.make_up(SOUND_RATE as usize / 50, None),
        }
    }

    /// Fills in for `samples` that are missing: from what the packet `after` them
    /// repeats, or from what was before.
    fn make_up(&mut self, samples: usize, after: Option<&[u8]>) -> usize {
        let sound = &mut self.sound[..samples];
        let most = SOUND_RATE as usize / 1_000 * MADE_UP.as_millis() as usize;
        self.made_up += samples;
        let decoded = match after {
            Some(after) => self.decoder.decode_float(after, sound, true),
            None if self.made_up <= most => self.decoder.decode_float(&[], sound, false),
            None => Ok(0),
        };
        // A gap of odd length is none that the decoder knows.
        sound[decoded.unwrap_or(0).min(samples)..].fill(0.0);
        samples
    }

    /// Hands on what the door has, and is then ready for another beginning.
    fn pause(&mut self, on_chunk: impl FnMut(&AudioChunk)) {
        if !std::mem::replace(&mut self.paused, true) {
            self.door.finish(on_chunk);
        }
    }
}

#[cfg(test)]
mod tests;
