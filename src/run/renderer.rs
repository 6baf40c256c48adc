//! The stages of one session in the order of the data, without a clock: sound
//! goes in by [`Renderer::hear`], and [`Renderer::play`] gives it back with its
//! picture.
//!
//! The model hears ahead of the frame it draws, so sound waits in a line of
//! [`Renderer::depth`] chunks. Who plays may replace what waits
//! ([`Renderer::forget`]): pushed speech brings its own future with it and need
//! not wait.
//!
//! Another avatar or model is built aside, as a [`Change`], and takes over between
//! two frames.

mod action; // a clip in the idle one's place
mod change; // another avatar, another model
mod hearing; // sound -> what the model hears
mod lips; // a model as it is drawn with
mod scene; // an avatar as it is played
mod timeline; // which of its clips are seen
mod track; // a clip as it is played

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::avatar::{Avatar, Player};
use crate::events::Event;
use crate::media::{AudioChunk, FPS, FRAME_PERIOD};
use crate::pool::{Frame, FramePool};
use crate::run::library::Model;
use crate::stage::compose::Compositor;
use crate::stage::lipsync;
use crate::stage::mel::Ear;
use crate::stage::voice;
use crate::stats::Stats;
pub use action::{Action, When};
pub use change::{Change, Replaced};
use hearing::Hearing;
use lips::Lips;
use scene::{Reads, Scene};

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
    cast: Shown,
    /// What takes over as soon as it has a picture.
    coming: Option<Box<Change>>,
    /// The model before this one, should this one fail while it runs.
    before: Option<Arc<Model>>,
}

/// Who is drawn, with which lips.
#[derive(Clone)]
pub struct Cast {
    /// Who talks.
    pub avatar: Arc<Avatar>,
    /// With which model.
    pub model: Arc<Model>,
}

/// The cast as others see it, while the renderer changes it.
#[derive(Clone)]
pub struct Shown(Arc<Mutex<Cast>>);

impl Shown {
    /// The cast now.
    pub fn cast(&self) -> Cast {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Cast> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Renderer {
    /// A renderer that idles. Frames of the avatar's size come from `pool`.
    ///
    /// # Errors
    ///
    /// When a stage can't be made.
    pub fn new(
        avatar: &Arc<Avatar>,
        model: &Arc<Model>,
        voice: &voice::Config,
        pool: FramePool,
        stats: &Arc<Stats>,
        now: Instant,
    ) -> Result<Self, Error> {
        let cast = Cast {
            avatar: Arc::clone(avatar),
            model: Arc::clone(model),
        };
        Ok(Self {
            hearing: Hearing::new(&model.bundle.manifest, voice),
            drawing: Drawing::new(Scene::new(avatar, pool)?, Lips::new(model, now)?),
            stats: Arc::clone(stats),
            cast: Shown(Arc::new(Mutex::new(cast))),
            coming: None,
            before: None,
        })
    }

    /// Who is drawn, for whoever asks.
    pub fn shown(&self) -> Shown {
        self.cast.clone()
    }

    /// Chunks that wait, so that the model hears far enough ahead: the sound's delay.
    pub fn depth(&self) -> usize {
        self.hearing.depth
    }

    /// Chunks that [`Renderer::play`] still lacks.
    pub fn lacks(&self) -> usize {
        (self.hearing.depth + 1).saturating_sub(self.hearing.line.len())
    }

    /// Lets `change` take over as soon as it has a picture to begin with.
    pub fn change(&mut self, change: Box<Change>) {
        if let Some(other) = self.coming.replace(change) {
            other.give_up();
        }
    }

    /// Lets `action` play in the idle clip's place as soon as it can.
    pub fn act(&mut self, action: Box<Action>) {
        let scene = &mut self.drawing.scene;
        if Arc::ptr_eq(&action.avatar, &scene.avatar) {
            scene.timeline.act(action, &self.stats.events);
        } else {
            // Another avatar came in between.
            action.drop_unseen(&self.stats.events);
        }
    }

    /// Lets the idle clip come back.
    pub fn end_action(&mut self) {
        let timeline = &mut self.drawing.scene.timeline;
        timeline.rest(&self.stats.events);
    }

    /// Takes what was changed, and the model before where this one fails. It may
    /// hear further ahead, so do this before giving what [`Renderer::lacks`].
    pub fn follow(&mut self, now: Instant) {
        if let Some(coming) = self.coming.take_if(|coming| coming.ready) {
            self.take_over(coming);
        }
        if self.drawing.lips.failing()
            && let Some(before) = self.before.take()
        {
            let fails = &self.drawing.lips.model.bundle.id;
            tracing::error!("the model {fails} fails: {} is back", before.bundle.id);
            self.drawing.lips = Lips::resting(before);
            self.drawing.lips.ready(now, true);
            self.begin_anew();
        }
    }

    /// Changes what is drawn, and gives back what was drawn before.
    fn take_over(&mut self, mut coming: Box<Change>) {
        if let Some(scene) = &mut coming.scene {
            self.drawing.scene.timeline.close(&self.stats.events);
            std::mem::swap(&mut self.drawing.scene, scene);
        }
        if let Some(lips) = &mut coming.lips {
            std::mem::swap(&mut self.drawing.lips, lips);
            self.before = Some(Arc::clone(&lips.model));
        }
        if coming.lips.is_some() {
            self.begin_anew();
        } else {
            self.drawing.measure();
            self.announce();
        }
        if coming.scene.is_some() {
            let avatar = self.drawing.scene.avatar.id.as_str().into();
            self.stats.events.post(Event::Avatar { avatar });
        }
        coming.give_back();
    }

    /// Hears and draws for the model that there is now.
    fn begin_anew(&mut self) {
        let manifest = &self.drawing.lips.model.bundle.manifest;
        self.hearing.take_over(manifest);
        self.drawing.measure();
        self.announce();
        let model = self.drawing.lips.model.bundle.id.as_str().into();
        self.stats.events.post(Event::Model { model });
    }

    /// Tells who is drawn.
    fn announce(&self) {
        let mut cast = self.cast.lock();
        cast.avatar = Arc::clone(&self.drawing.scene.avatar);
        cast.model = Arc::clone(&self.drawing.lips.model);
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
        self.drawing.lips.forget(self.hearing.played);
    }

    /// Lets the silence of [`NOBODY`] go that waits last in the line.
    pub fn forget_silence(&mut self) {
        self.hearing.forget_silence();
        let heard = self.hearing.played + self.hearing.line.len() as u64;
        self.drawing.lips.forget(heard);
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
        read: Reads,
    ) -> Option<Played> {
        if self.lacks() > 0 {
            return None;
        }
        let talk = self.hearing.talk();
        let ready = watched && self.drawing.lips.ready(now, talk);
        let weight = self.hearing.ease.step(talk && (ready || !watched));
        let (mut heard, nth) = self.hearing.play();
        on_sound(&mut heard.chunk);
        self.stats.frames.add(1);
        let index = (pts.as_millis() / FRAME_PERIOD.as_millis()) as u64;
        let timeline = &mut self.drawing.scene.timeline;
        timeline.step(index, !talk, &self.stats.events);
        let frame = watched
            .then(|| {
                let heard = (weight > 0.0).then_some((&self.hearing.ear, nth));
                self.drawing
                    .draw(now, (pts, index), read, heard, weight, &self.stats)
            })
            .flatten();
        self.drawing.lips.rest(watched && weight > 0.0);
        let coming = &mut self.coming;
        if let Some(late) = coming.take_if(|coming| !coming.prepare(index + 1)) {
            late.give_up();
        }
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
    scene: Scene,
    lips: Lips,
    compositor: Compositor,
}

impl Drawing {
    fn new(scene: Scene, lips: Lips) -> Self {
        Self {
            compositor: compositor(&scene, &lips),
            scene,
            lips,
        }
    }

    /// Measures anew how the model's square lies in the pictures.
    fn measure(&mut self) {
        self.compositor = compositor(&self.scene, &self.lips);
    }

    fn draw(
        &mut self,
        now: Instant,
        (pts, index): (Duration, u64),
        read: Reads,
        heard: Option<(&Ear, u64)>,
        weight: f32,
        stats: &Stats,
    ) -> Option<Frame> {
        let started = Instant::now();
        let drawn = self.scene.timeline.draw(index, read)?;
        stats.late_pictures.add(u64::from(drawn.late()));
        let Some(mut frame) = self.scene.pool.take(pts) else {
            stats.late_frames.add(1);
            return None;
        };
        drawn.onto(frame.i420_mut());
        let mut inferred = Duration::ZERO;
        if let (Some(heard), Some(face)) = (heard, drawn.face()) {
            let (lips, compositor) = (&mut self.lips, &mut self.compositor);
            let i420 = frame.i420_mut();
            inferred = lips.draw(now, compositor, face, heard, weight, stats, i420);
        }
        stats
            .compose
            .add(started.elapsed().saturating_sub(inferred));
        stats.drawn.add(1);
        Some(frame)
    }
}

fn compositor(scene: &Scene, lips: &Lips) -> Compositor {
    let model = &lips.model;
    Compositor::new(scene.avatar.size, model.side, &model.bundle.manifest)
}
