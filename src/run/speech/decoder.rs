//! The queue's own thread: decodes one utterance after the other, [`AHEAD`] of
//! whoever listens. A file is opened while that many chunks of the one before
//! it are still to be played, so that there is no gap.

use std::time::Duration;

use super::{AHEAD, Shared, Spoken, Waiting};
use crate::media::{AudioChunk, FRAME_PERIOD};
use crate::stage::audio::file::{self, SoundFile};

/// Decodes until nobody pushes or listens any more.
pub(super) fn run(shared: &Shared) {
    while let Some((generation, waiting)) = take(shared) {
        decode(shared, generation, waiting);
    }
}

/// Waits for the next utterance. `None`: there will be none.
fn take(shared: &Shared) -> Option<(u64, Waiting)> {
    let mut state = shared.lock();
    loop {
        if let Some(waiting) = state.waiting.pop_front() {
            state.decoding = true;
            state.rest = waiting.duration;
            return Some((state.generation, waiting));
        }
        if state.closed {
            return None;
        }
        state = shared.wait(state);
    }
}

/// Decodes one utterance until it is over, or cleared. One of which nothing
/// can be decoded is a chunk of silence, so that it has an end.
fn decode(shared: &Shared, generation: u64, waiting: Waiting) {
    let Waiting {
        utterance,
        file,
        hint,
        mut accepted,
        ..
    } = waiting;
    let early = |error: file::Error| {
        tracing::warn!(utterance, "an utterance ends early: {error}");
    };
    let mut sound = SoundFile::from_file(file, hint.as_deref())
        .map_err(early)
        .ok();
    let mut next = |chunk: &mut AudioChunk| {
        let next = sound.as_mut().map_or(Ok(false), |file| file.next(chunk));
        next.map_err(early).unwrap_or_default()
    };
    let (mut chunk, mut later) = (AudioChunk::SILENCE, AudioChunk::SILENCE);
    let mut more = next(&mut chunk);
    loop {
        // Only who has looked for the next one knows which is the last.
        more = more && next(&mut later);
        chunk.accepted = accepted.take();
        let spoken = Spoken {
            utterance,
            chunk,
            last: !more,
        };
        if !put(shared, generation, spoken) || !more {
            return;
        }
        chunk = later;
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
