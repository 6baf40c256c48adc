//! Where a clip may be cut so that it loops without a seam.
//!
//! Two moments that look alike and move alike make a loop. Where there are none
//! the clip plays forth and back, and turns where it moves least.

use std::ops::Range;

use opencv::core::{Mat, Rect, Size as CvSize};
use opencv::imgproc;
use opencv::prelude::*;

use crate::media::FPS;

/// Longest side of the small pictures that are compared.
const SIDE: i32 = 48;
/// Shortest loop: 3 s.
const SHORTEST: usize = 3 * FPS as usize;
/// Frames in which the end of a loop becomes its beginning.
pub(super) const FADE: usize = 8;
/// Longest way forth: 15 s. Its pictures wait on the disk for the way back.
pub(super) const LONGEST_WAY: usize = 15 * FPS as usize;
/// How much a seam may differ from what lies between any two frames.
const LIKE: f32 = 1.6;
/// What two pictures of the same differ by, in shades.
const NOISE: f32 = 0.25;

/// How a clip comes round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    /// These frames, the last of them faded into those before the first.
    Round(Range<usize>),
    /// The whole clip: it was made to loop.
    Whole,
    /// These frames, and back again.
    ForthAndBack(Range<usize>),
}

impl Loop {
    /// Frames of the clip.
    pub(super) fn len(&self, frames: usize) -> usize {
        match self {
            Self::Round(range) => range.len(),
            Self::Whole => frames,
            Self::ForthAndBack(range) => (2 * range.len() - 2).max(1),
        }
    }
}

/// What clips looked like, very small.
#[derive(Default)]
pub(super) struct Looks {
    small: Vec<Vec<u8>>,
}

impl Looks {
    /// Remembers the next picture.
    pub(super) fn add(&mut self, picture: &Mat) -> opencv::Result<()> {
        let (mut grey, mut small) = (Mat::default(), Mat::default());
        let (width, height) = (picture.cols(), picture.rows());
        // A whole number of pixels into one is several times as quick as a share of them.
        let factor = (width.max(height) + SIDE - 1) / SIDE;
        let side = |pixels: i32| (pixels / factor).max(1);
        let size = CvSize::new(side(width), side(height));
        let whole = |side: i32, pixels: i32| (side * factor).min(pixels);
        let area = Rect::new(0, 0, whole(size.width, width), whole(size.height, height));
        imgproc::cvt_color_def(
            &Mat::roi(picture, area)?,
            &mut grey,
            imgproc::COLOR_BGR2GRAY,
        )?;
        imgproc::resize(&grey, &mut small, size, 0.0, 0.0, imgproc::INTER_AREA)?;
        self.small.push(small.data_bytes()?.to_vec());
        Ok(())
    }

    /// Mean difference of two pictures in shades.
    fn apart(&self, a: usize, b: usize) -> f32 {
        let pairs = self.small[a].iter().zip(&self.small[b]);
        let sum: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        sum as f32 / self.small[a].len() as f32
    }

    /// How much neighbours differ, three times of four.
    fn usual(&self, frames: Range<usize>) -> f32 {
        let mut steps: Vec<f32> = frames.skip(1).map(|n| self.apart(n - 1, n)).collect();
        steps.sort_by(f32::total_cmp);
        steps.get(steps.len() * 3 / 4).copied().unwrap_or_default()
    }

    /// How restless it is: what neighbours usually differ by, in shades.
    pub(super) fn restless(&self) -> f32 {
        self.usual(0..self.small.len())
    }

    /// The best loop within the frames `usable`.
    pub(super) fn best(&self, usable: Range<usize>) -> Loop {
        let most = LIKE * self.usual(usable.clone()) + NOISE;
        let all = usable == (0..self.small.len());
        if all && usable.len() >= SHORTEST {
            let (first, last) = (usable.start, usable.end - 1);
            // As near as neighbours, and going on, not back.
            if self.apart(last, first) <= most
                && self.apart(last, first + 1) <= 2.0 * most
                && self.apart(last - 1, first + 1) >= self.apart(last, first) * 0.8
            {
                return Loop::Whole;
            }
        }
        self.round(&usable, most)
            .unwrap_or_else(|| self.forth_and_back(usable))
    }

    /// The longest loop whose seam differs by no more than `most`; among those
    /// that are nearly as long the one with the best seam.
    fn round(&self, usable: &Range<usize>, most: f32) -> Option<Loop> {
        let first = usable.start + FADE;
        let last = usable.end.checked_sub(2)?;
        let mut best: Option<(f32, Range<usize>)> = None;
        let longest = last.checked_sub(first)?;
        for length in (SHORTEST..=longest).rev() {
            if best
                .as_ref()
                .is_some_and(|(_, range)| length * 10 < range.len() * 9)
            {
                break;
            }
            for start in first..=last - length {
                let end = start + length;
                // The cheapest comparison first: mostly it is the only one.
                let mut seam = self.apart(start, end);
                if seam > most {
                    continue;
                }
                seam = seam
                    .max(self.apart(start - 2, end - 2))
                    .max(self.apart(start - 1, end - 1))
                    .max(self.apart(start + 1, end + 1));
                if seam <= most && best.as_ref().is_none_or(|(least, _)| seam < *least) {
                    best = Some((seam, start..end));
                }
            }
        }
        best.map(|(_, range)| Loop::Round(range))
    }

    /// The way whose ends move least, and that isn't much shorter than it could be.
    fn forth_and_back(&self, usable: Range<usize>) -> Loop {
        if usable.len() < 5 {
            return Loop::ForthAndBack(usable);
        }
        let speed = |n: usize| self.apart(n - 1, n + 1);
        let speeds: Vec<f32> = (usable.start + 1..usable.end - 1).map(speed).collect();
        let most = speeds.len().min(LONGEST_WAY);
        let least = (most * 3 / 4).max(2);
        let mut best = (f32::INFINITY, 0..speeds.len());
        for start in 0..speeds.len() {
            for end in start + least..=(start + most).min(speeds.len()) {
                // Some length is worth a little motion.
                let rest = speeds[start] + speeds[end - 1];
                let cost = (rest + 0.2) * (1.0 - 0.3 * (end - start) as f32 / most as f32);
                if cost < best.0 {
                    best = (cost, start..end);
                }
            }
        }
        let from = usable.start + 1;
        Loop::ForthAndBack(best.1.start + from..best.1.end + from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures of one bright spot whose place `at` tells, in 0..=1.
    fn looks(frames: usize, at: impl Fn(usize) -> f64) -> Looks {
        let picture = |n: usize| {
            let spot = at(n) * 90.0;
            (0..100)
                .map(|x| (255.0 * (-((f64::from(x) - 5.0 - spot) / 6.0).powi(2)).exp()) as u8)
                .collect()
        };
        Looks {
            small: (0..frames).map(picture).collect(),
        }
    }

    fn wave(n: usize, period: usize) -> f64 {
        0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / period as f64).cos()
    }

    #[test]
    fn a_clip_that_comes_round_is_cut_where_it_does() {
        let looks = looks(330, |n| wave(n, 100));
        let Loop::Round(range) = looks.best(0..330) else {
            panic!("a loop");
        };
        assert!(range.len().abs_diff(300) <= 2, "{range:?}");
    }

    #[test]
    fn a_clip_made_to_loop_stays_whole() {
        assert_eq!(looks(200, |n| wave(n, 200)).best(0..200), Loop::Whole);
    }

    #[test]
    fn a_clip_that_never_comes_back_goes_forth_and_back() {
        let looks = looks(120, |n| n as f64 / 120.0);
        let Loop::ForthAndBack(range) = looks.best(0..120) else {
            panic!("it never comes back");
        };
        assert!(range.len() >= 88 && range.end <= 120, "{range:?}");
    }

    #[test]
    fn it_turns_where_it_rests() {
        // At rest at 20 and at 110, fast at both ends.
        let at = |n: usize| {
            wave(n.saturating_sub(20).min(90), 180) * 0.6
                + 0.4 * (n.max(110) - 110) as f64 / 10.0
                + 0.02 * (20 - n.min(20)) as f64
        };
        let Loop::ForthAndBack(range) = looks(120, at).best(0..120) else {
            panic!("it never comes back");
        };
        assert!(
            (8..=34).contains(&range.start) && (98..=112).contains(&range.end),
            "{range:?}"
        );
    }
}
