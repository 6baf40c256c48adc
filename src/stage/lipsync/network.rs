//! The networks of a model: loaded, checked against the manifest, and run once.

use std::path::PathBuf;
use std::sync::Arc;

use super::fit::Roles;
use super::front::Plan;
use super::net::Net;
use super::{Error, Mouth, Runtime};
use crate::model::{Bundle, Edit, FaceOrder, Family, Manifest, Mask, Reads};

/// Networks that were loaded and fit. Shared by all sessions.
pub struct Network {
    pub(super) face: Net,
    pub(super) roles: Roles,
    front: Option<(Net, Plan)>,
    pub(super) order: FaceOrder,
    /// What is black in one picture, if that one is looked at.
    pub(super) mask: Option<Mask>,
}

impl Network {
    /// Loads the bundle's networks, checks their tensors and runs them once.
    ///
    /// # Errors
    ///
    /// With what was found and what was wanted when they don't fit.
    pub fn load(bundle: &Bundle, runtime: &Runtime) -> Result<Arc<Self>, Error> {
        let manifest = &bundle.manifest;
        let face = Net::load(&bundle.onnx, runtime)?;
        let roles = Roles::fit(&face, manifest)?;
        inside(manifest, roles.size).map_err(|problem| Error::Manifest {
            path: bundle.onnx.clone(),
            problem,
        })?;
        let front = bundle.audio.as_ref().map(|path| {
            let net = Net::load(path, runtime)?;
            let plan = Plan::new(&net, manifest)?;
            Ok((net, plan))
        });
        let network = Arc::new(Self {
            order: manifest.face_order(),
            mask: (manifest.reads == Reads::Face).then(|| manifest.mask(roles.size)),
            front: front.transpose()?,
            face,
            roles,
        });
        let silence = match manifest.family {
            Family::Wav2lip => -4.0,
            Family::UltralightWenet => f32::EPSILON.ln(),
            Family::UltralightHubert | Family::Feathertalk => 0.0,
        };
        let hear = |_, window: &mut [f32]| {
            window.fill(silence);
            true
        };
        Mouth::new(&network)?.run(0, hear)?;
        Ok(network)
    }

    /// S: the side of the square face, in pixels.
    pub fn size(&self) -> usize {
        self.roles.size
    }

    /// What the networks take and give, in words, each with its file.
    pub fn tensors(&self) -> impl Iterator<Item = (PathBuf, String)> {
        let nets = [Some(&self.face), self.front.as_ref().map(|(net, _)| net)];
        nets.into_iter()
            .flatten()
            .map(|net| (net.path.clone(), net.tensors()))
    }

    pub(super) fn front(&self) -> Option<(&Net, &Plan)> {
        self.front.as_ref().map(|(net, plan)| (net, plan))
    }
}

/// Refuses what the manifest draws or blackens outside of `size` pixels.
fn inside(manifest: &Manifest, size: usize) -> Result<(), String> {
    if let Some(Edit {
        columns,
        rows,
        fade,
    }) = manifest.edit
    {
        let fits = |[from, to]: [usize; 2]| {
            to <= size && fade <= size && from.saturating_add((2 * fade).max(4)) <= to
        };
        if !fits(columns) || !fits(rows) {
            return Err(format!(
                "the output is {size}x{size} pixels, and [edit] of model.toml must lie inside it, 4 pixels wide or more, with room for fade on both sides"
            ));
        }
    }
    let Mask { columns, rows } = manifest.mask(size);
    if [columns, rows]
        .iter()
        .any(|[from, to]| from >= to || *to > size)
    {
        return Err(format!(
            "the face is {size}x{size} pixels, and [mask] of model.toml must lie inside it"
        ));
    }
    Ok(())
}
