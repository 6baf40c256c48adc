//! Between I420 and the model's colour planes: ITU-R BT.601, limited range.

use crate::model::ColourOrder;

/// Turns Y, U and V of the same size into three planes of colour, 0–1.
pub(super) fn planes_from_yuv(order: ColourOrder, [y, u, v]: [&mut [f32]; 3]) {
    for ((first, second), third) in y.iter_mut().zip(u).zip(v) {
        let y = (*first - 16.0) * (1.164_383 / 255.0);
        let (u, v) = (*second - 128.0, *third - 128.0);
        let blue = (y + u * (2.017_232 / 255.0)).clamp(0.0, 1.0);
        let green = (y - u * (0.391_762 / 255.0) - v * (0.812_968 / 255.0)).clamp(0.0, 1.0);
        let red = (y + v * (1.596_027 / 255.0)).clamp(0.0, 1.0);
        (*first, *second, *third) = match order {
            ColourOrder::Bgr => (blue, green, red),
            ColourOrder::Rgb => (red, green, blue),
        };
    }
}

/// Turns planes of colour into Y, U and V without their offsets (16 and 128):
/// differences stay differences.
pub(super) fn yuv_from_planes(order: ColourOrder, [first, second, third]: &mut [Vec<f32>; 3]) {
    for ((first, second), third) in first.iter_mut().zip(second).zip(third) {
        let (b, g, r) = match order {
            ColourOrder::Bgr => (*first, *second, *third),
            ColourOrder::Rgb => (*third, *second, *first),
        };
        *first = 65.481 * r + 128.553 * g + 24.966 * b;
        *second = -37.797 * r - 74.203 * g + 112.0 * b;
        *third = 112.0 * r - 93.786 * g - 18.214 * b;
    }
}
