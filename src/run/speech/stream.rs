//! Speech that comes while it is spoken: samples, pushed in as fast as they are
//! made, a bounded time ahead of the voice.
//!
//! A stream is cut into segments, each an utterance of its own, which takes its
//! place in the queue with its first sample. One in which nothing came for
//! [`PAUSE`] when something was wanted is over: what is behind it is not kept
//! waiting by a sender who fell silent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Shared, Sound, State};
use super::{MOST_STREAMS, MOST_WAITING, PushError, Speech};
use crate::media::FPS;
use crate::stage::audio::{door, file};

/// Sound of one stream that is taken before it is wanted: longer than a sentence,
/// and less than a megabyte at 48 kHz.
pub const BUFFER: Duration = Duration::from_secs(10);
/// How long the queue waits for the next sample of a segment that did not end.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// What has come of an utterance that is streamed, and is not decoded.
pub(super) struct Segment {
    pub utterance: u64,
    /// Which stream it is of.
    stream: u64,
    rate: u32,
    /// Pieces of a chunk's length at most.
    pieces: VecDeque<Vec<i16>>,
    samples: usize,
    /// Whether there will be no more.
    pub ended: bool,
}

impl Segment {
    /// How long what waits is.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples as f64 / f64::from(self.rate))
    }

    pub fn take(&mut self) -> Option<Vec<i16>> {
        let piece = self.pieces.pop_front()?;
        self.samples -= piece.len();
        Some(piece)
    }

    fn append(&mut self, mut pcm: &[i16]) {
        self.samples += pcm.len();
        let most = (self.rate / FPS) as usize;
        while !pcm.is_empty() {
            if self.pieces.back().is_none_or(|piece| piece.len() == most) {
                self.pieces.push_back(Vec::with_capacity(most));
            }
            let piece = self.pieces.back_mut().expect("there is one now");
            let (now, later) = pcm.split_at(pcm.len().min(most - piece.len()));
            piece.extend_from_slice(now);
            pcm = later;
        }
    }
}

/// One who speaks by and by. Dropping it ends its segment: what was written is
/// still spoken.
pub struct Stream {
    speech: Speech,
    /// Its name among the streams of the session.
    id: u64,
    rate: u32,
    /// The utterance that is being written.
    utterance: Option<u64>,
    /// The queue's generation when it was opened.
    generation: u64,
}

impl Stream {
    pub(super) fn open(speech: &Speech, rate: u32) -> Result<Self, PushError> {
        door::check(rate, 1).map_err(file::Error::from)?;
        let mut state = speech.entrance.shared.lock();
        if state.closed {
            return Err(PushError::Ended);
        }
        if state.streams == MOST_STREAMS {
            return Err(PushError::Streams);
        }
        state.streams += 1;
        state.streams_opened += 1;
        Ok(Self {
            speech: speech.clone(),
            id: state.streams_opened,
            rate,
            utterance: None,
            generation: state.generation,
        })
    }

    /// Takes samples of `pcm` as soon as there is room, and says how many: at
    /// least one, unless there is none. Giving up the waiting loses nothing.
    ///
    /// When its segment was cleared meanwhile, what still comes of it is thrown
    /// away until [`Stream::end`].
    ///
    /// # Errors
    ///
    /// When the session has ended.
    pub async fn write(&mut self, pcm: &[i16]) -> Result<usize, PushError> {
        let shared = Arc::clone(self.shared());
        loop {
            let mut room = std::pin::pin!(shared.room.notified());
            // From here on no notice is missed.
            room.as_mut().enable();
            let taken = self.try_write(pcm)?;
            if taken > 0 || pcm.is_empty() {
                return Ok(taken);
            }
            room.await;
        }
    }

    /// Like [`Stream::write`], but takes nothing where there is no room now.
    ///
    /// # Errors
    ///
    /// When the session has ended.
    pub fn try_write(&mut self, pcm: &[i16]) -> Result<usize, PushError> {
        let shared = Arc::clone(self.shared());
        let mut state = shared.lock();
        if state.closed {
            return Err(PushError::Ended);
        }
        if pcm.is_empty() || self.utterance.is_some_and(|own| state.cut.contains(&own)) {
            return Ok(pcm.len());
        }
        let room = BUFFER.saturating_sub(self.buffered_in(&state));
        let room = (room.as_secs_f64() * f64::from(self.rate)) as usize;
        let pcm = &pcm[..pcm.len().min(room)];
        if pcm.is_empty() {
            return Ok(0);
        }
        let own = self.utterance;
        let open = |segment: &Segment| Some(segment.utterance) == own && !segment.ended;
        let place = match state.segments.iter().position(open) {
            Some(place) => place,
            None if state.waiting.len() >= MOST_WAITING => return Ok(0),
            None => {
                let idle = state.finished == state.utterances;
                let accepted = idle.then(Instant::now);
                let utterance = state.add(Sound::Stream(self.rate), accepted);
                self.utterance = Some(utterance);
                state.segments.push_back(Segment {
                    utterance,
                    stream: self.id,
                    rate: self.rate,
                    pieces: VecDeque::new(),
                    samples: 0,
                    ended: false,
                });
                state.segments.len() - 1
            }
        };
        state.segments[place].append(pcm);
        drop(state);
        shared.changed.notify_one();
        Ok(pcm.len())
    }

    /// Ends the segment: the next sample begins another utterance.
    pub fn end(&mut self) {
        let Some(own) = self.utterance.take() else {
            return;
        };
        let mut state = self.shared().lock();
        for segment in &mut state.segments {
            segment.ended |= segment.utterance == own;
        }
        state.cut.retain(|cut| *cut != own);
        drop(state);
        self.shared().changed.notify_one();
    }

    /// Ends the segment; what comes now has `rate` samples a second.
    ///
    /// # Errors
    ///
    /// When the rate makes no sense as speech.
    pub fn begin(&mut self, rate: u32) -> Result<(), PushError> {
        door::check(rate, 1).map_err(file::Error::from)?;
        self.end();
        self.rate = rate;
        Ok(())
    }

    /// Waits until the session is silenced, counted from when the stream was opened,
    /// or has ended: who makes speech need not make more of it.
    pub fn silenced(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(self.shared());
        let generation = self.generation;
        async move {
            loop {
                let mut changed = std::pin::pin!(shared.room.notified());
                // From here on no notice is missed.
                changed.as_mut().enable();
                if shared.is_silenced(generation) {
                    return;
                }
                changed.await;
            }
        }
    }

    /// The utterance that was written to last, unless it was ended.
    pub fn utterance(&self) -> Option<u64> {
        self.utterance
    }

    /// How much of it waits to be decoded: [`BUFFER`] at most.
    pub fn buffered(&self) -> Duration {
        self.buffered_in(&self.shared().lock())
    }

    fn buffered_in(&self, state: &State) -> Duration {
        let own = state.segments.iter().filter(|s| s.stream == self.id);
        own.map(Segment::duration).sum()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.speech.entrance.shared
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
        self.shared().lock().streams -= 1;
    }
}

#[cfg(test)]
mod tests;
