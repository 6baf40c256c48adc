//! A sound file to a video file, through the same stages, without a clock: as
//! fast as the machine can, in constant memory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::avatar::Avatar;
use crate::media::{AudioChunk, Codec, FRAME_PERIOD, Packet};
use crate::native;
use crate::pool::FramePool;
use crate::run::library::Library;
use crate::run::renderer::{self, Renderer, SOURCE};
use crate::stage::audio::file::{self, SoundFile};
use crate::stage::encode::{self, H264, Opus};
use crate::stage::voice;
use crate::stage::write::{self, Mp4Writer};
use crate::stats::Stats;

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
}

/// What is rendered.
pub struct Job<'j> {
    /// Who talks.
    pub avatar: &'j Arc<Avatar>,
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
    /// Frames written.
    pub frames: u64,
    /// Frames on which the model failed and the last mouth stood in.
    pub failed_mouths: u64,
    /// Seconds on the clock.
    pub wall_s: f64,
    /// Seconds of CPU, of all threads.
    pub cpu_s: f64,
    /// Seconds on the clock for each second of video.
    pub real_time_factor: f64,
    /// Mean milliseconds for each stage's turn.
    pub stages_ms: std::collections::BTreeMap<&'static str, f64>,
}

/// Renders `job`. `progress` hears how much of the sound is done.
///
/// # Errors
///
/// When the sound can't be read or the video not be written. What was written
/// until then plays.
pub fn render(job: &Job<'_>, mut progress: impl FnMut(Duration)) -> Result<Report, Error> {
    let (started, cpu) = (Instant::now(), native::process_cpu_time());
    let stats = Stats::new();
    job.avatar.idle().cache.set_limit(job.clip_cache);
    let mut sound = SoundFile::open(job.sound)?;
    if let (Ok(sound), Ok(out)) = (job.sound.canonicalize(), job.out.canonicalize())
        && sound == out
    {
        return Err(Error::Same(job.out.to_owned()));
    }
    let pool = FramePool::new(1, job.avatar.size);
    let model = job.library.configured();
    let mut renderer = Renderer::new(job.avatar, &model, job.voice, pool, &stats, started)?;
    let mut h264 = H264::new(job.encode, job.avatar.size)?;
    let mut opus = Opus::new(job.encode)?;
    let mut file = Mp4Writer::create(job.out, job.avatar.size, Some(opus.pre_skip()))?;

    let mut chunk = AudioChunk::SILENCE;
    let (mut heard, mut ended, mut pts) = (Duration::ZERO, false, Duration::ZERO);
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
            break;
        }
        let played = renderer.play_waiting(Instant::now(), pts);
        let (chunk, frame) = played
            .and_then(|played| Some((played.chunk, played.frame?)))
            .ok_or(Error::Clip)?;
        for (n, data) in (0..).zip(opus.encode(&chunk.sound)?) {
            file.write(&Packet {
                codec: Codec::Opus,
                pts: pts + FRAME_PERIOD / 2 * n,
                key: true,
                accepted: None,
                data,
            })?;
        }
        let encoding = Instant::now();
        let picture = h264.encode(frame.i420(), pts, false)?;
        stats.encode.add(encoding.elapsed());
        file.write(&Packet {
            codec: Codec::H264,
            pts,
            key: picture.key,
            accepted: None,
            data: picture.data,
        })?;
        pts += FRAME_PERIOD;
        progress(pts);
    }
    file.finish()?;
    let wall_s = started.elapsed().as_secs_f64();
    let stages = stats.stages().into_iter();
    Ok(Report {
        seconds: pts.as_secs_f64(),
        frames: stats.drawn.get(),
        failed_mouths: stats.failed_mouths.get(),
        wall_s,
        cpu_s: (native::process_cpu_time() - cpu).as_secs_f64(),
        real_time_factor: wall_s / pts.as_secs_f64().max(0.04),
        stages_ms: stages
            .map(|(name, timing)| {
                let (_, count, sum) = timing.histogram();
                (name, sum * 1e3 / count.max(1) as f64)
            })
            .filter(|(_, ms)| *ms > 0.0)
            .collect(),
    })
}
