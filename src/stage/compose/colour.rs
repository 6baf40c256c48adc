//! Between I420 and the model's colour planes: ITU-R BT.601, limited range.

use crate::model::{ColourOrder, Edit};

/// Writes Y, U and V of the same size as three planes of colour, 0–1.
pub(super) fn planes_from_yuv([y, u, v]: [&[u8]; 3], order: ColourOrder, planes: &mut [f32]) {
    let (blue, rest) = planes.split_at_mut(y.len());
    let (green, red) = rest.split_at_mut(y.len());
    let (blue, red) = match order {
        ColourOrder::Bgr => (blue, red),
        ColourOrder::Rgb => (red, blue),
    };
    let yuv = y.iter().zip(u).zip(v);
    let bgr = blue.iter_mut().zip(green).zip(red);
    for (((y, u), v), ((blue, green), red)) in yuv.zip(bgr) {
        let y = (f32::from(*y) - 16.0) * (1.164_383 / 255.0);
        let (u, v) = (f32::from(*u) - 128.0, f32::from(*v) - 128.0);
        *blue = (y + u * (2.017_232 / 255.0)).clamp(0.0, 1.0);
        *green = (y - u * (0.391_762 / 255.0) - v * (0.812_968 / 255.0)).clamp(0.0, 1.0);
        *red = (y + v * (1.596_027 / 255.0)).clamp(0.0, 1.0);
    }
}

/// Writes the edit of three planes of colour, side x side, as Y, U and V without
/// their offsets (16 and 128): differences stay differences. `value` reads a
/// plane's pixel.
pub(super) fn yuv_from_planes(
    edit: Edit,
    side: usize,
    order: ColourOrder,
    [y, u, v]: &mut [Vec<f32>; 3],
    value: impl Fn(usize, usize) -> f32,
) {
    let (blue, red) = match order {
        ColourOrder::Bgr => (0, 2),
        ColourOrder::Rgb => (2, 0),
    };
    let width = edit.columns[1] - edit.columns[0];
    let rows = y
        .chunks_exact_mut(width)
        .zip(u.chunks_exact_mut(width))
        .zip(v.chunks_exact_mut(width));
    for (row, ((y, u), v)) in (edit.rows[0]..).zip(rows) {
        let start = row * side + edit.columns[0];
        let pixels = y.iter_mut().zip(u).zip(v);
        for (at, ((y, u), v)) in (start..).zip(pixels) {
            let [b, g, r] = [value(blue, at), value(1, at), value(red, at)];
            *y = 65.481 * r + 128.553 * g + 24.966 * b;
            *u = -37.797 * r - 74.203 * g + 112.0 * b;
            *v = 112.0 * r - 93.786 * g - 18.214 * b;
        }
    }
}
