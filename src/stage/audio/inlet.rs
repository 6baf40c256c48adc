//! Where live sound comes into a session: a device's, or in its place the voice
//! that somebody publishes.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use crate::events::Event;
use crate::media::AudioChunk;
use crate::ring::Writer;
use crate::stats::Stats;

/// The one way in. The last owner's end is the end of the stream, and who
/// publishes owns nothing.
pub struct Inlet {
    ring: Writer<AudioChunk>,
    stats: Arc<Stats>,
    /// One, or for a moment two: the last words of who has left, and the next one.
    publishers: AtomicUsize,
}

impl Inlet {
    /// A way into `ring`. Chunks that make others late are counted in `stats`.
    pub fn new(ring: Writer<AudioChunk>, stats: Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            ring,
            stats,
            publishers: AtomicUsize::new(0),
        })
    }

    /// Lets in what the device hears, unless somebody publishes.
    pub(super) fn hear(&self, chunk: &AudioChunk) {
        if !self.published() {
            self.let_in(chunk);
        }
    }

    /// Whether somebody publishes.
    pub fn published(&self) -> bool {
        self.publishers.load(Relaxed) > 0
    }

    /// Lets somebody publish, for as long as what this returns is kept.
    pub fn publish(self: &Arc<Self>) -> Published {
        self.publishers.fetch_add(1, Relaxed);
        let stats = Arc::clone(&self.stats);
        stats.events.post(Event::Publisher { state: "joined" });
        Published {
            inlet: Arc::downgrade(self),
            stats,
        }
    }

    fn let_in(&self, chunk: &AudioChunk) {
        if self.ring.push(*chunk).is_some() {
            self.stats.late_chunks.add(1);
        }
        self.stats.ring_depth.set(self.ring.len() as f64);
    }
}

/// Who publishes. Dropping it gives the session its own source back.
pub struct Published {
    inlet: Weak<Inlet>,
    stats: Arc<Stats>,
}

impl Published {
    /// Lets in what was published. Whether the session still listens.
    pub(super) fn hear(&self, chunk: &AudioChunk) -> bool {
        let inlet = self.inlet.upgrade();
        if let Some(inlet) = &inlet {
            inlet.let_in(chunk);
        }
        inlet.is_some()
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Some(inlet) = self.inlet.upgrade() {
            inlet.publishers.fetch_sub(1, Relaxed);
        }
        self.stats.events.post(Event::Publisher { state: "left" });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::SOUND_SAMPLES;
    use crate::ring::{Next, ring};

    fn chunk(level: f32) -> AudioChunk {
        AudioChunk {
            sound: [level; SOUND_SAMPLES],
            ..AudioChunk::SILENCE
        }
    }

    #[test]
    fn who_publishes_is_heard_in_the_place_of_the_device() {
        let (writer, reader) = ring(3);
        let inlet = Inlet::new(writer, Stats::new());
        inlet.hear(&chunk(0.1));
        let published = inlet.publish();
        inlet.hear(&chunk(0.2));
        assert!(published.hear(&chunk(0.3)));
        let next = inlet.publish();
        drop(published);
        inlet.hear(&chunk(0.4));
        assert!(inlet.published(), "the next one took over");
        drop(next);
        inlet.hear(&chunk(0.5));
        for level in [0.1, 0.3, 0.5] {
            assert_eq!(reader.next(Duration::ZERO), Next::Item(chunk(level)));
        }
        assert_eq!(reader.next(Duration::ZERO), Next::Timeout);
    }

    #[test]
    fn who_publishes_does_not_keep_the_stream_alive() {
        let (writer, reader) = ring(3);
        let stats = Stats::new();
        let mut events = stats.events.listen(Some(0));
        let inlet = Inlet::new(writer, stats);
        let published = inlet.publish();
        drop(inlet);
        assert_eq!(reader.next(Duration::ZERO), Next::Closed);
        assert!(!published.hear(&chunk(0.1)));
        drop(published);
        for state in ["joined", "left"] {
            let told = events.try_next().map(|(_, event)| event);
            assert_eq!(told, Some(Event::Publisher { state }));
        }
    }
}
