//! The stages of one session in the order of the data, without a clock: sound
//! goes in by [`Renderer::hear`], and [`Renderer::play`] gives it back with its
//! picture.
//!
//! The model hears ahead of the frame it draws, so sound waits in a line of
//! [`Renderer::depth`] chunks. Who plays may replace what waits
//! ([`Renderer::forget`]): pushed speech brings its own future with it and need
//! not wait.

mod hearing; // sound -> what the model hears

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::avatar::{Avatar, Clip, Face, Picture, Player};
use crate::events::Event;
use crate::media::{AudioChunk, FPS, FRAME_PERIOD};
use crate::pool::{Frame, FramePool, Size};
use crate::run::library::{Library, Model};
use crate::stage::compose::Compositor;
use crate::stage::lipsync::{self, Mouth};
use crate::stage::mel::Ear;
use crate::stage::voice;
use crate::stats::Stats;
use hearing::Hearing;

/// Failures of the model in a row before it is loaded anew: a second.
const FAILURES: u32 = FPS;

/// Why a renderer can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model's tensors can't be made.
    #[error(transparent)]
    LipSync(#[from] lipsync::Error),
    /// The clip can't be decoded.
    #[error("cannot decode the avatar's clip: {0}")]
    Clip(#[from] std::io::Error),
}

/// What speaks: 0 is the source, anything else a pushed utterance.
pub type Speaker = u64;

/// The source, as a [`Speaker`].
pub const SOURCE: Speaker = 0;
/// Silence in the place of pushed sound that is late, as a [`Speaker`].
pub const NOBODY: Speaker = u64::MAX;

/// 40 ms of the show.
pub struct Played {
    /// The sound.
    pub chunk: AudioChunk,
    /// Who speaks it.
    pub speaker: Speaker,
    /// Whether the mouth is drawn.
    pub mouth: bool,
    /// The picture. `None` when nobody watches, or no frame was free.
    pub frame: Option<Frame>,
}

/// Makes frames from sound.
pub struct Renderer {
    hearing: Hearing,
    drawing: Drawing,
    stats: Arc<Stats>,
}

impl Renderer {
    /// A renderer that idles.
    ///
    /// # Errors
    ///
    /// When a stage can't be made.
    pub fn new(
        avatar: &Avatar,
        library: &Arc<Library>,
        voice: &voice::Config,
        pool: FramePool,
        stats: &Arc<Stats>,
        now: Instant,
    ) -> Result<Self, Error> {
        let model = library.model();
        Ok(Self {
            hearing: Hearing::new(&model.bundle.manifest, voice),
            drawing: Drawing::new(avatar, library, &model, pool, now)?,
            stats: Arc::clone(stats),
        })
    }

    /// Chunks that wait, so that the model hears far enough ahead: the sound's delay.
    pub fn depth(&self) -> usize {
        self.hearing.depth
    }

    /// Chunks that [`Renderer::play`] still lacks.
    pub fn lacks(&self) -> usize {
        (self.hearing.depth + 1).saturating_sub(self.hearing.line.len())
    }

    /// Takes the model that there is now, should it be another. It may hear
    /// further ahead, so do this before giving what [`Renderer::lacks`].
    pub fn follow(&mut self, now: Instant) {
        if self.drawing.library.edition() == self.drawing.edition {
            return;
        }
        let model = self.drawing.library.model();
        self.hearing.take_over(&model.bundle.manifest);
        self.drawing.take_over(&model, now);
        let model = model.bundle.id.as_str().into();
        self.stats.events.post(Event::Model { model });
    }

    /// Takes one more chunk, which will be played after those that wait.
    pub fn hear(&mut self, chunk: &AudioChunk, speaker: Speaker) {
        let started = Instant::now();
        self.hearing.hear(chunk, speaker);
        self.stats.hear.add(started.elapsed());
    }

    /// Lets everything go that waits and was not played.
    pub fn forget(&mut self) {
        self.hearing.forget();
        self.drawing.forget(self.hearing.played);
    }

    /// Lets the silence of [`NOBODY`] go that waits last in the line.
    pub fn forget_silence(&mut self) {
        self.hearing.forget_silence();
        let heard = self.hearing.played + self.hearing.line.len() as u64;
        self.drawing.forget(heard);
    }

    /// What the session measures.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Plays the chunk that has waited longest, for the moment `pts`. `on_sound`
    /// has it before the picture is begun, which is only drawn when somebody
    /// watches. `None` while chunks lack.
    pub fn play(
        &mut self,
        now: Instant,
        pts: Duration,
        watched: bool,
        on_sound: impl FnOnce(&mut AudioChunk),
    ) -> Option<Played> {
        self.drive(now, pts, watched, on_sound, Player::picture)
    }

    /// Like [`Renderer::play`] where there is no clock: waits for the clip's decoder.
    pub fn play_waiting(&mut self, now: Instant, pts: Duration) -> Option<Played> {
        self.drive(now, pts, true, |_| {}, Player::picture_waiting)
    }

    fn drive(
        &mut self,
        now: Instant,
        pts: Duration,
        watched: bool,
        on_sound: impl FnOnce(&mut AudioChunk),
        picture: fn(&Player, u64) -> Option<Arc<Picture>>,
    ) -> Option<Played> {
        if self.lacks() > 0 {
            return None;
        }
        let talk = self.hearing.talk();
        let ready = watched && self.drawing.ready(now, talk);
        let weight = self.hearing.ease.step(talk && (ready || !watched));
        let (mut heard, nth) = self.hearing.play();
        on_sound(&mut heard.chunk);
        self.stats.frames.add(1);
        let index = (pts.as_millis() / FRAME_PERIOD.as_millis()) as u64;
        let frame = watched
            .then(|| {
                let picture = picture(&self.drawing.player, index);
                let heard = (weight > 0.0).then_some((&self.hearing.ear, nth));
                self.drawing
                    .draw(now, pts, picture, heard, weight, &self.stats)
            })
            .flatten();
        self.drawing.rest(watched && weight > 0.0);
        let frame = frame.map(|mut frame| {
            frame.accepted = heard.chunk.accepted;
            frame
        });
        Some(Played {
            chunk: heard.chunk,
            speaker: heard.speaker,
            mouth: weight > 0.0,
            frame,
        })
    }
}

/// From what the model hears to a frame.
struct Drawing {
    clip: Arc<Clip>,
    player: Player,
    /// What is shown when the decoder is late.
    last: Option<Arc<Picture>>,
    pool: FramePool,
    library: Arc<Library>,
    /// Which model this draws with.
    edition: u64,
    generation: u64,
    mouth: Option<Mouth>,
    compositor: Compositor,
    size: Size,
    failures: u32,
}

impl Drawing {
    fn new(
        avatar: &Avatar,
        library: &Arc<Library>,
        model: &Model,
        pool: FramePool,
        now: Instant,
    ) -> Result<Self, Error> {
        let generation = library.generation();
        let network = library.want(model.edition, now);
        Ok(Self {
            clip: Arc::clone(avatar.idle()),
            player: Player::start(avatar.idle())?,
            last: None,
            pool,
            library: Arc::clone(library),
            edition: model.edition,
            generation,
            mouth: network.as_ref().map(Mouth::new).transpose()?,
            compositor: Compositor::new(avatar.size, model.side, &model.bundle.manifest),
            size: avatar.size,
            failures: 0,
        })
    }

    /// Draws with another model from the next frame on.
    fn take_over(&mut self, model: &Model, now: Instant) {
        self.edition = model.edition;
        self.failures = 0;
        self.mouth = None;
        self.compositor = Compositor::new(self.size, model.side, &model.bundle.manifest);
        self.ready(now, true);
    }

    /// Forgets what was heard of chunk `nth` and those after it.
    fn forget(&mut self, nth: u64) {
        if let Some(mouth) = &mut self.mouth {
            mouth.forget(nth);
        }
    }

    fn draw(
        &mut self,
        now: Instant,
        pts: Duration,
        picture: Option<Arc<Picture>>,
        heard: Option<(&Ear, u64)>,
        weight: f32,
        stats: &Stats,
    ) -> Option<Frame> {
        let started = Instant::now();
        if picture.is_some() {
            self.last = picture;
        } else if self.last.is_some() {
            stats.late_pictures.add(1);
        }
        let picture = Arc::clone(self.last.as_ref()?);
        let Some(mut frame) = self.pool.take(pts) else {
            stats.late_frames.add(1);
            return None;
        };
        frame.i420_mut().copy_from_slice(picture.i420());
        if let (Some(heard), Some(face)) = (heard, self.clip.face(picture.index)) {
            let inferred = self.mouth(now, &picture, face, heard, weight, stats, &mut frame);
            stats
                .compose
                .add(started.elapsed().saturating_sub(inferred));
        } else {
            stats.compose.add(started.elapsed());
        }
        stats.drawn.add(1);
        Some(frame)
    }

    /// Draws the mouth on `frame`. Returns how long the model took.
    #[allow(clippy::too_many_arguments)]
    fn mouth(
        &mut self,
        now: Instant,
        picture: &Picture,
        face: Face,
        (ear, nth): (&Ear, u64),
        weight: f32,
        stats: &Stats,
        frame: &mut Frame,
    ) -> Duration {
        let Some(mouth) = &mut self.mouth else {
            // It is loaded anew; the last mouth settles meanwhile.
            self.compositor.repeat(frame.i420_mut(), face, weight);
            return Duration::ZERO;
        };
        self.library.touch(now);
        self.compositor
            .crop(picture.i420(), face, mouth.reference_mut());
        let started = Instant::now();
        let result = mouth.run(nth, |n, window| ear.window(n, window));
        let inferred = started.elapsed();
        stats.lipsync.add(inferred);
        if let Ok(drawn) = result {
            self.failures = 0;
            if !drawn {
                self.compositor.repeat(frame.i420_mut(), face, weight);
                return inferred;
            }
            let pictures = mouth.pictures();
            self.compositor
                .draw(frame.i420_mut(), face, pictures, weight);
            return inferred;
        }
        stats.failed_mouths.add(1);
        // The last mouth stays on, so that the face doesn't flash.
        self.compositor.repeat(frame.i420_mut(), face, weight);
        self.failures += 1;
        if self.failures == FAILURES {
            self.library.discard(self.edition);
            self.mouth = None;
        }
        inferred
    }

    /// Whether there is a mouth to draw with. One that is wanted begins to load.
    fn ready(&mut self, now: Instant, wanted: bool) -> bool {
        if self.mouth.is_none() && wanted {
            self.generation = self.library.generation();
            let network = self.library.want(self.edition, now);
            self.mouth = network.and_then(|network| Mouth::new(&network).ok());
        }
        self.mouth.is_some()
    }

    /// Lets the network go when it should be, and the mouth rests.
    fn rest(&mut self, drawing: bool) {
        if !drawing && self.mouth.is_some() && self.generation != self.library.generation() {
            self.mouth = None;
        }
    }
}
