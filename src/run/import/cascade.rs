//! Faces by the Haar cascades that come with OpenCV.

use std::path::{Path, PathBuf};

use opencv::core::{Mat, Rect, Size as CvSize, Vector, rotate};
use opencv::imgproc;
use opencv::objdetect::CascadeClassifier;
use opencv::prelude::*;

use super::Error;
use super::doubt::TURNS;
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

/// Half the surroundings in which a known face is looked for again, and how small
/// and large it may have become, in sides of its box.
const AROUND: f64 = 1.1;
const LIKE_IT: [f64; 2] = [0.6, 1.6];

/// Finds the faces of a picture.
pub(super) trait Detector {
    /// Every face in `picture` (BGR), in its pixels.
    fn find(&mut self, picture: &Mat) -> Result<Vec<Sighting>, Error>;

    /// The faces near `centre` that are about as large as `side`, and maybe others.
    fn find_near(
        &mut self,
        picture: &Mat,
        centre: [f64; 2],
        side: f64,
    ) -> Result<Vec<Sighting>, Error> {
        let _anywhere = (centre, side);
        self.find(picture)
    }
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

impl Haar {
    fn look(&mut self, picture: &Mat, found: Vec<Area>) -> Result<Vec<Sighting>, Error> {
        let look = |(area, agreed)| features::look(picture, area, agreed, &mut self.eyes);
        Ok(found.into_iter().map(look).collect::<opencv::Result<_>>()?)
    }
}

impl Detector for Haar {
    fn find(&mut self, picture: &Mat) -> Result<Vec<Sighting>, Error> {
        let found = areas(&mut self.faces, picture)?;
        self.look(picture, found)
    }

    fn find_near(
        &mut self,
        picture: &Mat,
        centre: [f64; 2],
        side: f64,
    ) -> Result<Vec<Sighting>, Error> {
        let reach = side * AROUND;
        let [x, y] = centre.map(|x| (x - reach) as i32);
        let whole = Rect::new(0, 0, picture.cols(), picture.rows());
        let around = Rect::new(x, y, (2.0 * reach) as i32, (2.0 * reach) as i32) & whole;
        if around.empty() {
            return Ok(Vec::new());
        }
        let sides = LIKE_IT.map(|share| side * share);
        let near = Mat::roi(picture, around)?.try_clone()?;
        let mut found = search(&mut self.faces, &near, shrink(picture), sides)?;
        for ([x, y, ..], _) in &mut found {
            *x += f64::from(around.x);
            *y += f64::from(around.y);
        }
        self.look(picture, found)
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
    let mut faces = Haar::new()?;
    for (turn, says) in TURNS {
        let mut seen = 0;
        for picture in pictures.clone() {
            let mut other = Mat::default();
            rotate(picture, &mut other, turn)?;
            seen += usize::from(faces.find(&other)?.iter().any(|face| face.certain));
        }
        if seen * 2 > pictures.clone().count() {
            return Ok(Some(says));
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

/// A box, as x, y, width and height, and how many windows of a cascade agree on it.
type Area = ([f64; 4], i32);

/// The boxes that `cascade` finds in all of `picture`.
fn areas(cascade: &mut CascadeClassifier, picture: &Mat) -> opencv::Result<Vec<Area>> {
    let short = f64::from(picture.cols().min(picture.rows()));
    let factor = shrink(picture);
    let least = (short * SMALLEST).max(FEWEST / factor);
    search(cascade, picture, factor, [least, short])
}

/// How much a picture is made smaller for the search.
fn shrink(picture: &Mat) -> f64 {
    (SEARCHED / f64::from(picture.cols().max(picture.rows()))).min(1.0)
}

/// The boxes with sides from the first to the second of `sides`, in `picture` made
/// smaller by `factor`.
fn search(
    cascade: &mut CascadeClassifier,
    picture: &Mat,
    factor: f64,
    sides: [f64; 2],
) -> opencv::Result<Vec<Area>> {
    let (mut grey, mut small) = (Mat::default(), Mat::default());
    imgproc::cvt_color_def(picture, &mut grey, imgproc::COLOR_BGR2GRAY)?;
    let side = |pixels: i32| (f64::from(pixels) * factor).round().max(1.0) as i32;
    let size = CvSize::new(side(picture.cols()), side(picture.rows()));
    imgproc::resize(&grey, &mut small, size, 0.0, 0.0, imgproc::INTER_AREA)?;
    let (mut found, mut agreed) = (Vector::<Rect>::new(), Vector::<i32>::new());
    let [least, most] =
        sides.map(|side| CvSize::new((side * factor) as i32, (side * factor) as i32));
    cascade.detect_multi_scale2(&small, &mut found, &mut agreed, 1.1, 4, 0, least, most)?;
    let full =
        |area: Rect| [area.x, area.y, area.width, area.height].map(|n| f64::from(n) / factor);
    Ok(found.iter().map(full).zip(agreed).collect())
}
