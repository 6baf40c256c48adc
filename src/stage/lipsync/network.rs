//! A network of the Wav2Lip family: its tensors found by rank and shape.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ort::memory::Allocator;
use ort::session::Session;
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use super::{Error, Runtime};
use crate::media::{MEL_BANDS, MEL_STEPS, MelWindow};
use crate::model::{Bundle, Edit, FaceOrder};

/// A network that was loaded and fits. Shared by all sessions.
pub struct Network {
    session: Mutex<Session>,
    path: PathBuf,
    size: usize,
    mel: String,
    face: String,
    out: String,
    order: FaceOrder,
}

impl Network {
    /// Loads the bundle's network, checks its tensors and runs it once.
    ///
    /// # Errors
    ///
    /// With what was found and what was wanted when the network doesn't fit.
    pub fn load(bundle: &Bundle, runtime: &Runtime) -> Result<Arc<Self>, Error> {
        let path = &bundle.onnx;
        let load = |e: &dyn std::fmt::Display| Error::Load {
            path: path.clone(),
            problem: first_line(e),
        };
        let session = Session::builder(&runtime.environment)
            .map_err(|e| load(&e))?
            .with_intra_threads(runtime.threads)
            .map_err(|e| load(&e))?
            .with_inter_threads(1)
            .map_err(|e| load(&e))?
            // Spinning threads would burn the time between two frames.
            .with_intra_op_spinning(false)
            .map_err(|e| load(&e))?
            .commit_from_file(path)
            .map_err(|e| load(&e))?;
        let network = Arc::new(Self::fit(session, bundle)?);
        Mouth::new(&network)?.run(&[[-4.0; MEL_STEPS]; MEL_BANDS])?;
        Ok(network)
    }

    /// S: the side of the square face, in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    fn fit(session: Session, bundle: &Bundle) -> Result<Self, Error> {
        let stated = bundle.manifest.size;
        let mel = session
            .inputs()
            .iter()
            .find(|i| matches!(shape(i), Some([_, 1, 80, 16])));
        let face = session
            .inputs()
            .iter()
            .find_map(|i| Some((i.name(), square(shape(i)?, 6, stated)?)));
        let out = session
            .outputs()
            .iter()
            .find_map(|o| Some((o.name(), square(shape(o)?, 3, stated)?)));
        let batch = session
            .inputs()
            .iter()
            .all(|i| shape(i).is_some_and(|[batch, ..]| batch == 1 || batch == -1));
        let (Some(mel), Some((face, size)), Some((out, out_size)), true, 2) =
            (mel, face, out, batch, session.inputs().len())
        else {
            return Err(misfit(&session, bundle));
        };
        if size != out_size {
            return Err(misfit(&session, bundle));
        }
        let (mel, face, out) = (mel.name().to_owned(), face.to_owned(), out.to_owned());
        if let Some(Edit {
            columns,
            rows,
            fade,
        }) = bundle.manifest.edit
        {
            let fits = |[from, to]: [usize; 2]| {
                to <= size && fade <= size && from.saturating_add((2 * fade).max(4)) <= to
            };
            if !fits(columns) || !fits(rows) {
                return Err(Error::Manifest {
                    path: bundle.onnx.clone(),
                    problem: format!(
                        "the output is {size}x{size} pixels, and [edit] of model.toml must lie inside it, 4 pixels wide or more, with room for fade on both sides"
                    ),
                });
            }
        }
        Ok(Self {
            session: Mutex::new(session),
            path: bundle.onnx.clone(),
            size,
            mel,
            face,
            out,
            order: bundle.manifest.face,
        })
    }
}

/// The four dimensions of a tensor of 32-bit floats; -1 stands for any.
fn shape(outlet: &Outlet) -> Option<[i64; 4]> {
    match outlet.dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } => shape.iter().copied().collect::<Vec<_>>().try_into().ok(),
        _ => None,
    }
}

/// S of `[n, channels, S, S]`. `stated` fills in for an S that the file leaves open.
fn square(
    [_, channels, height, width]: [i64; 4],
    wanted: i64,
    stated: Option<usize>,
) -> Option<usize> {
    let side = match (height, width) {
        (-1, -1) => stated?,
        (h, w) if h == w => usize::try_from(h).ok()?,
        _ => return None,
    };
    (channels == wanted && (32..=1024).contains(&side) && stated.is_none_or(|s| s == side))
        .then_some(side)
}

fn misfit(session: &Session, bundle: &Bundle) -> Error {
    let list = |outlets: &[Outlet]| {
        let mut text = String::new();
        for outlet in outlets {
            let separator = if text.is_empty() { "" } else { ", " };
            let _infallible = match outlet.dtype() {
                ValueType::Tensor { ty, shape, .. } => {
                    write!(
                        text,
                        "{separator}{} {ty} {:?}",
                        outlet.name(),
                        shape.iter().collect::<Vec<_>>()
                    )
                }
                other => write!(text, "{separator}{} {other}", outlet.name()),
            };
        }
        text
    };
    let side = bundle.manifest.size.map_or("S".into(), |s| s.to_string());
    Error::Misfit {
        path: bundle.onnx.clone(),
        found: format!(
            "({}) -> ({})",
            list(session.inputs()),
            list(session.outputs())
        ),
        wanted: format!(
            "32-bit floats: mel [1, 1, 80, 16] and face [1, 6, {side}, {side}] -> [1, 3, {side}, {side}]"
        ),
    }
}

/// ONNX Runtime's messages run over many lines; the first says it.
fn first_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// One session's tensors of a network.
pub struct Mouth {
    network: Arc<Network>,
    binding: ort::session::IoBinding,
    mel: Tensor<f32>,
    face: Tensor<f32>,
    out: Tensor<f32>,
}

impl Mouth {
    /// Allocates the tensors and binds them.
    ///
    /// # Errors
    ///
    /// When ONNX Runtime can't bind them.
    pub fn new(network: &Arc<Network>) -> Result<Self, Error> {
        let make = || -> ort::Result<Self> {
            let side = network.size;
            let memory = Allocator::default();
            let mel = Tensor::new(&memory, [1, 1, MEL_BANDS, MEL_STEPS])?;
            let face = Tensor::new(&memory, [1, 6, side, side])?;
            let mut out = Tensor::new(&memory, [1, 3, side, side])?;
            let mut binding = network
                .session
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .create_binding()?;
            binding.bind_input(&network.mel, &mel)?;
            binding.bind_input(&network.face, &face)?;
            binding.bind_output(&network.out, &mut out)?;
            Ok(Self {
                network: Arc::clone(network),
                binding,
                mel,
                face,
                out,
            })
        };
        let mut mouth = make().map_err(|e| network.failed(&e))?;
        mouth.face.extract_tensor_mut().1.fill(0.0);
        mouth.out.extract_tensor_mut().1.fill(0.0);
        Ok(mouth)
    }

    /// The network's side S in pixels.
    pub fn size(&self) -> usize {
        self.network.size
    }

    /// Where the reference picture is to be written before [`Mouth::run`]:
    /// three planes of S x S, 0–1, in the model's colour order.
    pub fn reference_mut(&mut self) -> &mut [f32] {
        let at = self.reference_at();
        &mut self.face.extract_tensor_mut().1[at]
    }

    /// The reference and the last output, each three planes of S x S.
    pub fn pictures(&self) -> (&[f32], &[f32]) {
        let reference = &self.face.extract_tensor().1[self.reference_at()];
        (reference, self.out.extract_tensor().1)
    }

    /// Draws the mouth that says `mel` on the reference.
    ///
    /// # Errors
    ///
    /// When ONNX Runtime fails, or the network gives something that is no number.
    pub fn run(&mut self, mel: &MelWindow) -> Result<(), Error> {
        self.mel
            .extract_tensor_mut()
            .1
            .copy_from_slice(mel.as_flattened());
        self.mask();
        self.network
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .run_binding(&self.binding)
            .map_err(|e| self.network.failed(&e))?;
        let finite = |part: &[f32]| part.iter().fold(true, |all, x| all & x.is_finite());
        if !self.out.extract_tensor().1.chunks(64).all(finite) {
            return Err(self.network.failed(&"its output is not a number"));
        }
        Ok(())
    }

    /// Copies the reference to the other half of the face, black below the middle.
    fn mask(&mut self) {
        let side = self.network.size;
        let (first, second) = self
            .face
            .extract_tensor_mut()
            .1
            .split_at_mut(3 * side * side);
        let (masked, reference) = match self.network.order {
            FaceOrder::MaskedReference => (first, &*second),
            FaceOrder::ReferenceMasked => (second, &*first),
        };
        let planes = masked
            .chunks_exact_mut(side * side)
            .zip(reference.chunks_exact(side * side));
        for (masked, reference) in planes {
            let (upper, lower) = masked.split_at_mut(side / 2 * side);
            upper.copy_from_slice(&reference[..upper.len()]);
            lower.fill(0.0);
        }
    }

    fn reference_at(&self) -> std::ops::Range<usize> {
        let half = 3 * self.network.size * self.network.size;
        match self.network.order {
            FaceOrder::MaskedReference => half..2 * half,
            FaceOrder::ReferenceMasked => 0..half,
        }
    }
}

impl Network {
    fn failed(&self, problem: &dyn std::fmt::Display) -> Error {
        Error::Run {
            path: self.path.clone(),
            problem: first_line(problem),
        }
    }
}
