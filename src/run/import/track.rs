//! One face through a clip: found every few frames, followed from frame to frame.
//!
//! What a detector says of eyes and mouth jumps about by a pixel or two; where
//! the face went since the last picture is known to a hundredth. So the face is
//! followed by [`Template`], what was detected is taken back into the template's
//! own coordinates, smoothed there over seconds, and laid out again.

use std::ops::Range;

use opencv::core::{Mat, MatTraitConst};

use super::Error;
use super::align::{Grey, Placement, Template};
use super::cascade::Detector;
use super::doubt::Evidence;
use super::features::Sighting;
use crate::avatar::Face;
use crate::pool::Size;

mod anchor;
mod gaps;

use anchor::anchors;
use gaps::bridge;
pub(super) use gaps::gaps;

/// Frames from one detection to the next while the face is followed well.
const EVERY: usize = 8;
/// One detection in this many looks at the whole picture, for other faces.
const WHOLE: usize = 4;
/// Correlations from which a template fits well, well enough not to look for
/// another one, and at all.
const GOOD: f64 = 0.92;
const ENOUGH: f64 = 0.84;
const FITS: f64 = 0.75;
/// Templates kept: a face that turns looks different.
const TEMPLATES: usize = 8;
/// Frames without a face that are bridged: a fifth of a second.
const BRIDGED: usize = 5;
/// Frames that the latest face is made of: what lies further back hardly weighs.
const RECENT: usize = 100;
/// Detections that may fail while the template fits only moderately.
const DOUBTS: usize = 6;
/// A pixel of the template, in sides of the detector's box.
const GRAIN: f64 = 0.0075;
/// The template's centre below the eyes, in the same.
const DOWN: f64 = 0.07;
/// Frames after which a face that is gone may come back anywhere: a second.
const FORGOTTEN: usize = 25;

/// Follows one face.
pub(super) struct Tracker {
    detector: Box<dyn Detector>,
    /// Which face, 0 the largest and most central.
    chosen: usize,
    templates: Vec<(Template, f64)>,
    last: Option<Placement>,
    since: usize,
    doubts: usize,
    gone: usize,
    run: usize,
    detections: usize,
    frames: Vec<Seen>,
    most_faces: usize,
    evidence: Evidence,
}

/// What is known of a frame.
#[derive(Clone, Copy, Default)]
struct Seen {
    place: Option<Placement>,
    sighting: Option<Sighting>,
    /// Frames of one run share the template's coordinates.
    run: usize,
}

/// Where the face is in every frame.
pub(super) struct Track {
    /// One a frame.
    pub(super) faces: Vec<Option<Face>>,
    /// Frames in which it wasn't found, bridged ones too.
    pub(super) lost: Vec<Range<usize>>,
}

impl Tracker {
    /// Will follow face `chosen`, counted from 0, the largest and most central one.
    pub(super) fn new(detector: Box<dyn Detector>, chosen: usize) -> Self {
        Self {
            detector,
            chosen,
            templates: Vec::new(),
            last: None,
            since: 0,
            doubts: 0,
            gone: 0,
            run: 0,
            detections: 0,
            frames: Vec::new(),
            most_faces: 0,
            evidence: Evidence::default(),
        }
    }

    /// Looks at the next picture. Returns whether the face shows.
    pub(super) fn see(&mut self, picture: &Mat) -> Result<bool, Error> {
        let mut seen = Seen::default();
        let mut fit = 0.0;
        if let Some(last) = self.last {
            let found = self.follow(picture, last)?;
            (seen.place, fit) = found.map_or((None, 0.0), |(place, fit)| (Some(place), fit));
        }
        self.since += 1;
        if seen.place.is_none() || self.since >= EVERY || fit < ENOUGH {
            self.since = 0;
            seen.sighting = self.detect(picture, seen.place.or(self.last))?;
            if let Some(sighting) = &seen.sighting {
                self.evidence.add(picture, sighting, &mut *self.detector)?;
            }
            match (seen.sighting, seen.place) {
                (Some(sighting), None) => seen.place = Some(self.start(picture, sighting)?),
                (Some(_), Some(place)) => {
                    self.doubts = 0;
                    if fit < GOOD {
                        self.keep(picture, place)?;
                    }
                }
                // It may follow what is no face any more.
                (None, Some(_)) => {
                    self.doubts += 1;
                    if self.doubts > DOUBTS && fit < GOOD {
                        seen.place = None;
                    }
                }
                (None, None) => {}
            }
        }
        if seen.place.is_some() {
            self.last = seen.place;
            self.gone = 0;
        } else {
            self.gone += 1;
            if self.gone == FORGOTTEN {
                self.last = None;
            }
        }
        seen.run = self.run;
        self.frames.push(seen);
        Ok(seen.place.is_some())
    }

    /// Like [`Tracker::see`], and lets the detector have a look at this picture too.
    pub(super) fn look(&mut self, picture: &Mat) -> Result<bool, Error> {
        self.since = EVERY;
        self.see(picture)
    }

    /// Where a template fits best, from the place of the last frame on.
    fn follow(
        &mut self,
        picture: &Mat,
        last: Placement,
    ) -> Result<Option<(Placement, f64)>, Error> {
        let mut best: Option<(usize, Placement, f64)> = None;
        let mut grey: Option<(f64, Grey)> = None;
        for (n, (template, factor)) in self.templates.iter().enumerate() {
            if grey.as_ref().is_none_or(|(other, _)| other != factor) {
                grey = Some((*factor, Grey::new(picture, *factor, last)?));
            }
            let Some((_, grey)) = &grey else { continue };
            let (place, fit) = template.align(grey, last.enlarged(*factor));
            let place = place.enlarged(1.0 / factor);
            let jump = (place.at[0] - last.at[0]).hypot(place.at[1] - last.at[1]);
            let near =
                jump < 30.0 * last.scale() && (0.8..1.25).contains(&(place.scale() / last.scale()));
            if near && fit > best.map_or(FITS, |(.., fit)| fit) {
                best = Some((n, place, fit));
            }
            // The one that fitted last comes first, and mostly fits again.
            if best.is_some_and(|(.., fit)| fit > ENOUGH) {
                break;
            }
        }
        Ok(best.map(|(n, place, fit)| {
            self.templates[..=n].rotate_right(1);
            (place, fit)
        }))
    }

    /// The chosen face, near `known` if it was known before.
    fn detect(
        &mut self,
        picture: &Mat,
        known: Option<Placement>,
    ) -> Result<Option<Sighting>, Error> {
        self.detections += 1;
        let followed = known.filter(|_| self.gone == 0 && !self.detections.is_multiple_of(WHOLE));
        let mut found = match followed {
            Some(known) => {
                let side = known.scale() / GRAIN;
                self.detector.find_near(picture, known.at, side)?
            }
            None => self.detector.find(picture)?,
        };
        self.most_faces = self
            .most_faces
            .max(found.iter().filter(|s| s.certain).count());
        if let Some(known) = known {
            let side = known.scale() / GRAIN;
            let far =
                |s: &Sighting| (s.eyes[0] - known.at[0]).hypot(s.eyes[1] - known.at[1]) / side;
            let followed = self.gone == 0;
            let reach = if followed { 0.4 } else { 1.5 };
            found.retain(|s| far(s) < reach && (0.6..1.6).contains(&(s.side / side)));
            found.retain(|s| s.certain || followed);
            return Ok(found.into_iter().min_by(|a, b| far(a).total_cmp(&far(b))));
        }
        let (width, height) = (f64::from(picture.cols()), f64::from(picture.rows()));
        let worth = |s: &Sighting| {
            let aside =
                ((s.centre[0] / width - 0.5).hypot(s.centre[1] / height - 0.5) * 1.4).min(1.0);
            s.side * s.side * (1.0 - 0.5 * aside)
        };
        // Cascades see faces in much; what has two eyes as well mostly is one.
        found.retain(|s| s.certain);
        found.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        Ok(found.into_iter().nth(self.chosen))
    }

    /// Begins with a face that was detected: as one that is known, or anew.
    fn start(&mut self, picture: &Mat, sighting: Sighting) -> Result<Placement, Error> {
        self.doubts = 0;
        let (sine, cosine) = sighting.roll.sin_cos();
        let down = DOWN * sighting.side;
        let grain = GRAIN * sighting.side;
        let place = Placement {
            a: grain * cosine,
            b: grain * sine,
            at: [
                sighting.eyes[0] - sine * down,
                sighting.eyes[1] + cosine * down,
            ],
        };
        if let Some((place, _)) = self.follow(picture, place)? {
            return Ok(place);
        }
        self.templates.clear();
        self.run += 1;
        self.keep(picture, place)?;
        Ok(place)
    }

    /// Remembers what the face at `place` looks like.
    fn keep(&mut self, picture: &Mat, place: Placement) -> Result<(), Error> {
        let factor = (1.0 / place.scale()).min(1.0);
        let grey = Grey::new(picture, factor, place)?;
        if let Some(template) = Template::cut(&grey, place.enlarged(factor)) {
            self.templates.insert(0, (template, factor));
            self.templates.truncate(TEMPLATES);
        }
        Ok(())
    }

    /// The face in the picture that was seen last, as far as is known by then.
    /// What was seen long before is forgotten.
    pub(super) fn latest(&mut self, size: Size) -> Option<Face> {
        if self.frames.len() == 2 * RECENT {
            self.frames.drain(..RECENT);
        }
        let before = self.frames.iter().rposition(|seen| seen.run != self.run);
        let run = &self.frames[before.map_or(0, |n| n + 1)..];
        let recent = &run[run.len().saturating_sub(RECENT)..];
        let face = anchors(recent).pop().flatten();
        face.filter(|face| inside(face, size))
    }

    /// Most faces seen at once.
    pub(super) fn most_faces(&self) -> usize {
        self.most_faces
    }

    /// What speaks for the face, and against it.
    pub(super) fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The face in every frame, of pictures of `size`, since the part before. It is
    /// followed on into the next part, but the frames are forgotten.
    pub(super) fn part(&mut self, size: Size) -> Track {
        let frames = std::mem::take(&mut self.frames);
        let mut faces: Vec<Option<Face>> = vec![None; frames.len()];
        let mut from = 0;
        while from < frames.len() {
            let run = frames[from].run;
            let length = frames[from..].iter().take_while(|s| s.run == run).count();
            let part = from..from + length;
            for (face, anchor) in faces[part.clone()]
                .iter_mut()
                .zip(anchors(&frames[part.clone()]))
            {
                *face = anchor.filter(|face| inside(face, size));
            }
            from = part.end;
        }
        let lost = gaps(&faces);
        for gap in &lost {
            if gap.len() <= BRIDGED {
                bridge(&mut faces, gap);
            }
        }
        Track { faces, lost }
    }
}

fn inside(face: &Face, size: Size) -> bool {
    let within = |[x, y]: [f32; 2]| {
        (0.0..size.width as f32).contains(&x) && (0.0..size.height as f32).contains(&y)
    };
    within(face.eyes) && within(face.mouth) && face.scale() >= 8.0
}
