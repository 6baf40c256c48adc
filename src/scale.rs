//! One plane at another scale: first along the rows, then down the columns.
//!
//! Nothing is ever turned, so both directions have a filter of their own, and
//! each pixel costs the taps of both instead of their product.

/// What one direction of a picture is made of: for each pixel of the result the
/// first of N pixels that it comes from, and their weights.
#[derive(Debug, Default)]
pub(crate) struct Axis<const N: usize> {
    taps: Vec<(usize, [f32; N])>,
}

impl Axis<2> {
    /// `count` pixels between their two neighbours; pixel `n` lies at
    /// `n * step + start` of `most` pixels, the outer ones repeated.
    pub(crate) fn linear(&mut self, count: usize, step: f64, start: f64, most: usize) {
        self.fill(count, step, start, most, |t| [1.0 - t, t]);
    }
}

impl Axis<16> {
    /// Steps of more than one pixel, in which these sixteen are enough.
    pub(crate) const STEPS: std::ops::RangeInclusive<f64> = 1.0..=14.0;

    /// `count` pixels, each the mean of the `step` pixels around its place.
    pub(crate) fn mean(&mut self, count: usize, step: f64, start: f64, most: usize) {
        self.taps.clear();
        self.taps.extend((0..count).map(|n| {
            // A pixel reaches half a pixel to either side of its place.
            let from = (n as f64 - 0.5) * step + start + 0.5;
            let left = from.floor() as i64;
            let first = left.clamp(0, most as i64 - 16);
            let mut inside = [0.0; 16];
            for tap in left..left + 16 {
                let share = (from + step).min(tap as f64 + 1.0) - from.max(tap as f64);
                inside[(tap.clamp(0, most as i64 - 1) - first) as usize] +=
                    (share.max(0.0) / step) as f32;
            }
            (first as usize, inside)
        }));
    }
}

impl Axis<4> {
    /// Like [`Axis::linear`], on Catmull and Rom's curve through four.
    pub(crate) fn cubic(&mut self, count: usize, step: f64, start: f64, most: usize) {
        self.fill(count, step, start, most, |t| {
            let (t2, t3) = (t * t, t * t * t);
            [
                -0.5 * t3 + t2 - 0.5 * t,
                1.5 * t3 - 2.5 * t2 + 1.0,
                -1.5 * t3 + 2.0 * t2 + 0.5 * t,
                0.5 * t3 - 0.5 * t2,
            ]
        });
    }
}

impl<const N: usize> Axis<N> {
    fn fill(
        &mut self,
        count: usize,
        step: f64,
        start: f64,
        most: usize,
        weights: impl Fn(f32) -> [f32; N],
    ) {
        self.taps.clear();
        self.taps.extend((0..count).map(|n| {
            let at = n as f64 * step + start;
            let left = at.floor() as i64 - (N as i64 / 2 - 1);
            let first = left.clamp(0, (most - N) as i64);
            let mut inside = [0.0; N];
            // Weights of pixels beyond the border go to the one at the border.
            for (tap, weight) in (left..).zip(weights((at - at.floor()) as f32)) {
                inside[(tap.clamp(0, most as i64 - 1) - first) as usize] += weight;
            }
            (first as usize, inside)
        }));
    }

    /// The pixels that are looked at.
    fn span(&self) -> std::ops::Range<usize> {
        let first = |tap: Option<&(usize, _)>| tap.map_or(0, |(first, _)| *first);
        first(self.taps.first())..first(self.taps.last()) + N
    }
}

/// Fills the rows `to` from `from`, whose rows are `stride` long. `between` is memory
/// for rows that have their new width, and not yet their new number.
pub(crate) fn scale<'t, T: Copy + Into<f32>, const N: usize>(
    from: &[T],
    stride: usize,
    columns: &Axis<N>,
    rows: &Axis<N>,
    between: &mut Vec<f32>,
    to: impl Iterator<Item = &'t mut [f32]>,
) {
    let width = columns.taps.len();
    let span = rows.span();
    between.resize(span.len() * width, 0.0);
    let wanted = from.chunks_exact(stride).skip(span.start);
    for (to, from) in between.chunks_exact_mut(width).zip(wanted) {
        for (to, (first, weights)) in to.iter_mut().zip(&columns.taps) {
            let from: &[T; N] = from[*first..].first_chunk().expect("N pixels are inside");
            *to = (0..N).map(|n| weights[n] * from[n].into()).sum();
        }
    }
    for (to, (first, weights)) in to.zip(&rows.taps) {
        let from = &between[(first - span.start) * width..][..N * width];
        let from: [&[f32]; N] = std::array::from_fn(|n| &from[n * width..][..width]);
        for (column, to) in to.iter_mut().enumerate() {
            *to = (0..N).map(|n| weights[n] * from[n][column]).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slope across 12 x 10 pixels.
    fn slope() -> Vec<u8> {
        let pixel = |n: usize| 3 * (n % 12) + 7 * (n / 12);
        (0..120).map(|n| pixel(n) as u8).collect()
    }

    #[test]
    fn a_slope_stays_a_slope_at_any_scale() {
        for (step, start) in [(0.4, 2.3), (1.0, 1.0), (1.7, 1.1)] {
            let mut out = [[0.0; 16]; 2];
            let (mut x, mut y) = (Axis::<2>::default(), Axis::<2>::default());
            x.linear(4, step, start, 12);
            y.linear(4, step, start, 10);
            let [linear, cubic] = &mut out;
            let to = linear.chunks_exact_mut(4);
            scale(&slope(), 12, &x, &y, &mut Vec::new(), to);
            let (mut x, mut y) = (Axis::<4>::default(), Axis::<4>::default());
            x.cubic(4, step, start, 12);
            y.cubic(4, step, start, 10);
            let to = cubic.chunks_exact_mut(4);
            scale(&slope(), 12, &x, &y, &mut Vec::new(), to);
            let at = |n: usize| n as f64 * step + start;
            for (n, got) in (0..16).chain(0..16).zip(out.as_flattened()) {
                let wanted = 3.0 * at(n % 4) + 7.0 * at(n / 4);
                assert!((f64::from(*got) - wanted).abs() < 1e-3, "{got} {wanted}");
            }
        }
    }

    #[test]
    fn beyond_the_border_its_pixels_repeat() {
        for start in [-1e3, -1.5, 11.0, 1e3] {
            let (mut x, mut y) = (Axis::default(), Axis::default());
            x.cubic(3, 0.1, start, 12);
            y.cubic(3, 0.0, 0.0, 10);
            let mut out = [0.0; 9];
            let to = out.chunks_exact_mut(3);
            scale(&slope(), 12, &x, &y, &mut Vec::new(), to);
            let wanted = if start < 0.0 { 0.0 } else { 33.0 };
            assert!(out.iter().all(|x| (x - wanted).abs() < 3.0), "{out:?}");
        }
    }
}
