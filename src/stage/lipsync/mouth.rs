//! One session's tensors of a model, bound once and written in place.

use std::sync::Arc;

use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::Tensor;

use super::front::Front;
use super::{Error, Network};
use crate::model::{FaceOrder, Mask};

/// One session's mouth.
pub struct Mouth {
    network: Arc<Network>,
    binding: IoBinding,
    sound: Tensor<f32>,
    face: Tensor<f32>,
    out: Tensor<f32>,
    front: Option<Front>,
}

impl Mouth {
    /// Allocates the tensors and binds them.
    ///
    /// # Errors
    ///
    /// When ONNX Runtime can't bind them.
    pub fn new(network: &Arc<Network>) -> Result<Self, Error> {
        let (net, roles) = (&network.face, &network.roles);
        let make = || -> ort::Result<Self> {
            let side = roles.size;
            let memory = Allocator::default();
            let [sound, face] = [roles.sound, roles.face].map(|n| &net.inputs[n]);
            // Only the batch may be left open, and is one.
            let shape: Vec<_> = sound.shape.iter().map(|n| (*n).max(1) as usize).collect();
            let sound_tensor = Tensor::new(&memory, shape)?;
            let face_tensor = Tensor::new(&memory, [1, 6, side, side])?;
            let mut out = Tensor::new(&memory, [1, 3, side, side])?;
            let mut binding = net.bind()?;
            binding.bind_input(&sound.name, &sound_tensor)?;
            binding.bind_input(&face.name, &face_tensor)?;
            binding.bind_output(&net.outputs[roles.out].name, &mut out)?;
            Ok(Self {
                network: Arc::clone(network),
                binding,
                sound: sound_tensor,
                face: face_tensor,
                out,
                front: None,
            })
        };
        let mut mouth = make().map_err(|e| net.failed(&e))?;
        for tensor in [&mut mouth.sound, &mut mouth.face, &mut mouth.out] {
            tensor.extract_tensor_mut().1.fill(0.0);
        }
        if let Some((net, plan)) = network.front() {
            mouth.front = Some(Front::new(net, plan).map_err(|e| net.failed(&e))?);
        }
        Ok(mouth)
    }

    /// The network's side S in pixels.
    pub fn size(&self) -> usize {
        self.network.size()
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

    /// Draws the mouth of `frame`, counted from the stream's start, on the
    /// reference. `hears` fills the windows that it is asked for, by number, as
    /// [`crate::stage::lipsync`] says. False, and nothing is drawn, when it can't.
    ///
    /// # Errors
    ///
    /// When ONNX Runtime fails, or the network gives something that is no number.
    pub fn run(
        &mut self,
        frame: u64,
        mut hears: impl FnMut(u64, &mut [f32]) -> bool,
    ) -> Result<bool, Error> {
        let sound = self.sound.extract_tensor_mut().1;
        let heard = match &mut self.front {
            Some(front) => front.window(&self.network, frame, hears, sound)?,
            None => hears(frame, sound),
        };
        if !heard {
            return Ok(false);
        }
        self.mask();
        if self.network.face.copies {
            let bound = self.bind_anew();
            bound.map_err(|e| self.network.face.failed(&e))?;
        }
        let net = &self.network.face;
        net.run(&mut self.binding)?;
        let finite = |part: &[f32]| part.iter().fold(true, |all, x| all & x.is_finite());
        if !self.out.extract_tensor().1.chunks(64).all(finite) {
            return Err(net.failed(
                &"its output is not a number (NaN or infinite): the file is damaged or was exported wrongly; export it anew, in 32-bit floats",
            ));
        }
        Ok(true)
    }

    /// Forgets what was heard of `frame` and after it: other sound takes its place.
    pub fn forget(&mut self, frame: u64) {
        if let (Some(front), Some((_, plan))) = (&mut self.front, self.network.front()) {
            front.forget(plan, frame);
        }
    }

    /// Shows a device that has copied the tensors what was written since.
    fn bind_anew(&mut self) -> ort::Result<()> {
        let (net, roles) = (&self.network.face, &self.network.roles);
        let inputs = &net.inputs;
        self.binding
            .bind_input(&inputs[roles.sound].name, &self.sound)?;
        self.binding
            .bind_input(&inputs[roles.face].name, &self.face)
    }

    /// Copies the reference to the other half of the face, with the mask black.
    fn mask(&mut self) {
        let Some(Mask { columns, rows }) = self.network.mask else {
            return;
        };
        let side = self.network.size();
        let face = self.face.extract_tensor_mut().1;
        let (first, second) = face.split_at_mut(3 * side * side);
        let (masked, reference) = match self.network.order {
            FaceOrder::MaskedReference => (first, &*second),
            FaceOrder::ReferenceMasked => (second, &*first),
        };
        masked.copy_from_slice(reference);
        for plane in masked.chunks_exact_mut(side * side) {
            for row in plane.chunks_exact_mut(side).take(rows[1]).skip(rows[0]) {
                row[columns[0]..columns[1]].fill(0.0);
            }
        }
    }

    fn reference_at(&self) -> std::ops::Range<usize> {
        let half = 3 * self.network.size() * self.network.size();
        match self.network.order {
            FaceOrder::MaskedReference => half..2 * half,
            FaceOrder::ReferenceMasked => 0..half,
        }
    }
}
