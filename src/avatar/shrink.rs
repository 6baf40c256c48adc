//! An avatar's pictures at a smaller size than its clips have: each pixel the mean of
//! those that it stands for.

use super::Face;
use crate::pool::Size;
use crate::scale::{Axis, scale};

/// The largest size of the shape of `clip` that lies within `within`: never a larger
/// one than the clip's, nor one smaller than [`Axis::STEPS`] reaches.
pub(super) fn fit(clip: Size, within: Size) -> Size {
    let side = |own: usize, most: usize| most as f64 / own as f64;
    let share = side(clip.width, within.width).min(side(clip.height, within.height));
    let share = share.clamp(1.0 / Axis::STEPS.end(), 1.0);
    // Even, as I420 wants them.
    let even = |own: usize| ((own as f64 * share / 2.0).round() as usize * 2).max(2);
    Size {
        width: even(clip.width),
        height: even(clip.height),
    }
}

/// Where a face of a picture of size `from` is when that has become one of size `to`.
pub(super) fn face(face: Face, from: Size, to: Size) -> Face {
    let [x, y] = [(to.width, from.width), (to.height, from.height)]
        .map(|(to, from)| to as f32 / from as f32);
    // Pixels' middles are at whole numbers, and their borders half a pixel off.
    let place = |[a, b]: [f32; 2]| [(a + 0.5) * x - 0.5, (b + 0.5) * y - 0.5];
    Face {
        eyes: place(face.eyes),
        mouth: place(face.mouth),
    }
}

/// Makes planes smaller.
#[derive(Debug, Default)]
pub(super) struct Shrinker {
    columns: Axis<16>,
    rows: Axis<16>,
    between: Vec<f32>,
    plane: Vec<f32>,
}

impl Shrinker {
    /// Fills `to`, a plane of size `small`, from `plane`, one of size `large` whose
    /// rows are `stride` long.
    pub fn shrink(&mut self, plane: &[u8], stride: usize, large: Size, small: Size, to: &mut [u8]) {
        let axis = |axis: &mut Axis<16>, small: usize, large: usize| {
            let step = large as f64 / small as f64;
            axis.mean(small, step, (step - 1.0) / 2.0, large);
        };
        axis(&mut self.columns, small.width, large.width);
        axis(&mut self.rows, small.height, large.height);
        self.plane.resize(to.len(), 0.0);
        let (columns, rows) = (&self.columns, &self.rows);
        scale(
            plane,
            stride,
            columns,
            rows,
            &mut self.between,
            self.plane.chunks_exact_mut(small.width),
        );
        for (to, mean) in to.iter_mut().zip(&self.plane) {
            *to = (mean + 0.5) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(width: usize, height: usize) -> Size {
        Size { width, height }
    }

    #[test]
    fn what_fits_keeps_its_shape_and_never_grows() {
        let clip = size(576, 720);
        assert_eq!(fit(clip, size(288, 720)), size(288, 360));
        assert_eq!(fit(clip, size(4000, 360)), size(288, 360));
        assert_eq!(fit(clip, size(4000, 4000)), clip);
        assert_eq!(fit(clip, size(101, 4000)), size(102, 126));
        let least = fit(size(4096, 4096), size(2, 2));
        assert!((292..=294).contains(&least.width), "{least:?}");
    }

    #[test]
    fn a_pixel_is_the_mean_of_those_that_it_stands_for() {
        // Rows of 16 pixels, with two more that belong to nobody.
        let pixel = |row: u8, column: u8| if column < 16 { 10 * row + column } else { 255 };
        let plane: Vec<u8> = (0..18)
            .flat_map(|row| (0..18).map(move |column| pixel(row, column)))
            .collect();
        let mut to = [0; 48];
        Shrinker::default().shrink(&plane, 18, size(16, 18), size(8, 6), &mut to);
        // Means of two columns and three rows, rounded up at the half.
        let wanted: Vec<u8> = (0..6)
            .flat_map(|row| (0..8).map(move |column| 10 * (3 * row + 1) + 2 * column + 1))
            .collect();
        assert_eq!(to, wanted[..]);
    }

    #[test]
    fn a_face_stays_in_its_place() {
        let place = Face {
            eyes: [99.5, 49.5],
            mouth: [99.5, 149.5],
        };
        let small = face(place, size(200, 200), size(100, 50));
        assert_eq!(small.eyes, [49.5, 12.0]);
        assert_eq!(small.mouth, [49.5, 37.0]);
    }
}
