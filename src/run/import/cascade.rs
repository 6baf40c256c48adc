//! Faces by the Haar cascades that come with OpenCV.

use std::path::{Path, PathBuf};

use opencv::core::{
    Mat, ROTATE_90_CLOCKWISE, ROTATE_90_COUNTERCLOCKWISE, ROTATE_180, Rect, Size as CvSize, Vector,
    rotate,
};
use opencv::imgproc;
use opencv::objdetect::CascadeClassifier;
use opencv::prelude::*;

use super::Error;
use super::features::{self, Sighting};

/// Where distributions put them.
const FOLDERS: [&str; 4] = [
    "/usr/share/opencv4/haarcascades",
    "/usr/share/opencv/haarcascades",
    "/usr/local/share/opencv4/haarcascades",
    "/opt/homebrew/share/opencv4/haarcascades",
];
/// Longest side of the picture that faces are looked for in.
const SEARCHED: f64 = 512.0;
/// Smallest face that is looked for, of the picture's shorter side.
const SMALLEST: f64 = 0.12;
/// Cascades are trained on faces of about twenty pixels.
const FEWEST: f64 = 28.0;

/// Finds the faces of a picture.
pub(super) trait Detector {
    /// Every face in `picture` (BGR), in its pixels.
    fn find(&mut self, picture: &Mat) -> Result<Vec<Sighting>, Error>;
}

/// The default detector.
pub(super) struct Haar {
    faces: CascadeClassifier,
    /// Bare ones, and those behind glasses.
    eyes: [CascadeClassifier; 2],
}

impl Haar {
    /// Reads the cascades of the system.
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self {
            faces: cascade("haarcascade_frontalface_alt2.xml")?,
            eyes: [
                cascade("haarcascade_eye.xml")?,
                cascade("haarcascade_eye_tree_eyeglasses.xml")?,
            ],
        })
    }
}

impl Detector for Haar {
    fn find(&mut self, picture: &Mat) -> Result<Vec<Sighting>, Error> {
        let areas = areas(&mut self.faces, picture)?;
        let look = |area| features::look(picture, area, &mut self.eyes);
        Ok(areas.into_iter().map(look).collect::<opencv::Result<_>>()?)
    }
}

/// What else may be in a picture in which no face was found.
pub(super) fn guess<'p>(
    pictures: impl Iterator<Item = &'p Mat> + Clone,
) -> Result<Option<&'static str>, Error> {
    let kinds = [
        (
            "haarcascade_profileface.xml",
            "what shows may be a face from the side: take a clip in which it looks at the camera",
        ),
        (
            "haarcascade_frontalcatface_extended.xml",
            "what shows may be an animal: models know human faces only, seen from the front",
        ),
    ];
    // Turned by a quarter, by half, by three quarters.
    let mut faces = Haar::new()?;
    for turn in [ROTATE_90_CLOCKWISE, ROTATE_180, ROTATE_90_COUNTERCLOCKWISE] {
        let mut seen = 0;
        for picture in pictures.clone() {
            let mut other = Mat::default();
            rotate(picture, &mut other, turn)?;
            seen += usize::from(faces.find(&other)?.iter().any(|face| face.certain));
        }
        if seen * 2 > pictures.clone().count() {
            return Ok(Some(
                "what shows is a face that isn't upright: turn the picture first, for example with `ffmpeg -i IN -vf transpose=1 OUT`",
            ));
        }
    }
    for (name, says) in kinds {
        let mut cascade = cascade(name)?;
        let mut seen = 0;
        for picture in pictures.clone() {
            let mut other = Mat::default();
            // The cascade of profiles knows those that look to the left.
            opencv::core::flip(picture, &mut other, 1)?;
            let found = !areas(&mut cascade, picture)?.is_empty()
                || !areas(&mut cascade, &other)?.is_empty();
            seen += usize::from(found);
        }
        if seen * 2 > pictures.clone().count() {
            return Ok(Some(says));
        }
    }
    Ok(None)
}

fn cascade(name: &str) -> Result<CascadeClassifier, Error> {
    let places = FOLDERS.map(|folder| Path::new(folder).join(name));
    let Some(path) = places.iter().find(|path| path.exists()) else {
        let name = PathBuf::from(name);
        return Err(Error::NoCascade { name });
    };
    CascadeClassifier::new(path).map_err(|_| Error::NoCascade { name: path.clone() })
}

/// The boxes that `cascade` finds: x, y, width and height.
fn areas(cascade: &mut CascadeClassifier, picture: &Mat) -> opencv::Result<Vec<[f64; 4]>> {
    let (width, height) = (f64::from(picture.cols()), f64::from(picture.rows()));
    let factor = (SEARCHED / width.max(height)).min(1.0);
    let (mut grey, mut small) = (Mat::default(), Mat::default());
    imgproc::cvt_color_def(picture, &mut grey, imgproc::COLOR_BGR2GRAY)?;
    let size = CvSize::new(
        (width * factor).round().max(1.0) as i32,
        (height * factor).round().max(1.0) as i32,
    );
    imgproc::resize(&grey, &mut small, size, 0.0, 0.0, imgproc::INTER_AREA)?;
    let least = (width.min(height) * factor * SMALLEST).max(FEWEST) as i32;
    let least = CvSize::new(least, least);
    let mut found = Vector::<Rect>::new();
    cascade.detect_multi_scale(&small, &mut found, 1.1, 4, 0, least, CvSize::default())?;
    let full =
        |area: Rect| [area.x, area.y, area.width, area.height].map(|n| f64::from(n) / factor);
    Ok(found.iter().map(full).collect())
}
