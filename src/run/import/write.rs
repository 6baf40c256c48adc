//! Pictures and faces to the files of a bundle.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use opencv::core::Mat;
use opencv::imgproc;
use opencv::prelude::*;
use serde_json::json;

use super::background::Cutter;
use super::seam::{FADE, Loop};
use super::video::Ahead;
use super::{Error, Report};
use crate::avatar::{Colour, Face};
use crate::pool::Size;
use crate::stage::compose::mix;

mod film;

use film::Film;

const VIDEO: &str = "idle.mp4";
const FACES: &str = "idle.faces.json";

/// Writes a clip and its face track.
pub(super) struct ClipWriter {
    folder: PathBuf,
    size: Size,
    /// Whether the source's numbers are those of BT.709.
    bt709: bool,
    cutter: Option<Box<dyn Cutter>>,
    film: Film,
    faces: Vec<Option<Face>>,
    planes: Mat,
    i420: Vec<u8>,
}

impl ClipWriter {
    pub(super) fn create(
        folder: &Path,
        size: Size,
        bt709: bool,
        cutter: Option<Box<dyn Cutter>>,
    ) -> Result<Self, Error> {
        Ok(Self {
            folder: folder.to_owned(),
            size,
            bt709,
            cutter,
            film: Film::create(&folder.join(VIDEO), size)?,
            faces: Vec::new(),
            planes: Mat::default(),
            i420: vec![0; size.i420_bytes()],
        })
    }

    /// Writes the clip that `way` makes of `pictures`, whose `faces` are known.
    pub(super) fn run(
        mut self,
        mut pictures: Ahead,
        faces: &[Option<Face>],
        way: &Loop,
        hear: &mut dyn FnMut(usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let range = match way {
            Loop::Round(range) | Loop::ForthAndBack(range) => range.clone(),
            Loop::Whole => 0..faces.len(),
        };
        let mut fade = Fade::default();
        let mut spill = match way {
            Loop::ForthAndBack(_) => Some(Spill::new(&self.folder, self.size)?),
            _ => None,
        };
        for (n, face) in faces.iter().enumerate().take(range.end) {
            let Some(mut picture) = pictures.next()? else {
                break;
            };
            let round = matches!(way, Loop::Round(_));
            if n >= range.start || (round && n + FADE >= range.start) {
                self.convert(&mut picture)?;
                let mut face = *face;
                if round && n < range.start {
                    fade.before.push((self.i420.clone(), face));
                } else {
                    if round && n + FADE >= range.end {
                        face = fade.mix(n + FADE - range.end, &mut self.i420, face);
                    }
                    if let Some(spill) = &mut spill {
                        spill.put(&self.i420)?;
                    }
                    self.encode(face)?;
                }
            }
            hear(n + 1)?;
        }
        if let Some(mut spill) = spill {
            self.back(&mut spill, &range, faces, hear)?;
        }
        self.finish()
    }

    /// Writes the way back, without the two frames at which it turns.
    fn back(
        &mut self,
        spill: &mut Spill,
        range: &Range<usize>,
        faces: &[Option<Face>],
        hear: &mut dyn FnMut(usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let last = spill.count.saturating_sub(1);
        for n in (1..last).rev() {
            spill.get(n, &mut self.i420)?;
            self.encode(faces[range.start + n])?;
            hear(range.end + last - n)?;
        }
        Ok(())
    }

    /// Writes one picture.
    pub(super) fn push(&mut self, picture: &mut Mat, face: Option<Face>) -> Result<(), Error> {
        self.convert(picture)?;
        self.encode(face)
    }

    fn convert(&mut self, picture: &mut Mat) -> Result<(), Error> {
        if let Some(cutter) = &mut self.cutter {
            cutter.draw(picture)?;
        }
        imgproc::cvt_color_def(picture, &mut self.planes, imgproc::COLOR_BGR2YUV_I420)?;
        self.i420.copy_from_slice(self.planes.data_bytes()?);
        if self.bt709 {
            // OpenCV reads every video as BT.601: the numbers are still the source's.
            Colour::Bt709.to_bt601(self.size, &mut self.i420);
        }
        Ok(())
    }

    fn encode(&mut self, face: Option<Face>) -> Result<(), Error> {
        self.film.push(&self.i420)?;
        self.faces.push(face);
        Ok(())
    }

    /// Completes both files.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.film.finish()?;
        let hundredth = |x: f32| (f64::from(x) * 100.0).round() / 100.0;
        let lines: Vec<String> = self
            .faces
            .iter()
            .map(|face| {
                let point = |at: fn(&Face) -> [f32; 2]| face.as_ref().map(|f| at(f).map(hundredth));
                json!({"eyes": point(|f| f.eyes), "mouth": point(|f| f.mouth)}).to_string()
            })
            .collect();
        save(
            &self.folder.join(FACES),
            &format!("[\n{}\n]\n", lines.join(",\n")),
        )
    }
}

/// The pictures before a loop's first, into which its last ones fade.
#[derive(Default)]
struct Fade {
    before: Vec<(Vec<u8>, Option<Face>)>,
}

impl Fade {
    /// Mixes what came `step` frames after the first kept one into `i420`.
    fn mix(&self, step: usize, i420: &mut [u8], face: Option<Face>) -> Option<Face> {
        let Some((before, other)) = self.before.get(step) else {
            return face;
        };
        let share = ((step + 1) * 256 / (FADE + 1)) as u16;
        mix(i420, before, share);
        Some(face?.between((*other)?, f32::from(share) / 256.0))
    }
}

/// Pictures on the disk, in a file that vanishes with us.
struct Spill {
    path: PathBuf,
    file: File,
    bytes: usize,
    count: usize,
}

impl Spill {
    fn new(folder: &Path, size: Size) -> Result<Self, Error> {
        Ok(Self {
            path: folder.to_owned(),
            file: tempfile::tempfile_in(folder).map_err(|e| Error::write(folder, e))?,
            bytes: size.i420_bytes(),
            count: 0,
        })
    }

    fn put(&mut self, i420: &[u8]) -> Result<(), Error> {
        self.count += 1;
        self.file
            .write_all(i420)
            .map_err(|e| Error::write(&self.path, e))
    }

    fn get(&mut self, n: usize, i420: &mut [u8]) -> Result<(), Error> {
        self.file
            .seek(SeekFrom::Start((n * self.bytes) as u64))
            .and_then(|_| self.file.read_exact(i420))
            .map_err(|e| Error::write(&self.path, e))
    }
}

/// Writes `avatar.toml`.
pub(super) fn manifest(folder: &Path, name: &str, credits: &str, size: Size) -> Result<(), Error> {
    let text = |value: &str| toml::Value::from(value).to_string();
    let manifest = format!(
        "name = {}\nwidth = {}\nheight = {}\nfps = 25\ncredits = {}\n\n[clips.idle]\nvideo = \"{VIDEO}\"\nfaces = \"{FACES}\"\n",
        text(name),
        size.width,
        size.height,
        text(credits)
    );
    save(&folder.join("avatar.toml"), &manifest)
}

/// Writes `report.json` and, in words, `report.txt`.
pub(super) fn report(folder: &Path, report: &Report) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(report).expect("plain numbers and words");
    save(&folder.join("report.json"), &json)?;
    save(&folder.join("report.txt"), &report.words())
}

impl Report {
    /// What was found and made, for people.
    pub fn words(&self) -> String {
        let [width, height] = self.source_size;
        let [columns, rows] = self.size;
        let seconds = |frames: usize| frames as f64 / f64::from(crate::media::FPS);
        let used = match self.frames_used {
            1 => "a photo".into(),
            more => format!("{:.1} s used", seconds(more)),
        };
        let cut = if self.cut {
            " (it goes on; --start and --seconds choose others)"
        } else {
            ""
        };
        let mut lines = vec![format!(
            "{}: {width}x{height}, {used}{cut}, now {columns}x{rows} at 25 fps",
            self.source.display(),
        )];
        lines.push(match self.faces {
            0 | 1 => "one face".into(),
            more => format!(
                "{more} faces at once; number {} is the avatar's, counted from the largest and most central (--face chooses)",
                self.face
            ),
        });
        if !self.lost.is_empty() {
            let ranges: Vec<_> = self
                .lost
                .iter()
                .map(|[from, to]| {
                    if from == to {
                        from.to_string()
                    } else {
                        format!("{from}-{to}")
                    }
                })
                .collect();
            lines.push(format!(
                "no face found in frames {}; gaps of up to 5 are bridged",
                ranges.join(", ")
            ));
        }
        let length = seconds(self.measured.frames);
        let made_of = match self.frames_used {
            1 => String::new(),
            _ => format!(", made of frames {}-{}", self.clip[0], self.clip[1]),
        };
        let round = self.comes_round;
        lines.push(format!(
            "the clip comes round {round}{made_of}, {length:.1} s"
        ));
        lines.push(self.measured.line());
        lines.extend(self.verdict.lines());
        lines.join("\n") + "\n"
    }
}

fn save(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|e| Error::write(path, e))
}
