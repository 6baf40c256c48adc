//! A video's pictures, at the avatar's size and 25 a second.
//!
//! Rates are changed by time: a picture that is wanted between two is mixed of
//! both. On a face that sways at 10 to 300 pixels a second, filmed 24, 30 or 60
//! times a second, this halves the unevenness of its motion against taking the
//! nearer picture and is a quarter nearer to what was there, for a tenth of the
//! sharpness.
//!
//! A video is read twice rather than kept: a few pictures are in memory at a time.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use opencv::core::{Mat, add_weighted_def};
use opencv::prelude::*;
use opencv::videoio::{
    CAP_FFMPEG, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, CAP_PROP_FRAME_HEIGHT, CAP_PROP_FRAME_WIDTH,
    CAP_PROP_POS_MSEC, VideoCapture,
};

use super::Error;
use super::source::{no_video, resized};
use crate::media::FPS;
use crate::pool::Size;

/// Longest side of a video's pictures: decoders take memory by the picture.
const WIDEST: f64 = 4_096.0;
/// Seconds before the wanted picture to which is jumped: the rest is decoded.
const EARLIER: f64 = 2.5;
/// Pictures read ahead: the next one, while one is looked at.
const AHEAD: usize = 1;
/// Seconds between pictures that are mixed at most: those that are farther apart
/// would show as two.
const APART: f64 = 0.05;
/// A picture that is nearer than this share of the way is taken as it is: clocks of
/// files are rounded.
const NEAR: f64 = 0.06;

/// A picture and its time in seconds.
struct Shot {
    picture: Mat,
    at: f64,
}

/// A video that is read picture by picture.
pub(super) struct Video {
    path: PathBuf,
    capture: VideoCapture,
    /// What pictures are brought to, once it is known.
    size: Option<Size>,
    /// Seconds that a picture lasts, as the file says.
    period: f64,
    /// Seconds that it says it lasts; 0 when it doesn't say.
    pub(super) seconds: f64,
    /// The last picture before the wanted time, and the first one after it.
    before: Shot,
    after: Option<Shot>,
    mixed: Mat,
    /// The time of the picture that was decoded last.
    decoded_at: f64,
    /// Pictures decoded, for files that don't tell times.
    decoded: u64,
    /// When the first one shows.
    zero: f64,
    /// Pictures given.
    given: u64,
}

impl Video {
    /// Opens `path`, which begins with `head`, to be read from `start_s` on.
    pub(super) fn open(path: &Path, head: &[u8], start_s: f64) -> Result<Self, Error> {
        let capture = VideoCapture::from_file(path, CAP_FFMPEG)?;
        if !capture.is_opened()? {
            return Err(Error::unusable(path, no_video(path, head)));
        }
        let (width, height) = (
            capture.get(CAP_PROP_FRAME_WIDTH)?,
            capture.get(CAP_PROP_FRAME_HEIGHT)?,
        );
        if width.max(height) > WIDEST {
            return Err(Error::unusable(
                path,
                &format!(
                    "its pictures have {width}x{height} pixels, and {WIDEST} each way are the most: make it smaller first, for example with `ffmpeg -i {} -vf scale=-2:1080 smaller.mp4`",
                    path.display()
                ),
            ));
        }
        let rate = capture.get(CAP_PROP_FPS)?;
        let rate = if (0.5..=1_000.0).contains(&rate) {
            rate
        } else {
            25.0
        };
        let frames = capture.get(CAP_PROP_FRAME_COUNT)?;
        let mut video = Self {
            path: path.to_owned(),
            capture,
            size: None,
            period: 1.0 / rate,
            seconds: if frames > 0.0 { frames / rate } else { 0.0 },
            before: Shot {
                picture: Mat::default(),
                at: f64::NEG_INFINITY,
            },
            after: None,
            mixed: Mat::default(),
            decoded_at: f64::NEG_INFINITY,
            decoded: 0,
            zero: 0.0,
            given: 0,
        };
        let mut at = video.grab()?;
        let Some(first) = at else {
            return Err(Error::unusable(
                path,
                "there is a video track, but not one frame of it can be decoded: export it anew as H.264 in MP4",
            ));
        };
        while at.is_some_and(|at| at - first + video.period / 2.0 < start_s) {
            at = video.grab()?;
        }
        let Some(zero) = at else {
            return Err(Error::unusable(
                path,
                &format!("it ends before {start_s} s: choose an earlier --start"),
            ));
        };
        video.zero = zero;
        video.before = video.shot(zero)?;
        video.advance(zero)?;
        Ok(video)
    }

    /// The first picture.
    pub(super) fn picture(&self) -> &Mat {
        &self.before.picture
    }

    /// Goes on with picture `n` of 25 a second.
    pub(super) fn pass_to(&mut self, n: usize) -> Result<(), Error> {
        self.given = n as u64;
        let wanted = self.wanted();
        if wanted - self.before.at < 2.0 * EARLIER {
            return Ok(());
        }
        // Nothing but a time that is told lets one picture be known from another.
        let to = wanted - EARLIER;
        let there = self.capture.set(CAP_PROP_POS_MSEC, to * 1e3)? && self.capture.grab()?;
        let told = self.capture.get(CAP_PROP_POS_MSEC)? / 1e3;
        let at = if there && (to - EARLIER..wanted - self.period).contains(&told) {
            self.decoded = (told / self.period) as u64;
            self.decoded_at = told;
            Some(told)
        } else {
            self.capture = VideoCapture::from_file(&self.path, CAP_FFMPEG)?;
            (self.decoded, self.decoded_at) = (0, f64::NEG_INFINITY);
            self.grab()?
        };
        self.after = at.map(|at| self.shot(at)).transpose()?;
        Ok(())
    }

    /// When the next picture shows.
    fn wanted(&self) -> f64 {
        self.zero + self.given as f64 / f64::from(FPS)
    }

    /// The next picture of 25 a second. `None` at the end.
    fn next(&mut self) -> Result<Option<&Mat>, Error> {
        let wanted = self.wanted();
        while self.after.as_ref().is_some_and(|after| after.at <= wanted) {
            self.advance(wanted)?;
        }
        let before = &self.before;
        let Some(after) = &self.after else {
            if wanted > before.at + self.period / 2.0 {
                return Ok(None);
            }
            self.given += 1;
            return Ok(Some(&self.before.picture));
        };
        self.given += 1;
        let gap = after.at - before.at;
        let share = ((wanted - before.at) / gap).clamp(0.0, 1.0);
        let near = if gap > APART { 0.5 } else { NEAR };
        if share < near {
            return Ok(Some(&self.before.picture));
        }
        if share >= 1.0 - near {
            return Ok(Some(&after.picture));
        }
        let (one, other) = (&before.picture, &after.picture);
        add_weighted_def(one, 1.0 - share, other, share, 0.0, &mut self.mixed)?;
        Ok(Some(&self.mixed))
    }

    /// Reads on a thread of its own, which has the next picture ready, at `size`.
    pub(super) fn ahead(mut self, size: Size) -> Result<Ahead, Error> {
        self.size = Some(size);
        self.before.picture = scaled(&self.before.picture, size)?;
        if let Some(after) = &mut self.after {
            after.picture = scaled(&after.picture, size)?;
        }
        let path = self.path.clone();
        let (given, pictures) = sync_channel(AHEAD);
        let read = move || {
            loop {
                let next = match self.next() {
                    Ok(Some(picture)) => picture.try_clone().map_err(Error::from),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let over = next.is_err();
                // Nobody wants the rest when nobody listens.
                if given.send(next).is_err() || over {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("source".into())
            .spawn(read)
            .map_err(|source| Error::Read { path, source })?;
        Ok(Ahead { pictures })
    }

    /// The picture after the wanted time becomes the one before it.
    fn advance(&mut self, wanted: f64) -> Result<(), Error> {
        let mut at = self.grab()?;
        // One that is early by far has a better one after it.
        while at.is_some_and(|at| at + 1.5 * self.period < wanted) {
            at = self.grab()?;
        }
        let next = at.map(|at| self.shot(at)).transpose()?;
        if let Some(after) = std::mem::replace(&mut self.after, next) {
            self.before = after;
        }
        Ok(())
    }

    /// Converts the picture that was decoded last.
    fn shot(&mut self, at: f64) -> Result<Shot, Error> {
        let mut picture = Mat::default();
        self.capture.retrieve_def(&mut picture)?;
        if picture.empty() {
            return Err(Error::unusable(
                &self.path,
                "a frame can't be decoded: export it anew as H.264 in MP4",
            ));
        }
        if let Some(size) = self.size {
            picture = scaled(&picture, size)?;
        }
        Ok(Shot { picture, at })
    }

    /// Decodes one picture. Returns its time in seconds, or `None` at the end.
    fn grab(&mut self) -> Result<Option<f64>, Error> {
        if !self.capture.grab()? {
            return Ok(None);
        }
        let counted = self.decoded as f64 * self.period;
        self.decoded += 1;
        let told = self.capture.get(CAP_PROP_POS_MSEC)? / 1e3;
        // Some containers tell no times, and some the same time for every picture.
        let plausible = told.is_finite() && told > self.decoded_at;
        self.decoded_at = if plausible {
            told
        } else {
            counted.max(self.decoded_at + self.period)
        };
        Ok(Some(self.decoded_at))
    }
}

fn scaled(picture: &Mat, size: Size) -> opencv::Result<Mat> {
    let mut to = Mat::default();
    resized(picture, size, &mut to)?;
    Ok(to)
}

/// Pictures that are read ahead.
pub(super) struct Ahead {
    pictures: Receiver<Result<Mat, Error>>,
}

impl Ahead {
    /// The next picture, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Mat>, Error> {
        self.pictures.recv().ok().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        width: 144,
        height: 180,
    };

    fn ava() -> Video {
        let path = Path::new("assets/avatars/ava/idle.mp4");
        Video::open(path, &[], 0.0).expect("a video")
    }

    #[test]
    fn what_is_jumped_to_is_what_would_have_come() {
        let mut all = ava().ahead(SIZE).expect("a thread");
        for _ in 0..170 {
            all.next().expect("decodes").expect("goes on");
        }
        let mut video = ava();
        video.pass_to(170).expect("it is longer");
        assert!(video.decoded_at > 3.0, "it jumped");
        let mut rest = video.ahead(SIZE).expect("a thread");
        for n in 170..180 {
            let [a, b] = [&mut all, &mut rest].map(|pictures| {
                let picture = pictures.next().expect("decodes").expect("goes on");
                picture.data_bytes().expect("pixels").to_vec()
            });
            assert!(a == b, "picture {n}");
        }
    }

    /// A video of two flat pictures, `gap` seconds apart, of which one at `share` of
    /// the way is wanted.
    fn between(gap: f64, share: f64) -> u8 {
        let flat = |value: f64, at| Shot {
            picture: Mat::new_rows_cols_with_default(
                2,
                2,
                opencv::core::CV_8UC3,
                opencv::core::Scalar::all(value),
            )
            .expect("memory"),
            at,
        };
        let mut video = ava();
        video.zero = gap * share;
        video.given = 0;
        (video.before, video.after) = (flat(0.0, 0.0), Some(flat(200.0, gap)));
        let picture = video.next().expect("a picture").expect("not the end");
        picture.data_bytes().expect("pixels")[0]
    }

    #[test]
    fn between_two_pictures_both_are_mixed_unless_they_are_far_apart() {
        assert_eq!(between(0.04, 0.25), 50);
        assert_eq!(between(0.04, 0.02), 0);
        assert_eq!(between(0.04, 0.98), 200);
        assert_eq!(between(0.2, 0.4), 0);
        assert_eq!(between(0.2, 0.6), 200);
    }
}
