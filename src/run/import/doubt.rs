//! What speaks against a face that was found: that it isn't upright, that both
//! its eyes are seldom seen, that it is little like a human one.
//!
//! Cascades see faces in much, now and then in one that stands on its head, and
//! what is once found is followed. So the surroundings of the face are looked at
//! turned as well: where more of a face shows then, it lies so.

use std::path::Path;

use opencv::core::{
    Mat, ROTATE_90_CLOCKWISE, ROTATE_90_COUNTERCLOCKWISE, ROTATE_180, Rect, rotate,
};
use opencv::prelude::*;

use super::Error;
use super::cascade::Detector;
use super::features::Sighting;
use super::judge::{Grade, Verdict};

/// The other ways in which a face may lie, and what is said of each.
pub(super) const TURNS: [(i32, &str); 3] = [
    (
        ROTATE_180,
        "the face stands on its head: turn the picture first, for example with `ffmpeg -i IN -vf hflip,vflip OUT`",
    ),
    (
        ROTATE_90_CLOCKWISE,
        "the face isn't upright: turn the picture to the right first, for example with `ffmpeg -i IN -vf transpose=1 OUT`",
    ),
    (
        ROTATE_90_COUNTERCLOCKWISE,
        "the face isn't upright: turn the picture to the left first, for example with `ffmpeg -i IN -vf transpose=2 OUT`",
    ),
];
/// Steepest roll of a head: 60 degrees.
const STEEP: f64 = std::f64::consts::FRAC_PI_3;
/// Half the surroundings that are turned, in sides of the face's box.
const AROUND: f64 = 1.1;
/// How much more of a face there must be in the turned picture.
const MORE: f64 = 2.0;
/// Likeness below which a sighting is a weak one.
const WEAK: f64 = 1.0;

/// What the looks at one face have in common.
#[derive(Clone, Copy, Default)]
pub(super) struct Evidence {
    looks: usize,
    /// Looks that saw both eyes.
    both_eyes: usize,
    /// Looks at what is little like a face.
    weak: usize,
    /// Likeness as it is, and turned, summed over the same pictures.
    upright: f64,
    turned: [f64; TURNS.len()],
}

impl Evidence {
    /// Takes in what was seen in `picture`.
    pub(super) fn add(
        &mut self,
        picture: &Mat,
        seen: &Sighting,
        detector: &mut dyn Detector,
    ) -> Result<(), Error> {
        self.looks += 1;
        self.both_eyes += usize::from(seen.certain);
        self.weak += usize::from(seen.likeness < WEAK);
        // The first, second, fourth and so on: nobody turns over in a clip.
        if self.looks.is_power_of_two() {
            self.turn(picture, seen, detector)?;
        }
        Ok(())
    }

    fn turn(
        &mut self,
        picture: &Mat,
        seen: &Sighting,
        detector: &mut dyn Detector,
    ) -> Result<(), Error> {
        // Detectors that tell points find faces however they lie.
        let lies = seen.roll.abs() > STEEP;
        self.upright += if lies { 0.0 } else { seen.likeness };
        let reach = seen.side * AROUND;
        let [left, top] = seen.centre.map(|x| (x - reach) as i32);
        let whole = Rect::new(0, 0, picture.cols(), picture.rows());
        let area = Rect::new(left, top, (2.0 * reach) as i32, (2.0 * reach) as i32) & whole;
        if area.empty() {
            return Ok(());
        }
        let near = Mat::roi(picture, area)?;
        let mut other = Mat::default();
        for ((turn, _), sum) in TURNS.iter().zip(&mut self.turned) {
            rotate(&near, &mut other, *turn)?;
            let found = detector.find(&other)?;
            let upright = found.iter().filter(|s| s.roll.abs() <= STEEP);
            *sum += upright.map(|s| s.likeness).fold(0.0, f64::max);
        }
        Ok(())
    }

    /// Refuses a face that isn't upright.
    pub(super) fn check(&self, path: &Path) -> Result<(), Error> {
        let most = (0..TURNS.len()).max_by(|a, b| self.turned[*a].total_cmp(&self.turned[*b]));
        match most {
            Some(n) if self.turned[n] > MORE * self.upright => {
                Err(Error::unusable(path, TURNS[n].1))
            }
            _ => Ok(()),
        }
    }

    /// Adds to `verdict` what else is to be feared.
    pub(super) fn judge(&self, verdict: &mut Verdict) {
        if 2 * self.weak > self.looks {
            verdict.add(
                Grade::Poor,
                "what was found is little like a human face, as drawings, dolls and animals are: a mouth as of a human is drawn into it".into(),
            );
        }
        if 2 * self.both_eyes < self.looks {
            verdict.add(
                Grade::Fair,
                format!(
                    "both eyes were seen in {} of {} looks only, so the face may be turned to the side, covered or blurred: take a clip in which it looks at the camera",
                    self.both_eyes, self.looks
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(upright: f64, turned: [f64; 3]) -> Evidence {
        Evidence {
            upright,
            turned,
            ..Evidence::default()
        }
    }

    #[test]
    fn a_face_is_upright_unless_much_more_of_it_shows_in_the_turned_picture() {
        let path = Path::new("me.mp4");
        assert!(evidence(7.0, [0.6, 0.0, 0.4]).check(path).is_ok());
        assert!(evidence(0.7, [0.9, 0.0, 0.0]).check(path).is_ok());
        assert!(evidence(0.0, [0.0; 3]).check(path).is_ok());
        let said = |turned| match evidence(0.6, turned).check(path) {
            Err(error) => error.to_string(),
            Ok(()) => String::new(),
        };
        assert!(said([7.0, 0.5, 0.0]).contains("on its head"));
        assert!(said([0.0, 0.5, 7.0]).contains("transpose=2"));
    }

    #[test]
    fn weak_looks_and_missing_eyes_worsen_the_verdict() {
        let mut verdict = Verdict::of(Grade::Good, Vec::new());
        let mut seen = Evidence {
            looks: 10,
            both_eyes: 8,
            weak: 3,
            ..Evidence::default()
        };
        seen.judge(&mut verdict);
        assert!(verdict.grade == Grade::Good && verdict.notes.is_empty());
        seen.both_eyes = 4;
        seen.judge(&mut verdict);
        assert!(verdict.grade == Grade::Fair && verdict.notes[0].contains("4 of 10"));
        seen.weak = 6;
        seen.judge(&mut verdict);
        assert!(verdict.grade == Grade::Poor && verdict.says.contains("badly"));
    }
}
