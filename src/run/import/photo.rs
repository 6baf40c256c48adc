//! A photo that lives: it breathes and sways a little, in a loop without a seam.
//!
//! Each picture is the photo with its person moved by a smooth field: the head
//! sways and rolls about the neck, the shoulders rise with the breath, the
//! borders stay. Eyelids aren't moved: nothing of what is under them is known.

use std::f64::consts::TAU;

use opencv::core::{CV_32FC1, Mat, Scalar};
use opencv::imgproc;
use opencv::prelude::*;

use crate::avatar::Face;
use crate::media::FPS;

/// Length of the loop in frames: 8 s, in which it breathes twice.
pub(super) const FRAMES: usize = 8 * FPS as usize;
/// How far the head sways, in distances from the eyes to the mouth.
const SWAY: f64 = 0.030;
/// How far it rolls, in radians.
const ROLL: f64 = 0.010;
/// How far the shoulders rise, in distances from the eyes to the mouth.
const BREATH: f64 = 0.022;

/// A photo and its face.
pub(super) struct Photo {
    still: Mat,
    face: Face,
    /// Where each pixel comes from.
    maps: [Mat; 2],
}

impl Photo {
    /// `still` is at the avatar's size, and `face` in its pixels.
    pub(super) fn new(still: Mat, face: Face) -> opencv::Result<Self> {
        let map = || {
            Mat::new_rows_cols_with_default(still.rows(), still.cols(), CV_32FC1, Scalar::default())
        };
        let maps = [map()?, map()?];
        Ok(Self { still, face, maps })
    }

    /// Draws frame `n` of the loop. Returns where the face is in it.
    pub(super) fn draw(&mut self, n: usize, picture: &mut Mat) -> opencv::Result<Face> {
        let moment = Moment::new(self.face, n, [self.still.cols(), self.still.rows()]);
        let [xs, ys] = &mut self.maps;
        let lowest = f64::from(self.still.rows() - 2);
        for row in 0..self.still.rows() {
            let (xs, ys) = (xs.at_row_mut::<f32>(row)?, ys.at_row_mut::<f32>(row)?);
            for (column, (x, y)) in xs.iter_mut().zip(ys).enumerate() {
                let at = [column as f64, f64::from(row)];
                let moved = moment.moved(at);
                *x = (at[0] - moved[0]) as f32;
                // Below the picture there is nothing, which the filter mustn't see.
                *y = (at[1] - moved[1]).min(lowest) as f32;
            }
        }
        // The form without a border's kind is the one that every OpenCV has.
        let [xs, ys] = &self.maps;
        imgproc::remap_def(&self.still, picture, xs, ys, imgproc::INTER_CUBIC)?;
        Ok(moment.carried(self.face))
    }
}

/// The field at one moment.
struct Moment {
    /// The middle of the head, and the neck it turns about.
    head: [f64; 2],
    neck: [f64; 2],
    /// Distance from the eyes to the mouth: the unit.
    unit: f64,
    size: [f64; 2],
    sway: [f64; 2],
    roll: f64,
    breath: f64,
}

impl Moment {
    fn new(face: Face, n: usize, size: [i32; 2]) -> Self {
        let turn = TAU * n as f64 / FRAMES as f64;
        let unit = f64::from(face.scale());
        let [x, y] = face.mouth.map(f64::from);
        let [ex, ey] = face.eyes.map(f64::from);
        // Harmonics of the loop, so that it closes in place and in speed.
        let side = 0.7 * turn.sin() + 0.3 * (2.0 * turn + 1.1).sin();
        let nod = 0.6 * (turn + 2.0).sin() + 0.4 * (3.0 * turn).sin();
        Self {
            head: [(x + ex) / 2.0, (y + ey) / 2.0],
            neck: [x, y + 1.1 * unit],
            unit,
            size: size.map(f64::from),
            sway: [SWAY * unit * side, 0.45 * SWAY * unit * nod],
            roll: ROLL * (0.8 * (turn + 0.4).sin() + 0.2 * (2.0 * turn).cos()),
            breath: -BREATH * unit * (0.5 - 0.5 * (2.0 * turn).cos()),
        }
    }

    /// How far what is at `at` was moved there.
    fn moved(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let u = self.unit;
        let far = (x - self.head[0]).hypot((y - self.head[1]) * 0.85) / u;
        let head = 1.0 - smooth((far - 1.5) / 2.6);
        let aside = (x - self.neck[0]).abs() / u;
        let body =
            smooth((y - self.neck[1] + 0.5 * u) / (1.6 * u)) * (1.0 - smooth((aside - 1.6) / 3.2));
        // The picture's frame stands still, but for the lower edge, which the body leaves.
        let edge = (x.min(self.size[0] - 1.0 - x)).min(y) / (0.5 * u);
        let free = smooth(edge);
        let roll = [
            -self.roll * (y - self.neck[1]),
            self.roll * (x - self.neck[0]),
        ];
        [
            free * (head * (self.sway[0] + roll[0]) + 0.25 * (1.0 - head) * body * self.sway[0]),
            free * (head * (self.sway[1] + roll[1] + 0.5 * self.breath)
                + (1.0 - 0.5 * head) * body * self.breath),
        ]
    }

    fn carried(&self, face: Face) -> Face {
        let carry = |at: [f32; 2]| {
            let still = at.map(f64::from);
            let mut now = still;
            // The field is told where things went to; it is flat, so this settles at once.
            for _ in 0..4 {
                let moved = self.moved(now);
                now = [still[0] + moved[0], still[1] + moved[1]];
            }
            now.map(|x| x as f32)
        };
        Face {
            eyes: carry(face.eyes),
            mouth: carry(face.mouth),
        }
    }
}

/// From 0 at 0 to 1 at 1, without a corner.
fn smooth(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: Face = Face {
        eyes: [200.0, 180.0],
        mouth: [202.0, 260.0],
    };

    fn place(n: usize) -> Face {
        Moment::new(FACE, n, [400, 600]).carried(FACE)
    }

    #[test]
    fn the_loop_closes_and_no_step_is_larger_than_any_other() {
        let step = |n: usize| {
            let (a, b) = (place(n), place((n + 1) % FRAMES));
            (a.mouth[0] - b.mouth[0]).hypot(a.mouth[1] - b.mouth[1])
        };
        let largest = (0..FRAMES - 1).map(step).fold(0.0, f32::max);
        assert!(step(FRAMES - 1) <= largest && largest < 0.3, "{largest}");
        let widest = (0..FRAMES)
            .map(|n| (place(n).eyes[0] - 200.0).abs())
            .fold(0.0, f32::max);
        assert!((1.0..6.0).contains(&widest), "{widest}");
    }

    #[test]
    fn the_frame_of_the_picture_stands_still() {
        for n in (0..FRAMES).step_by(17) {
            let moment = Moment::new(FACE, n, [400, 600]);
            for at in [[0.0, 300.0], [399.0, 250.0], [200.0, 0.0]] {
                assert_eq!(moment.moved(at), [0.0, 0.0]);
            }
        }
    }
}
