//! A video or a photo to an avatar that talks.
//!
//! The source is read twice: once to follow the face and find where the clip may
//! loop, once to write it. Everything is made in a folder of its own and moved
//! into place whole, so that what fails or is stopped leaves nothing behind.

mod absence; // too many frames without a face
mod align; // the same face in the next picture
mod background; // what stands behind
mod cascade; // faces of a picture
mod doubt; // what speaks against a face
mod error; // why there is no avatar
mod features; // eyes and mouth of a face
mod film; // a video to a clip
pub mod judge; // how well it will talk
mod key; // a screen behind
mod matte; // anything behind, by a network
mod onnx; // faces by a network
mod photo; // a photo that lives
mod seam; // where a clip loops
mod sheet; // pictures about it
mod source; // what was given
mod track; // one face through a clip
mod video; // its pictures, 25 a second
pub(super) mod watch; // the same as it is read
mod write; // pictures and faces to a bundle

use std::fs;
use std::path::{Path, PathBuf};

use opencv::core::{Mat, MatTraitConst, Size as CvSize};
use opencv::imgproc;
use serde::Serialize;

use self::absence::Absence;
use self::background::Cutter;
pub use self::background::{Background, Behind, By, colour};
use self::cascade::{Detector, Haar};
use self::doubt::Evidence;
pub use self::error::Error;
use self::judge::{Measured, Verdict};
use self::onnx::Onnx;
use self::photo::Photo;
use self::sheet::Sheet;
use self::source::{Shape, Source};
use self::track::Tracker;
use self::write::ClipWriter;
use crate::avatar::{Avatar, IDLE, is_id};
use crate::media::FPS;
use crate::pool::Size;
use crate::run::aside::Aside;
use crate::stage::lipsync::Runtime;

/// Shortest clip.
const SHORTEST: usize = FPS as usize;
/// A photo is looked at in these sizes, since one look errs by a pixel or two.
const LOOKS: [f64; 5] = [1.0, 0.96, 0.92, 0.88, 0.84];

/// What is to be imported.
pub struct Job<'j> {
    /// The video or photo.
    pub source: &'j Path,
    /// The avatar's id.
    pub id: &'j str,
    /// What people will call it.
    pub name: &'j str,
    /// Who made it, and under which licence.
    pub credits: &'j str,
    /// The folder that holds the avatars.
    pub avatars: &'j Path,
    /// The folder in which it is made aside, on the same disk; left out, beside the
    /// one that holds the avatars.
    pub beside: Option<&'j Path>,
    /// Rows of the avatar's pictures at most.
    pub height: u32,
    /// Which face: 1 is the largest and most central one.
    pub face: usize,
    /// Seconds of the source that are passed over.
    pub start_s: f64,
    /// Seconds of it that are looked at at most; what is kept doesn't grow with them.
    pub seconds: u32,
    /// The detector that finds faces, and what runs it; OpenCV's cascades
    /// otherwise.
    pub detector: Option<(&'j Path, &'j Runtime)>,
    /// What is done about the background, if it doesn't stay.
    pub background: Option<Background<'j>>,
    /// Where pictures go when there is no face in them; left out, they are not kept.
    pub refused: Option<&'j Path>,
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What it does.
    pub doing: &'static str,
    /// Frames done, of all passes.
    pub done: usize,
    /// Frames there will be, as far as is known.
    pub of: usize,
}

/// What was found and made.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The source.
    pub source: PathBuf,
    /// Its pictures' width and height.
    pub source_size: [i32; 2],
    /// The avatar's.
    pub size: [usize; 2],
    /// Frames of the source that were looked at, at 25 a second.
    pub frames_used: usize,
    /// Whether the source goes on after them.
    pub cut: bool,
    /// Most faces at once, and which one was followed, from 1.
    pub faces: usize,
    /// The one that was followed.
    pub face: usize,
    /// Frames in which it wasn't found, first and last, bridged ones too.
    pub lost: Vec<[usize; 2]>,
    /// How the clip comes round.
    pub comes_round: &'static str,
    /// Frames of the source that the clip is made of, first and last.
    pub clip: [usize; 2],
    /// What was measured on the clip.
    pub measured: Measured,
    /// How well it will talk.
    pub verdict: Verdict,
}

/// Imports `job`. `progress` hears how far it is and says whether to go on.
///
/// # Errors
///
/// One sentence that says what was found and what to do. No bundle is left then.
pub fn import(job: &Job<'_>, progress: &mut dyn FnMut(Progress) -> bool) -> Result<Report, Error> {
    if !is_id(job.id) {
        return Err(Error::Id { id: job.id.into() });
    }
    let target = job.avatars.join(job.id);
    if target.exists() {
        return Err(Error::Exists {
            id: job.id.into(),
            path: target,
        });
    }
    let source = Source::open(job.source, job.start_s)?;
    let detector: Box<dyn Detector> = match job.detector {
        Some((path, runtime)) => Box::new(Onnx::load(path, runtime)?),
        None => Box::new(Haar::new()?),
    };
    // On the same disk as the folder of bundles, and never listed.
    let beside = job.beside.or(job.avatars.parent()).unwrap_or(job.avatars);
    let work = Aside::create(beside).map_err(|e| Error::write(beside, e))?;
    let folder = work.path().join(job.id);
    fs::create_dir(&folder).map_err(|e| Error::write(&folder, e))?;
    let shape = source.shape();
    let size = shape.scaled(job.source, job.height as i32)?;
    let background = job.background.as_ref();
    let cutter = background.map(|wanted| wanted.cutter(job.source, size));
    let mut import = Import {
        job,
        folder: &folder,
        shape,
        size,
        cutter: cutter.transpose()?,
    };
    let made = match source {
        Source::Video(video) => import.video(*video, detector, progress)?,
        Source::Photo(photo) => import.photo(&photo, detector, progress)?,
    };
    let report = import.finish(made, progress)?;
    fs::create_dir_all(job.avatars).map_err(|e| Error::write(job.avatars, e))?;
    // Renaming takes the place of an empty folder at most: a bundle stays.
    fs::rename(&folder, &target).map_err(|e| Error::write(&target, e))?;
    Ok(report)
}

struct Import<'j> {
    job: &'j Job<'j>,
    folder: &'j Path,
    shape: Shape,
    size: Size,
    /// Waits for the clip to be written: what doesn't fit is told before.
    cutter: Option<Box<dyn Cutter>>,
}

/// A clip that was written, and how it came about.
struct Made {
    frames_used: usize,
    cut: bool,
    faces: usize,
    lost: Vec<[usize; 2]>,
    comes_round: &'static str,
    clip: [usize; 2],
    evidence: Evidence,
    /// Frames done, of all passes.
    done: usize,
}

impl Import<'_> {
    fn photo(
        &mut self,
        photo: &Mat,
        detector: Box<dyn Detector>,
        progress: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Made, Error> {
        let mut still = Mat::default();
        source::resized(photo, self.size, &mut still)?;
        let mut tracker = Tracker::new(detector, self.job.face - 1);
        // The same picture as a clip of a few looks: smoothing takes their mean.
        for factor in LOOKS {
            let (mut small, mut again) = (Mat::default(), Mat::default());
            imgproc::resize(
                &still,
                &mut small,
                CvSize::default(),
                factor,
                factor,
                imgproc::INTER_AREA,
            )?;
            imgproc::resize(
                &small,
                &mut again,
                still.size()?,
                0.0,
                0.0,
                imgproc::INTER_LINEAR,
            )?;
            tracker.look(&again)?;
        }
        let track = tracker.part(self.size);
        // A face that only some looks see is none.
        let face = track.faces.last().copied().flatten();
        let Some(face) = face.filter(|_| track.lost.is_empty()) else {
            let mut absence = Absence::default();
            absence.add(0, &still)?;
            return Err(absence.refuse(self.job, 1, 1)?);
        };
        tracker.evidence().check(self.job.source)?;
        let mut living = Photo::new(still, face)?;
        let mut writer = self.writer(false)?;
        let mut picture = Mat::default();
        let of = 2 * photo::FRAMES;
        for n in 0..photo::FRAMES {
            let face = living.draw(n, &mut picture)?;
            writer.push(&mut picture, Some(face))?;
            tell(progress, "bringing the photo to life", n + 1, of)?;
        }
        writer.finish()?;
        Ok(Made {
            frames_used: 1,
            cut: false,
            faces: tracker.most_faces(),
            lost: Vec::new(),
            comes_round: "as a photo that breathes",
            clip: [0, 0],
            evidence: tracker.evidence(),
            done: photo::FRAMES,
        })
    }

    fn writer(&mut self, bt709: bool) -> Result<ClipWriter, Error> {
        ClipWriter::create(self.folder, self.size, bt709, self.cutter.take())
    }

    /// Writes the manifest, opens the bundle as any other, and judges it.
    fn finish(
        &self,
        made: Made,
        progress: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Report, Error> {
        write::manifest(self.folder, self.job.name, self.job.credits, self.size)?;
        let avatar = Avatar::open(self.folder)?;
        let clip = avatar.idle();
        let mut sheet = Sheet::new(clip.len(), self.size)?;
        let (mut drawn, mut on) = (Ok(()), true);
        let of = made.done + clip.len();
        let measured = judge::measure(&avatar, IDLE, clip, |picture, face| {
            if drawn.is_ok() {
                drawn = sheet.add(picture.index, picture.i420(), face);
            }
            on = on && tell(progress, "checking", made.done + picture.index + 1, of).is_ok();
        })?;
        drawn?;
        if !on {
            return Err(Error::Stopped);
        }
        sheet.write(self.folder)?;
        let mut verdict = measured.verdict();
        made.evidence.judge(&mut verdict);
        let report = Report {
            source: self.job.source.to_owned(),
            source_size: [self.shape.width, self.shape.height],
            size: [self.size.width, self.size.height],
            frames_used: made.frames_used,
            cut: made.cut,
            faces: made.faces,
            face: self.job.face,
            lost: made.lost,
            comes_round: made.comes_round,
            clip: made.clip,
            measured,
            verdict,
        };
        write::report(self.folder, &report)?;
        Ok(report)
    }
}

fn tell(
    progress: &mut dyn FnMut(Progress) -> bool,
    doing: &'static str,
    done: usize,
    of: usize,
) -> Result<(), Error> {
    progress(Progress { doing, done, of })
        .then_some(())
        .ok_or(Error::Stopped)
}
