//! The lines of a list: a job each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One render.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its line in the list, from 1.
    #[serde(skip)]
    pub line: usize,
    /// The sound file.
    pub audio: PathBuf,
    /// The video.
    pub out: PathBuf,
    /// Who speaks it, if not as configured.
    pub avatar: Option<String>,
    /// With which lips, if not as configured.
    pub model: Option<String>,
    /// The avatar's clip that plays, if not the idle one.
    pub clip: Option<String>,
}

impl Job {
    /// Whether this is the same work as `other`, on whichever line of a list.
    pub fn is_same(&self, other: &Self) -> bool {
        let line = self.line;
        *self
            == Self {
                line,
                ..other.clone()
            }
    }
}

/// A line that is no job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Which one, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// What may stand in a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    audio: Option<PathBuf>,
    text: Option<String>,
    out: Option<PathBuf>,
    avatar: Option<String>,
    model: Option<String>,
    clip: Option<String>,
}

/// The jobs of a list whose videos go to `folder`, and the lines that are none.
/// Empty lines are passed over.
pub fn read(text: &str, folder: &Path) -> (Vec<Job>, Vec<BadLine>) {
    let (mut jobs, mut bad) = (Vec::new(), Vec::new());
    let mut taken = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let job = job(line, text, folder).and_then(|job| {
            let before = taken.insert(job.out.clone(), line);
            match before {
                None => Ok(job),
                Some(before) => {
                    taken.insert(job.out.clone(), before);
                    Err(format!(
                        "its video {} is that of line {before} already: give it another `out`",
                        job.out.display()
                    ))
                }
            }
        });
        match job {
            Ok(job) => jobs.push(job),
            Err(problem) => bad.push(BadLine { line, problem }),
        }
    }
    (jobs, bad)
}

fn job(line: usize, text: &str, folder: &Path) -> Result<Job, String> {
    let given: Given = serde_json::from_str(text).map_err(|error| {
        format!(
            "it is no job ({error}): write an object like {{\"audio\": \"speech.wav\", \"out\": \"speech.mp4\"}}"
        )
    })?;
    if given.text.is_some() {
        return Err(
            "it has `text`, and there is no speech synthesis here: synthesise it first, and give the file as `audio`"
                .into(),
        );
    }
    let audio = given
        .audio
        .ok_or("it has no `audio`: name the sound file that is spoken")?;
    let out = match given.out {
        Some(out) => out,
        None => {
            let stem = audio.file_stem().ok_or("its `audio` is no file's name")?;
            // Added, since a stem may have a point in it.
            let mut name = stem.to_owned();
            name.push(".mp4");
            name.into()
        }
    };
    Ok(Job {
        line,
        audio,
        // An absolute one stays where it is.
        out: folder.join(out),
        avatar: given.avatar,
        model: given.model,
        clip: given.clip,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_line_by_line_and_bad_ones_are_named() {
        let text = r#"{"audio": "a.wav"}

{"audio": "b.v1.flac", "out": "other/b.mp4", "avatar": "leo", "clip": "nod"}
{"text": "Hello"}
{"audio": "a.wav", "speed": 2}
not JSON
{"audio": "elsewhere/a.mp3"}
{"avatar": "ava"}
{"audio": "c.v2.flac"}
"#;
        let (jobs, bad) = read(text, Path::new("videos"));
        let outs: Vec<_> = jobs
            .iter()
            .map(|job| (job.line, job.out.to_str().expect("plain names")))
            .collect();
        assert_eq!(
            outs,
            [
                (1, "videos/a.mp4"),
                (3, "videos/other/b.mp4"),
                (9, "videos/c.v2.mp4")
            ]
        );
        assert_eq!(jobs[1].avatar.as_deref(), Some("leo"));
        let problems: Vec<_> = bad.iter().map(|bad| (bad.line, &bad.problem)).collect();
        let says = |n: usize, line: usize, word: &str| {
            assert_eq!(problems[n].0, line);
            assert!(problems[n].1.contains(word), "{}", problems[n].1);
        };
        assert_eq!(problems.len(), 5);
        says(0, 4, "speech synthesis");
        says(1, 5, "speed");
        says(2, 6, "no job");
        says(3, 7, "line 1");
        says(4, 8, "`audio`");
    }
}
