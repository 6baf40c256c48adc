//! What a mouth looks like, in a few numbers: the brightness of its parts.
//!
//! Which of them tell how far it is open, and whether dark or bright does, differs
//! from face to face (teeth, beard, light); the correlation finds that out.

use opencv::core::{Mat, MatTraitConst, MatTraitConstManual};

use crate::avatar::Face;

/// Columns, counted from the middle outwards: a mouth is the same on both sides,
/// and what a head's turn does to one is undone by the other.
const COLUMNS: [f32; 4] = [0.0, 0.12, 0.26, 0.42];
/// Rows from above the lips to the chin. Both in distances from eyes to mouth.
const ROWS: [f32; 7] = [-0.22, -0.09, 0.04, 0.17, 0.30, 0.43, 0.56];
/// Points of a part, each way.
const POINTS: usize = 5;
/// Numbers of one look.
pub(super) const LOOKS: usize = (COLUMNS.len() - 1) * (ROWS.len() - 1);

/// Looks at the mouth of `face` in `picture` (BGR). `false` when it can't be seen whole.
pub(super) fn look(picture: &Mat, face: Face, looks: &mut [f64; LOOKS]) -> bool {
    let (Ok(bytes), width, height) = (picture.data_bytes(), picture.cols(), picture.rows()) else {
        return false;
    };
    let (width, height) = (width as usize, height as usize);
    let luma = |[x, y]: [f32; 2]| {
        let inside = x >= 0.0 && y >= 0.0 && x + 1.0 < width as f32 && y + 1.0 < height as f32;
        inside.then(|| {
            let (left, top) = (x as usize, y as usize);
            let (fx, fy) = (x - left as f32, y - top as f32);
            let at = |x: usize, y: usize| {
                let [b, g, r] = [0, 1, 2].map(|n| f32::from(bytes[(y * width + x) * 3 + n]));
                0.114 * b + 0.587 * g + 0.299 * r
            };
            let row = |y| at(left, y) * (1.0 - fx) + at(left + 1, y) * fx;
            row(top) * (1.0 - fy) + row(top + 1) * fy
        })
    };
    let down = [face.mouth[0] - face.eyes[0], face.mouth[1] - face.eyes[1]];
    let across = [down[1], -down[0]];
    let mut parts = looks.iter_mut();
    for rows in ROWS.windows(2) {
        for columns in COLUMNS.windows(2) {
            let mut sum = 0.0;
            for n in 0..POINTS * POINTS * 2 {
                let share = |n: usize| (n as f32 + 0.5) / POINTS as f32;
                let v = rows[0] + (rows[1] - rows[0]) * share(n / 2 / POINTS);
                let u = columns[0] + (columns[1] - columns[0]) * share(n / 2 % POINTS);
                let u = if n % 2 == 0 { u } else { -u };
                let at = [0, 1].map(|n| face.mouth[n] + across[n] * u + down[n] * v);
                let Some(luma) = luma(at) else {
                    return false;
                };
                sum += luma;
            }
            if let Some(part) = parts.next() {
                *part = f64::from(sum) / (POINTS * POINTS * 2) as f64;
            }
        }
    }
    true
}
