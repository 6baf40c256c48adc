//! Where the same face is in the next picture, to a fraction of a pixel.
//!
//! A template of brows, eyes and nose is laid on each picture by the similarity
//! that fits best (B. D. Lucas and T. Kanade 1981, in the inverse form of S. Baker
//! and I. Matthews 2004), with a gain and an offset for the light. Pixels that
//! don't fit, such as a blink, weigh little. Every picture is compared with the
//! template itself, so that nothing drifts.

use opencv::core::{Mat, Rect, Size as CvSize};
use opencv::imgproc;
use opencv::prelude::*;

/// Columns and rows of the template.
const GRID: [usize; 2] = [96, 64];
/// Half the surroundings of a template: itself, what a face may move by from one
/// frame to the next, and what the blur spreads.
const REACH: f64 = 96.0;
/// Blur of the coarse level in pixels of the template: how far a face may move
/// from one frame to the next is a few times that.
const COARSE: f64 = 3.0;
/// Steps of the solver, coarse and fine.
const STEPS: [usize; 2] = [10, 20];
/// A step smaller than this, in pixels of the template, is the last.
const SMALL: f64 = 0.008;
const UNKNOWNS: usize = 6;

/// A similarity from the template to the picture, in pixels of each. The
/// template's origin is its centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placement {
    /// Scale times the cosine of the turn.
    pub(super) a: f64,
    /// Scale times its sine.
    pub(super) b: f64,
    /// Where the template's centre lies.
    pub(super) at: [f64; 2],
}

impl Placement {
    /// Where the template's point `[u, v]` lies in the picture.
    pub(super) fn lay(&self, [u, v]: [f64; 2]) -> [f64; 2] {
        [
            self.a * u - self.b * v + self.at[0],
            self.b * u + self.a * v + self.at[1],
        ]
    }

    /// Which point of the template lies at `[x, y]` of the picture.
    pub(super) fn lift(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [x, y] = [x - self.at[0], y - self.at[1]];
        let square = self.a * self.a + self.b * self.b;
        [
            (self.a * x + self.b * y) / square,
            (self.a * y - self.b * x) / square,
        ]
    }

    /// Pixels of the picture for each of the template.
    pub(super) fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// The same place in a picture that is `factor` times as large.
    pub(super) fn enlarged(&self, factor: f64) -> Self {
        // A pixel's middle is at its whole coordinate.
        let shift = (factor - 1.0) / 2.0;
        Self {
            a: self.a * factor,
            b: self.b * factor,
            at: self.at.map(|x| x * factor + shift),
        }
    }

    /// This, after the inverse of the small change `[da, db, dx, dy]`.
    fn without(&self, [da, db, dx, dy]: [f64; 4]) -> Self {
        let change = Self {
            a: 1.0 + da,
            b: db,
            at: [dx, dy],
        };
        let square = change.a * change.a + change.b * change.b;
        let (a, b) = (change.a / square, -change.b / square);
        Self {
            a: self.a * a - self.b * b,
            b: self.a * b + self.b * a,
            at: self.lay(change.lift([0.0, 0.0])),
        }
    }
}

/// A grey picture, as it is and blurred.
pub(super) struct Grey {
    /// Where its first pixel lies.
    origin: [f64; 2],
    size: [usize; 2],
    levels: [Vec<u8>; 2],
}

impl Grey {
    /// The surroundings of `place` in `picture`, in grey at `factor` of its size, at
    /// most as large as it is.
    pub(super) fn new(picture: &Mat, factor: f64, place: Placement) -> opencv::Result<Self> {
        let (mut grey, mut small, mut blurred) = (Mat::default(), Mat::default(), Mat::default());
        // As many pixels for every picture that a template is laid on: rounding the
        // size of what is made smaller then moves nothing.
        let reach = (REACH / factor).ceil() as i32;
        let [x, y] = place.at.map(|x| x.round() as i32 - reach);
        let whole = Rect::new(0, 0, picture.cols(), picture.rows());
        let mut area = Rect::new(x, y, 2 * reach, 2 * reach) & whole;
        if area.empty() {
            area = Rect::new(0, 0, 1, 1);
        }
        imgproc::cvt_color_def(
            &Mat::roi(picture, area)?,
            &mut grey,
            imgproc::COLOR_BGR2GRAY,
        )?;
        let side = |pixels: i32| (f64::from(pixels) * factor).round().max(1.0) as i32;
        let size = CvSize::new(side(grey.cols()), side(grey.rows()));
        imgproc::resize(&grey, &mut small, size, 0.0, 0.0, imgproc::INTER_AREA)?;
        imgproc::gaussian_blur_def(&small, &mut blurred, CvSize::new(0, 0), COARSE)?;
        Ok(Self {
            origin: [area.x, area.y].map(|x| f64::from(x) * factor),
            size: [size.width as usize, size.height as usize],
            levels: [blurred.data_bytes()?.to_vec(), small.data_bytes()?.to_vec()],
        })
    }

    /// The value between four pixels, or `None` outside.
    fn at(&self, level: usize, [x, y]: [f64; 2]) -> Option<f32> {
        let [width, height] = self.size;
        let [x, y] = [x - self.origin[0], y - self.origin[1]];
        if !(x >= 0.0 && y >= 0.0 && x < (width - 1) as f64 && y < (height - 1) as f64) {
            return None;
        }
        let (left, top) = (x as usize, y as usize);
        let (fx, fy) = ((x - left as f64) as f32, (y - top as f64) as f32);
        let row = |n: usize| {
            let pair = &self.levels[level][(top + n) * width + left..][..2];
            f32::from(pair[0]) * (1.0 - fx) + f32::from(pair[1]) * fx
        };
        Some(row(0) * (1.0 - fy) + row(1) * fy)
    }
}

/// What a face looks like.
pub(super) struct Template {
    levels: [Level; 2],
}

struct Level {
    values: Vec<f32>,
    /// How the value changes with `[da, db, dx, dy]`.
    slopes: Vec<[f32; 4]>,
}

impl Template {
    /// Cuts the template out of `grey` at `place`. `None` when some of it lies outside.
    pub(super) fn cut(grey: &Grey, place: Placement) -> Option<Self> {
        let level = |level: usize| {
            let value = |u: f64, v: f64| grey.at(level, place.lay([u, v]));
            let mut cut = Level {
                values: Vec::new(),
                slopes: Vec::new(),
            };
            for [u, v] in grid(level) {
                cut.values.push(value(u, v)?);
                let x = (value(u + 1.0, v)? - value(u - 1.0, v)?) / 2.0;
                let y = (value(u, v + 1.0)? - value(u, v - 1.0)?) / 2.0;
                let (u, v) = (u as f32, v as f32);
                cut.slopes.push([x * u + y * v, y * u - x * v, x, y]);
            }
            Some(cut)
        };
        Some(Self {
            levels: [level(0)?, level(1)?],
        })
    }

    /// Lays the template on `grey`, from `start` on. Returns where it fits and
    /// how well: the correlation, 1 at best.
    pub(super) fn align(&self, grey: &Grey, start: Placement) -> (Placement, f64) {
        let mut place = start;
        let mut seen = vec![None; GRID[0] * GRID[1]];
        for (n, level) in self.levels.iter().enumerate() {
            let mut fit = None;
            for _ in 0..STEPS[n] {
                for (seen, point) in seen.iter_mut().zip(grid(n)) {
                    *seen = grey.at(n, place.lay(point));
                }
                let seen = &seen[..level.values.len()];
                let Some((step, next)) = level.step(seen, fit) else {
                    break;
                };
                place = place.without(step);
                fit = Some(next);
                let turn = step[0].hypot(step[1]) * GRID[0] as f64 / 2.0;
                if turn + step[2].hypot(step[3]) < SMALL {
                    break;
                }
            }
        }
        for (seen, point) in seen.iter_mut().zip(grid(1)) {
            *seen = grey.at(1, place.lay(point));
        }
        (place, self.levels[1].correlation(&seen))
    }
}

/// The coefficients of the last step, and how far pixels lie from it.
type Fit = ([f64; UNKNOWNS], f64);

impl Level {
    /// The change of place that explains what is `seen`, given the fit before.
    fn step(&self, seen: &[Option<f32>], before: Option<Fit>) -> Option<([f64; 4], Fit)> {
        let mut normal = [[0.0f64; UNKNOWNS + 1]; UNKNOWNS];
        let mut errors = Vec::with_capacity(seen.len());
        let light = before.map(|(fit, spread)| [fit[4], fit[5], spread * spread].map(|x| x as f32));
        let pixels = || seen.iter().zip(&self.values).zip(&self.slopes);
        for first in (0..seen.len()).step_by(GRID[0]) {
            // Short sums lose nothing in single precision, and take a third of the time.
            let mut sums = [[0.0f32; UNKNOWNS + 2]; UNKNOWNS];
            for ((seen, value), slope) in pixels().skip(first).take(GRID[0]) {
                let Some(seen) = *seen else { continue };
                let row = [
                    slope[0], slope[1], slope[2], slope[3], *value, 1.0, seen, 0.0,
                ];
                let weight = light.map_or(1.0, |[gain, offset, square]| {
                    // The place was changed meanwhile: only light is left to explain.
                    let error = seen - gain * value - offset;
                    errors.push(error.abs());
                    square / (square + error * error)
                });
                for (line, x) in sums.iter_mut().zip(row) {
                    let share = weight * x;
                    for (sum, y) in line.iter_mut().zip(row) {
                        *sum += share * y;
                    }
                }
            }
            for (line, sums) in normal.iter_mut().zip(sums) {
                for (sum, part) in line.iter_mut().zip(sums) {
                    *sum += f64::from(part);
                }
            }
        }
        let fit = solve(normal)?;
        let gain = fit[4];
        if !(0.2..5.0).contains(&gain) {
            return None;
        }
        let spread = if errors.is_empty() {
            12.0
        } else {
            let middle = errors.len() / 2;
            let (_, median, _) = errors.select_nth_unstable_by(middle, f32::total_cmp);
            2.0 * f64::from(*median) + 2.0
        };
        let step = std::array::from_fn(|n| fit[n] / gain);
        Some((step, (fit, spread)))
    }

    fn correlation(&self, seen: &[Option<f32>]) -> f64 {
        let pairs = || {
            let pairs = seen.iter().zip(&self.values);
            pairs.filter_map(|(seen, value)| Some((f64::from((*seen)?), f64::from(*value))))
        };
        let count = pairs().count();
        if count < self.values.len() * 2 / 3 {
            return 0.0;
        }
        let count = count as f64;
        let (mean, wanted) = pairs().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        let (mean, wanted) = (mean / count, wanted / count);
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in pairs() {
            let (x, y) = (x - mean, y - wanted);
            xy += x * y;
            xx += x * x;
            yy += y * y;
        }
        if xx * yy <= 0.0 {
            return 0.0;
        }
        xy / (xx * yy).sqrt()
    }
}

/// The template's points, row by row; on the coarse level every second each way.
fn grid(level: usize) -> impl Iterator<Item = [f64; 2]> {
    let step = [2, 1][level];
    let [columns, rows] = GRID.map(|n| (n - 1) as f64 / 2.0);
    let across = move |v: usize| {
        (0..GRID[0])
            .step_by(step)
            .map(move |u| [u as f64 - columns, v as f64 - rows])
    };
    (0..GRID[1]).step_by(step).flat_map(across)
}

/// Solves linear equations, each with its right side last.
fn solve(mut rows: [[f64; UNKNOWNS + 1]; UNKNOWNS]) -> Option<[f64; UNKNOWNS]> {
    for n in 0..UNKNOWNS {
        let pivot = (n..UNKNOWNS).max_by(|a, b| rows[*a][n].abs().total_cmp(&rows[*b][n].abs()))?;
        rows.swap(n, pivot);
        if rows[n][n].abs() < 1e-9 {
            return None;
        }
        for m in 0..UNKNOWNS {
            if m != n {
                let share = rows[m][n] / rows[n][n];
                let line = rows[n];
                for (value, other) in rows[m].iter_mut().zip(line) {
                    *value -= share * other;
                }
            }
        }
    }
    Some(std::array::from_fn(|n| rows[n][UNKNOWNS] / rows[n][n]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of smooth blobs, seen through `place`, darker by `light`.
    fn blobs(place: Placement, light: f64) -> Grey {
        let (width, height) = (200, 150);
        let mut values = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let [u, v] = place.lift([f64::from(x), f64::from(y)]);
                let value = (u / 7.0).sin() * (v / 5.0).cos() + (u / 13.0 + v / 9.0).sin();
                values.push((light * (120.0 + 45.0 * value)) as u8);
            }
        }
        Grey {
            origin: [0.0; 2],
            size: [width as usize, height as usize],
            levels: [values.clone(), values],
        }
    }

    fn place(a: f64, b: f64, at: [f64; 2]) -> Placement {
        Placement { a, b, at }
    }

    #[test]
    fn a_face_that_moved_turned_and_got_darker_is_found_again() {
        let first = place(1.0, 0.0, [100.0, 75.0]);
        let template = Template::cut(&blobs(first, 1.0), first).expect("inside");
        for moved in [
            place(1.0, 0.0, [102.3, 74.1]),
            place(1.04, 0.03, [98.6, 76.7]),
            place(0.97, -0.05, [101.2, 73.5]),
        ] {
            let (found, fit) = template.align(&blobs(moved, 0.8), first);
            for point in [[0.0, 0.0], [-40.0, 25.0], [0.0, 55.0]] {
                let (found, wanted) = (found.lay(point), moved.lay(point));
                let error = (found[0] - wanted[0]).hypot(found[1] - wanted[1]);
                assert!(error < 0.1, "{error} pixels");
            }
            assert!(fit > 0.99, "{fit}");
        }
    }

    #[test]
    fn lifting_undoes_laying() {
        let place = place(1.2, -0.4, [31.0, 8.0]);
        let [u, v] = place.lift(place.lay([5.0, -7.0]));
        assert!((u - 5.0).abs() + (v + 7.0).abs() < 1e-9);
    }

    #[test]
    fn another_picture_does_not_fit() {
        let first = place(1.0, 0.0, [100.0, 75.0]);
        let template = Template::cut(&blobs(first, 1.0), first).expect("inside");
        let other = place(-0.3, 1.9, [20.0, 20.0]);
        let (_, fit) = template.align(&blobs(other, 1.0), first);
        assert!(fit < 0.6, "{fit}");
    }
}
