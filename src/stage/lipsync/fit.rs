//! Which family tensors are of, found by rank and shape: names differ from file
//! to file.

use std::path::Path;

use super::net::{Net, Slot};
use super::{Error, Runtime};
use crate::model::{Family, Manifest};

/// Sides of a face that a network may take, in pixels.
const SIDES: std::ops::RangeInclusive<i64> = 32..=1024;
/// Floats of features of one step: two of HuBERT's for a video frame, sixteen of
/// WeNet's for a twentieth of a second.
pub(super) const HUBERT: [usize; 2] = [2, 1_024];
pub(super) const WENET: [usize; 2] = [16, 512];

/// What two files are, as far as their tensors tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The family.
    pub family: Family,
    /// S.
    pub size: usize,
    /// Steps of features that the face net sees, where it sees features.
    pub window: Option<usize>,
    /// Samples that the front end takes, where the file fixes them.
    pub samples: Option<usize>,
}

/// Loads `face`, and `audio` if there is one, and tells what they are. `size` is S
/// for a file that leaves it open.
///
/// # Errors
///
/// When a file can't be loaded, with what was found and what would have fitted.
pub fn recognise(
    face: &Path,
    audio: Option<&Path>,
    size: Option<usize>,
    runtime: &Runtime,
) -> Result<Found, Error> {
    let net = Net::load(face, runtime)?;
    let roles = Roles::of(&net, size).ok_or_else(|| misfit(&net, None, size))?;
    let found = |family, samples| Found {
        family,
        size: roles.size,
        window: roles.window,
        samples,
    };
    let Some(audio) = audio else {
        return match roles.heard {
            Heard::Mel => Ok(found(Family::Wav2lip, None)),
            Heard::Hubert | Heard::Wenet => Err(Error::Manifest {
                path: face.to_owned(),
                problem: format!(
                    "it hears the features of {}, which another network makes: give that with --audio FILE.onnx",
                    roles.heard.name()
                ),
            }),
        };
    };
    let audio = Net::load(audio, runtime)?;
    let family = match roles.heard {
        Heard::Mel => {
            return Err(Error::Manifest {
                path: face.to_owned(),
                problem: "it hears mel, which needs no other network: leave --audio out".into(),
            });
        }
        Heard::Wenet => Family::UltralightWenet,
        // FeatherHuBERT is exported with this name; HuBERT with others. They
        // are run alike.
        Heard::Hubert if audio.inputs.iter().any(|i| i.name == "waveform") => Family::Feathertalk,
        Heard::Hubert => Family::UltralightHubert,
    };
    let front = FrontRoles::of(&audio, family).ok_or_else(|| misfit_front(&audio, family))?;
    let samples = audio.inputs[front.sound].shape.last().copied();
    let samples = samples.filter(|n| family != Family::UltralightWenet && *n > 0);
    Ok(found(family, samples.map(|n| n as usize)))
}

/// What a face net hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Mel,
    Hubert,
    Wenet,
}

impl Heard {
    pub fn of(family: Family) -> Self {
        match family {
            Family::Wav2lip => Self::Mel,
            Family::UltralightHubert | Family::Feathertalk => Self::Hubert,
            Family::UltralightWenet => Self::Wenet,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mel => "mel",
            Self::Hubert => "HuBERT",
            Self::Wenet => "WeNet",
        }
    }
}

/// Which tensors of a face net are which.
pub(super) struct Roles {
    pub face: usize,
    pub sound: usize,
    pub out: usize,
    pub size: usize,
    pub heard: Heard,
    /// Steps of features.
    pub window: Option<usize>,
}

impl Roles {
    /// Finds them; `stated` fills in for an S that the file leaves open.
    pub fn of(net: &Net, stated: Option<usize>) -> Option<Self> {
        let face = |slot: &Slot| square(slot, 6, stated);
        let (face, size) = find(&net.inputs, face)?;
        let (out, out_size) = find(&net.outputs, |slot| square(slot, 3, stated))?;
        let (sound, (heard, window)) = find(&net.inputs, heard)?;
        let whole = size == out_size && net.inputs.len() == 2;
        let one = |slot: &Slot| matches!(slot.shape[0], 1 | -1);
        (whole && one(&net.inputs[face]) && one(&net.inputs[sound])).then_some(Self {
            face,
            sound,
            out,
            size,
            heard,
            window,
        })
    }

    /// Finds those of `manifest`'s family.
    ///
    /// # Errors
    ///
    /// With what was found and what was wanted.
    pub fn fit(net: &Net, manifest: &Manifest) -> Result<Self, Error> {
        let wanted = Heard::of(manifest.family);
        let window = (wanted != Heard::Mel).then(|| manifest.audio().window);
        Self::of(net, manifest.size)
            .filter(|roles| roles.heard == wanted && roles.window == window)
            .ok_or_else(|| misfit(net, Some(manifest), manifest.size))
    }
}

fn find<T>(slots: &[Slot], fits: impl Fn(&Slot) -> Option<T>) -> Option<(usize, T)> {
    slots
        .iter()
        .enumerate()
        .find_map(|(n, slot)| Some((n, fits(slot)?)))
}

/// S of `[n, channels, S, S]`.
fn square(slot: &Slot, wanted: i64, stated: Option<usize>) -> Option<usize> {
    let [_, channels, height, width] = slot.floats()?;
    let side = match (height, width) {
        (-1, -1) => i64::try_from(stated?).ok()?,
        (height, width) if height == width => height,
        _ => return None,
    };
    let fits = channels == wanted && SIDES.contains(&side);
    let side = usize::try_from(side).ok().filter(|_| fits)?;
    stated.is_none_or(|s| s == side).then_some(side)
}

/// What `slot` holds, and how many steps of it if they are features.
fn heard(slot: &Slot) -> Option<(Heard, Option<usize>)> {
    let steps = |floats: i64, [a, b]: [usize; 2]| {
        let steps = usize::try_from(floats).ok()? / (a * b);
        (steps >= 2 && steps * a * b == floats as usize && steps % 2 == 0).then_some(Some(steps))
    };
    if let Some([_, tokens, 1_024]) = slot.floats() {
        return Some((Heard::Hubert, steps(tokens * 1_024, HUBERT)?));
    }
    match slot.floats()? {
        [_, 1, 80, 16] => Some((Heard::Mel, None)),
        [_, channels, 32, 32] => Some((Heard::Hubert, steps(channels * 1_024, HUBERT)?)),
        [_, channels, 16, 32] => Some((Heard::Wenet, steps(channels * 512, WENET)?)),
        _ => None,
    }
}

/// Which tensors of a front end are which.
pub(super) struct FrontRoles {
    pub sound: usize,
    pub out: usize,
}

impl FrontRoles {
    pub fn of(net: &Net, family: Family) -> Option<Self> {
        let wenet = family == Family::UltralightWenet;
        let sound = |slot: &Slot| {
            let fits = if wenet {
                let shape = slot.shape.iter().filter(|n| **n != -1 && **n != 1);
                // Rows and bands; either may be left open.
                slot.floats
                    && matches!(slot.shape[..], [.., 67 | -1, 80 | -1])
                    && shape.copied().product::<i64>() >= 80
                    && slot.shape.len() <= 4
            } else {
                matches!(slot.floats(), Some([1 | -1, _]))
            };
            fits.then_some(())
        };
        let out = |slot: &Slot| {
            let fits = matches!(
                (slot.floats()?, wenet),
                ([1 | -1, 16 | -1, 512 | -1], true) | ([1 | -1, _, 1_024 | -1], false)
            );
            fits.then_some(())
        };
        let (sound, ()) = find(&net.inputs, sound)?;
        let (out, ()) = find(&net.outputs, out)?;
        Some(Self { sound, out })
    }
}

/// What would have fitted, and what to do.
fn misfit(net: &Net, manifest: Option<&Manifest>, stated: Option<usize>) -> Error {
    let side = stated.map_or("S".into(), |s| s.to_string());
    let steps = |heard: Heard, family: Option<&Manifest>| {
        let window = family.map_or(8, |m| m.audio().window);
        match heard {
            Heard::Mel => "mel [1, 1, 80, 16]".into(),
            Heard::Hubert => format!(
                "audio [1, {}, 32, 32] or [1, {}, 1024]",
                window * 2,
                window * 2
            ),
            Heard::Wenet => format!("audio [1, {}, 16, 32]", window * 16),
        }
    };
    let sound = match manifest {
        Some(m) => steps(Heard::of(m.family), manifest),
        None => format!(
            "{} (wav2lip), {} (HuBERT), or {} (WeNet)",
            steps(Heard::Mel, None),
            steps(Heard::Hubert, None),
            steps(Heard::Wenet, None)
        ),
    };
    Error::Misfit {
        path: net.path.clone(),
        family: manifest.map_or("any family".into(), |m| {
            format!("the {} family", m.family.name())
        }),
        found: net.tensors(),
        wanted: format!(
            "32-bit floats: {sound} and face [1, 6, {side}, {side}] -> [1, 3, {side}, {side}]"
        ),
        mend: mend(net),
    }
}

/// What is known to be done about tensors that don't fit.
fn mend(net: &Net) -> String {
    if let Some(other) = net.inputs.iter().find(|slot| !slot.floats) {
        return format!(
            "; its input {} is {}: export it with 32-bit floats",
            other.name, other.kind
        );
    }
    let batch = net.inputs.iter().filter_map(|slot| slot.shape.first());
    if let Some(batch) = batch.copied().find(|n| *n > 1) {
        return format!(
            "; its batch is fixed to {batch}: export it with a batch of 1, or one that is left open"
        );
    }
    if net
        .inputs
        .iter()
        .any(|slot| matches!(slot.shape[..], [_, 6, -1, -1]))
    {
        return "; its size is left open: say it with --size S (size = S in model.toml)".into();
    }
    if net.inputs.iter().any(|slot| slot.shape.len() == 5) {
        return "; it takes several frames at once: export it for one, with four dimensions".into();
    }
    String::new()
}

pub(super) fn misfit_front(net: &Net, family: Family) -> Error {
    let wanted = match family {
        Family::UltralightWenet => {
            "32-bit floats [1, 1, 67, 80], and offset and caches besides -> [1, 16, 512]"
        }
        _ => "32-bit floats [1, samples] -> [1, steps, 1024]",
    };
    Error::Misfit {
        path: net.path.clone(),
        family: format!("the front end of the {} family", family.name()),
        found: net.tensors(),
        wanted: wanted.into(),
        mend: String::new(),
    }
}
