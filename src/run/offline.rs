//! A sound file to a video file, through the same stages, without a clock: as
//! fast as the machine can, in constant memory.
//!
//! Frames are drawn on one thread and encoded on another, at most [`AHEAD`]
//! apart. A video that was broken off goes on where its last fragment ends: a
//! while before that is heard again, so that the mouth and the sound's encoder
//! are what they would have been.

mod identity; // what a video is made of

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded};
use serde::Serialize;

pub use self::identity::{Identity, is_whole};
use crate::avatar::Avatar;
use crate::media::{AudioChunk, Codec, FRAME_PERIOD, Packet};
use crate::native;
use crate::pool::{Frame, FramePool};
use crate::run::library::Library;
use crate::run::renderer::{self, Renderer, SOURCE};
use crate::stage::audio::file::{self, SoundFile};
use crate::stage::encode::{self, H264, Opus};
use crate::stage::voice;
use crate::stage::write::{self, Left, Mp4Writer};
use crate::stats::Stats;

/// Frames that wait for the encoder: enough for either thread to have a slow one.
const AHEAD: usize = 2;
/// Frames in use: those, the one that is encoded and the one that is drawn.
const FRAMES: usize = AHEAD + 2;
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
    mut progress: impl FnMut(Duration),
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
    let pool = FramePool::new(FRAMES, job.avatar.size);
    let model = job.library.configured();
    let mut renderer = Renderer::new(job.avatar, &model, job.voice, pool, &stats, started)?;
    let mut opus = Opus::new(job.encode)?;
    let start = frames(left.as_ref().map_or(Duration::ZERO, Left::end));
    let mut coder = Coder {
        h264: H264::new(job.encode, job.avatar.size)?,
        file: match left {
            Some(left) => Mp4Writer::resume(job.out, left)?,
            None => Mp4Writer::create(job.out, job.avatar.size, Some(opus.pre_skip()))?
                .noted(Identity::of(job)?.note()),
        },
        stats: Arc::clone(&stats),
    };
    let mut pts = frames(start.saturating_sub(WARM_UP));
    sound.skip((pts.as_millis() / FRAME_PERIOD.as_millis()) as u64)?;
    let mut chunk = AudioChunk::SILENCE;
    let (mut heard, mut ended) = (pts, false);
    let (give, take) = bounded(AHEAD);
    let seconds = thread::scope(|scope| {
        let encoder = thread::Builder::new()
            .name("encode".into())
            .spawn_scoped(scope, move || coder.run(&take).map(|()| coder.file))
            .map_err(Error::Thread)?;
        let draw = || -> Result<Duration, Error> {
            // Whatever ends this, the channel closes with it, and the encoder ends.
            let give = give;
            loop {
                while renderer.lacks() > 0 {
                    let enough = job.most.is_some_and(|most| heard >= most);
                    ended = ended || enough || !sound.next(&mut chunk)?;
                    if ended {
                        // The last frames look ahead into silence.
                        renderer.hear(&AudioChunk::SILENCE, SOURCE);
                    } else {
                        renderer.hear(&chunk, SOURCE);
                        heard += FRAME_PERIOD;
                    }
                }
                if heard <= pts {
                    return Ok(pts);
                }
                if pts < start {
                    let played = renderer.play(Instant::now(), pts, false, |_| {});
                    opus.encode(&played.ok_or(Error::Clip)?.chunk.sound)?;
                    pts += FRAME_PERIOD;
                    continue;
                }
                let played = renderer.play_waiting(Instant::now(), pts);
                let (chunk, frame) = played
                    .and_then(|played| Some((played.chunk, played.frame?)))
                    .ok_or(Error::Clip)?;
                let sound = opus.encode(&chunk.sound)?;
                if give.send(Shot { sound, frame }).is_err() {
                    // The encoder ended, and says why.
                    return Ok(pts);
                }
                pts += FRAME_PERIOD;
                progress(pts);
            }
        };
        let drawn = draw();
        let encoded = encoder
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (seconds, file) = (drawn?, encoded?);
        file.finish()?;
        Ok::<_, Error>(seconds.as_secs_f64())
    })?;
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

/// A frame and its sound, on their way to the file.
struct Shot {
    sound: [Bytes; 2],
    frame: Frame,
}

/// From frames to the file.
struct Coder {
    h264: H264,
    file: Mp4Writer,
    stats: Arc<Stats>,
}

impl Coder {
    /// Encodes and writes all that comes.
    fn run(&mut self, shots: &Receiver<Shot>) -> Result<(), Error> {
        for Shot { sound, frame } in shots {
            let pts = frame.pts;
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
        }
        Ok(())
    }
}
