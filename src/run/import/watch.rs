//! The face through a video as it is read: what it takes doesn't grow with the
//! video, unlike a whole track.

use std::path::Path;

use opencv::core::Mat;

use super::Error;
use super::cascade::Haar;
use super::source::Source;
use super::track::Tracker;
use super::video::Ahead;
use crate::avatar::Face;
use crate::pool::Size;

/// Rows that pictures are looked at in, at most: a mouth that opens shows in few.
const HEIGHT: i32 = 360;

/// A video that is looked at.
pub(in crate::run) struct Watched {
    pictures: Ahead,
    tracker: Tracker,
    size: Size,
}

impl Watched {
    /// Opens the video at `path`.
    pub(in crate::run) fn open(path: &Path) -> Result<Self, Error> {
        let source = Source::open(path, 0.0)?;
        let size = source.shape().scaled(path, HEIGHT)?;
        let Source::Video(video) = source else {
            return Err(Error::unusable(
                path,
                "this is a photo, which neither moves nor speaks: take a video",
            ));
        };
        Ok(Self {
            pictures: video.ahead(size)?,
            tracker: Tracker::new(Box::new(Haar::new()?), 0),
            size,
        })
    }

    /// The next picture of 25 a second, and the face in it if one shows. `None`
    /// at the end.
    pub(in crate::run) fn next(&mut self) -> Result<Option<(Mat, Option<Face>)>, Error> {
        let Some(picture) = self.pictures.next()? else {
            return Ok(None);
        };
        self.tracker.see(&picture)?;
        let face = self.tracker.latest(self.size);
        Ok(Some((picture, face)))
    }
}
