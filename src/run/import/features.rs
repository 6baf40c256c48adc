//! Eyes and mouth inside the box of a face.
//!
//! The face cascade places its box by the eyes: over the faces that it was
//! measured on, their midpoint lies at [`EYES`] of it to a hundredth. The eye
//! cascade says more of their height and of the head's roll. The mouth has no
//! cascade that is of use; it is where a dark line runs through something red.

use opencv::core::{Mat, Point, Rect, Size as CvSize, Vector, flip};
use opencv::imgproc;
use opencv::objdetect::CascadeClassifier;
use opencv::prelude::*;

/// The midpoint between the eyes, in the box of `haarcascade_frontalface_alt2`.
const EYES: [f64; 2] = [0.5, 0.387];
/// The distance between the eyes, in the same.
const BETWEEN: f64 = 0.385;
/// Side of the patch that features are looked for in, for a box of one.
const SIDE: f64 = 160.0;
/// The lowest row of the patch: beards and chins reach below the box.
const LOW: f64 = 1.15;
/// Rows in which a mouth may be, below the eyes, in boxes, and the likeliest.
const MOUTH: [f64; 3] = [0.33, 0.52, 0.42];
/// Where it usually is.
pub(super) const USUAL: f64 = MOUTH[2];
/// Half the columns whose darkness is looked at, in boxes.
const HALF: f64 = 0.12;
/// From the line between the lips to the mouth's middle as models are trained:
/// the lower lip is the thicker one. In distances from eyes to line.
pub(super) const BELOW_LINE: f64 = 0.042;
/// Windows of the cascades that agree on a face, and on the eye that fewer agree
/// on, from which it is like one. Faces that were filmed or rendered have 11 to 91
/// and, unless they are blurred or noisy, 80 to 360; drawn ones, and those on their
/// heads, 5 to 9 and 0 to 18.
const ALIKE: [f64; 2] = [11.0, 30.0];
/// Steepest roll that is believed.
const ROLL: f64 = 0.4;

/// What was seen of a face.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    /// Its centre.
    pub(super) centre: [f64; 2],
    /// Side of the box around it.
    pub(super) side: f64,
    /// The midpoint between the eyes.
    pub(super) eyes: [f64; 2],
    /// How far the head is rolled, in radians, clockwise as it is seen.
    pub(super) roll: f64,
    /// The middle of the mouth.
    pub(super) mouth: Option<[f64; 2]>,
    /// Whether eyes were really found, and not only assumed by the box.
    pub(super) certain: bool,
    /// How like a human face it is: 1 is as little as a real one ever was.
    pub(super) likeness: f64,
}

/// Looks at the face in `area` of `picture`, on which `agreed` windows agree.
pub(super) fn look(
    picture: &Mat,
    area: [f64; 4],
    agreed: i32,
    cascades: &mut [CascadeClassifier; 2],
) -> opencv::Result<Sighting> {
    let [x, y, side, _] = area;
    let assumed = [x + EYES[0] * side, y + EYES[1] * side];
    let mut sighting = Sighting {
        centre: [x + side / 2.0, y + side / 2.0],
        side,
        eyes: assumed,
        roll: 0.0,
        mouth: None,
        certain: false,
        likeness: f64::from(agreed) / ALIKE[0],
    };
    let level = patch(picture, assumed, side, 0.0)?;
    let [bare, glasses] = cascades;
    let found = match eyes(&level, bare)? {
        Some(found) => Some(found),
        None => eyes(&level, glasses)?,
    };
    if let Some(([left, right], agreed)) = found {
        sighting.likeness = sighting.likeness.max(f64::from(agreed) / ALIKE[1]);
        let pixel = side / SIDE;
        let [x, y] = [right[0] - left[0], right[1] - left[1]];
        sighting.roll = y.atan2(x).clamp(-ROLL, ROLL);
        // Both err, to different sides: the mean errs less.
        for n in 0..2 {
            let middle = (left[n] + right[n]) / 2.0 - EYES[n] * SIDE;
            sighting.eyes[n] += middle * pixel / 2.0;
        }
        sighting.certain = true;
    }
    let upright = patch(picture, sighting.eyes, side, sighting.roll)?;
    sighting.mouth = mouth_line(&upright)?.map(|row| {
        let down = (row / SIDE - EYES[1]) * side * (1.0 + BELOW_LINE);
        let (sine, cosine) = sighting.roll.sin_cos();
        [
            sighting.eyes[0] - sine * down,
            sighting.eyes[1] + cosine * down,
        ]
    });
    Ok(sighting)
}

/// The face whose eyes' midpoint is `eyes` and whose box has `side`, upright, in
/// [`SIDE`] columns.
fn patch(picture: &Mat, eyes: [f64; 2], side: f64, roll: f64) -> opencv::Result<Mat> {
    let scale = side / SIDE;
    let (sine, cosine) = roll.sin_cos();
    // From the picture to the patch: the form without flags is the one that
    // every OpenCV has.
    let to_patch = |[x, y]: [f64; 2]| {
        let (a, b) = (cosine / scale, sine / scale);
        let [left, top] = [EYES[0] * SIDE, EYES[1] * SIDE];
        Mat::from_slice_2d(&[[a, b, left - a * x - b * y], [-b, a, top + b * x - a * y]])
    };
    let size = CvSize::new(SIDE as i32, (SIDE * LOW) as i32);
    let mut patch = Mat::default();
    // Only the face's surroundings are blurred against aliases, not the picture.
    let reach = (side * 1.4) as i32;
    let [x, y] = eyes.map(|x| x as i32 - reach);
    let around =
        Rect::new(x, y, 2 * reach, 2 * reach) & Rect::new(0, 0, picture.cols(), picture.rows());
    if scale <= 1.5 || around.empty() {
        imgproc::warp_affine_def(picture, &mut patch, &to_patch(eyes)?, size)?;
        return Ok(patch);
    }
    let near = Mat::roi(picture, around)?;
    let mut soft = Mat::default();
    imgproc::gaussian_blur_def(&near, &mut soft, CvSize::new(0, 0), 0.45 * scale)?;
    let eyes = [eyes[0] - f64::from(around.x), eyes[1] - f64::from(around.y)];
    imgproc::warp_affine_def(&soft, &mut patch, &to_patch(eyes)?, size)?;
    Ok(patch)
}

/// The middles of the left and the right eye, as they are seen, and how many
/// windows agree on the one that fewer agree on.
fn eyes(
    patch: &Mat,
    cascade: &mut CascadeClassifier,
) -> opencv::Result<Option<([[f64; 2]; 2], i32)>> {
    let (mut grey, mut even) = (Mat::default(), Mat::default());
    imgproc::cvt_color_def(patch, &mut grey, imgproc::COLOR_BGR2GRAY)?;
    imgproc::equalize_hist(&grey, &mut even)?;
    // A cascade is stepped from the left to the right, and finds what it finds a
    // little to the left. So the right half is searched in the mirror: what both
    // are off cancels out in their middle.
    let mut find = |from: f64, to: f64, mirror: bool| -> opencv::Result<Option<([f64; 2], i32)>> {
        let span = |from: f64, to: f64| ((from * SIDE) as i32, ((to - from) * SIDE) as i32);
        let ((left, width), (top, height)) = (span(from, to), span(0.18, 0.58));
        let half = Mat::roi(&even, Rect::new(left, top, width, height))?;
        let mut seen = Mat::default();
        if mirror {
            flip(&half, &mut seen, 1)?;
        } else {
            half.copy_to(&mut seen)?;
        }
        let (mut found, mut agreed) = (Vector::<Rect>::new(), Vector::<i32>::new());
        let side = |share: f64| CvSize::new((SIDE * share) as i32, (SIDE * share) as i32);
        let [least, most] = [0.14, 0.36].map(side);
        cascade.detect_multi_scale2(&seen, &mut found, &mut agreed, 1.05, 3, 0, least, most)?;
        let aside = if mirror { 0.5 } else { -0.5 } * BETWEEN;
        let wanted = [(EYES[0] + aside) * SIDE, EYES[1] * SIDE];
        let middles = found.iter().zip(agreed).map(|(eye, agreed)| {
            let across = f64::from(eye.x) + f64::from(eye.width) / 2.0;
            let across = if mirror {
                f64::from(width) - across
            } else {
                across
            };
            let down = f64::from(top + eye.y) + f64::from(eye.height) / 2.0;
            ([f64::from(left) + across, down], agreed)
        });
        let far = |at: &[f64; 2]| (at[0] - wanted[0]).hypot(at[1] - wanted[1]);
        Ok(middles.min_by(|(a, _), (b, _)| far(a).total_cmp(&far(b))))
    };
    let left = find(0.10, 0.52, false)?;
    let right = find(0.48, 0.90, true)?;
    let pair = left.zip(right);
    let pair = pair.map(|((left, a), (right, b))| ([left, right], a.min(b)));
    // Otherwise it is an eyebrow, or the same eye twice.
    Ok(pair.filter(|([left, right], _)| {
        let apart = (right[0] - left[0]) / SIDE;
        (0.26..0.52).contains(&apart) && (right[1] - left[1]).abs() < ROLL * (right[0] - left[0])
    }))
}

/// The row of the line between the lips, to a fraction, in an upright patch.
fn mouth_line(patch: &Mat) -> opencv::Result<Option<f64>> {
    let (mut lab, mut soft, mut wide) = (Mat::default(), Mat::default(), Mat::default());
    imgproc::cvt_color_def(patch, &mut lab, imgproc::COLOR_BGR2Lab)?;
    // A line of the height that lips leave between them.
    let sigma = SIDE * 0.0175;
    let mut float = Mat::default();
    lab.convert_to_def(&mut float, opencv::core::CV_32FC3)?;
    let none = CvSize::new(0, 0);
    imgproc::gaussian_blur_def(&float, &mut soft, none, sigma)?;
    imgproc::gaussian_blur_def(&float, &mut wide, none, 1.5 * sigma)?;
    let columns = |half: f64| {
        let middle = EYES[0] * SIDE;
        (middle - half * SIDE) as usize..(middle + half * SIDE) as usize + 1
    };
    let rows = (patch.rows() as usize).min((SIDE * LOW) as usize);
    let mut dark = vec![0.0f32; rows];
    let mut red = vec![0.0f32; rows];
    for row in 1..rows - 1 {
        let line = |row: usize| soft.at_row::<opencv::core::Vec3f>(row as i32);
        let (above, here, below) = (line(row - 1)?, line(row)?, line(row + 1)?);
        let mut bends: Vec<f32> = columns(HALF)
            .map(|x| above[x][0] + below[x][0] - 2.0 * here[x][0])
            .collect();
        // A line is dark over most of its length, nostrils only over some.
        let quarter = bends.len() / 4;
        let (_, bend, _) = bends.select_nth_unstable_by(quarter, f32::total_cmp);
        dark[row] = (*bend * (sigma * sigma) as f32).max(0.0);
        let tones = wide.at_row::<opencv::core::Vec3f>(row as i32)?;
        let band = columns(0.10);
        red[row] = band.clone().map(|x| tones[x][1]).sum::<f32>() / band.len() as f32;
    }
    let from = ((EYES[1] + 0.1) * SIDE) as usize;
    let mut usual = red[from..rows - 1].to_vec();
    let middle = usual.len() / 2;
    let (_, usual, _) = usual.select_nth_unstable_by(middle, f32::total_cmp);
    let [first, last, likely] = MOUTH.map(|share| (EYES[1] + share) * SIDE);
    let score = |row: usize| {
        let far = (row as f64 - likely) / ((last - first) / 1.9);
        // Lips in black and white are as dark, but not red.
        f64::from(dark[row]) * (f64::from(red[row] - *usual).max(0.0) + 1.0) * (-far * far).exp()
    };
    let rows = first as usize..(last as usize).min(rows - 2);
    let Some(best) = rows.max_by(|a, b| score(*a).total_cmp(&score(*b))) else {
        return Ok(None);
    };
    if score(best) <= 0.0 {
        return Ok(None);
    }
    // The top of the parabola through three rows.
    let [before, here, after] = [best - 1, best, best + 1].map(|row| f64::from(dark[row]));
    let bend = before + after - 2.0 * here;
    let shift = if bend < 0.0 {
        ((before - after) / (2.0 * bend)).clamp(-0.5, 0.5)
    } else {
        0.0
    };
    Ok(Some(best as f64 + shift))
}

/// A point for OpenCV.
pub(super) fn pixel(at: [f32; 2]) -> Point {
    let [x, y] = at.map(|x| x.round() as i32);
    Point::new(x, y)
}
