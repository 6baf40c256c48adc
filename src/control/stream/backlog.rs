//! What a socket has read while its stream has no room for more, in order.
//!
//! Without it a `clear` would wait in the socket, behind the very sound that it is
//! to silence.

use std::collections::VecDeque;

use super::MOST_BYTES;
use crate::run::speech::{PushError, Stream};

/// Ends of utterances that are kept: as many as may wait in the queue.
const MOST_ENDS: usize = 256;

/// Sound, and where utterances end in it.
#[derive(Default)]
pub(super) struct Backlog {
    samples: VecDeque<i16>,
    /// By the number of samples before them; with the rate of what follows, where
    /// it was said anew.
    ends: VecDeque<(u64, Option<u32>)>,
    /// Samples that were taken out.
    taken: u64,
}

impl Backlog {
    /// Whether another message may be read: with it there are two of the largest
    /// at most.
    pub fn has_room(&self) -> bool {
        self.samples.len() * size_of::<i16>() < MOST_BYTES && self.ends.len() < MOST_ENDS
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.ends.is_empty()
    }

    /// Puts in samples.
    pub fn push(&mut self, samples: impl Iterator<Item = i16>) {
        self.samples.extend(samples);
    }

    /// Puts in the end of an utterance. `rate` is that of the next, if it is told.
    pub fn end(&mut self, rate: Option<u32>) {
        let here = self.taken + self.samples.len() as u64;
        match self.ends.back_mut() {
            Some((at, next)) if *at == here => *next = rate.or(*next),
            _ => self.ends.push_back((here, rate)),
        }
    }

    /// Gives `stream` what comes first, as far as it has room. Whether it had any.
    ///
    /// # Errors
    ///
    /// When the session has ended.
    pub fn try_pass_on(&mut self, stream: &mut Stream) -> Result<bool, PushError> {
        if let Some(rate) = self.take_end() {
            end(stream, rate)?;
            return Ok(true);
        }
        let taken = stream.try_write(self.sound())?;
        self.take(taken);
        Ok(taken > 0)
    }

    /// Like [`Backlog::try_pass_on`], but waits for room. Giving up the waiting
    /// loses nothing.
    ///
    /// # Errors
    ///
    /// When the session has ended.
    pub async fn pass_on(&mut self, stream: &mut Stream) -> Result<(), PushError> {
        if let Some(rate) = self.take_end() {
            return end(stream, rate);
        }
        let taken = stream.write(self.sound()).await?;
        self.take(taken);
        Ok(())
    }

    /// Takes out an end, if that is what comes first.
    fn take_end(&mut self) -> Option<Option<u32>> {
        let (at, rate) = *self.ends.front()?;
        (at == self.taken).then(|| {
            self.ends.pop_front();
            rate
        })
    }

    /// Samples that come first, before any end.
    fn sound(&self) -> &[i16] {
        let (sound, _) = self.samples.as_slices();
        let before_end = self.ends.front().map(|(at, _)| (at - self.taken) as usize);
        &sound[..before_end.unwrap_or(sound.len()).min(sound.len())]
    }

    /// Takes out the first `taken` samples.
    fn take(&mut self, taken: usize) {
        self.samples.drain(..taken);
        self.taken += taken as u64;
        if self.samples.is_empty() {
            // A full buffer is rare: its memory isn't kept for the next.
            self.samples = VecDeque::new();
        }
    }

    /// Empties it. Gives the rate that was told last.
    pub fn clear(&mut self) -> Option<u32> {
        let cleared = std::mem::take(self);
        cleared.ends.iter().rev().find_map(|(_, rate)| *rate)
    }
}

fn end(stream: &mut Stream, rate: Option<u32>) -> Result<(), PushError> {
    match rate {
        Some(rate) => stream.begin(rate),
        None => {
            stream.end();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything in it, as it comes out in parts of `part` samples at most.
    fn all(backlog: &mut Backlog, part: usize) -> Vec<Result<i16, Option<u32>>> {
        let mut all = Vec::new();
        while !backlog.is_empty() {
            if let Some(rate) = backlog.take_end() {
                all.push(Err(rate));
                continue;
            }
            let sound = backlog.sound();
            assert!(!sound.is_empty(), "something comes first");
            let sound = sound[..part.min(sound.len())].to_vec();
            backlog.take(sound.len());
            all.extend(sound.into_iter().map(Ok));
        }
        all
    }

    #[test]
    fn sound_and_ends_come_out_in_order() {
        let mut backlog = Backlog::default();
        for part in 1..5 {
            backlog.end(None);
            backlog.push(1..=3);
            backlog.end(Some(24_000));
            backlog.push(4..=4);
            backlog.push(5..=5);
            let expected = [
                Err(None),
                Ok(1),
                Ok(2),
                Ok(3),
                Err(Some(24_000)),
                Ok(4),
                Ok(5),
            ];
            assert_eq!(all(&mut backlog, part), expected, "in parts of {part}");
        }
    }

    #[test]
    fn one_end_is_enough_and_the_last_rate_counts() {
        let mut backlog = Backlog::default();
        backlog.push(1..=1);
        for rate in [None, Some(16_000), None, Some(48_000), None] {
            backlog.end(rate);
        }
        assert_eq!(all(&mut backlog, 9), [Ok(1), Err(Some(48_000))]);
    }

    #[test]
    fn a_clear_leaves_nothing_but_the_rate() {
        let mut backlog = Backlog::default();
        backlog.push(1..=3);
        assert_eq!(backlog.clear(), None);
        backlog.push(1..=3);
        backlog.end(Some(48_000));
        backlog.push(1..=3);
        backlog.end(None);
        assert_eq!(backlog.clear(), Some(48_000));
        assert!(backlog.is_empty());
        backlog.push(7..=7);
        assert_eq!(all(&mut backlog, 9), [Ok(7)]);
    }

    #[test]
    fn it_is_bounded_in_samples_and_in_ends() {
        let mut backlog = Backlog::default();
        backlog.push(std::iter::repeat_n(0, MOST_BYTES / 2 - 1));
        assert!(backlog.has_room());
        backlog.push(1..=1);
        assert!(!backlog.has_room());
        backlog.clear();
        for _ in 0..MOST_ENDS {
            assert!(backlog.has_room());
            backlog.push(1..=1);
            backlog.end(None);
        }
        assert!(!backlog.has_room());
    }
}
