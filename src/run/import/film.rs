//! A video to a clip: looked through in parts, of which the best becomes the clip.
//!
//! What is known of a frame is kept for a part only, so that an hour takes no more
//! memory than two minutes.

use std::ops::Range;

use super::absence::Absence;
use super::cascade::Detector;
use super::seam::{Looks, Loop};
use super::source::Source;
use super::track::{Track, Tracker};
use super::video::{Ahead, Video};
use super::{Error, Import, Job, Made, Progress, SHORTEST, tell};
use crate::avatar::Face;
use crate::media::FPS;
use crate::pool::Size;

/// Frames of a part: 120 s. The search for a loop compares each with each.
const PART: usize = 120 * FPS as usize;
/// From here on a longer clip is no better: 40 s.
const LONG: usize = 40 * FPS as usize;
/// One frame in this many may be without a face.
const ONE_IN: usize = 10;

/// Some frames of the source, followed and judged.
struct Part {
    /// Its first frame in what is used of the source.
    start: usize,
    track: Track,
    way: Loop,
    /// How good a clip it makes.
    worth: f32,
}

/// What is known of all parts.
struct Search<'i, 'p> {
    job: &'i Job<'i>,
    size: Size,
    tracker: Tracker,
    absence: Absence,
    /// Frames looked at, at most, and expected.
    most: usize,
    expected: usize,
    frames: usize,
    lost: usize,
    progress: &'p mut dyn FnMut(Progress) -> bool,
}

impl Import<'_> {
    pub(super) fn video(
        &mut self,
        video: Video,
        detector: Box<dyn Detector>,
        progress: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Made, Error> {
        let job = self.job;
        let most = job.seconds as usize * FPS as usize;
        let told = ((video.seconds - job.start_s) * f64::from(FPS)).max(1.0) as usize;
        let mut search = Search {
            job,
            size: self.size,
            tracker: Tracker::new(detector, job.face - 1),
            absence: Absence::default(),
            most,
            expected: told.min(most),
            frames: 0,
            lost: 0,
            progress,
        };
        let mut pictures = video.ahead(self.size)?;
        let mut best: Option<Part> = None;
        while let Some(part) = search.part(&mut pictures)? {
            // A worth that can't be told is no better.
            if part.worth > best.as_ref().map_or(0.0, |best| best.worth) {
                best = Some(part);
            }
        }
        let cut = search.frames == most && pictures.next()?.is_some();
        drop(pictures);
        let Search {
            tracker,
            absence,
            frames,
            lost,
            progress,
            ..
        } = search;
        if frames < SHORTEST {
            return Err(Error::short(job.source, frames));
        }
        let Some(part) = best else {
            return Err(absence.refuse(job, lost, frames)?);
        };
        let Part {
            start, track, way, ..
        } = part;
        let done = frames + track.faces.len();
        let of = done + way.len(track.faces.len());
        let writer = self.writer(self.shape.is_bt709())?;
        let Source::Video(mut video) = Source::open(job.source, job.start_s)? else {
            unreachable!("it was a video a moment ago");
        };
        video.pass_to(start)?;
        let mut hear = |done: usize| tell(progress, "writing the clip", frames + done, of);
        writer.run(video.ahead(self.size)?, &track.faces, &way, &mut hear)?;
        let (comes_round, clip) = match way {
            Loop::Round(range) => ("in a loop", range),
            Loop::Whole => ("as a whole", 0..track.faces.len()),
            Loop::ForthAndBack(range) => ("forth and back", range),
        };
        let told = |range: &Range<usize>| [start + range.start, start + range.end - 1];
        Ok(Made {
            frames_used: frames,
            cut,
            faces: tracker.most_faces(),
            lost: track.lost.iter().map(told).collect(),
            comes_round,
            clip: told(&clip),
            evidence: tracker.evidence(),
            done,
        })
    }
}

impl Search<'_, '_> {
    /// The next part of `pictures`, or `None` at the end of what is used.
    fn part(&mut self, pictures: &mut Ahead) -> Result<Option<Part>, Error> {
        let start = self.frames;
        let mut looks = Looks::default();
        while self.frames < self.most.min(start + PART) {
            let Some(picture) = pictures.next()? else {
                break;
            };
            if !self.tracker.see(&picture)? {
                self.absence.add(self.frames, &picture)?;
            }
            looks.add(&picture)?;
            self.frames += 1;
            let of = self.expected.max(self.frames);
            tell(
                self.progress,
                "following the face",
                self.frames,
                of + 2 * of.min(PART),
            )?;
        }
        let frames = self.frames - start;
        if frames == 0 {
            return Ok(None);
        }
        let track = self.tracker.part(self.size);
        let lost: usize = track.lost.iter().map(ExactSizeIterator::len).sum();
        self.lost += lost;
        self.tracker.evidence().check(self.job.source)?;
        let way = looks.best(longest_run(&track.faces));
        let worth = if lost * ONE_IN > frames || frames < SHORTEST {
            0.0
        } else {
            let length = way.len(frames).min(LONG) as f32;
            let turns = matches!(way, Loop::ForthAndBack(_));
            length * if turns { 0.5 } else { 1.0 } / (1.0 + looks.restless())
                * (1.0 - lost as f32 / frames as f32)
        };
        Ok(Some(Part {
            start,
            track,
            way,
            worth,
        }))
    }
}

/// The longest run of frames that show the face; all of them if none is long.
fn longest_run(faces: &[Option<Face>]) -> Range<usize> {
    let mut best = 0..0;
    let mut from = 0;
    for n in 0..=faces.len() {
        if n == faces.len() || faces[n].is_none() {
            if n - from > best.len() {
                best = from..n;
            }
            from = n + 1;
        }
    }
    if best.len() < SHORTEST {
        0..faces.len()
    } else {
        best
    }
}
