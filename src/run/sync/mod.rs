//! How late a video's sound is, seen by the lips: the mouth's look against the
//! loudness of the voice, at every offset that may be.
//!
//! Positive is sound later than picture. The video is read once, a picture and
//! its sound at a time, so that memory doesn't grow with it.
//!
//! Lips move before they are heard, and a model draws them its own way: what fits
//! best isn't 0 where nothing is late. That bias was measured on renders of this
//! program, whose offset is 0 by construction, and is taken off ([`BIAS_MS`]).

mod correlate; // looks and loudness -> how well each offset fits
mod lead; // when a file's tracks begin
mod loudness; // a file's sound -> loudness, 100 times a second
mod mouth; // a face -> what its mouth looks like

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use self::correlate::{Correlation, REACH, SLOTS_PER_FRAME};
use self::loudness::{Loudness, SLOT};
use self::mouth::LOOKS;
use crate::media::{FPS, FRAME_PERIOD};
use crate::run::import::{self, watch::Watched};
use crate::stage::audio::file;
use crate::stage::voice;

/// Where the best fit lies in renders that are neither early nor late: in six of
/// both avatars with six voices from -8 to +17 ms, and this in about their middle.
pub const BIAS_MS: f64 = 6.0;
/// Least speech, and least time with a face, that anything can be told by.
const LEAST: Duration = Duration::from_secs(2);
/// Confidence below which nothing is told: renders have 0.31 to 0.73, and 0.09 at
/// most with another one's voice.
const LEAST_CONFIDENCE: f64 = 0.2;
/// Spread of parts of the video, in milliseconds, above which nothing is told.
const WIDEST_MS: f64 = 40.0;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pictures can't be read.
    #[error(transparent)]
    Pictures(#[from] import::Error),
    /// The sound can't be read.
    #[error("{path}: {source}")]
    Sound {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: file::Error,
    },
    /// The container can't be read.
    #[error("{path}: {problem}")]
    Container {
        /// The file.
        path: PathBuf,
        /// What was found and what to do.
        problem: String,
    },
    /// Nobody to be seen.
    #[error(
        "{path}: a face shows in {with} of {frames} pictures, and {LEAST:?} of it at least are wanted: \
         take a part in which one person looks at the camera"
    )]
    NoFace {
        /// The file.
        path: PathBuf,
        /// Pictures with a face.
        with: u64,
        /// Pictures.
        frames: u64,
    },
    /// Nothing to be heard.
    #[error(
        "{path}: {heard:.1} s of speech are heard in {seconds:.1} s, and {LEAST:?} at least are wanted: \
         take a part in which somebody speaks, or --all"
    )]
    NoSpeech {
        /// The file.
        path: PathBuf,
        /// Seconds of speech.
        heard: f64,
        /// Seconds of sound.
        seconds: f64,
    },
    /// The mouth doesn't follow the voice.
    #[error(
        "{path}: the lips don't tell how late the sound is (confidence {confidence:.2}, parts of it \
         differ by {spread_ms:.0} ms): the voice may be another's, the mouth too small or too still; \
         a longer part says more (--all)"
    )]
    Unsure {
        /// The file.
        path: PathBuf,
        /// How far the best offset stands out.
        confidence: f64,
        /// How far parts of the video are apart.
        spread_ms: f64,
    },
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// How much later the sound is than the picture, in milliseconds.
    pub offset_ms: f64,
    /// Standard error of that, from how parts of the video differ, in milliseconds.
    pub error_ms: f64,
    /// 0: some other offset fits as well, or none does. Towards 1: only this one.
    pub confidence: f64,
    /// Correlation of the mouth's look with the loudness, at the offset.
    pub correlation: f64,
    /// Seconds that were looked at.
    pub seconds: f64,
    /// Share of the pictures with a face.
    pub faces: f64,
    /// Seconds of speech in them.
    pub speech_s: f64,
}

/// Measures the video at `path`, its first `most` seconds or all of it.
/// `progress` hears how much of it was looked at.
///
/// # Errors
///
/// A sentence that says why nothing can be told, and what would help.
pub fn measure(
    path: &Path,
    most: Option<Duration>,
    voice: &voice::Config,
    mut progress: impl FnMut(Duration),
) -> Result<Measured, Error> {
    let mut pictures = Watched::open(path)?;
    let sound_error = |source| Error::Sound {
        path: path.to_owned(),
        source,
    };
    let mut sound = Loudness::open(path, voice).map_err(sound_error)?;
    let lead_ms = lead::of_sound(path)? * 1e3;
    // Whole slots are shifted, what is left is added.
    let shift = (lead_ms / SLOT.as_millis() as f64).round() as i64;
    let left_ms = lead_ms - (shift * SLOT.as_millis() as i64) as f64;

    let mut fit = Correlation::new();
    let mut looks = [0.0; LOOKS];
    let (mut frames, mut with) = (0_u64, 0_u64);
    while most.is_none_or(|most| FRAME_PERIOD * (frames as u32) < most) {
        let Some((picture, face)) = pictures.next()? else {
            break;
        };
        let at = frames as i64 * SLOTS_PER_FRAME - shift;
        sound.read_to(at + REACH).map_err(sound_error)?;
        let shown = face.is_some_and(|face| mouth::look(&picture, face, &mut looks));
        if shown {
            with += 1;
            fit.add(&looks, |lag| sound.at(at + lag));
        } else {
            fit.skip();
        }
        frames += 1;
        progress(FRAME_PERIOD * (frames as u32));
    }
    let seconds = frames as f64 / f64::from(FPS);
    let path = path.to_owned();
    if with < LEAST.as_secs() * u64::from(FPS) {
        return Err(Error::NoFace { path, with, frames });
    }
    if sound.speech() < LEAST {
        return Err(Error::NoSpeech {
            path,
            heard: sound.speech().as_secs_f64(),
            seconds: seconds.min(sound.heard().as_secs_f64()),
        });
    }
    let best = fit.best();
    let spread_ms = best.error_ms;
    if best.confidence < LEAST_CONFIDENCE || spread_ms > WIDEST_MS {
        return Err(Error::Unsure {
            path,
            confidence: best.confidence,
            spread_ms,
        });
    }
    Ok(Measured {
        offset_ms: best.lag_ms + left_ms - BIAS_MS,
        error_ms: spread_ms,
        confidence: best.confidence,
        correlation: best.correlation,
        seconds,
        faces: with as f64 / frames.max(1) as f64,
        speech_s: sound.speech().as_secs_f64(),
    })
}
