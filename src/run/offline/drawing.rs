//! One of the threads that draw a video: it hears all of the sound and draws every
//! n-th frame.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::Error;
use crate::media::{AudioChunk, FRAME_PERIOD};
use crate::pool::Frame;
use crate::run::renderer::{Renderer, SOURCE};

/// A frame and its sound, on their way to the encoder.
pub(super) struct Shot {
    pub pts: Duration,
    pub chunk: AudioChunk,
    /// `None` for what is only heard, before a video goes on.
    pub frame: Option<Frame>,
}

pub(super) struct Drawing {
    pub renderer: Renderer,
    /// Which of how many it is.
    pub share: (u64, u64),
    /// The moment of the first chunk.
    pub from: Duration,
    /// The first frame that is drawn.
    pub start: Duration,
}

impl Drawing {
    /// Draws its share until `heard` ends and all of it was played, or nobody takes
    /// its `shots`.
    pub fn run(mut self, heard: &Receiver<AudioChunk>, shots: &Sender<Shot>) -> Result<(), Error> {
        let (mut pts, mut end) = (self.from, self.from);
        let (nth, of) = self.share;
        let mut turns = (0..of).cycle();
        loop {
            while self.renderer.lacks() > 0 {
                match heard.recv() {
                    Ok(chunk) => {
                        self.renderer.hear(&chunk, SOURCE);
                        end += FRAME_PERIOD;
                    }
                    // The last frames look ahead into silence.
                    Err(_) => self.renderer.hear(&AudioChunk::SILENCE, SOURCE),
                }
            }
            if end <= pts {
                return Ok(());
            }
            let own = turns.next() == Some(nth);
            let drawn = own && pts >= self.start;
            let now = Instant::now();
            let played = if drawn {
                self.renderer.play_waiting(now, pts)
            } else {
                self.renderer.play(now, pts, false, |_| {})
            };
            let played = played.ok_or(Error::Clip)?;
            if drawn && played.frame.is_none() {
                return Err(Error::Clip);
            }
            if own {
                let (chunk, frame) = (played.chunk, played.frame);
                if shots.send(Shot { pts, chunk, frame }).is_err() {
                    // The encoder ended, and says why.
                    return Ok(());
                }
            }
            pts += FRAME_PERIOD;
        }
    }
}
