//! A model as one session draws with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::FAILURES;
use crate::avatar::Face;
use crate::run::library::Model;
use crate::stage::compose::Compositor;
use crate::stage::lipsync::{self, Mouth};
use crate::stage::mel::Ear;
use crate::stats::Stats;

/// A model, and this session's tensors of it while it is loaded.
pub(super) struct Lips {
    pub model: Arc<Model>,
    generation: u64,
    mouth: Option<Mouth>,
    failures: u32,
}

impl Lips {
    pub fn new(model: &Arc<Model>, now: Instant) -> Result<Self, lipsync::Error> {
        let mut lips = Self::resting(Arc::clone(model));
        let network = model.want(now);
        lips.mouth = network.as_ref().map(Mouth::new).transpose()?;
        Ok(lips)
    }

    /// The same without tensors, which are made once the network is there.
    pub fn resting(model: Arc<Model>) -> Self {
        model.enter();
        Self {
            generation: model.generation(),
            model,
            mouth: None,
            failures: 0,
        }
    }

    /// Whether there is a mouth to draw with. One that is wanted begins to load.
    pub fn ready(&mut self, now: Instant, wanted: bool) -> bool {
        if self.mouth.is_none() && wanted {
            self.generation = self.model.generation();
            let network = self.model.want(now);
            self.mouth = network.and_then(|network| Mouth::new(&network).ok());
        }
        self.mouth.is_some()
    }

    /// Lets the network go when it should be, and the mouth rests.
    pub fn rest(&mut self, drawing: bool) {
        if !drawing && self.mouth.is_some() && self.generation != self.model.generation() {
            self.mouth = None;
        }
    }

    /// Forgets what was heard of chunk `nth` and those after it.
    pub fn forget(&mut self, nth: u64) {
        if let Some(mouth) = &mut self.mouth {
            mouth.forget(nth);
        }
    }

    /// Whether another model should take this one's place: it failed for a
    /// second, or could not be loaded when it was wanted.
    pub fn failing(&self) -> bool {
        self.mouth.is_none() && (self.failures >= FAILURES || self.model.failed())
    }

    /// Draws the mouth on the frame `i420`. Returns how long the model took.
    #[allow(clippy::too_many_arguments)]
    pub fn draw(
        &mut self,
        now: Instant,
        compositor: &mut Compositor,
        face: Face,
        (ear, nth): (&Ear, u64),
        weight: f32,
        stats: &Stats,
        i420: &mut [u8],
    ) -> Duration {
        let Some(mouth) = &mut self.mouth else {
            // It is loaded anew; the last mouth settles meanwhile.
            compositor.repeat(i420, face, weight);
            return Duration::ZERO;
        };
        self.model.touch(now);
        compositor.crop(i420, face, mouth.reference_mut());
        let started = Instant::now();
        let result = mouth.run(nth, |n, window| ear.window(n, window));
        let inferred = started.elapsed();
        stats.lipsync.add(inferred);
        match result {
            Ok(drawn) => {
                self.failures = 0;
                if drawn {
                    compositor.draw(i420, face, mouth.pictures(), weight);
                } else {
                    compositor.repeat(i420, face, weight);
                }
            }
            Err(_) => {
                stats.failed_mouths.add(1);
                // The last mouth stays on, so that the face doesn't flash.
                compositor.repeat(i420, face, weight);
                self.failures += 1;
                if self.failures == FAILURES {
                    // Who wants it next loads it anew.
                    self.model.discard();
                    self.mouth = None;
                }
            }
        }
        inferred
    }
}

impl Drop for Lips {
    fn drop(&mut self) {
        self.model.leave();
    }
}
