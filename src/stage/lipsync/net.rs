//! One ONNX file: checked before it is loaded, and its tensors' shapes.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::session::builder::SessionBuilder;
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, TensorElementType, ValueType};

use super::provider::Provider;
use super::{Error, Runtime};
use crate::model::weights;
use crate::native;

/// A network that was loaded.
pub(super) struct Net {
    session: Session,
    /// Held through a run on another device than the CPU, which takes one at a time.
    turn: Mutex<()>,
    pub path: PathBuf,
    pub inputs: Vec<Slot>,
    pub outputs: Vec<Slot>,
    /// Whether what is bound must be bound again to be seen: another device has
    /// copied it.
    pub copies: bool,
}

/// A tensor that a network takes or gives.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub name: String,
    pub kind: String,
    /// Whether it has 32-bit floats.
    pub floats: bool,
    /// Its dimensions; -1 stands for any.
    pub shape: Vec<i64>,
}

impl Net {
    pub fn load(path: &Path, runtime: &Runtime) -> Result<Self, Error> {
        let refuse = |problem: String| Error::Load {
            path: path.to_owned(),
            problem,
        };
        weights(path).map_err(|e| refuse(e.to_string()))?;
        let failed = |e: &dyn Display| {
            refuse(format!(
                "{}. Export it anew, for ONNX Runtime 1.23 or later",
                first_line(e)
            ))
        };
        let mut provider = runtime.provider;
        let (mut builder, with) = builder(runtime, provider).map_err(|e| failed(&e))?;
        if let Err(problem) = with {
            provider = runtime.without(&format!("could not begin to use it ({problem})"))?;
            builder = self::builder(runtime, provider).map_err(|e| failed(&e))?.0;
        }
        let session = builder.commit_from_file(path).map_err(|e| failed(&e))?;
        Ok(Self {
            path: path.to_owned(),
            inputs: session.inputs().iter().map(Slot::of).collect(),
            outputs: session.outputs().iter().map(Slot::of).collect(),
            session,
            turn: Mutex::default(),
            copies: provider != Provider::Cpu,
        })
    }

    pub fn bind(&self) -> ort::Result<IoBinding> {
        self.session.create_binding()
    }

    /// Runs on what is bound. On the CPU sessions don't wait for one another.
    pub fn run(&self, binding: &mut IoBinding) -> Result<(), Error> {
        let turn = || self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.copies.then(turn);
        native::run_bound(&self.session, binding).map_err(|e| self.failed(&e))
    }

    pub fn failed(&self, problem: &dyn Display) -> Error {
        Error::Run {
            path: self.path.clone(),
            problem: first_line(problem),
        }
    }

    /// What it takes and gives, in words.
    pub fn tensors(&self) -> String {
        let list = |slots: &[Slot]| slots.iter().map(Slot::text).collect::<Vec<_>>().join(", ");
        format!("({}) -> ({})", list(&self.inputs), list(&self.outputs))
    }
}

/// A session to be, and whether it can have its provider.
fn builder(
    runtime: &Runtime,
    provider: Provider,
) -> ort::Result<(SessionBuilder, Result<(), String>)> {
    let builder = Session::builder(&runtime.environment)?
        .with_intra_threads(runtime.threads)?
        .with_inter_threads(1)?
        // Spinning threads would burn the time between two frames.
        .with_intra_op_spinning(false)?;
    let Some(dispatch) = provider.dispatch() else {
        return Ok((builder, Ok(())));
    };
    Ok(match builder.with_execution_providers([dispatch]) {
        Ok(builder) => (builder, Ok(())),
        Err(e) => {
            let problem = first_line(&e);
            (e.recover(), Err(problem))
        }
    })
}

impl Slot {
    fn of(outlet: &Outlet) -> Self {
        let (kind, floats, shape) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => (
                ty.to_string(),
                *ty == TensorElementType::Float32,
                shape.iter().copied().collect(),
            ),
            other => (other.to_string(), false, Vec::new()),
        };
        Self {
            name: outlet.name().to_owned(),
            kind,
            floats,
            shape,
        }
    }

    /// Its dimensions, if there are N and it has floats.
    pub fn floats<const N: usize>(&self) -> Option<[i64; N]> {
        let shape = self.shape.as_slice().try_into().ok();
        shape.filter(|_| self.floats)
    }

    fn text(&self) -> String {
        let any = |n: &i64| {
            if *n < 0 {
                "any".to_owned()
            } else {
                n.to_string()
            }
        };
        let shape: Vec<_> = self.shape.iter().map(any).collect();
        format!("{} {} [{}]", self.name, self.kind, shape.join(", "))
    }
}

/// ONNX Runtime's messages run over many lines, and name places in its own code;
/// the first line without those says it.
pub(super) fn first_line(error: &dyn Display) -> String {
    let text = error.to_string();
    let mut line = text.lines().next().unwrap_or_default().trim().to_owned();
    while let Some(at) = line.find("/onnxruntime_src/") {
        // A place is a file, a line and a function with its arguments.
        let end = line[at..].find(") ").map_or(line.len(), |end| at + end + 2);
        line.replace_range(at..end, " ");
    }
    line.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_runtimes_code_are_left_out() {
        let said = "Load failed:/onnxruntime_src/core/a.h:46 void f(const map<char, int>&, int) Opset 99 is not known.\nmore";
        assert_eq!(first_line(&said), "Load failed: Opset 99 is not known");
        assert_eq!(first_line(&"plain.\nand more"), "plain");
        assert_eq!(first_line(&"/onnxruntime_src/a.h"), "");
    }
}
