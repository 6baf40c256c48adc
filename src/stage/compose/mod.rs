//! Draws the mouth onto the picture, in I420, touching only its region.
//!
//! [`Compositor::crop`] cuts out what the model wants to see, [`Compositor::draw`]
//! puts back what it returned: as a difference where the model keeps its
//! reference, else colour-matched and feathered. Both map between the model's
//! pixels and the picture's by one scale and one offset (see [`Place`]).

mod colour; // I420 <-> the model's planes

use opencv::core::{
    BORDER_CONSTANT, BORDER_REPLICATE, Mat, Scalar, Size as CvSize, set_num_threads,
};
use opencv::imgproc::{INTER_CUBIC, INTER_LINEAR, WARP_INVERSE_MAP, warp_affine};

use crate::avatar::Face;
use crate::model::{ColourOrder, Edit, FaceBox, Manifest, Returns};
use crate::pool::Size;

use colour::{planes_from_yuv, yuv_from_planes};

/// Why a picture can't be drawn. OpenCV refuses only what is a bug of ours.
#[derive(Debug, thiserror::Error)]
#[error("OpenCV can't draw the mouth: {0}")]
pub struct Error(#[from] opencv::Error);

/// Draws mouths on the pictures of one avatar, for one model.
pub struct Compositor {
    size: Size,
    side: usize,
    face_box: FaceBox,
    order: ColourOrder,
    returns: Returns,
    edit: Edit,
    /// How much of the mouth is drawn, 0–1, for each pixel of the edit.
    mask: Vec<f32>,
    /// The face at the model's size, as Y, U and V.
    face: [Vec<u8>; 3],
    /// What is drawn, at the model's size, as Y, U and V.
    drawn: [Vec<f32>; 3],
    /// Whether a mouth was ever drawn.
    has_drawn: bool,
    /// One plane of the same, and of the mask, at the picture's size.
    region: [Vec<f32>; 2],
}

/// Where the model's square lies in the picture: a pixel of the picture is
/// `scale` times a pixel of the model, plus `origin`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    scale: f64,
    origin: [f64; 2],
}

/// The part of a plane that is drawn on, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Compositor {
    /// A compositor for pictures of `size` and a model whose square has `side` pixels.
    ///
    /// # Errors
    ///
    /// When OpenCV can't be held to one thread.
    pub fn new(size: Size, side: usize, model: &Manifest) -> Result<Self, Error> {
        set_num_threads(1)?;
        let edit = model.edit.unwrap_or(Edit {
            columns: [side / 10, side - side / 10],
            rows: [side / 2, side],
            fade: side / 10,
        });
        let mask = mask(edit);
        Ok(Self {
            size,
            side,
            face_box: model.face_box,
            order: model.colour,
            returns: model.returns,
            edit,
            face: std::array::from_fn(|_| vec![0; side * side]),
            drawn: std::array::from_fn(|_| vec![0.0; mask.len()]),
            has_drawn: false,
            mask,
            region: [Vec::new(), Vec::new()],
        })
    }

    /// Writes the face of the picture `i420` into `reference`: three planes of
    /// side x side, 0–1, in the model's colour order. What lies outside the
    /// picture repeats its border.
    ///
    /// # Errors
    ///
    /// When OpenCV fails, which would be a bug.
    pub fn crop(&mut self, i420: &[u8], face: Face, reference: &mut [f32]) -> Result<(), Error> {
        let place = self.place(face);
        let side = self.side as i32;
        let Size { width, height } = self.size;
        for (n, plane) in self.size.planes(i420).into_iter().enumerate() {
            let (half, place) = if n == 0 {
                (1, place)
            } else {
                (2, place.chroma())
            };
            let from =
                Mat::new_rows_cols_with_data((height / half) as i32, (width / half) as i32, plane)?;
            let mut to = Mat::new_rows_cols_with_data_mut(side, side, &mut self.face[n])?;
            warp(
                &from,
                &mut to,
                place.affine([0.0; 2]),
                INTER_LINEAR,
                BORDER_REPLICATE,
            )?;
        }
        let [y, u, v] = &self.face;
        planes_from_yuv([y, u, v], self.order, reference);
        Ok(())
    }

    /// Draws the model's output onto the picture `i420`, which the reference was
    /// cut from. `weight` is how much of the mouth shows, 0–1: at 0 not a byte changes.
    ///
    /// # Errors
    ///
    /// When OpenCV fails, which would be a bug.
    pub fn draw(
        &mut self,
        i420: &mut [u8],
        face: Face,
        (reference, out): (&[f32], &[f32]),
        weight: f32,
    ) -> Result<(), Error> {
        if weight <= 0.0 {
            return Ok(());
        }
        match self.returns {
            Returns::Residual => self.difference(reference, out),
            Returns::Face => self.painted(reference, out),
        }
        self.has_drawn = true;
        self.repeat(i420, face, weight)
    }

    /// Draws the same mouth as last time, for when the model failed. Without a
    /// last time nothing is drawn.
    ///
    /// # Errors
    ///
    /// When OpenCV fails, which would be a bug.
    pub fn repeat(&mut self, i420: &mut [u8], face: Face, weight: f32) -> Result<(), Error> {
        if !self.has_drawn || weight <= 0.0 {
            return Ok(());
        }
        let weight = weight.min(1.0);
        let place = self.place(face);
        let size = self.size;
        for (n, plane) in size.planes_mut(i420).into_iter().enumerate() {
            let (half, place) = if n == 0 {
                (1, place)
            } else {
                (2, place.chroma())
            };
            let size = Size {
                width: size.width / half,
                height: size.height / half,
            };
            let Some(region) = self.region(place, size) else {
                return Ok(());
            };
            let [drawn, mask] = &mut self.region;
            enlarge(&self.drawn[n], self.edit, place, region, drawn)?;
            let rows = plane
                .chunks_exact_mut(size.width)
                .skip(region.top)
                .zip(drawn.chunks_exact(region.width));
            match self.returns {
                Returns::Residual => {
                    for (row, drawn) in rows {
                        let row = &mut row[region.left..][..region.width];
                        for (pixel, difference) in row.iter_mut().zip(drawn) {
                            // Adding a half and cutting rounds; `as` holds it in 0..=255.
                            *pixel = (f32::from(*pixel) + difference * weight + 0.5) as u8;
                        }
                    }
                }
                Returns::Face => {
                    enlarge(&self.mask, self.edit, place, region, mask)?;
                    for ((row, drawn), mask) in rows.zip(mask.chunks_exact(region.width)) {
                        let row = &mut row[region.left..][..region.width];
                        for ((pixel, drawn), mask) in row.iter_mut().zip(drawn).zip(mask) {
                            let share = mask.clamp(0.0, 1.0) * weight;
                            let old = f32::from(*pixel);
                            *pixel = (old + (drawn - old) * share + 0.5) as u8;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn place(&self, face: Face) -> Place {
        let side = f64::from(self.face_box.side * face.scale());
        Place {
            scale: side / self.side as f64,
            origin: std::array::from_fn(|n| {
                f64::from(face.mouth[n]) - side * f64::from(self.face_box.mouth[n])
            }),
        }
    }

    /// The part of a plane of `size` that the edit covers, or `None` when it
    /// lies outside.
    fn region(&self, place: Place, size: Size) -> Option<Region> {
        let span = |[from, to]: [usize; 2], origin: f64, most: usize| {
            let from = (from as f64 * place.scale + origin).floor().max(0.0) as usize;
            let to = ((to as f64 * place.scale + origin).ceil().max(0.0) as usize).min(most);
            (from < to).then_some((from, to - from))
        };
        let (left, width) = span(self.edit.columns, place.origin[0], size.width)?;
        let (top, height) = span(self.edit.rows, place.origin[1], size.height)?;
        Some(Region {
            left,
            top,
            width,
            height,
        })
    }

    /// What the model changed, faded towards the edit's border.
    fn difference(&mut self, reference: &[f32], out: &[f32]) {
        let (side, mask) = (self.side, &self.mask);
        yuv_from_planes(self.edit, side, self.order, &mut self.drawn, |plane, at| {
            out[plane * side * side + at] - reference[plane * side * side + at]
        });
        for plane in &mut self.drawn {
            for (value, mask) in plane.iter_mut().zip(mask) {
                *value *= mask;
            }
        }
    }

    /// What the model painted, in the picture's own tone: the mean over the
    /// fading border is made that of the reference.
    fn painted(&mut self, reference: &[f32], out: &[f32]) {
        let side = self.side;
        yuv_from_planes(self.edit, side, self.order, &mut self.drawn, |plane, at| {
            reference[plane * side * side + at] - out[plane * side * side + at]
        });
        let border = |mask: &f32| f32::from(*mask > 0.02 && *mask < 0.6);
        let count: f32 = self.mask.iter().map(border).sum();
        let tone = std::array::from_fn::<f32, 3, _>(|n| {
            let pairs = self.drawn[n].iter().zip(&self.mask);
            pairs.map(|(d, mask)| d * border(mask)).sum::<f32>() / count.max(1.0)
        });
        yuv_from_planes(self.edit, side, self.order, &mut self.drawn, |plane, at| {
            out[plane * side * side + at]
        });
        // Limited range: black is 16, no colour 128.
        for (plane, more) in
            self.drawn
                .iter_mut()
                .zip([16.0 + tone[0], 128.0 + tone[1], 128.0 + tone[2]])
        {
            plane.iter_mut().for_each(|value| *value += more);
        }
    }
}

impl Place {
    /// The same place in a plane of half the size, whose samples lie between
    /// the picture's pixels.
    fn chroma(self) -> Self {
        Self {
            scale: self.scale / 2.0,
            origin: self.origin.map(|o| (o - 0.5) / 2.0),
        }
    }

    /// From pixels of the model, less `start`, to pixels of the picture.
    fn affine(self, start: [f64; 2]) -> [f64; 6] {
        let k = self.scale;
        let [x, y] = [0, 1].map(|n| self.origin[n] + k * start[n]);
        [k, 0.0, x, 0.0, k, y]
    }
}

/// Brings one plane of the edit to the picture's size, cubic.
fn enlarge(
    plane: &[f32],
    edit: Edit,
    place: Place,
    region: Region,
    to: &mut Vec<f32>,
) -> Result<(), Error> {
    to.resize(region.width * region.height, 0.0);
    let [width, height] = [edit.columns, edit.rows].map(|[from, to]| (to - from) as i32);
    let from = Mat::new_rows_cols_with_data(height, width, plane)?;
    let mut to = Mat::new_rows_cols_with_data_mut(region.height as i32, region.width as i32, to)?;
    // Backwards: from pixels of the region to pixels of the edit.
    let k = 1.0 / place.scale;
    let back =
        |corner: usize, origin: f64, start: usize| (corner as f64 - origin) * k - start as f64;
    let x = back(region.left, place.origin[0], edit.columns[0]);
    let y = back(region.top, place.origin[1], edit.rows[0]);
    warp(
        &from,
        &mut to,
        [k, 0.0, x, 0.0, k, y],
        INTER_CUBIC,
        BORDER_CONSTANT,
    )
}

/// Fills `to` from `from`; `affine` maps pixels of `to` to pixels of `from`.
fn warp(
    from: &opencv::boxed_ref::BoxedRef<'_, Mat>,
    to: &mut opencv::boxed_ref::BoxedRefMut<'_, Mat>,
    affine: [f64; 6],
    interpolation: i32,
    border: i32,
) -> Result<(), Error> {
    use opencv::prelude::*;
    let size = CvSize::new(to.cols(), to.rows());
    let memory = to.data();
    let affine = Mat::new_rows_cols_with_data(2, 3, &affine)?;
    warp_affine(
        from,
        to,
        &affine,
        size,
        interpolation | WARP_INVERSE_MAP,
        border,
        Scalar::all(0.0),
    )?;
    // OpenCV would silently draw somewhere else if size or type didn't fit.
    assert_eq!(to.data(), memory, "OpenCV draws into our memory");
    Ok(())
}

/// One inside the edit, falling smoothly to zero over `fade` pixels at its border.
fn mask(edit: Edit) -> Vec<f32> {
    let ramp = |n: usize, [from, to]: [usize; 2]| {
        let inside = (n - from).min(to - 1 - n) as f32;
        (inside / edit.fade.max(1) as f32).min(1.0)
    };
    let mut mask = Vec::new();
    for row in edit.rows[0]..edit.rows[1] {
        for column in edit.columns[0]..edit.columns[1] {
            let share = ramp(row, edit.rows) * ramp(column, edit.columns);
            mask.push(share * share * (3.0 - 2.0 * share));
        }
    }
    mask
}

#[cfg(test)]
mod tests;
