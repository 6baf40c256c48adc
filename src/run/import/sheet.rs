//! Pictures about an import: the poster, the contact sheet with its boxes, and
//! the frames in which no face was found.

use std::path::Path;

use opencv::core::{CV_8UC3, Mat, Point, Rect, Scalar, Size as CvSize, Vector};
use opencv::prelude::*;
use opencv::{imgcodecs, imgproc};

use super::Error;
use super::features::pixel;
use crate::avatar::Face;
use crate::pool::Size;

/// Pictures of a sheet, each way.
const GRID: [usize; 2] = [4, 3];
/// Columns of one of them.
const WIDTH: i32 = 300;
/// The square that the bundled model sees, in distances from the eyes to the
/// mouth, and where the mouth is in it.
const BOX: (f32, [f32; 2]) = (2.93, [0.5, 0.589]);

/// A sheet that fills while the clip is looked through.
pub(super) struct Sheet {
    frames: usize,
    size: Size,
    sheet: Mat,
    filled: usize,
    /// The first picture, whole.
    poster: Mat,
}

impl Sheet {
    pub(super) fn new(frames: usize, size: Size) -> opencv::Result<Self> {
        let height = WIDTH * size.height as i32 / size.width as i32;
        let [columns, rows] = GRID.map(|n| n as i32);
        Ok(Self {
            frames,
            size,
            sheet: Mat::new_rows_cols_with_default(
                rows * height,
                columns * WIDTH,
                CV_8UC3,
                Scalar::all(24.0),
            )?,
            filled: 0,
            poster: Mat::default(),
        })
    }

    /// Takes frame `n` in if it is one of the sheet's.
    pub(super) fn add(&mut self, n: usize, i420: &[u8], face: Option<Face>) -> opencv::Result<()> {
        let places = GRID[0] * GRID[1];
        if self.filled == places || n < self.filled * self.frames / places {
            return Ok(());
        }
        let Size { width, height } = self.size;
        let planes = Mat::new_rows_cols_with_data(height as i32 * 3 / 2, width as i32, i420)?;
        let mut picture = Mat::default();
        imgproc::cvt_color_def(&planes, &mut picture, imgproc::COLOR_YUV2BGR_I420)?;
        if n == 0 {
            self.poster = picture.try_clone()?;
        }
        mark(&mut picture, face)?;
        let place = self.filled as i32;
        let columns = GRID[0] as i32;
        let tall = self.sheet.rows() / GRID[1] as i32;
        let area = Rect::new(place % columns * WIDTH, place / columns * tall, WIDTH, tall);
        let mut small = Mat::default();
        let size = CvSize::new(WIDTH, tall);
        imgproc::resize(&picture, &mut small, size, 0.0, 0.0, imgproc::INTER_AREA)?;
        label(&mut small, &format!("{n}"))?;
        let mut to = Mat::roi_mut(&mut self.sheet, area)?;
        small.copy_to(&mut to)?;
        self.filled += 1;
        Ok(())
    }

    /// Writes `poster.jpg` and `faces.jpg` into `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        save(&folder.join("poster.jpg"), &self.poster)?;
        save(&folder.join("faces.jpg"), &self.sheet)
    }
}

/// Draws the eyes, the mouth and the model's square.
fn mark(picture: &mut Mat, face: Option<Face>) -> opencv::Result<()> {
    let Some(face) = face else {
        return Ok(());
    };
    let thick = (picture.cols() / 240).max(1);
    let (factor, [x, y]) = BOX;
    let side = factor * face.scale();
    let [left, top] = [face.mouth[0] - x * side, face.mouth[1] - y * side];
    let line = imgproc::LINE_AA;
    let green = Scalar::new(90.0, 220.0, 60.0, 0.0);
    imgproc::rectangle_points(
        picture,
        pixel([left, top]),
        pixel([left + side, top + side]),
        green,
        thick,
        line,
        0,
    )?;
    for (at, colour) in [
        (face.eyes, Scalar::new(255.0, 160.0, 40.0, 0.0)),
        (face.mouth, Scalar::new(60.0, 60.0, 255.0, 0.0)),
    ] {
        imgproc::circle(
            picture,
            pixel(at),
            2 * thick,
            colour,
            imgproc::FILLED,
            line,
            0,
        )?;
    }
    Ok(())
}

fn label(picture: &mut Mat, text: &str) -> opencv::Result<()> {
    for (colour, thick) in [(Scalar::all(0.0), 3), (Scalar::all(255.0), 1)] {
        let font = imgproc::FONT_HERSHEY_SIMPLEX;
        let at = Point::new(6, 18);
        imgproc::put_text(
            picture,
            text,
            at,
            font,
            0.5,
            colour,
            thick,
            imgproc::LINE_AA,
            false,
        )?;
    }
    Ok(())
}

/// Writes a picture.
pub(super) fn save(path: &Path, picture: &Mat) -> Result<(), Error> {
    let quality = Vector::from_slice(&[imgcodecs::IMWRITE_JPEG_QUALITY, 88]);
    let mut bytes = Vector::new();
    imgcodecs::imencode(".jpg", picture, &mut bytes, &quality)?;
    std::fs::write(path, bytes.as_slice()).map_err(|source| Error::write(path, source))
}
