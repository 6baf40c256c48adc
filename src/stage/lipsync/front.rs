//! A front end as it streams: windows of sound in, steps of features out, each
//! computed once and kept in a ring for the windows of the face net.
//!
//! The published code pads the features before a sound with zeros, and so does
//! this whenever a mouth begins to move: what was said while it rested is not
//! made up for.

use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::Tensor;

use super::fit::{FrontRoles, HUBERT, WENET, misfit_front};
use super::net::{Net, Slot};
use super::{Error, Network};
use crate::media::SPEECH_SAMPLES;
use crate::model::{Audio, Family, Manifest};

/// Samples of one step of HuBERT's features, and those of the last step's tail.
const HOP: usize = 320;
const TAIL: usize = 80;
/// Samples of a millisecond.
const MS: usize = 16;
/// Columns and bands of WeNet's window, and the offset and caches that the
/// published code gives it: each window is heard on its own.
const WENET_WINDOW: [usize; 2] = [67, 80];
const WENET_OFFSET: i64 = 100;
const WENET_ATTENTION: [usize; 4] = [3, 8, 16, 128];
const WENET_CONVOLUTION: [usize; 4] = [3, 1, 512, 14];
/// Video frames for every so many of WeNet's steps: 25 and 20 a second.
const WENET_FRAMES: u64 = 5;
const WENET_STEPS: u64 = 4;

/// How a front end runs, whoever's turn it is.
pub(super) struct Plan {
    roles: FrontRoles,
    family: Family,
    /// The sound's tensor.
    shape: Vec<usize>,
    /// Steps of its output, and floats of each.
    steps: usize,
    width: usize,
    /// The first step that is kept, and how many are.
    first: usize,
    kept: usize,
    /// What the ring counts: floats of it, and how many of them a run gives.
    unit: usize,
    run: u64,
    /// Units in the face net's window.
    window: usize,
}

impl Plan {
    /// # Errors
    ///
    /// When `net` isn't such a front end, or hears another length of sound.
    pub fn new(net: &Net, manifest: &Manifest) -> Result<Self, Error> {
        let family = manifest.family;
        let roles = FrontRoles::of(net, family).ok_or_else(|| misfit_front(net, family))?;
        let sound = &net.inputs[roles.sound];
        let Audio {
            window,
            left_ms,
            right_ms,
            frames,
        } = manifest.audio();
        if family == Family::UltralightWenet {
            let [rows, bands] = WENET_WINDOW;
            let mut shape = vec![1; sound.shape.len() - 2];
            shape.extend([rows, bands]);
            return Ok(Self {
                roles,
                family,
                shape,
                steps: WENET[0],
                width: WENET[1],
                first: 0,
                kept: WENET[0],
                unit: WENET[0] * WENET[1],
                run: 1,
                window,
            });
        }
        let samples = (left_ms + right_ms) * MS + frames * SPEECH_SAMPLES + TAIL;
        let fixed = sound.shape[1];
        if fixed > 0 && fixed != samples as i64 {
            return Err(Error::Manifest {
                path: net.path.clone(),
                problem: format!(
                    "it takes {fixed} samples, but [audio] of model.toml gives {samples} (16 for each of left_ms = {left_ms} and right_ms = {right_ms}, 640 for each of frames = {frames}, and 80): import the model anew, or export it with a length that is left open"
                ),
            });
        }
        Ok(Self {
            roles,
            family,
            shape: vec![1, samples],
            steps: (samples - TAIL) / HOP,
            width: HUBERT[1],
            first: left_ms * MS / HOP,
            kept: frames * HUBERT[0],
            unit: HUBERT[0] * HUBERT[1],
            run: frames as u64,
            window,
        })
    }

    /// The unit of a video frame.
    fn unit_of(&self, frame: u64) -> u64 {
        match self.family {
            Family::UltralightWenet => frame * WENET_STEPS / WENET_FRAMES,
            _ => frame,
        }
    }
}

/// One session's front end.
pub(super) struct Front {
    binding: IoBinding,
    sound: Tensor<f32>,
    out: Tensor<f32>,
    /// Unit `n` at `n % (ring.len() / unit)`: those of a window and of a run.
    ring: Box<[f32]>,
    /// The units that are there.
    there: std::ops::Range<u64>,
}

impl Front {
    pub fn new(net: &Net, plan: &Plan) -> ort::Result<Self> {
        let memory = Allocator::default();
        let mut sound = Tensor::new(&memory, plan.shape.clone())?;
        let mut out = Tensor::new(&memory, [1, plan.steps, plan.width])?;
        sound.extract_tensor_mut().1.fill(0.0);
        out.extract_tensor_mut().1.fill(0.0);
        let mut binding = net.bind()?;
        for (n, input) in net.inputs.iter().enumerate() {
            if n != plan.roles.sound {
                bind_constant(&mut binding, input, plan)?;
            }
        }
        binding.bind_input(&net.inputs[plan.roles.sound].name, &sound)?;
        for (n, output) in net.outputs.iter().enumerate() {
            if n == plan.roles.out {
                binding.bind_output(&output.name, &mut out)?;
            }
        }
        let units = plan.window + 2 * plan.run as usize;
        Ok(Self {
            binding,
            sound,
            out,
            ring: vec![0.0; units * plan.unit].into_boxed_slice(),
            there: 0..0,
        })
    }

    /// Fills `window` with the features around `frame`. `hears` gives the sound
    /// of each run by number. False, with `window` as it was, when it can't.
    pub fn window(
        &mut self,
        network: &Network,
        frame: u64,
        mut hears: impl FnMut(u64, &mut [f32]) -> bool,
        window: &mut [f32],
    ) -> Result<bool, Error> {
        let (net, plan) = network.front().expect("a front end is of such a network");
        let unit = plan.unit_of(frame);
        let half = plan.window as u64 / 2;
        let first = unit.saturating_sub(half);
        if !(first..=unit + half + plan.run).contains(&self.there.end) {
            // The mouth rested, or hasn't moved yet.
            let start = unit - unit % plan.run;
            self.there = start..start;
        }
        let capacity = (self.ring.len() / plan.unit) as u64;
        while self.there.end < unit + half {
            if !hears(self.there.end / plan.run, self.sound.extract_tensor_mut().1) {
                return Ok(false);
            }
            if net.copies {
                let input = &net.inputs[plan.roles.sound].name;
                self.binding
                    .bind_input(input, &self.sound)
                    .map_err(|e| net.failed(&e))?;
            }
            net.run(&mut self.binding)?;
            let steps = &self.out.extract_tensor().1[plan.first * plan.width..];
            for new in steps[..plan.kept * plan.width].chunks_exact(plan.unit) {
                let at = (self.there.end % capacity) as usize * plan.unit;
                self.ring[at..][..plan.unit].copy_from_slice(new);
                self.there.end += 1;
            }
            self.there.start = self
                .there
                .start
                .max(self.there.end.saturating_sub(capacity));
        }
        let first = unit as i64 - half as i64;
        for (n, to) in (first..).zip(window.chunks_exact_mut(plan.unit)) {
            match u64::try_from(n).ok().filter(|n| self.there.contains(n)) {
                Some(n) => {
                    let at = (n % capacity) as usize * plan.unit;
                    to.copy_from_slice(&self.ring[at..][..plan.unit]);
                }
                None => to.fill(0.0),
            }
        }
        Ok(true)
    }

    /// Forgets the features of `frame` and those after it: other sound takes
    /// their place. Those before were heard, with what then was to follow.
    pub fn forget(&mut self, plan: &Plan, frame: u64) {
        let unit = plan.unit_of(frame);
        self.there.end = self.there.end.min(unit - unit % plan.run);
        self.there.start = self.there.start.min(self.there.end);
    }
}

/// Binds what a front end takes besides the sound: a mask that hides nothing, or
/// WeNet's offset and empty caches.
fn bind_constant(binding: &mut IoBinding, input: &Slot, plan: &Plan) -> ort::Result<()> {
    let memory = Allocator::default();
    let known = match (plan.family, input.shape.len()) {
        (Family::UltralightWenet, 4) if input.name.contains("cnn") => WENET_CONVOLUTION.to_vec(),
        (Family::UltralightWenet, 4) => WENET_ATTENTION.to_vec(),
        (_, 2) => plan.shape.clone(),
        (_, dimensions) => vec![1; dimensions],
    };
    let dimension = |(n, known): (&i64, usize)| usize::try_from(*n).unwrap_or(known);
    let shape: Vec<_> = input.shape.iter().zip(known).map(dimension).collect();
    if input.floats {
        let mut zeros = Tensor::<f32>::new(&memory, shape)?;
        zeros.extract_tensor_mut().1.fill(0.0);
        return binding.bind_input(&input.name, &zeros);
    }
    let mut numbers = Tensor::<i64>::new(&memory, shape)?;
    let value = match plan.family {
        Family::UltralightWenet => WENET_OFFSET,
        _ => 1,
    };
    numbers.extract_tensor_mut().1.fill(value);
    binding.bind_input(&input.name, &numbers)
}
