//! The door: sound of any rate and any number of channels becomes chunks.
//!
//! Each of the two rates inside is made once, straight from the source's
//! rate, and not at all where the source has it already. The filters' delay is
//! taken out: sample 0 of both rates is sample 0 of the input. A chunk is
//! complete at most 12 ms of sound after its last sample (8 kHz; 7 ms at
//! 44.1 kHz and above). Nothing is allocated once a door has seen its first
//! chunk.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Instant;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

use crate::media::{AudioChunk, FPS, SOUND_RATE, SOUND_SAMPLES, SPEECH_RATE, SPEECH_SAMPLES};

/// Sample rates that make sense as speech, in Hz.
pub const RATES: RangeInclusive<u32> = 8_000..=192_000;
/// Channels that make sense in one source.
pub const CHANNELS: RangeInclusive<usize> = 1..=32;

/// Slices a second that the input is cut into: at most one chunk comes out of each.
const SLICES: u32 = 100;
/// Blocks a second that a resampler works on. Small, because live sound waits for one.
const BLOCKS: u32 = 400;
/// Taps of the filter, counted at the lower of the two rates: 4 ms of delay at
/// 16 kHz for a transition 750 Hz wide, and the sidelobes are below -70 dB.
const TAPS: usize = 128;
/// Where the filter is at -6 dB, relative to the lower Nyquist frequency. What
/// folds back stays above 7.6 kHz at 16 kHz, where the mel bands end.
const CUTOFF: f32 = 0.975;
/// Filters between two samples that are kept for a ratio which needs no more:
/// each output sample then has its own filter, which costs a quarter.
const MOST_PHASES: u32 = 640;
/// Filters kept for the others, with cubic interpolation between them.
const PHASES: usize = 64;

/// Why sound can't come in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rate is outside [`RATES`].
    #[error(
        "the sound has {0} samples a second, but {min} to {max} can be heard; convert it to 48000",
        min = RATES.start(), max = RATES.end()
    )]
    Rate(u32),
    /// The number of channels is outside [`CHANNELS`].
    #[error(
        "the sound has {0} channels, but {min} to {max} can be mixed; convert it to one",
        min = CHANNELS.start(), max = CHANNELS.end()
    )]
    Channels(usize),
    /// The resampler refused.
    #[error("cannot resample from {rate} Hz")]
    Resampler {
        /// The source's rate in Hz.
        rate: u32,
        /// What the resampler said.
        source: rubato::ResamplerConstructionError,
    },
}

/// Mixes, resamples and cuts one source of sound.
pub struct Door {
    rate: u32,
    channels: usize,
    sound: Path,
    speech: Path,
    /// One slice of the input, mixed to one channel.
    mono: Vec<f32>,
    /// Samples per channel that came in.
    frames: u64,
    /// Chunks whose first sample came in.
    begun: u64,
    /// When it came, for those that aren't out yet.
    accepted: VecDeque<Option<Instant>>,
    /// Chunks that went out.
    taken: u64,
    /// Chunks in all, once the input has ended.
    end: Option<u64>,
    /// Away only while it is handed on.
    chunk: Option<Box<AudioChunk>>,
}

impl Door {
    /// A door for `channels` interleaved channels at `rate` Hz.
    pub fn new(rate: u32, channels: usize) -> Result<Self, Error> {
        check(rate, channels)?;
        Ok(Self {
            rate,
            channels,
            sound: Path::new(rate, SOUND_RATE, SOUND_SAMPLES)?,
            speech: Path::new(rate, SPEECH_RATE, SPEECH_SAMPLES)?,
            mono: Vec::with_capacity((rate / SLICES) as usize),
            frames: 0,
            begun: 0,
            accepted: VecDeque::with_capacity(4),
            taken: 0,
            end: None,
            chunk: Some(Box::new(AudioChunk::SILENCE)),
        })
    }

    /// The source's samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The source's channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Lets `interleaved` in, which came at `accepted`, and hands on every
    /// chunk that it completes. A frame that isn't whole is left out.
    pub fn push(
        &mut self,
        mut interleaved: &[f32],
        accepted: Option<Instant>,
        mut on_chunk: impl FnMut(&AudioChunk),
    ) {
        loop {
            let used = self.write(interleaved, accepted);
            self.hand_on(&mut on_chunk);
            if used == 0 {
                return;
            }
            interleaved = &interleaved[used..];
        }
    }

    /// Ends the sound: hands on what is left, the last chunk filled up with
    /// silence. The door is then as new.
    pub fn finish(&mut self, mut on_chunk: impl FnMut(&AudioChunk)) {
        self.end();
        self.hand_on(&mut on_chunk);
    }

    /// Lets the first 10 ms of `interleaved` in. Returns how many samples that was.
    pub(super) fn write(&mut self, interleaved: &[f32], accepted: Option<Instant>) -> usize {
        let frames = self.mono.capacity().min(interleaved.len() / self.channels);
        let used = frames * self.channels;
        let scale = 1.0 / self.channels as f32;
        self.mono.clear();
        self.mono.extend(
            interleaved[..used]
                .chunks_exact(self.channels)
                .map(|frame| frame.iter().copied().map(audible).sum::<f32>() * scale),
        );
        self.frames += frames as u64;
        while self.begun * u64::from(self.rate) < self.frames * u64::from(FPS) {
            self.accepted.push_back(accepted);
            self.begun += 1;
        }
        self.sound.write(&self.mono);
        self.speech.write(&self.mono);
        used
    }

    /// Says that nothing more comes in: [`Door::take`] gives what is left.
    pub(super) fn end(&mut self) {
        self.end = Some(self.begun);
    }

    /// Takes the next chunk, if it is complete.
    pub(super) fn take(&mut self, chunk: &mut AudioChunk) -> bool {
        while !(self.sound.ready() && self.speech.ready()) {
            match self.end {
                Some(end) if self.taken < end => {
                    self.mono.clear();
                    self.mono.resize(self.mono.capacity(), 0.0);
                    self.sound.write(&self.mono);
                    self.speech.write(&self.mono);
                }
                Some(_) => {
                    self.reset();
                    return false;
                }
                None => return false,
            }
        }
        if self.end.is_some_and(|end| self.taken >= end) {
            self.reset();
            return false;
        }
        self.sound.read(&mut chunk.sound);
        self.speech.read(&mut chunk.speech);
        chunk.accepted = self.accepted.pop_front().flatten();
        self.taken += 1;
        true
    }

    fn hand_on(&mut self, on_chunk: &mut impl FnMut(&AudioChunk)) {
        let mut chunk = self.chunk.take().expect("it comes back below");
        while self.take(&mut chunk) {
            on_chunk(&chunk);
        }
        self.chunk = Some(chunk);
    }

    /// Forgets what came in.
    pub(super) fn reset(&mut self) {
        self.sound.reset();
        self.speech.reset();
        self.accepted.clear();
        (self.frames, self.begun, self.taken, self.end) = (0, 0, 0, None);
    }
}

/// Whether a source with `channels` at `rate` Hz can come in.
pub fn check(rate: u32, channels: usize) -> Result<(), Error> {
    if !RATES.contains(&rate) {
        return Err(Error::Rate(rate));
    }
    if !CHANNELS.contains(&channels) {
        return Err(Error::Channels(channels));
    }
    Ok(())
}

/// A sample that can be mixed: what isn't a number is silence.
fn audible(sample: f32) -> f32 {
    if sample.is_finite() {
        sample.clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

/// From the source's rate to one of ours.
struct Path {
    resampler: Option<Block>,
    /// Samples at our rate that no chunk has yet.
    out: Vec<f32>,
    /// Samples of one chunk.
    chunk: usize,
}

impl Path {
    fn new(from: u32, to: u32, chunk: usize) -> Result<Self, Error> {
        let resampler = (from != to).then(|| Block::new(from, to)).transpose()?;
        Ok(Self {
            resampler,
            // A chunk less one sample, a slice, and the other path's delay.
            out: Vec::with_capacity(2 * chunk),
            chunk,
        })
    }

    fn write(&mut self, mono: &[f32]) {
        match &mut self.resampler {
            Some(resampler) => resampler.write(mono, &mut self.out),
            None => self.out.extend_from_slice(mono),
        }
    }

    fn ready(&self) -> bool {
        self.out.len() >= self.chunk
    }

    fn read(&mut self, chunk: &mut [f32]) {
        for (to, from) in chunk.iter_mut().zip(self.out.drain(..self.chunk)) {
            // The filter may overshoot what was within bounds.
            *to = from.clamp(-1.0, 1.0);
        }
    }

    fn reset(&mut self) {
        self.out.clear();
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }
}

/// A resampler that works on blocks and knows its delay.
struct Block {
    resampler: Async<f32>,
    /// What came in since the last whole block.
    input: Vec<f32>,
    block: usize,
    /// Silence before the input, in input samples, so that an output sample
    /// falls on the input's first.
    lead: usize,
    /// Output samples before that one.
    delay: usize,
    /// Of them, those still to come.
    skip: usize,
}

impl Block {
    fn new(from: u32, to: u32) -> Result<Self, Error> {
        let ratio = f64::from(to) / f64::from(from);
        let taps = (TAPS as f64 / ratio.min(1.0)).ceil() as usize;
        let taps = taps.next_multiple_of(8);
        let block = (from / BLOCKS) as usize;
        let exact = to / greatest_common_divisor(from, to);
        let (phases, interpolation) = if exact <= MOST_PHASES {
            (exact as usize, SincInterpolationType::Nearest)
        } else {
            (PHASES, SincInterpolationType::Cubic)
        };
        let parameters = SincInterpolationParameters {
            sinc_len: taps,
            f_cutoff: Some(CUTOFF),
            oversampling_factor: phases,
            interpolation,
            window: WindowFunction::Blackman,
        };
        let resampler = Async::new_sinc(ratio, 1.0, &parameters, block, 1, FixedAsync::Input)
            .map_err(|source| Error::Resampler { rate: from, source })?;
        let (lead, delay) = alignment(ratio, taps, phases, block);
        let mut this = Self {
            resampler,
            input: Vec::with_capacity(block),
            block,
            lead,
            delay,
            skip: 0,
        };
        this.reset();
        Ok(this)
    }

    fn reset(&mut self) {
        self.resampler.reset();
        self.input.clear();
        self.input.resize(self.lead, 0.0);
        self.skip = self.delay;
    }

    fn write(&mut self, mut mono: &[f32], out: &mut Vec<f32>) {
        while !mono.is_empty() {
            let (now, later) = mono.split_at(mono.len().min(self.block - self.input.len()));
            self.input.extend_from_slice(now);
            mono = later;
            if self.input.len() == self.block {
                self.run(out);
            }
        }
    }

    fn run(&mut self, out: &mut Vec<f32>) {
        let before = out.len();
        let more = self.resampler.output_frames_next();
        out.resize(before + more, 0.0);
        let fits = "both buffers have the length that the resampler asked for";
        let input = InterleavedSlice::new(&self.input[..], 1, self.block).expect(fits);
        let mut output = InterleavedSlice::new_mut(&mut out[before..], 1, more).expect(fits);
        self.resampler
            .process_into_buffer(&input, &mut output, None)
            .expect(fits);
        self.input.clear();
        let skipped = self.skip.min(more);
        out.drain(before..before + skipped);
        self.skip -= skipped;
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// How much silence to put before the input, and how many samples of the
/// output to leave out, so that the first sample of both is the same moment.
///
/// The resampler's output `n` lies at `(n + 1) / ratio - taps / 2 + 1 / phases`
/// on the input's axis. That is rarely 0 for a whole `n`; some input samples
/// of silence before it, less than a block, bring it there or very near.
fn alignment(ratio: f64, taps: usize, phases: usize, block: usize) -> (usize, usize) {
    let candidates = (0..block).map(|lead| {
        let target = taps as f64 / 2.0 - 1.0 / phases as f64 + lead as f64;
        let delay = (target * ratio - 1.0).round();
        (
            (lead, delay as usize),
            ((delay + 1.0) / ratio - target).abs(),
        )
    });
    candidates
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .expect("there are candidates")
        .0
}

#[cfg(test)]
mod tests;
