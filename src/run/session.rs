//! One live session: who owns what, on which thread.
//!
//! ```text
//! device ──ring 3──▶ render ──ring 2──▶ encode ──hub──▶ viewers
//! speech ──pulled──────┘                    └──ring 1──▶ window
//! ```
//!
//! Threads start from the end of the path and stop from its start: when the
//! source is dropped its ring closes, and the end of the stream flows down.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use crate::avatar::Avatar;
use crate::events::Event;
use crate::hub::Hub;
use crate::media::AudioChunk;
use crate::pool::{Frame, FramePool, Size};
use crate::ring::{self, ring};
use crate::run::history::History;
use crate::run::library::Model;
use crate::run::live::{Asked, Encoding, Order, Rendering, Sound};
use crate::run::renderer::{self, Cast, Renderer, Shown};
use crate::run::script::{Interrupted, Script};
use crate::run::speech::{self, Accepted, Opened, Speech};
use crate::stage::audio::inlet::Inlet;
use crate::stage::audio::microphone::Microphone;
use crate::stage::audio::{self, Source, device};
use crate::stage::encode::{self, Opus, Pictures};
use crate::stage::still::Still;
use crate::stage::voice;
use crate::stats::Stats;

mod change;
mod publish;

pub use change::ChangeError;
pub use publish::PublishError;

/// Late chunks of live sound kept before the oldest goes: 120 ms.
const SOUND_DEPTH: usize = 3;
/// Frames waiting for the encoder before the oldest goes: 80 ms.
const FRAME_DEPTH: usize = 2;
/// Frames of a session: those that wait, one drawn, one encoded, and for the
/// window one waiting and one on its way.
pub(super) const FRAMES: usize = FRAME_DEPTH + 4;
/// Orders waiting for the render thread. It takes them every 40 ms.
const ORDERS: usize = 8;
/// Longest wait of whoever interrupts: the render thread answers within a frame.
const ANSWER: Duration = Duration::from_secs(1);
/// Stills waiting for the next picture. It comes within 40 ms.
const STILLS: usize = 4;
/// Longest wait for a still: a clip that nobody watched is decoded first.
const SHOWN: Duration = Duration::from_secs(3);
/// Why a session can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source's sound file can't be played.
    #[error(transparent)]
    File(#[from] audio::file::Error),
    /// The microphone can't be listened to.
    #[error(transparent)]
    Microphone(#[from] device::Error),
    /// Faces can't be drawn.
    #[error(transparent)]
    Renderer(#[from] renderer::Error),
    /// Pictures or sound can't be encoded.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// The system has no thread left.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What a session is made of.
pub struct Parts<'p> {
    /// Its name in addresses.
    pub id: &'p str,
    /// Who talks.
    pub avatar: Arc<Avatar>,
    /// With which model.
    pub model: Arc<Model>,
    /// Where sound comes from.
    pub audio: &'p audio::Config,
    /// The sound file of the source `file`, and of `auto` without a microphone.
    pub file: PathBuf,
    /// How pushed speech is taken.
    pub speech: &'p speech::Config,
    /// When somebody speaks.
    pub voice: &'p voice::Config,
    /// How pictures and sound are coded.
    pub encode: &'p encode::Config,
    /// The size within which its pictures are to lie, whoever talks.
    pub within: Option<Size>,
    /// How long nobody may watch or feed it before it is closed. Zero: for ever.
    pub idle_timeout: Duration,
}

/// A session that runs. Dropping it ends it.
pub struct Session {
    /// Its name in addresses.
    pub id: String,
    /// Where its packets meet whoever watches.
    pub hub: Arc<Hub>,
    /// What it measures.
    pub stats: Arc<Stats>,
    /// What is pushed to be spoken.
    pub speech: Speech,
    /// How long nobody may watch or feed it before it is closed. Zero: for ever.
    pub idle_timeout: Duration,
    /// The size within which its pictures are to lie, whoever talks.
    pub within: Option<Size>,
    /// When it began.
    pub started: Instant,
    /// Held by a text until its first sound is in the queue, so that texts are said
    /// in the order in which they came.
    pub(super) texts: tokio::sync::Mutex<()>,
    /// What was asked and said in it.
    history: Mutex<History>,
    /// Samples by which its decoded sound is late, see [`Opus::pre_skip`].
    pub pre_skip: u16,
    source: Mutex<Source>,
    /// Where live sound comes in, until the session ends.
    inlet: Weak<Inlet>,
    /// The sound file of the source `file`.
    file: PathBuf,
    cast: Shown,
    /// Held while the cast is changed: a change is built for the one before it.
    changing: Mutex<()>,
    /// When it was last watched, fed or asked for something.
    used: Mutex<Instant>,
    orders: Sender<Order>,
    stills: Sender<Asked>,
    /// The bitrate of the pictures that is wanted, in kbit/s.
    video_kbps: Arc<AtomicU32>,
    previewed: Arc<AtomicBool>,
    preview: Mutex<Option<ring::Reader<Frame>>>,
    ending: Mutex<Option<Ending>>,
}

/// What ends a session, in this order.
struct Ending {
    /// The microphone, or only its way in where there is none.
    source: Box<dyn Send>,
    render: JoinHandle<()>,
    encode: JoinHandle<()>,
}

impl Session {
    /// Starts a session. With `preview` its frames go to a window too, see
    /// [`Session::take_preview`].
    ///
    /// # Errors
    ///
    /// When a device, a decoder, an encoder or a thread can't be had.
    pub fn start(parts: Parts<'_>, preview: bool) -> Result<Self, Error> {
        let now = Instant::now();
        let (hub, stats) = (Hub::new(), Stats::new());
        let pool = FramePool::new(FRAMES, parts.avatar.size);

        let (sound_in, sound_out) = ring(SOUND_DEPTH);
        let source = match parts.audio.source {
            Source::Auto if device::available(&parts.audio.device) => Source::Microphone,
            Source::Auto => Source::File,
            chosen => chosen,
        };
        let (speech, voice) = Speech::start(parts.speech)?;
        let file = (source == Source::File).then_some(parts.file.as_path());
        let renderer = Renderer::new(&parts.avatar, &parts.model, parts.voice, pool, &stats, now)?;
        let cast = renderer.shown();
        let script = Script::new(renderer, speech.clone(), voice, file)?;
        let opus = Opus::new(parts.encode)?;
        let pre_skip = opus.pre_skip();
        let pictures = Pictures::new(parts.encode)?;

        let previewed = Arc::new(AtomicBool::new(preview));
        let (preview_in, preview_out) = ring(1);
        let (frames_in, frames_out) = ring(FRAME_DEPTH);
        let (orders, orders_out) = bounded(ORDERS);
        let (stills, stills_out) = bounded(STILLS);
        let video_kbps = Arc::new(AtomicU32::new(parts.encode.video_kbps));
        let encoder = Encoding {
            pictures,
            video_kbps: (parts.encode.video_kbps, Arc::clone(&video_kbps)),
            hub: Arc::clone(&hub),
            stats: Arc::clone(&stats),
            window: preview.then_some(preview_in),
            stills: stills_out.clone(),
            previewed: Arc::clone(&previewed),
        };
        let encode = spawn("encode", move || encoder.run(&frames_out))?;
        let inlet = Inlet::new(sound_in, Arc::clone(&stats));
        let rendering = Rendering {
            script,
            sound: Sound {
                opus,
                hub: Arc::clone(&hub),
                stats: Arc::clone(&stats),
            },
            stats: Arc::clone(&stats),
            frames: frames_in,
            orders: orders_out,
            stills: stills_out,
            previewed: Arc::clone(&previewed),
            inlet: Arc::downgrade(&inlet),
        };
        let render = spawn("render", move || rendering.run(&sound_out))?;
        let sound: Box<dyn Send> = match source {
            Source::Microphone => {
                let stats = Arc::clone(&stats);
                Box::new(Microphone::start(parts.audio, Arc::clone(&inlet), stats)?)
            }
            _ => Box::new(Arc::clone(&inlet)),
        };
        Ok(Self {
            id: parts.id.to_owned(),
            hub,
            stats,
            speech,
            idle_timeout: parts.idle_timeout,
            within: parts.within,
            started: now,
            texts: tokio::sync::Mutex::default(),
            history: Mutex::default(),
            pre_skip,
            source: Mutex::new(source),
            inlet: Arc::downgrade(&inlet),
            file: parts.file,
            cast,
            changing: Mutex::default(),
            used: Mutex::new(now),
            orders,
            stills,
            video_kbps,
            previewed,
            preview: Mutex::new(preview.then_some(preview_out)),
            ending: Mutex::new(Some(Ending {
                source: sound,
                render,
                encode,
            })),
        })
    }

    /// Silences what is said and drops what waits to be said. Answers within a
    /// frame with what was played. `None` when the session is ending.
    pub fn interrupt(&self) -> Option<Interrupted> {
        let (answer, answered) = bounded(1);
        self.orders
            .send_timeout(Order::Interrupt(answer), ANSWER)
            .ok()?;
        let interrupted = answered.recv_timeout(ANSWER).ok()?;
        self.history().cut(&interrupted);
        Some(interrupted)
    }

    /// Like [`Session::interrupt`], and `next` is said in the place of what was
    /// cut: nothing comes in between. `None` when the session is ending.
    pub fn interrupt_with(&self, next: Opened) -> Option<(Interrupted, Accepted)> {
        let (answer, answered) = bounded(1);
        self.orders
            .send_timeout(Order::Replace(Box::new(next), answer), ANSWER)
            .ok()?;
        let (interrupted, accepted) = answered.recv_timeout(ANSWER).ok()?;
        self.history().cut(&interrupted);
        Some((interrupted, accepted?))
    }

    /// What was asked and said in it. Not to be held for long.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Who talks, with which model.
    pub fn cast(&self) -> Cast {
        self.cast.cast()
    }

    /// Who talks from now on, for whoever keeps asking.
    pub(super) fn shown(&self) -> Shown {
        self.cast.clone()
    }

    /// The next picture, which is drawn although nobody watches. `None` where none
    /// came in time, or too many ask at once.
    pub fn still(&self) -> Option<Still> {
        let (answer, answered) = bounded(1);
        let room = Vec::with_capacity(self.cast().avatar.size.i420_bytes());
        self.stills.try_send(Asked { room, answer }).ok()?;
        answered.recv_timeout(SHOWN).ok()
    }

    /// Where sound comes from.
    pub fn source(&self) -> Source {
        *lock(&self.source)
    }

    /// The bitrate of the pictures that is aimed at, in kbit/s.
    pub fn video_kbps(&self) -> u32 {
        self.video_kbps.load(Relaxed)
    }

    /// The frames for a window, once. Letting them go ends the preview.
    pub fn take_preview(&self) -> Option<ring::Reader<Frame>> {
        lock(&self.preview).take()
    }

    /// Whether anybody watches: a viewer or the window.
    pub fn watched(&self) -> bool {
        self.hub.watched() || self.previewed.load(Relaxed)
    }

    /// Whether the avatar talks or idles, in a word.
    pub fn state(&self) -> &'static str {
        if self.stats.talking.get() > 0.0 {
            "talking"
        } else {
            "idle"
        }
    }

    /// Notes that somebody uses it: it isn't closed for being idle.
    pub fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }

    /// Whether nobody has watched it, fed it or asked it for anything for as long
    /// as it may idle. To be asked now and then: who watches is seen only here.
    pub fn idles(&self, now: Instant) -> bool {
        let mut used = lock(&self.used);
        let fed = self.speech.utterances() > 0 || self.speech.streams() > 0 || self.published();
        if self.watched() || fed {
            *used = now;
        }
        let idle = now.saturating_duration_since(*used);
        !self.idle_timeout.is_zero() && idle >= self.idle_timeout
    }

    /// Bytes of its frames.
    pub fn pool_bytes(&self) -> usize {
        pool_bytes(&self.cast().avatar)
    }

    /// Bytes that its queues hold when they are full: live sound, pushed speech
    /// decoded ahead, and a second of packets for a slow viewer.
    pub fn queue_bytes(&self) -> usize {
        let packets = self.video_kbps() as usize * 1_000 / 8;
        (SOUND_DEPTH + speech::AHEAD) * size_of::<AudioChunk>() + packets
    }

    /// Ends the session: drops the source, lets the end run down the path, and
    /// waits for it.
    pub fn end(&self) {
        let Some(ending) = lock(&self.ending).take() else {
            return;
        };
        self.stats.events.post(Event::Ended);
        drop(ending.source);
        for thread in [ending.render, ending.encode] {
            // A panic was printed by the thread itself.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Bytes of the frames of a session with `avatar`.
pub fn pool_bytes(avatar: &Avatar) -> usize {
    FRAMES * avatar.size.i420_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread without which there is no show. If it panics, which is a bug,
/// the process ends: a supervisor restarts what has stopped, and nobody what
/// stands still.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                std::process::exit(101);
            }
        })
}
