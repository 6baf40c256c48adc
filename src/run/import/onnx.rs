//! Faces by a detector in an ONNX file: YuNet of 2023, or SCRFD with landmarks.
//!
//! Both look at the picture in cells of 8, 16 and 32 pixels and say of each how
//! likely a face is, its box and five points. They are told apart by their
//! outputs: YuNet has twelve, SCRFD nine.

use std::path::{Path, PathBuf};

use opencv::core::{Mat, Rect, Scalar, Size as CvSize};
use opencv::imgproc;
use opencv::prelude::*;
use ort::session::Session;
use ort::value::{Tensor, ValueType};

use super::Error;
use super::cascade::Detector;
use super::features::{BELOW_LINE, Sighting, USUAL};
use crate::stage::lipsync::Runtime;

/// Side of the square that a detector of any size gets.
const SIDE: usize = 640;
/// Likelihood from which something is a face.
const SURE: f32 = 0.5;
/// Likelihood below which what was found is like little of a face.
const ALIKE: f32 = 0.6;
/// Share of two boxes from which they are of the same face.
const SAME: f32 = 0.4;
const STRIDES: [usize; 3] = [8, 16, 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Yunet,
    Scrfd,
}

/// A detector that was loaded and fits.
pub(super) struct Onnx {
    path: PathBuf,
    session: Session,
    input: String,
    family: Family,
    side: usize,
}

/// A face in the detector's pixels.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    score: f32,
    /// Left, top, right, bottom.
    area: [f32; 4],
    /// Eyes, nose, corners of the mouth: of each pair the left one, as seen, first.
    points: [[f32; 2]; 5],
}

/// What a detector gives: its shape's last number, and its values.
type Output = (usize, Vec<f32>);

impl Onnx {
    /// Loads the detector at `path`.
    pub(super) fn load(path: &Path, runtime: &Runtime) -> Result<Self, Error> {
        let load = |e: String| Error::Detector {
            path: path.to_owned(),
            problem: e.lines().next().unwrap_or_default().trim().to_owned(),
        };
        let session = Session::builder(&runtime.environment)
            .map_err(|e| load(e.to_string()))?
            .with_intra_threads(2)
            .map_err(|e| load(e.to_string()))?
            .commit_from_file(path)
            .map_err(|e| load(e.to_string()))?;
        let family = match session.outputs().len() {
            12 => Family::Yunet,
            9 => Family::Scrfd,
            other => {
                return Err(load(format!(
                    "it has {other} outputs, but YuNet of 2023 has 12 and SCRFD with landmarks 9: use one of those"
                )));
            }
        };
        let inputs = session.inputs();
        let (Some(input), 1) = (inputs.first(), inputs.len()) else {
            return Err(load(
                "it wants more than a picture: use YuNet of 2023 or SCRFD".into(),
            ));
        };
        let ValueType::Tensor { shape, .. } = input.dtype() else {
            return Err(load(
                "its input is no tensor: use YuNet of 2023 or SCRFD".into(),
            ));
        };
        let shape: Vec<i64> = shape.iter().copied().collect();
        let side = match shape[..] {
            [_, 3, height, width] if height == width && height > 0 && height % 32 == 0 => {
                height as usize
            }
            [_, 3, height, width] if height < 1 && width < 1 => SIDE,
            _ => {
                return Err(load(format!(
                    "its input is {shape:?}, but a square of three planes is wanted, a multiple of 32 pixels each way: export it so"
                )));
            }
        };
        let input = input.name().to_owned();
        Ok(Self {
            path: path.to_owned(),
            session,
            input,
            family,
            side,
        })
    }

    /// Runs it on `square`.
    fn run(&mut self, square: &Mat) -> Result<Vec<Output>, Error> {
        let planes = planes(square, self.family)?;
        let side = self.side;
        let failed = |path: &Path, e: ort::Error| Error::Detector {
            path: path.to_owned(),
            problem: e.to_string().lines().next().unwrap_or_default().into(),
        };
        let tensor =
            Tensor::from_array(([1, 3, side, side], planes)).map_err(|e| failed(&self.path, e))?;
        let outputs = self
            .session
            .run(ort::inputs![self.input.as_str() => tensor])
            .map_err(|e| failed(&self.path, e))?;
        let mut given = Vec::new();
        for (_, value) in &outputs {
            let (shape, values) = value
                .try_extract_tensor::<f32>()
                .map_err(|e| failed(&self.path, e))?;
            let last = shape.last().copied().unwrap_or_default();
            given.push((usize::try_from(last).unwrap_or_default(), values.to_vec()));
        }
        Ok(given)
    }
}

impl Detector for Onnx {
    fn find(&mut self, picture: &Mat) -> Result<Vec<Sighting>, Error> {
        let side = self.side as f64;
        let long = f64::from(picture.cols().max(picture.rows()));
        let factor = side / long;
        let size = CvSize::new(
            ((f64::from(picture.cols()) * factor) as i32).max(1),
            ((f64::from(picture.rows()) * factor) as i32).max(1),
        );
        let mut square = Mat::new_rows_cols_with_default(
            self.side as i32,
            self.side as i32,
            opencv::core::CV_8UC3,
            Scalar::default(),
        )?;
        let mut small = Mat::default();
        imgproc::resize(picture, &mut small, size, 0.0, 0.0, imgproc::INTER_AREA)?;
        let mut corner = Mat::roi_mut(&mut square, Rect::new(0, 0, size.width, size.height))?;
        small.copy_to(&mut corner)?;
        drop(corner);
        let outputs = self.run(&square)?;
        let found = decode(self.family, self.side, &outputs).ok_or_else(|| Error::Detector {
            path: self.path.clone(),
            problem: "its outputs are neither YuNet's of 2023 nor SCRFD's with landmarks: use one of those".into(),
        })?;
        Ok(found.iter().map(|face| face.sighting(factor)).collect())
    }
}

impl Found {
    /// In a picture that was `factor` times as large for the detector.
    fn sighting(&self, factor: f64) -> Sighting {
        let at = |[x, y]: [f32; 2]| [f64::from(x) / factor, f64::from(y) / factor];
        let middle = |a: [f64; 2], b: [f64; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let [left, right, _, corner, other] = self.points.map(at);
        let (eyes, corners) = (middle(left, right), middle(corner, other));
        let down = 1.0 + BELOW_LINE;
        let mouth = [
            eyes[0] + (corners[0] - eyes[0]) * down,
            eyes[1] + (corners[1] - eyes[1]) * down,
        ];
        let [x0, y0, x1, y1] = self.area.map(|x| f64::from(x) / factor);
        Sighting {
            centre: middle([x0, y0], [x1, y1]),
            // As wide as the cascades' box would be.
            side: (mouth[0] - eyes[0]).hypot(mouth[1] - eyes[1]) / USUAL,
            eyes,
            roll: (right[1] - left[1]).atan2(right[0] - left[0]),
            mouth: Some(mouth),
            certain: true,
            likeness: f64::from(self.score / ALIKE),
        }
    }
}

/// The picture as the family wants it: YuNet BGR from 0 to 255, SCRFD RGB from
/// -1 to 1.
fn planes(square: &Mat, family: Family) -> opencv::Result<Vec<f32>> {
    let bytes = square.data_bytes()?;
    let plane = |n: usize| bytes.iter().skip(n).step_by(3).map(|x| f32::from(*x));
    Ok(match family {
        Family::Yunet => (0..3).flat_map(plane).collect(),
        Family::Scrfd => [2, 1, 0]
            .into_iter()
            .flat_map(plane)
            .map(|x| (x - 127.5) / 128.0)
            .collect(),
    })
}

/// The faces in what a detector gave for a square of `side`, likeliest first, each
/// once. `None` when the outputs are of another kind.
fn decode(family: Family, side: usize, outputs: &[Output]) -> Option<Vec<Found>> {
    let mut found = Vec::new();
    for stride in STRIDES {
        let cells = side / stride;
        let anchors = match family {
            Family::Yunet => 1,
            Family::Scrfd => 2,
        };
        let count = cells * cells * anchors;
        let of = |last: usize| {
            let mut all = outputs.iter();
            let fits = move |output: &&Output| output.0 == last && output.1.len() == count * last;
            std::iter::from_fn(move || all.find(fits)).map(|(_, values)| values)
        };
        let mut scores = of(1);
        let score = scores.next()?;
        // YuNet's likelihood is that of a face and that of anything, mixed.
        let other = match family {
            Family::Yunet => Some(scores.next()?),
            Family::Scrfd => None,
        };
        let (areas, points) = (of(4).next()?, of(10).next()?);
        for n in 0..count {
            let score = other.map_or(score[n], |other| {
                (score[n].clamp(0.0, 1.0) * other[n].clamp(0.0, 1.0)).sqrt()
            });
            if score.is_nan() || score < SURE {
                continue;
            }
            let (column, row) = (n / anchors % cells, n / anchors / cells);
            let (unit, x, y) = (
                stride as f32,
                (column * stride) as f32,
                (row * stride) as f32,
            );
            let area: [f32; 4] = areas[4 * n..][..4].try_into().ok()?;
            let area = match family {
                Family::Yunet => {
                    let [cx, cy] = [x + area[0] * unit, y + area[1] * unit];
                    let [w, h] = [area[2].exp() * unit / 2.0, area[3].exp() * unit / 2.0];
                    [cx - w, cy - h, cx + w, cy + h]
                }
                Family::Scrfd => [
                    x - area[0] * unit,
                    y - area[1] * unit,
                    x + area[2] * unit,
                    y + area[3] * unit,
                ],
            };
            let points = &points[10 * n..][..10];
            found.push(Found {
                score,
                area,
                points: std::array::from_fn(|p| {
                    [x + points[2 * p] * unit, y + points[2 * p + 1] * unit]
                }),
            });
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Found> = Vec::new();
    for face in found {
        if kept
            .iter()
            .all(|other| overlap(other.area, face.area) < SAME)
        {
            kept.push(face);
        }
    }
    Some(kept)
}

/// The share of two boxes' union that both cover.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let span = |from: f32, to: f32| (to - from).max(0.0);
    let both = span(a[0].max(b[0]), a[2].min(b[2])) * span(a[1].max(b[1]), a[3].min(b[3]));
    let area = |a: [f32; 4]| span(a[0], a[2]) * span(a[1], a[3]);
    both / (area(a) + area(b) - both).max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [[f32; 2]; 5] = [
        [100.0, 80.0],
        [140.0, 80.0],
        [120.0, 100.0],
        [105.0, 120.0],
        [135.0, 120.0],
    ];

    /// What a detector of 320 pixels gives that sees one face, in the cell of 16
    /// pixels at column 7, row 6 and, less surely, in the one beside it.
    fn outputs(family: Family) -> Vec<Output> {
        let anchors = if family == Family::Yunet { 1 } else { 2 };
        let mut outputs = Vec::new();
        for stride in STRIDES {
            let cells = 320 / stride;
            let count = cells * cells * anchors;
            let (mut scores, mut areas) = (vec![0.0; count], vec![0.0; 4 * count]);
            let mut points = vec![0.0; 10 * count];
            if stride == 16 {
                for (column, score) in [(7, 0.9), (8, 0.7)] {
                    let n = (6 * cells + column) * anchors;
                    let [x, y] = [column as f32 * 16.0, 96.0];
                    scores[n] = score;
                    let area = match family {
                        Family::Yunet => {
                            [(120.0 - x) / 16.0, (100.0 - y) / 16.0, 5f32.ln(), 5f32.ln()]
                        }
                        Family::Scrfd => [
                            (x - 80.0) / 16.0,
                            (y - 60.0) / 16.0,
                            (160.0 - x) / 16.0,
                            (140.0 - y) / 16.0,
                        ],
                    };
                    areas[4 * n..][..4].copy_from_slice(&area);
                    for (p, [px, py]) in POINTS.iter().enumerate() {
                        points[10 * n + 2 * p] = (px - x) / 16.0;
                        points[10 * n + 2 * p + 1] = (py - y) / 16.0;
                    }
                }
            }
            if family == Family::Yunet {
                outputs.push((1, scores.clone()));
            }
            outputs.extend([(1, scores), (4, areas), (10, points)]);
        }
        outputs
    }

    #[test]
    fn a_face_is_found_once_and_where_it_is() {
        for family in [Family::Yunet, Family::Scrfd] {
            let found = decode(family, 320, &outputs(family)).expect("they fit");
            assert_eq!(found.len(), 1, "{family:?}");
            let [left, top, right, bottom] = found[0].area;
            for (got, wanted) in [(left, 80.0), (top, 60.0), (right, 160.0), (bottom, 140.0)] {
                assert!(
                    (got - wanted).abs() < 0.01,
                    "{family:?}: {:?}",
                    found[0].area
                );
            }
            let sighting = found[0].sighting(0.5);
            assert!((sighting.eyes[0] - 240.0).abs() + (sighting.eyes[1] - 160.0).abs() < 0.01);
            let mouth = sighting.mouth.expect("corners");
            assert!((mouth[1] - 240.0).abs() < 6.0 && (mouth[0] - 240.0).abs() < 0.01);
            assert!(sighting.roll.abs() < 1e-6);
        }
    }

    #[test]
    fn outputs_of_another_size_are_refused() {
        let given = outputs(Family::Scrfd);
        assert_eq!(decode(Family::Scrfd, 640, &given), None);
        assert_eq!(decode(Family::Yunet, 320, &given), None);
    }
}
