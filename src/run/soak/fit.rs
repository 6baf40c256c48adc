//! A straight line through noisy points, by its median slope.
//!
//! Memory takes steps and has spikes, so the slope is Theil's and Sen's: the
//! median of the slopes of all pairs, which a quarter of the points may miss by
//! any amount. Its confidence interval is Sen's, from the variance of Kendall's
//! S (P. K. Sen, Estimates of the Regression Coefficient Based on Kendall's
//! Tau, JASA 63, 1968). It supposes that the points err each for itself: what
//! is sampled every second doesn't, so the points come as medians of [`blocks`].

/// 95 of 100 intervals hold the true slope.
const Z: f64 = 1.959_964;

/// Points below which nothing is told.
const LEAST: usize = 8;

/// A slope and between what it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The median of all slopes, in units of y for one of x.
    pub slope: f64,
    /// Lower end of the 95 % confidence interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Where the line meets x = 0: the median of what is left over.
    pub offset: f64,
    /// From the first point to the last, in units of x.
    pub span: f64,
}

/// Fits a line through `points` of (x, y). `None` when they are too few.
pub fn theil_sen(points: &[(f64, f64)]) -> Option<Fit> {
    if points.len() < LEAST {
        return None;
    }
    let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    for (n, a) in points.iter().enumerate() {
        let later = points[n + 1..].iter().filter(|b| b.0 != a.0);
        slopes.extend(later.map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let slope = median(&mut slopes)?;
    let all = slopes.len() as f64;
    let width = Z * variance(points).sqrt();
    // Sen's ranks M1 and M2 + 1, which count from 1, rounded outwards.
    let at = |rank: f64| slopes[(rank.max(1.0) as usize - 1).min(slopes.len() - 1)];
    let low = at(((all - width) / 2.0).floor());
    let high = at(((all + width) / 2.0 + 1.0).ceil());
    let mut rest: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    let ends = points.iter().map(|p| p.0);
    let first = ends.clone().fold(f64::INFINITY, f64::min);
    let last = ends.fold(f64::NEG_INFINITY, f64::max);
    Some(Fit {
        slope,
        low: low.min(slope),
        high: high.max(slope),
        offset: median(&mut rest)?,
        span: last - first,
    })
}

/// The variance of Kendall's S, less what equal values take from it.
fn variance(points: &[(f64, f64)]) -> f64 {
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut values: Vec<f64> = points.iter().map(|p| p.1).collect();
    values.sort_unstable_by(f64::total_cmp);
    let ties: f64 = values
        .chunk_by(|a, b| a == b)
        .map(|t| term(t.len() as f64))
        .sum();
    ((term(points.len() as f64) - ties) / 18.0).max(0.0)
}

/// The medians of `points` over blocks of `width` in x, which must come in order.
pub fn blocks(points: &[(f64, f64)], width: f64) -> Vec<(f64, f64)> {
    let Some((start, _)) = points.first() else {
        return Vec::new();
    };
    let number = |x: f64| ((x - start) / width).floor();
    let same = |a: &(f64, f64), b: &(f64, f64)| number(a.0) == number(b.0);
    let middle = |block: &[(f64, f64)]| {
        let mut x: Vec<f64> = block.iter().map(|p| p.0).collect();
        let mut y: Vec<f64> = block.iter().map(|p| p.1).collect();
        Some((median(&mut x)?, median(&mut y)?))
    };
    points.chunk_by(same).filter_map(middle).collect()
}

/// The middle of `values`, which it sorts; of two middles their mean.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    match (values.get(half), odd) {
        (None, _) => None,
        (Some(middle), true) => Some(*middle),
        (Some(upper), false) => Some((values[half - 1] + upper) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from -1 to 1 that look random and are the same every time.
    fn noise(n: usize) -> f64 {
        let mixed = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed >> 40) as f64 / (1_u64 << 23) as f64 - 1.0
    }

    #[test]
    fn a_line_is_found_exactly() {
        let points: Vec<_> = (0..20)
            .map(|n| (f64::from(n), 3.0 + 0.5 * f64::from(n)))
            .collect();
        let fit = theil_sen(&points).expect("enough points");
        assert!((fit.slope - 0.5).abs() < 1e-12 && (fit.offset - 3.0).abs() < 1e-12);
        assert!((fit.low - 0.5).abs() < 1e-12 && (fit.high - 0.5).abs() < 1e-12);
        assert_eq!(fit.span, 19.0);
    }

    #[test]
    fn sens_interval_is_the_one_worked_out_by_hand() {
        // 10 points: 45 slopes, var(S) = 10 · 9 · 25 / 18 = 125, C = 1.96 √125 =
        // 21.9, so M1 = 11.5 and M2 + 1 = 34.5: the 11th and the 35th slope.
        let y = [0.0, 1.0, 3.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let points: Vec<_> = (0..).map(f64::from).zip(y).collect();
        let fit = theil_sen(&points).expect("enough points");
        let mut slopes = Vec::new();
        for i in 0..10 {
            slopes.extend((i + 1..10).map(|j| (y[j] - y[i]) / (j - i) as f64));
        }
        slopes.sort_by(f64::total_cmp);
        assert_eq!(
            (fit.slope, fit.low, fit.high),
            (slopes[22], slopes[10], slopes[34])
        );
    }

    #[test]
    fn a_quarter_of_outliers_moves_nothing() {
        let points = (0..60).map(|n| {
            let wild = if n % 4 == 0 { 500.0 } else { 0.0 };
            (n as f64, 100.0 + 0.2 * n as f64 + wild)
        });
        let fit = theil_sen(&points.collect::<Vec<_>>()).expect("enough points");
        assert!((fit.slope - 0.2).abs() < 0.05, "{fit:?}");
    }

    #[test]
    fn noise_has_no_slope_and_a_leak_in_it_has_its_own() {
        let series = |leak: f64| -> Vec<_> {
            let at = |n: usize| (n as f64, 170.0 + leak * n as f64 + 0.3 * noise(n));
            blocks(&(0..3_000).map(at).collect::<Vec<_>>(), 90.0)
        };
        let none = theil_sen(&series(0.0)).expect("enough points");
        assert!(none.low <= 0.0 && none.high >= 0.0, "{none:?}");
        let leak = 3.0 / 3_600.0;
        let found = theil_sen(&series(leak)).expect("enough points");
        assert!(found.low <= leak && leak <= found.high, "{found:?}");
        assert!(
            found.low > 0.0 && (found.slope / leak - 1.0).abs() < 0.2,
            "{found:?}"
        );
    }

    #[test]
    fn equal_values_are_told_as_level() {
        assert!(
            theil_sen(&[(0.0, 7.0)]).is_none(),
            "one point tells nothing"
        );
        let flat: Vec<_> = (0..30).map(|n| (f64::from(n), 7.0)).collect();
        let fit = theil_sen(&flat).expect("enough points");
        assert_eq!((fit.slope, fit.low, fit.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn blocks_are_medians_of_their_own_points() {
        let points = [(0.0, 1.0), (1.0, 9.0), (2.0, 2.0), (5.0, 4.0), (6.0, 6.0)];
        assert_eq!(blocks(&points, 5.0), [(1.0, 2.0), (5.5, 5.0)]);
        assert_eq!(blocks(&[], 5.0), []);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0]), Some(2.5));
    }
}
