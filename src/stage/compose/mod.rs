//! Draws the mouth onto the picture, in I420, touching only its region.
//!
//! [`Compositor::crop`] cuts out what the model wants to see, [`Compositor::draw`]
//! puts back what it returned: as a difference where the model keeps its
//! reference, else colour-matched and feathered. Both map between the model's
//! pixels and the picture's by one scale and one offset (see [`Place`]).

mod colour; // I420 <-> the model's planes
mod mix; // two pictures -> one between them

use crate::avatar::Face;
use crate::model::{ColourOrder, Edit, FaceBox, Manifest, Reads, Returns};
use crate::pool::Size;
use crate::scale::{Axis, scale};

pub use mix::mix;

use colour::{planes_from_yuv, yuv_from_planes};

/// Draws mouths on the pictures of one avatar, for one model.
pub struct Compositor {
    size: Size,
    side: usize,
    face_box: FaceBox,
    order: ColourOrder,
    returns: Returns,
    edit: Edit,
    /// The columns and rows of the square that the model looks at.
    seen: [[usize; 2]; 2],
    /// How much of the mouth is drawn, 0–1, for each pixel of the edit.
    mask: Vec<f32>,
    /// What is drawn, at the model's size, as Y, U and V.
    drawn: [Vec<f32>; 3],
    /// Whether a mouth was ever drawn.
    has_drawn: bool,
    /// One plane of the same, and of the mask, at the picture's size.
    region: [Vec<f32>; 2],
    enlarger: Enlarger,
    /// Filters of the crop's columns and rows: as they are, or the means of pixels.
    linear: [Axis<2>; 2],
    means: [Axis<16>; 2],
    averages: bool,
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
    pub fn new(size: Size, side: usize, model: &Manifest) -> Self {
        let edit = model.edit(side);
        let mask = mask(edit);
        Self {
            size,
            side,
            face_box: model.face_box(),
            order: model.colour,
            returns: model.returns,
            edit,
            seen: match model.reads {
                Reads::Face => [[0, side]; 2],
                Reads::Edit => [edit.columns, edit.rows],
            },
            drawn: std::array::from_fn(|_| vec![0.0; mask.len()]),
            has_drawn: false,
            mask,
            region: [Vec::new(), Vec::new()],
            enlarger: Enlarger::default(),
            linear: Default::default(),
            means: Default::default(),
            averages: model.family.averages(),
        }
    }

    /// Writes the face of the picture `i420` into `reference`: three planes of
    /// side x side, 0–1, in the model's colour order, as far as the model looks at
    /// them. What lies outside the picture repeats its border.
    pub fn crop(&mut self, i420: &[u8], face: Face, reference: &mut [f32]) {
        let (place, side) = (self.place(face), self.side);
        let [[left, right], [top, bottom]] = self.seen;
        let [width, height] = [right - left, bottom - top];
        let planes = self.size.planes(i420).into_iter();
        // As Y, U and V at first.
        let to = reference.chunks_exact_mut(side * side);
        for (n, (from, to)) in planes.zip(to).enumerate() {
            let (place, size) = self.plane(n, place);
            let ([x, _], [_, y]) = (place.at(left), place.at(top));
            let to = to.chunks_exact_mut(side).skip(top);
            let to = to.map(|row| &mut row[left..right]);
            let between = &mut self.enlarger.between;
            if self.averages && Axis::STEPS.contains(&place.scale) {
                let [columns, rows] = &mut self.means;
                columns.mean(width, place.scale, x, size.width);
                rows.mean(height, place.scale, y, size.height);
                scale(from, size.width, columns, rows, between, to);
            } else {
                let [columns, rows] = &mut self.linear;
                columns.linear(width, place.scale, x, size.width);
                rows.linear(height, place.scale, y, size.height);
                scale(from, size.width, columns, rows, between, to);
            }
        }
        let (first, rest) = reference.split_at_mut(side * side);
        let (second, third) = rest.split_at_mut(side * side);
        let rows = [first, second, third].map(|plane| plane.chunks_exact_mut(side));
        let [first, second, third] = rows;
        for ((first, second), third) in first.zip(second).zip(third).take(bottom).skip(top) {
            let row = [first, second, third].map(|row| &mut row[left..right]);
            planes_from_yuv(self.order, row);
        }
    }

    /// Draws the model's output onto the picture `i420`, which the reference was
    /// cut from. `weight` is how much of the mouth shows, 0–1: at 0 not a byte changes.
    pub fn draw(
        &mut self,
        i420: &mut [u8],
        face: Face,
        (reference, out): (&[f32], &[f32]),
        weight: f32,
    ) {
        if weight <= 0.0 {
            return;
        }
        match self.returns {
            Returns::Residual => self.difference(reference, out),
            Returns::Face => self.painted(reference, out),
        }
        self.has_drawn = true;
        self.repeat(i420, face, weight);
    }

    /// Draws the same mouth as last time, for when the model failed. Without a
    /// last time nothing is drawn.
    pub fn repeat(&mut self, i420: &mut [u8], face: Face, weight: f32) {
        if !self.has_drawn || weight <= 0.0 {
            return;
        }
        let weight = weight.min(1.0);
        let place = self.place(face);
        for (n, plane) in self.size.planes_mut(i420).into_iter().enumerate() {
            let (place, size) = self.plane(n, place);
            let Some(region) = self.region(place, size) else {
                return;
            };
            let [drawn, mask] = &mut self.region;
            self.enlarger.set(self.edit, place, region);
            self.enlarger.enlarge(&self.drawn[n], drawn);
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
                    self.enlarger.enlarge(&self.mask, mask);
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
    }

    /// The place in plane `n` of a picture, and that plane's size.
    fn plane(&self, n: usize, place: Place) -> (Place, Size) {
        let Size { width, height } = self.size;
        if n == 0 {
            return (place, self.size);
        }
        let half = Size {
            width: width / 2,
            height: height / 2,
        };
        (place.chroma(), half)
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
        self.edited(reference, out, |reference, out| out - reference);
        for plane in &mut self.drawn {
            for (value, mask) in plane.iter_mut().zip(&self.mask) {
                *value *= mask;
            }
        }
    }

    /// What the model painted, in the picture's own tone: the mean over the
    /// fading border is made that of the reference.
    fn painted(&mut self, reference: &[f32], out: &[f32]) {
        self.edited(reference, out, |reference, out| reference - out);
        let border = |mask: &f32| f32::from(*mask > 0.02 && *mask < 0.6);
        let count: f32 = self.mask.iter().map(border).sum();
        let tone = std::array::from_fn::<f32, 3, _>(|n| {
            let pairs = self.drawn[n].iter().zip(&self.mask);
            pairs.map(|(d, mask)| d * border(mask)).sum::<f32>() / count.max(1.0)
        });
        self.edited(reference, out, |_, out| out);
        // Limited range: black is 16, no colour 128.
        for (plane, more) in
            self.drawn
                .iter_mut()
                .zip([16.0 + tone[0], 128.0 + tone[1], 128.0 + tone[2]])
        {
            plane.iter_mut().for_each(|value| *value += more);
        }
    }

    /// Draws what `value` makes of the reference's and the output's pixels.
    fn edited(&mut self, reference: &[f32], out: &[f32], value: impl Fn(f32, f32) -> f32) {
        let Edit { columns, rows, .. } = self.edit;
        let width = columns[1] - columns[0];
        for (n, plane) in self.drawn.iter_mut().enumerate() {
            for (row, drawn) in (rows[0]..).zip(plane.chunks_exact_mut(width)) {
                let start = (n * self.side + row) * self.side + columns[0];
                let pixels = reference[start..].iter().zip(&out[start..]);
                for (drawn, (reference, out)) in drawn.iter_mut().zip(pixels) {
                    *drawn = value(*reference, *out);
                }
            }
        }
        yuv_from_planes(self.order, &mut self.drawn);
    }
}

impl Place {
    /// Where pixel `n` of the model's columns and rows lies.
    fn at(self, n: usize) -> [f64; 2] {
        self.origin.map(|origin| n as f64 * self.scale + origin)
    }

    /// The same place in a plane of half the size, whose samples lie between
    /// the picture's pixels.
    fn chroma(self) -> Self {
        Self {
            scale: self.scale / 2.0,
            origin: self.origin.map(|o| (o - 0.5) / 2.0),
        }
    }
}

/// Brings the edit to the picture's size.
#[derive(Default)]
struct Enlarger {
    /// Width before, and width and height after.
    width: usize,
    size: [usize; 2],
    columns: Axis<4>,
    rows: Axis<4>,
    between: Vec<f32>,
}

impl Enlarger {
    /// From the edit to `region`.
    fn set(&mut self, edit: Edit, place: Place, region: Region) {
        let step = 1.0 / place.scale;
        let start = |corner: usize, origin: f64, [from, _]: [usize; 2]| {
            (corner as f64 - origin) * step - from as f64
        };
        let x = start(region.left, place.origin[0], edit.columns);
        let y = start(region.top, place.origin[1], edit.rows);
        let [width, height] = [edit.columns, edit.rows].map(|[from, to]| to - from);
        self.columns.cubic(region.width, step, x, width);
        self.rows.cubic(region.height, step, y, height);
        self.width = width;
        self.size = [region.width, region.height];
    }

    fn enlarge(&mut self, plane: &[f32], to: &mut Vec<f32>) {
        let [width, height] = self.size;
        to.resize(width * height, 0.0);
        scale(
            plane,
            self.width,
            &self.columns,
            &self.rows,
            &mut self.between,
            to.chunks_exact_mut(width),
        );
    }
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
