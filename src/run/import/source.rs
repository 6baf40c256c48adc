//! What was given: a video, a photo, or what is neither.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use opencv::core::{Mat, Size as CvSize};
use opencv::prelude::*;
use opencv::{imgcodecs, imgproc};

use super::Error;
use super::video::Video;
use crate::native;
use crate::pool::Size;
use crate::stage::audio::file::SoundFile;

/// Shortest side of an avatar's pictures.
const NARROWEST: i32 = 64;
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
            let photo = photo(path);
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
            Self::Video(video) => video.picture(),
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

/// The photo at `path`, turned upright by its own metadata; empty if it can't be
/// decoded.
pub(super) fn photo(path: &Path) -> Mat {
    native::unheard(|| imgcodecs::imread(path, imgcodecs::IMREAD_COLOR)).unwrap_or_default()
}

/// Brings `picture` to `size`.
pub(super) fn resized(picture: &Mat, size: Size, to: &mut Mat) -> opencv::Result<()> {
    let size = CvSize::new(size.width as i32, size.height as i32);
    imgproc::resize(picture, to, size, 0.0, 0.0, imgproc::INTER_AREA)
}

/// JPEG, PNG or WebP, by their first bytes.
fn is_photo(head: &[u8]) -> bool {
    head.starts_with(&[0xFF, 0xD8, 0xFF])
        || head.starts_with(b"\x89PNG\r\n\x1a\n")
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"))
}

/// What a file is in which no video was found.
pub(super) fn no_video(path: &Path, head: &[u8]) -> &'static str {
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
