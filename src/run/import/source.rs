//! A video's or a photo's pictures, at the avatar's size and 25 a second.
//!
//! A video is read twice rather than kept: one picture is in memory at a time.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use opencv::core::{Mat, Size as CvSize};
use opencv::prelude::*;
use opencv::videoio::{
    CAP_FFMPEG, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, CAP_PROP_FRAME_HEIGHT, CAP_PROP_FRAME_WIDTH,
    CAP_PROP_POS_MSEC, VideoCapture,
};
use opencv::{imgcodecs, imgproc};

use super::Error;
use crate::media::FPS;
use crate::pool::Size;
use crate::stage::audio::file::SoundFile;

/// Longest side of a video's pictures: decoders take memory by the picture.
const WIDEST: f64 = 4_096.0;
/// Shortest side of an avatar's pictures.
const NARROWEST: i32 = 64;
/// Pictures read ahead: the next one, while one is looked at.
const AHEAD: usize = 1;
/// Pictures from this height or width on are BT.709 where nothing else is known.
const HIGH: (i32, i32) = (720, 1_280);

/// What was given.
pub(super) enum Source {
    /// Pictures that move.
    Video(Box<Video>),
    /// One that doesn't.
    Photo(Mat),
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Source {
    /// Opens `path`, to be read from `start_s` seconds on.
    pub(super) fn open(path: &Path, start_s: f64) -> Result<Self, Error> {
        let mut head = Vec::new();
        File::open(path)
            .and_then(|file| file.take(4_096).read_to_end(&mut head))
            .map_err(|source| Error::Read {
                path: path.to_owned(),
                source,
            })?;
        if head.is_empty() {
            return Err(Error::unusable(
                path,
                "the file is empty: choose another one",
            ));
        }
        if is_photo(&head) {
            // Turned upright by its own metadata.
            let photo = imgcodecs::imread(path, imgcodecs::IMREAD_COLOR).unwrap_or_default();
            if photo.empty() {
                return Err(Error::unusable(
                    path,
                    "the photo can't be decoded (damaged, animated or too large): save it anew as JPEG or PNG",
                ));
            }
            return Ok(Self::Photo(photo));
        }
        Ok(Self::Video(Box::new(Video::open(path, &head, start_s)?)))
    }

    /// The pictures' size, upright.
    pub(super) fn shape(&self) -> Shape {
        let picture = match self {
            Self::Video(video) => &video.shown,
            Self::Photo(photo) => photo,
        };
        Shape {
            width: picture.cols(),
            height: picture.rows(),
        }
    }
}

impl Shape {
    /// The avatar's size for pictures `height` pixels high at most.
    pub(super) fn scaled(self, path: &Path, height: i32) -> Result<Size, Error> {
        let height = height.min(self.height) & !1;
        let width = f64::from(self.width) * f64::from(height) / f64::from(self.height);
        let width = ((width / 2.0).round() as i32 * 2).min(self.width & !1);
        if width < NARROWEST || height < NARROWEST {
            return Err(Error::unusable(
                path,
                &format!(
                    "its pictures have {}x{} pixels: {NARROWEST} at least are wanted each way, and a face wants more",
                    self.width, self.height
                ),
            ));
        }
        if f64::from(width) > 3_840.0 {
            return Err(Error::unusable(
                path,
                &format!(
                    "at this height the avatar would be {width} pixels wide: 3840 are the most, lower --height"
                ),
            ));
        }
        Ok(Size {
            width: width as usize,
            height: height as usize,
        })
    }

    /// Whether numbers of such a video stand for colours as BT.709 has it.
    pub(super) fn is_bt709(self) -> bool {
        self.height >= HIGH.0 || self.width >= HIGH.1
    }
}

/// Brings `picture` to `size`.
pub(super) fn resized(picture: &Mat, size: Size, to: &mut Mat) -> opencv::Result<()> {
    let size = CvSize::new(size.width as i32, size.height as i32);
    imgproc::resize(picture, to, size, 0.0, 0.0, imgproc::INTER_AREA)
}

/// A video that is read picture by picture.
pub(super) struct Video {
    path: PathBuf,
    capture: VideoCapture,
    /// Seconds that a picture lasts, as the file says.
    period: f64,
    /// Seconds that it says it lasts; 0 when it doesn't say.
    pub(super) seconds: f64,
    /// The picture of the moment, as large as the source, and its time.
    shown: Mat,
    shown_at: f64,
    /// The time of the one after it, decoded but not converted yet.
    ahead: Option<f64>,
    /// Pictures decoded, for files that don't tell times.
    decoded: u64,
    /// When the first one shows.
    zero: f64,
    /// Pictures given.
    given: u64,
}

impl Video {
    fn open(path: &Path, head: &[u8], start_s: f64) -> Result<Self, Error> {
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
            period: 1.0 / rate,
            seconds: if frames > 0.0 { frames / rate } else { 0.0 },
            shown: Mat::default(),
            shown_at: 0.0,
            ahead: None,
            decoded: 0,
            zero: 0.0,
            given: 0,
        };
        video.ahead = video.grab()?;
        if video.ahead.is_none() {
            return Err(Error::unusable(
                path,
                "there is a video track, but not one frame of it can be decoded: export it anew as H.264 in MP4",
            ));
        }
        video.zero = video.ahead.unwrap_or_default();
        while video
            .ahead
            .is_some_and(|at| at - video.zero + video.period / 2.0 < start_s)
        {
            video.ahead = video.grab()?;
        }
        if video.ahead.is_none() {
            return Err(Error::unusable(
                path,
                &format!("it ends before {start_s} s: choose an earlier --start"),
            ));
        }
        video.zero = video.ahead.unwrap_or_default();
        video.show()?;
        Ok(video)
    }

    /// The next picture of 25 a second: the one that is nearest in time, as the
    /// source has it. `None` at the end.
    fn next(&mut self) -> Result<Option<&Mat>, Error> {
        let wanted = self.zero + self.given as f64 / f64::from(FPS);
        while let Some(ahead) = self.ahead {
            if (ahead - wanted).abs() > (self.shown_at - wanted).abs() {
                break;
            }
            // One that is early by far has a better one after it.
            if ahead + 1.5 * self.period < wanted {
                self.ahead = self.grab()?;
                if self.ahead.is_some() {
                    continue;
                }
                break;
            }
            self.show()?;
        }
        if self.ahead.is_none() && wanted > self.shown_at + self.period / 2.0 {
            return Ok(None);
        }
        self.given += 1;
        Ok(Some(&self.shown))
    }

    /// Reads on a thread of its own, which has the next picture ready, at `size`.
    pub(super) fn ahead(mut self, size: Size) -> Result<Ahead, Error> {
        let path = self.path.clone();
        let (given, pictures) = sync_channel(AHEAD);
        let read = move || {
            loop {
                let mut picture = Mat::default();
                let next = match self.next() {
                    Ok(Some(whole)) => resized(whole, size, &mut picture)
                        .map(|()| picture)
                        .map_err(Error::from),
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

    /// Converts the picture ahead, and decodes the one after it.
    fn show(&mut self) -> Result<(), Error> {
        let mut next = Mat::default();
        self.capture.retrieve_def(&mut next)?;
        if next.empty() {
            return Err(Error::unusable(
                &self.path,
                "a frame can't be decoded: export it anew as H.264 in MP4",
            ));
        }
        self.shown = next;
        self.shown_at = self.ahead.unwrap_or(self.shown_at);
        self.ahead = self.grab()?;
        Ok(())
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
        let before = self.ahead.unwrap_or(self.shown_at);
        let plausible = told.is_finite() && (self.decoded == 1 || told > before);
        Ok(Some(if plausible {
            told
        } else {
            counted.max(before + self.period)
        }))
    }
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

/// JPEG, PNG or WebP, by their first bytes.
fn is_photo(head: &[u8]) -> bool {
    head.starts_with(&[0xFF, 0xD8, 0xFF])
        || head.starts_with(b"\x89PNG\r\n\x1a\n")
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"))
}

/// What a file is in which no video was found.
fn no_video(path: &Path, head: &[u8]) -> &'static str {
    if SoundFile::open(path).is_ok() {
        return "there is only sound in it: take a video or a photo that shows a face";
    }
    // A character of UTF-8 may be cut in the middle, at the end of what was read.
    let whole = std::str::from_utf8(head).map_or_else(|e| e.valid_up_to(), str::len);
    let printed = |byte: &u8| matches!(byte, 9..=13 | 32..=126 | 128..);
    if head.len() - whole < 4 && head.iter().all(printed) {
        return "this is text, whatever its name says: take a video (MP4, MOV, WebM, MKV, GIF) or a photo (JPEG, PNG, WebP)";
    }
    "there is no video in it that can be read: it may be damaged or cut off; take an MP4, MOV, WebM, MKV or GIF, or a photo as JPEG, PNG or WebP"
}
