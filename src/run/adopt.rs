//! ONNX files to a model bundle: which family they are of, what their shapes
//! don't tell, and whether they work at all, before anything lies where bundles
//! lie.
//!
//! Tensors tell the family and the size. The order of the two pictures and of the
//! colours they don't tell, so all are tried on a face that is known: in the
//! right order a model gives back the face that it was shown, outside the mouth.

mod trial; // both orders of pictures and colours, tried on a known face

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::avatar::Avatar;
use crate::media::{FRAME_PERIOD, SPEECH_SAMPLES};
use crate::model::{
    self, AUDIO_FILE, Audio, Bundle, ColourOrder, FACE_FILE, MANIFEST_FILE, Manifest, Reads,
    Returns, weights,
};
use crate::native;
use crate::run::aside::Aside;
use crate::run::library;
use crate::stage::audio::file;
use crate::stage::lipsync::{self, Found, Mouth, Runtime, recognise};
use crate::stage::mel::{Ear, hears_ahead};
use trial::Trial;

/// Why files can't be made a bundle. Then there is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one of that name.
    #[error("{0} is there already: choose another --id, or delete it first")]
    Taken(PathBuf),
    /// A network can't be loaded, fits no family, or doesn't work.
    #[error(transparent)]
    LipSync(#[from] lipsync::Error),
    /// The bundle makes no sense.
    #[error(transparent)]
    Bundle(#[from] model::Error),
    /// A file can't be read or written.
    #[error("cannot copy {path}: {source}")]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Two files of a bundle have the same name.
    #[error(
        "both networks want a file {0} beside them: save one of them anew with its weights inside"
    )]
    Twice(PathBuf),
    /// The front end hears a length of sound that can't be cut from a stream.
    #[error(
        "{path} takes {samples} samples, and a stream gives it 720 and 16 for each millisecond before and after a frame: export it with a length that is left open"
    )]
    Samples {
        /// The front end.
        path: PathBuf,
        /// Its length.
        samples: usize,
    },
    /// The speech to try it with can't be read.
    #[error(transparent)]
    Speech(#[from] file::Error),
    /// The face to try it with can't be shown.
    #[error(
        "the avatar {0} can't be shown, and a model is tried on it: choose another with --avatar"
    )]
    Face(String),
}

/// What is to be made a bundle, and what it is tried with.
pub struct Job<'j> {
    /// The network that draws.
    pub face: &'j Path,
    /// The network that hears for it.
    pub audio: Option<&'j Path>,
    /// The bundle's folder to be.
    pub id: &'j str,
    /// The folder where bundles lie.
    pub models: &'j Path,
    /// S, for a file that leaves it open.
    pub size: Option<usize>,
    /// The licence of the weights.
    pub licence: &'j str,
    /// A known face.
    pub avatar: &'j Avatar,
    /// Speech.
    pub speech: &'j Path,
}

/// What was found out.
pub struct Adopted {
    /// Where the bundle is.
    pub folder: PathBuf,
    /// What its manifest says.
    pub manifest: Manifest,
    /// What its tensors told.
    pub found: Found,
    /// What its networks take and give.
    pub tensors: Vec<String>,
    /// How the orders were told, in words.
    pub told: Vec<String>,
    /// How fast it is here.
    pub speed: Speed,
}

/// How long a frame takes.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// On the clock.
    pub wall: Duration,
    /// Of processor time.
    pub cpu: Duration,
}

impl Speed {
    /// Sessions whose mouths it can draw 25 times a second: they share the
    /// networks, which draw one at a time.
    pub fn sessions(&self) -> u128 {
        FRAME_PERIOD.as_nanos() / self.wall.as_nanos().max(1)
    }
}

/// Runs, and time, whose mean is a speed.
const RUNS: u32 = 50;
const RUNNING: Duration = Duration::from_secs(5);

/// What [`adopt`] does, in order.
const STEPS: [&str; 4] = [
    "looking at its tensors",
    "trying it on a face",
    "measuring its speed",
    "copying it",
];

/// Makes the bundle. It is made aside, and laid where bundles lie at the end.
/// `progress` hears what is done next, how many steps were done, and how many
/// there are.
///
/// # Errors
///
/// One sentence with what was found and what to do. Then nothing was left behind.
pub fn adopt(
    job: &Job<'_>,
    runtime: &Runtime,
    progress: &mut dyn FnMut(&'static str, usize, usize),
) -> Result<Adopted, Error> {
    let mut step = |n: usize| progress(STEPS[n], n, STEPS.len());
    let folder = job.models.join(job.id);
    if folder.exists() {
        return Err(Error::Taken(folder));
    }
    step(0);
    let found = recognise(job.face, job.audio, job.size, runtime)?;
    let mut bundle = Bundle {
        id: job.id.to_owned(),
        onnx: job.face.to_owned(),
        audio: job.audio.map(Path::to_owned),
        manifest: manifest(job, found)?,
    };
    step(1);
    let told = Trial::new(job)?.tell(&mut bundle, runtime)?;
    step(2);
    let network = library::load(&bundle, runtime)?;
    let tensors = network.tensors().map(|(path, tensors)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}: {tensors}")
    });
    let tensors: Vec<_> = tensors.collect();
    let speed = speed(&mut Mouth::new(&network)?, &bundle.manifest)?;
    let adopted = Adopted {
        folder: folder.clone(),
        manifest: bundle.manifest,
        found,
        tensors,
        told,
        speed,
    };
    step(3);
    let aside = Aside::create(job.models).map_err(copying(job.models))?;
    let mut files = Vec::new();
    copy(job.face, FACE_FILE, aside.path(), &mut files)?;
    if let Some(audio) = job.audio {
        copy(audio, AUDIO_FILE, aside.path(), &mut files)?;
    }
    write(aside.path(), MANIFEST_FILE, &text(&adopted.manifest))?;
    write(aside.path(), "README.md", &card(job, &adopted))?;
    Bundle::open(aside.path())?;
    // As others have files: what is temporary is for its owner alone.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(aside.path(), fs::Permissions::from_mode(0o755))
            .map_err(copying(aside.path()))?;
    }
    let aside = aside.keep();
    if let Err(source) = fs::rename(&aside, &folder) {
        // What can't be removed now is named by the error that is told.
        let _left = fs::remove_dir_all(&aside);
        return Err(Error::Copy {
            path: folder,
            source,
        });
    }
    Ok(adopted)
}

/// How fast `mouth` draws frames that follow each other.
///
/// # Errors
///
/// When a run fails.
pub fn speed(mouth: &mut Mouth, manifest: &Manifest) -> Result<Speed, lipsync::Error> {
    let mut ear = ahead(manifest, std::iter::repeat_n(&TONE, usize::MAX));
    let mut frame = 0;
    let mut next = || {
        ear.push(&TONE);
        frame += 1;
        mouth.run(frame - 1, |n, window| ear.window(n, window))
    };
    next()?;
    let (started, cpu) = (Instant::now(), native::process_cpu_time());
    let mut runs = 0;
    while runs < RUNS && started.elapsed() < RUNNING {
        next()?;
        runs += 1;
    }
    Ok(Speed {
        wall: started.elapsed() / runs,
        cpu: (native::process_cpu_time() - cpu) / runs,
    })
}

fn copying(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Copy {
        path: path.clone(),
        source,
    }
}

/// Copies a network as `name`, and its weights with it under their own names.
fn copy(from: &Path, name: &str, to: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let beside = from.parent().unwrap_or(Path::new(""));
    let weights = weights(from).map_err(|e| lipsync::Error::Load {
        path: from.to_owned(),
        problem: e.to_string(),
    })?;
    let weights = weights.into_iter().map(|path| (beside.join(&path), path));
    let network = (from.to_owned(), PathBuf::from(name));
    for (from, name) in std::iter::once(network).chain(weights) {
        if files.contains(&name) || name == Path::new(MANIFEST_FILE) {
            return Err(Error::Twice(name));
        }
        let to = to.join(&name);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(copying(folder))?;
        }
        fs::copy(&from, &to).map_err(copying(&from))?;
        files.push(name);
    }
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(copying(&path))
}

/// A manifest with what the tensors tell, and the family's usual orders.
fn manifest(job: &Job<'_>, found: Found) -> Result<Manifest, Error> {
    let audio = match found.window {
        Some(window) => Some(audio(job, found, window)?),
        None => None,
    };
    let mut manifest = Manifest {
        name: job.id.to_owned(),
        family: found.family,
        licence: job.licence.to_owned(),
        mel_offset_ms: 0.0,
        look_ahead_ms: 0.0,
        colour: ColourOrder::Bgr,
        face: Some(found.family.usual_order()),
        returns: Returns::Face,
        reads: Reads::Face,
        size: Some(found.size),
        face_box: None,
        mask: None,
        edit: None,
        audio,
    };
    manifest.face_box = Some(manifest.face_box());
    manifest.look_ahead_ms = (hears_ahead(&manifest).as_secs_f64() * 1e3).ceil();
    Ok(manifest)
}

/// How much a front end hears. Where its file fixes the length, that is all.
fn audio(job: &Job<'_>, found: Found, window: usize) -> Result<Audio, Error> {
    let usual = Audio {
        window,
        ..Audio::default()
    };
    let (Some(samples), Some(path)) = (found.samples, job.audio) else {
        return Ok(usual);
    };
    // The frame itself, and what its last step of features hears after it.
    let rest = samples.checked_sub(SPEECH_SAMPLES + 80);
    let around = rest.filter(|n| n % 16 == 0).map(|n| n / 16);
    let Some(around_ms) = around.filter(|ms| *ms >= usual.right_ms && *ms <= 5_000) else {
        return Err(Error::Samples {
            path: path.to_owned(),
            samples,
        });
    };
    let left_ms = (around_ms - usual.right_ms) / 20 * 20;
    Ok(Audio {
        left_ms,
        right_ms: around_ms - left_ms,
        ..usual
    })
}

/// A chunk of sound: 400 Hz, roughly.
const TONE: [f32; SPEECH_SAMPLES] = {
    let mut tone = [0.1; SPEECH_SAMPLES];
    let mut n = 0;
    while n < SPEECH_SAMPLES {
        if n % 40 < 20 {
            tone[n] = -0.1;
        }
        n += 1;
    }
    tone
};

/// An ear that has heard as much of `chunks` as the model hears ahead: with one
/// more for every frame, all is there that it wants.
fn ahead<'c>(manifest: &Manifest, chunks: impl Iterator<Item = &'c [f32; SPEECH_SAMPLES]>) -> Ear {
    let mut ear = Ear::new(manifest);
    let chunks = chunks.take((manifest.look_ahead_ms / 40.0).ceil() as usize);
    chunks.for_each(|chunk| ear.push(chunk));
    ear
}

fn text(manifest: &Manifest) -> String {
    toml::to_string(manifest).expect("a manifest is TOML")
}

/// The bundle's README: what is known of the model, and what isn't.
fn card(job: &Job<'_>, adopted: &Adopted) -> String {
    let Adopted {
        manifest,
        tensors,
        told,
        speed,
        ..
    } = adopted;
    let file = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let mut card = format!(
        "# {}\n\nA model of the {} family, imported from `{}`",
        manifest.name,
        manifest.family.name(),
        file(job.face)
    );
    if let Some(audio) = job.audio {
        let _infallible = write!(card, " and `{}`", file(audio));
    }
    card += " by `mouthpiece model import`.\n\n";
    for line in tensors.iter().chain(told) {
        let _infallible = writeln!(card, "- {line}");
    }
    let _infallible = write!(
        card,
        "- hears {} ms ahead of its frame\n- {:.1} ms a frame on the machine that imported it\n- licence: {}\n\nWhat it was trained on, and how well it speaks, its author knows.\n",
        manifest.look_ahead_ms,
        speed.wall.as_secs_f64() * 1e3,
        if manifest.licence.is_empty() {
            "not said"
        } else {
            &manifest.licence
        },
    );
    card
}
