//! How well an avatar will talk: measured on its clips, said in words.

use std::sync::Arc;

use serde::Serialize;

use crate::avatar::{Avatar, Clip, Face, Picture, Player};
use crate::media::FPS;
use crate::pool::Size;

/// A picture in this many is measured; all of them are decoded.
const EVERY: usize = 5;
/// Distances from the eyes to the mouth, in pixels: less than the first is poor,
/// less than the second fair. The bundled model sees a face of 65.
const SMALL: [f32; 2] = [30.0, 55.0];
/// Fine detail against coarse, in the face: the same two limits. Measured on
/// portraits that were blurred or enlarged by two, and by one and a half.
const SOFT: [f32; 2] = [0.16, 0.26];
/// Luma of the face, 0 to 1: darkest and brightest that are fair, and good.
const LIGHT: [[f32; 2]; 2] = [[0.10, 0.92], [0.20, 0.80]];
/// How much one half of the face is brighter than the other.
const ONE_SIDED: [f32; 2] = [0.7, 0.4];
/// Distances from the eyes to the mouth that the face moves in a second, 19 times
/// of 20.
const RESTLESS: [f32; 2] = [4.0, 1.5];
/// Share of frames without a face.
const ABSENT: [f32; 2] = [0.1, 0.0];

/// What was measured on a clip.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Frames, all of which decode.
    pub frames: usize,
    /// Frames in which the face doesn't show.
    pub without_face: usize,
    /// From the eyes' midpoint to the mouth's, in pixels.
    pub eyes_to_mouth_px: f32,
    /// Width of the mouth at rest, in pixels, as faces are usually built.
    pub mouth_px: f32,
    /// Fine detail of the face against coarse.
    pub sharpness: f32,
    /// Luma of the face, 0 to 1.
    pub light: f32,
    /// How much one half of the face is brighter than the other, 0 to 1.
    pub one_sided: f32,
    /// Distances from the eyes to the mouth that the face moves in a second, at
    /// the 95th percentile, the seam included.
    pub motion: f32,
    /// The same where the loop closes.
    pub seam: f32,
}

/// How well something will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// It will show.
    Poor,
    /// It may show.
    Fair,
    /// Nothing to wish for.
    Good,
}

/// What is to be expected.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The worst of what was found.
    pub grade: Grade,
    /// In one sentence.
    pub says: &'static str,
    /// What could be better, and how.
    pub notes: Vec<String>,
}

/// Why a clip can't be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A frame isn't what it should be.
    #[error("frame {frame} of clip {clip} can't be decoded: encode the clip anew")]
    Decode {
        /// The clip's name.
        clip: String,
        /// Which frame.
        frame: usize,
    },
    /// The clip can't be played.
    #[error("clip {clip} can't be played")]
    Player {
        /// The clip's name.
        clip: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is nothing that could talk.
    #[error("clip {clip} shows no face in any frame: import it anew from a video that shows one")]
    Faceless {
        /// The clip's name.
        clip: String,
    },
}

/// Decodes every frame of the clip `name` and measures its face. `look` gets to
/// see each picture.
///
/// # Errors
///
/// When a frame can't be decoded, or none shows a face.
pub fn measure(
    avatar: &Avatar,
    name: &str,
    clip: &Arc<Clip>,
    mut look: impl FnMut(&Picture, Option<Face>),
) -> Result<Measured, Error> {
    let clip_name = || name.to_owned();
    let player = Player::start(clip).map_err(|source| Error::Player {
        clip: clip_name(),
        source,
    })?;
    let frames = clip.len();
    let faces: Vec<_> = (0..frames).map(|n| clip.face(n)).collect();
    let shown: Vec<Face> = faces.iter().flatten().copied().collect();
    if shown.is_empty() {
        return Err(Error::Faceless { clip: clip_name() });
    }
    let mut samples = Vec::new();
    for (n, face) in faces.iter().enumerate() {
        let picture = player.picture_waiting(n as u64);
        // After a damaged frame the player shows the one before.
        let Some(picture) = picture.filter(|picture| picture.index == n) else {
            return Err(Error::Decode {
                clip: clip_name(),
                frame: n,
            });
        };
        look(&picture, *face);
        if let Some(face) = face.filter(|_| n % EVERY == 0) {
            samples.extend(sample(picture.i420(), avatar.size, face));
        }
    }
    let mean = |value: fn(&Sample) -> f32| {
        samples.iter().map(value).sum::<f32>() / samples.len().max(1) as f32
    };
    let scale = shown.iter().map(Face::scale).sum::<f32>() / shown.len() as f32;
    let step = |a: Option<Face>, b: Option<Face>| {
        let (a, b) = (a?.mouth, b?.mouth);
        Some((a[0] - b[0]).hypot(a[1] - b[1]) / scale * FPS as f32)
    };
    let mut steps: Vec<f32> = (0..frames)
        .filter_map(|n| step(faces[n], faces[(n + 1) % frames]))
        .collect();
    steps.sort_by(f32::total_cmp);
    Ok(Measured {
        frames,
        without_face: frames - shown.len(),
        eyes_to_mouth_px: scale,
        mouth_px: 0.75 * scale,
        sharpness: mean(|s| s.sharpness),
        light: mean(|s| s.light),
        one_sided: mean(|s| s.one_sided),
        motion: steps
            .get(steps.len() * 19 / 20)
            .copied()
            .unwrap_or_default(),
        seam: step(faces[frames - 1], faces[0]).unwrap_or_default(),
    })
}

impl Measured {
    /// What that means for talking.
    pub fn verdict(&self) -> Verdict {
        let mut grade = Grade::Good;
        let mut notes = Vec::new();
        let mut note = |found: Grade, text: String| {
            if found < Grade::Good {
                grade = grade.min(found);
                notes.push(text);
            }
        };
        let px = self.eyes_to_mouth_px;
        note(
            at_least(px, SMALL),
            format!(
                "the mouth is about {:.0} pixels wide, which is small: come closer, or import a larger picture (--height is 720 unless told)",
                self.mouth_px
            ),
        );
        note(
            at_least(self.sharpness, SOFT),
            "the face is soft, and the mouth that is drawn will look sharper than its surroundings: use a sharper source".into(),
        );
        let light = LIGHT.map(|[dark, bright]| (dark..=bright).contains(&self.light));
        note(
            [Grade::Poor, Grade::Fair, Grade::Good][usize::from(light[0]) + usize::from(light[1])],
            format!(
                "the face is too {}: light it evenly",
                if self.light < 0.5 { "dark" } else { "bright" }
            ),
        );
        note(
            at_most(self.one_sided, ONE_SIDED),
            "the light comes from one side, and models draw mouths in even light: turn towards the light".into(),
        );
        note(
            at_most(self.motion, RESTLESS),
            "the head moves fast, and the mouth may lag behind: sit still, as one who listens"
                .into(),
        );
        note(
            at_most(self.without_face as f32 / self.frames as f32, ABSENT),
            format!(
                "{} of {} frames show no face, and nothing talks in them",
                self.without_face, self.frames
            ),
        );
        Verdict::of(grade, notes)
    }

    /// What was measured, in a line.
    pub fn line(&self) -> String {
        format!(
            "{} frames decode, a face in {} of them, eyes to mouth {:.0} pixels, mouth about {:.0}, sharpness {:.2}, light {:.2}, one-sided {:.2}, motion {:.2}/s",
            self.frames,
            self.frames - self.without_face,
            self.eyes_to_mouth_px,
            self.mouth_px,
            self.sharpness,
            self.light,
            self.one_sided,
            self.motion
        )
    }
}

impl Verdict {
    pub(super) fn of(grade: Grade, notes: Vec<String>) -> Self {
        let says = match grade {
            Grade::Good => "will talk well",
            Grade::Fair => "will talk, and it may show here and there",
            Grade::Poor => "will talk badly",
        };
        Self { grade, says, notes }
    }

    /// Adds a note, with which it is `grade` at best.
    pub(super) fn add(&mut self, grade: Grade, note: String) {
        self.notes.push(note);
        *self = Self::of(self.grade.min(grade), std::mem::take(&mut self.notes));
    }

    /// For people: the grade, then what could be better.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let grade = match self.grade {
            Grade::Good => "good",
            Grade::Fair => "fair",
            Grade::Poor => "poor",
        };
        let notes = self.notes.iter().map(|note| format!("- {note}"));
        std::iter::once(format!("{grade}: it {}", self.says)).chain(notes)
    }
}

fn at_least(value: f32, [fair, good]: [f32; 2]) -> Grade {
    [Grade::Poor, Grade::Fair, Grade::Good][usize::from(value >= fair) + usize::from(value >= good)]
}

fn at_most(value: f32, [fair, good]: [f32; 2]) -> Grade {
    [Grade::Poor, Grade::Fair, Grade::Good][usize::from(value <= fair) + usize::from(value <= good)]
}

/// What one picture says.
struct Sample {
    sharpness: f32,
    light: f32,
    one_sided: f32,
}

/// Measures the face between brows, ears and chin in the luma of `i420`.
fn sample(i420: &[u8], size: Size, face: Face) -> Option<Sample> {
    let [luma, ..] = size.planes(i420);
    let unit = face.scale();
    let span = |middle: f32, less: f32, more: f32, most: usize| {
        let from = (middle - less * unit).max(4.0) as usize;
        let to = ((middle + more * unit).max(0.0) as usize).min(most.saturating_sub(5));
        (from + 8 < to).then_some(from..to)
    };
    let middle = (face.eyes[0] + face.mouth[0]) / 2.0;
    let columns = span(middle, 0.7, 0.7, size.width)?;
    let rows = span(face.eyes[1], 0.25, 1.25, size.height)?;
    let at = |x: usize, y: usize| f32::from(luma[y * size.width + x]);
    let box_of = |x: usize, y: usize, reach: usize| {
        let mut sum = 0.0;
        for y in y - reach..=y + reach {
            for x in x - reach..=x + reach {
                sum += at(x, y);
            }
        }
        sum / ((2 * reach + 1) * (2 * reach + 1)) as f32
    };
    let (mut fine, mut coarse, mut light) = (0.0, 0.0, [0.0; 2]);
    let (mut measured, mut counts) = (0.0, [0.0; 2]);
    for y in rows {
        for x in columns.clone() {
            let half = usize::from(x as f32 > middle);
            light[half] += at(x, y) - 16.0;
            counts[half] += 1.0;
            // A quarter of the pixels says as much about detail.
            if x % 2 == 0 && y % 2 == 0 {
                let (near, around) = (box_of(x, y, 1), box_of(x, y, 4));
                fine += (at(x, y) - near).powi(2);
                coarse += (near - around).powi(2);
                measured += 1.0;
            }
        }
    }
    let [left, right] = [0, 1].map(|n| (light[n] / f32::max(counts[n], 1.0) / 219.0).max(0.0));
    (measured > 0.0 && coarse > 0.0).then_some(Sample {
        sharpness: (fine / coarse).sqrt(),
        light: (left + right) / 2.0,
        one_sided: (left - right).abs() / (left + right).max(0.02),
    })
}
