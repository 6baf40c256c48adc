//! Frames that show no face, and what is said when they are too many.

use std::fs;
use std::path::Path;

use opencv::core::{Mat, MatTraitConst, Size as CvSize};
use opencv::imgproc;

use super::{Error, Job, cascade, sheet};

/// Pictures that are kept: the first ones.
const PICTURES: usize = 6;
/// Longest side of one.
const SIDE: i32 = 640;

/// The first frames without a face.
#[derive(Default)]
pub(super) struct Absence {
    pictures: Vec<(usize, Mat)>,
}

impl Absence {
    /// Remembers what frame `n` looks like, if it is one of the first.
    pub(super) fn add(&mut self, n: usize, picture: &Mat) -> opencv::Result<()> {
        if self.pictures.len() == PICTURES {
            return Ok(());
        }
        let factor = f64::from(SIDE) / f64::from(picture.cols().max(picture.rows()));
        let factor = factor.min(1.0);
        let mut small = Mat::default();
        let (size, area) = (CvSize::default(), imgproc::INTER_AREA);
        imgproc::resize(picture, &mut small, size, factor, factor, area)?;
        self.pictures.push((n, small));
        Ok(())
    }

    /// What is said of `lost` frames without a face among `frames`; pictures of the
    /// first of them are written where that is wanted.
    pub(super) fn refuse(&self, job: &Job<'_>, lost: usize, frames: usize) -> Result<Error, Error> {
        if let Some(folder) = job.refused {
            fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
            for (n, picture) in &self.pictures {
                sheet::save(&folder.join(format!("frame-{n}.jpg")), picture)?;
            }
        }
        let guess = if lost < frames {
            Some(
                "it leaves the picture there, turns away or is covered: cut those frames off with --start and --seconds, or take another clip",
            )
        } else {
            // A guess that can't be made is none.
            cascade::guess(self.pictures.iter().map(|(_, picture)| picture))
                .ok()
                .flatten()
        };
        let numbers: Vec<_> = self.pictures.iter().map(|(n, _)| n.to_string()).collect();
        Ok(Error::Faceless {
            path: job.source.to_owned(),
            which: job.face,
            lost,
            frames,
            first: numbers.join(", "),
            pictures: job.refused.map(Path::to_owned),
            guess: guess.unwrap_or(
                "take one in which a face looks at the camera all the time, upright, lit and in focus, a fifth of the picture high or more",
            ),
        })
    }
}
