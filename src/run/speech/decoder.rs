//! The queue's own thread: decodes one utterance after the other, [`AHEAD`] of
//! whoever listens. A file is opened while that many chunks of the one before
//! it are still to be played, so that there is no gap.

use std::fs::File;
use std::time::{Duration, Instant};

use super::stream::PAUSE;
use super::{AHEAD, Shared, Sound, Spoken, Waiting};
use crate::media::{AudioChunk, FRAME_PERIOD};
use crate::stage::audio::door::Door;
use crate::stage::audio::file::{self, SoundFile};

/// Decodes until nobody pushes or listens any more.
pub(super) fn run(shared: &Shared) {
    while let Some((generation, waiting)) = take(shared) {
        let Waiting {
            utterance,
            sound,
            accepted,
        } = waiting;
        let out = Out {
            shared,
            generation,
            utterance,
            accepted,
        };
        match sound {
            Sound::File { file, hint, .. } => decode(out, file, hint.as_deref()),
            Sound::Stream(rate) => convert(out, rate),
        }
    }
}

/// Where one utterance goes.
struct Out<'s> {
    shared: &'s Shared,
    generation: u64,
    utterance: u64,
    /// When it was pushed, until its first chunk says so.
    accepted: Option<Instant>,
}

impl Out<'_> {
    /// As [`put`].
    fn put(&mut self, chunk: &AudioChunk, last: bool) -> bool {
        let chunk = AudioChunk {
            accepted: self.accepted.take(),
            ..*chunk
        };
        let spoken = Spoken {
            utterance: self.utterance,
            chunk,
            last,
        };
        put(self.shared, self.generation, spoken)
    }
}

/// Waits for the next utterance. `None`: there will be none.
fn take(shared: &Shared) -> Option<(u64, Waiting)> {
    let mut state = shared.lock();
    loop {
        if let Some(waiting) = state.waiting.pop_front() {
            state.decoding = true;
            state.rest = waiting.sound.duration();
            shared.room.notify_waiters();
            return Some((state.generation, waiting));
        }
        if state.closed {
            return None;
        }
        state = shared.wait(state);
    }
}

/// Decodes a file until it is over, or cleared. One of which nothing can be
/// decoded is a chunk of silence, so that it has an end.
fn decode(mut out: Out<'_>, file: File, hint: Option<&str>) {
    let utterance = out.utterance;
    let early = |error: file::Error| {
        tracing::warn!(utterance, "an utterance ends early: {error}");
    };
    let mut sound = SoundFile::from_file(file, hint).map_err(early).ok();
    let mut next = |chunk: &mut AudioChunk| {
        let next = sound.as_mut().map_or(Ok(false), |file| file.next(chunk));
        next.map_err(early).unwrap_or_default()
    };
    let (mut chunk, mut later) = (AudioChunk::SILENCE, AudioChunk::SILENCE);
    let mut more = next(&mut chunk);
    loop {
        // Only who has looked for the next one knows which is the last.
        more = more && next(&mut later);
        if !out.put(&chunk, !more) || !more {
            return;
        }
        chunk = later;
    }
}

/// Makes chunks of what comes on a stream, until its segment ends, or is cleared.
fn convert(mut out: Out<'_>, rate: u32) {
    let mut door = Door::new(rate, 1).expect("the rate was checked when the stream was opened");
    let mut samples = Vec::new();
    loop {
        match piece(&out) {
            Piece::Samples(pcm) => {
                samples.clear();
                samples.extend(pcm.iter().map(|s| f32::from(*s) / 32_768.0));
                let mut wanted = true;
                door.push(&samples, None, |chunk| {
                    wanted = wanted && out.put(chunk, false);
                });
                if !wanted {
                    return;
                }
            }
            Piece::End => break,
            Piece::Cleared => return,
        }
    }
    // The last chunk is known when there is no other.
    let mut held: Option<AudioChunk> = None;
    door.finish(|chunk| {
        if let Some(before) = held.replace(*chunk) {
            out.put(&before, false);
        }
    });
    // The door is behind what came in, so it has some of it left.
    out.put(&held.unwrap_or(AudioChunk::SILENCE), true);
}

enum Piece {
    Samples(Vec<i16>),
    End,
    Cleared,
}

/// Waits for what comes next of a segment, for [`PAUSE`] at most.
fn piece(out: &Out<'_>) -> Piece {
    let shared = out.shared;
    let until = Instant::now() + PAUSE;
    let mut state = shared.lock();
    loop {
        if state.generation != out.generation {
            return Piece::Cleared;
        }
        let segment = state.segments.front_mut();
        let segment = segment.expect("segments are in the order of their utterances");
        debug_assert_eq!(segment.utterance, out.utterance);
        if let Some(pcm) = segment.take() {
            state.starving = None;
            drop(state);
            shared.room.notify_waiters();
            return Piece::Samples(pcm);
        }
        let patience = until.saturating_duration_since(Instant::now());
        if segment.ended || patience.is_zero() {
            state.segments.pop_front();
            state.starving = None;
            return Piece::End;
        }
        state.starving = Some(out.utterance);
        state = shared.wait_for(state, patience);
    }
}

/// Waits for room, and gives what is spoken to whoever listens. `false`: it
/// isn't wanted any more.
pub(super) fn put(shared: &Shared, generation: u64, spoken: Spoken) -> bool {
    let mut state = shared.lock();
    while state.generation == generation {
        if state.ahead.len() < AHEAD {
            // A header may have promised more than there was, or less.
            state.rest = match spoken.last {
                true => Duration::ZERO,
                false => state.rest.saturating_sub(FRAME_PERIOD),
            };
            state.decoding = !spoken.last;
            state.ahead.push_back(spoken);
            return true;
        }
        state = shared.wait(state);
    }
    false
}
