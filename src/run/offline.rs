//! A sound file to a video file, through the same stages, without a clock: as
//! fast as the machine can, in constant memory.
//!
//! ```text
//! sound ──chunks──┬▶ draw, frames 0, 2, … ─┬▶ encode, in turn ─▶ file
//!                 └▶ draw, frames 1, 3, … ─┘
//! ```
//!
//! A frame depends on no other, so each of the threads that draw hears everything
//! and draws its share. A video that was broken off goes on where its last fragment
//! ends: a while before that is heard again, so that the mouth and the sound's
//! encoder are what they would have been.

mod drawing; // chunks -> every n-th frame
mod identity; // what a video is made of

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;

use self::drawing::{Drawing, Shot};
pub use self::identity::{Identity, is_whole};
use crate::avatar::Avatar;
use crate::media::{AudioChunk, Codec, FRAME_PERIOD, Packet};
use crate::native;
use crate::pool::FramePool;
use crate::run::library::Library;
use crate::run::renderer::{self, Renderer};
use crate::stage::audio::file::{self, SoundFile};
use crate::stage::encode::{self, H264, Opus};
use crate::stage::voice;
use crate::stage::write::{self, Left, Mp4Writer};
use crate::stats::Stats;

/// Frames of one drawing thread that wait for the encoder: enough for either to
/// have some slow ones.
const AHEAD: usize = 4;
/// Frames in use: those, the one that is encoded and the one that is drawn.
const FRAMES: usize = AHEAD + 2;
/// Chunks that wait for a drawing thread: those of the frames that the others draw
/// meanwhile, with some to spare.
const HEARD: usize = 8;
/// Threads that draw at most. A frame takes three times as long to draw as to encode,
/// which only one thread can do.
const MOST_DRAWING: usize = 4;
/// Sound that is heard again before a video goes on: the noise floor looks back
/// 3 s, a model and an encoder less.
const WARM_UP: Duration = Duration::from_secs(4);

/// Why a render ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sound can't be read.
    #[error(transparent)]
    Audio(#[from] file::Error),
    /// Faces can't be drawn.
    #[error(transparent)]
    Renderer(#[from] renderer::Error),
    /// Pictures or sound can't be encoded.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// The file can't be written.
    #[error(transparent)]
    Write(#[from] write::Error),
    /// The video would take the sound's place.
    #[error("{0} is the sound itself: give --out another name")]
    Same(std::path::PathBuf),
    /// The clip broke off.
    #[error("the avatar's clip can't be decoded to its end: `mouthpiece avatar check` says where")]
    Clip,
    /// The video that is to go on is another one.
    #[error(
        "{path} can't go on: {why}. Give --out another name, or render it anew without --resume"
    )]
    Other {
        /// The video.
        path: std::path::PathBuf,
        /// In what it differs.
        why: String,
    },
    /// The system gave no thread.
    #[error("cannot start the encoder's thread")]
    Thread(#[source] std::io::Error),
}

/// What is rendered.
pub struct Job<'j> {
    /// Who talks.
    pub avatar: &'j Arc<Avatar>,
    /// Which of their clips plays: [`crate::avatar::IDLE`], or an action's.
    pub clip: &'j str,
    /// With which model.
    pub library: &'j Arc<Library>,
    /// The sound file.
    pub sound: &'j Path,
    /// How much of it, if not all.
    pub most: Option<Duration>,
    /// The video file to be written.
    pub out: &'j Path,
    /// When somebody speaks.
    pub voice: &'j voice::Config,
    /// How pictures and sound are coded.
    pub encode: &'j encode::Config,
    /// Decoded pictures of the clip that may be kept, in bytes.
    pub clip_cache: usize,
}

/// What a render took.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Seconds of sound and video.
    pub seconds: f64,
    /// Seconds of it that were there before.
    pub resumed_at_s: f64,
    /// Frames drawn.
    pub frames: u64,
    /// Frames on which the model failed and the last mouth stood in.
    pub failed_mouths: u64,
    /// Seconds on the clock.
    pub wall_s: f64,
    /// Seconds of CPU, of all threads.
    pub cpu_s: f64,
    /// Seconds on the clock for each second of video made.
    pub real_time_factor: f64,
    /// The most memory that was resident, of the whole process, in megabytes.
    pub peak_mb: f64,
    /// Mean milliseconds for each stage's turn.
    pub stages_ms: std::collections::BTreeMap<&'static str, f64>,
}

/// What there is of `job`'s video, if it was begun before.
///
/// # Errors
///
/// When there is something else in its place.
pub fn left(job: &Job<'_>) -> Result<Option<Left>, Error> {
    let Some(left) = Left::find(job.out)? else {
        return Ok(None);
    };
    let why = match left.note().and_then(Identity::read) {
        None => Some("it doesn't say of which sound and avatar it is".into()),
        Some(_) if left.size() != job.avatar.size => Some(format!(
            "its pictures have {}x{} pixels, and those of {} now have {}x{}",
            left.size().width,
            left.size().height,
            job.avatar.id,
            job.avatar.size.width,
            job.avatar.size.height
        )),
        Some(then) => Identity::of(job)?.differs(&then),
    };
    match why {
        None => Ok(Some(left)),
        Some(why) => Err(Error::Other {
            path: job.out.to_owned(),
            why,
        }),
    }
}

/// Renders `job`, after what is `left` of it. `progress` hears how much of the
/// video is done.
///
/// # Errors
///
/// When the sound can't be read or the video not be written. What was written
/// until then plays.
pub fn render(
    job: &Job<'_>,
    left: Option<Left>,
    progress: impl FnMut(Duration),
) -> Result<Report, Error> {
    let (started, cpu) = (Instant::now(), native::process_cpu_time());
    let stats = Stats::new();
    job.avatar.idle().cache.set_limit(job.clip_cache);
    let mut sound = SoundFile::open(job.sound)?;
    if let (Ok(sound), Ok(out)) = (job.sound.canonicalize(), job.out.canonicalize())
        && sound == out
    {
        return Err(Error::Same(job.out.to_owned()));
    }
    let model = job.library.configured();
    let start = frames(left.as_ref().map_or(Duration::ZERO, Left::end));
    let from = frames(start.saturating_sub(WARM_UP));
    sound.skip((from.as_millis() / FRAME_PERIOD.as_millis()) as u64)?;
    // A front end makes its features one after the other, and isn't run twice for them.
    let threads = match model.bundle.audio {
        Some(_) => 1,
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let threads = threads.min(MOST_DRAWING);
    let drawing = |nth: usize| -> Result<Drawing, Error> {
        let pool = FramePool::new(FRAMES, job.avatar.size);
        let renderer = Renderer::new(job.avatar, &model, job.voice, pool, &stats, started)?;
        Ok(Drawing {
            renderer,
            share: (nth as u64, threads as u64),
            from,
            start,
        })
    };
    let drawings: Vec<_> = (0..threads).map(drawing).collect::<Result<_, _>>()?;
    let opus = Opus::for_files(job.encode)?;
    let mut coder = Coder {
        h264: H264::new(job.encode, job.avatar.size)?,
        file: match left {
            Some(left) => Mp4Writer::resume(job.out, left)?,
            None => Mp4Writer::create(job.out, job.avatar.size, Some(opus.pre_skip()))?
                .noted(Identity::of(job)?.note()),
        },
        opus,
        stats: Arc::clone(&stats),
        end: from,
    };
    thread::scope(|scope| {
        let spawn = |name: &str| thread::Builder::new().name(name.into());
        let (mut heard, mut drawn, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for drawing in drawings {
            let (chunks, hears) = bounded(HEARD);
            let (shots, takes) = bounded(AHEAD);
            let run = move || drawing.run(&hears, &shots);
            threads.push(
                spawn("draw")
                    .spawn_scoped(scope, run)
                    .map_err(Error::Thread)?,
            );
            heard.push(chunks);
            drawn.push(takes);
        }
        let most = job.most.map(|most| most.saturating_sub(from));
        let hear = move || hear(&mut sound, most, &heard);
        threads.push(
            spawn("hear")
                .spawn_scoped(scope, hear)
                .map_err(Error::Thread)?,
        );
        let encoded = coder.run(&drawn, progress);
        // Whoever still gives something learns that nobody takes it, and ends.
        drop(drawn);
        for thread in threads {
            let ended = thread.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        encoded
    })?;
    let seconds = coder.end.as_secs_f64();
    coder.file.finish()?;
    let wall_s = started.elapsed().as_secs_f64();
    let made_s = seconds - start.as_secs_f64();
    let stages = stats.stages().into_iter();
    Ok(Report {
        seconds,
        resumed_at_s: start.as_secs_f64(),
        frames: stats.drawn.get(),
        failed_mouths: stats.failed_mouths.get(),
        wall_s,
        cpu_s: (native::process_cpu_time() - cpu).as_secs_f64(),
        real_time_factor: wall_s / made_s.max(FRAME_PERIOD.as_secs_f64()),
        peak_mb: peak_mb(),
        stages_ms: stages
            .map(|(name, timing)| {
                let (_, count, sum) = timing.histogram();
                (name, sum * 1e3 / count.max(1) as f64)
            })
            .filter(|(_, ms)| *ms > 0.0)
            .collect(),
    })
}

/// The most memory that was resident, as the system says, in megabytes.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1_024.0 / 1e6
}

/// `time` in whole frames.
fn frames(time: Duration) -> Duration {
    FRAME_PERIOD * (time.as_millis() / FRAME_PERIOD.as_millis()) as u32
}

/// Gives each of `drawings` all sound, `most` of it if that is said.
fn hear(
    sound: &mut SoundFile,
    most: Option<Duration>,
    drawings: &[Sender<AudioChunk>],
) -> Result<(), Error> {
    let mut chunk = AudioChunk::SILENCE;
    let mut heard = Duration::ZERO;
    while most.is_none_or(|most| heard < most) && sound.next(&mut chunk)? {
        heard += FRAME_PERIOD;
        if drawings.iter().any(|drawing| drawing.send(chunk).is_err()) {
            // It ended early, and says why.
            break;
        }
    }
    Ok(())
}

/// From frames to the file.
struct Coder {
    opus: Opus,
    h264: H264,
    file: Mp4Writer,
    stats: Arc<Stats>,
    /// Where the video ends so far.
    end: Duration,
}

impl Coder {
    /// Encodes and writes all that `drawn` gives in turn. `progress` hears how far it is.
    fn run(
        &mut self,
        drawn: &[Receiver<Shot>],
        mut progress: impl FnMut(Duration),
    ) -> Result<(), Error> {
        for shots in drawn.iter().cycle() {
            let Ok(Shot { pts, chunk, frame }) = shots.recv() else {
                break;
            };
            let sound = self.opus.encode(&chunk.sound)?;
            self.end = pts + FRAME_PERIOD;
            let Some(frame) = frame else {
                // Only heard, so that the encoder is what it was.
                continue;
            };
            for (n, data) in (0..).zip(sound) {
                self.file.write(&Packet {
                    codec: Codec::Opus,
                    pts: pts + FRAME_PERIOD / 2 * n,
                    key: true,
                    accepted: None,
                    data,
                })?;
            }
            let encoding = Instant::now();
            let picture = self.h264.encode(frame.i420(), pts, false)?;
            self.stats.encode.add(encoding.elapsed());
            drop(frame);
            self.file.write(&Packet {
                codec: Codec::H264,
                pts,
                key: picture.key,
                accepted: None,
                data: picture.data,
            })?;
            progress(self.end);
        }
        Ok(())
    }
}
