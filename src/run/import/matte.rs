//! Another background behind somebody who was filmed before anything, by a network
//! that tells a person from what is behind: MODNet, Robust Video Matting, U²-Net or
//! ISNet, told apart by their tensors.

use std::path::{Path, PathBuf};

use opencv::core::{CV_32FC1, Mat, Size as CvSize};
use opencv::imgproc;
use opencv::prelude::*;
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, Tensor};

use super::Error;
use super::background::{Backdrop, Cutter};
use crate::pool::Size;
use crate::stage::lipsync::Runtime;

mod family;

use family::{Family, recognise, shape, sides};

/// The longer side of what Robust Video Matting looks at in the coarse, as its
/// authors advise.
const COARSE: f32 = 512.0;
/// Recurrent states of Robust Video Matting.
const STATES: usize = 4;
/// Blur of a matte's edges in pixels.
const FEATHER: f64 = 0.8;
/// How far outside of 0 to 1 the values of a matte may lie.
const ROUNDING: f32 = 0.05;
/// Least share of the picture that somebody covers.
const LEAST: f32 = 0.01;

/// A matting network that was loaded and fits.
pub(super) struct Matte {
    path: PathBuf,
    session: Session,
    family: Family,
    /// Names of what it takes and gives; the picture and the matte first.
    takes: Vec<String>,
    gives: Vec<String>,
    /// Columns and rows of the picture that it gets.
    sides: [usize; 2],
    states: Vec<Tensor<f32>>,
    backdrop: Backdrop,
    size: Size,
    /// Whether it has seen somebody yet.
    began: bool,
}

impl Matte {
    /// Loads the network at `path` for pictures of `size`.
    pub(super) fn load(
        path: &Path,
        runtime: &Runtime,
        backdrop: Backdrop,
        size: Size,
    ) -> Result<Self, Error> {
        let unfit = |problem: String| unfit(path, &problem);
        let session = Session::builder(&runtime.environment)
            .map_err(|e| unfit(e.to_string()))?
            .with_intra_threads(2)
            .map_err(|e| unfit(e.to_string()))?
            .commit_from_file(path)
            .map_err(|e| unfit(e.to_string()))?;
        let shapes = |outlets: &[Outlet]| outlets.iter().map(shape).collect::<Vec<_>>();
        let (takes, gives) = (shapes(session.inputs()), shapes(session.outputs()));
        let (family, takes, gives) = recognise(&takes, &gives).map_err(unfit)?;
        let picture = shape(&session.inputs()[takes[0]]);
        let sides = sides(family, &picture, size).map_err(unfit)?;
        let names = |outlets: &[Outlet], order: &[usize]| {
            let name = |n: &usize| outlets[*n].name().to_owned();
            order.iter().map(name).collect::<Vec<_>>()
        };
        let (takes, gives) = (
            names(session.inputs(), &takes),
            names(session.outputs(), &gives),
        );
        let mut states = Vec::new();
        if family == Family::Rvm {
            for _ in 0..STATES {
                let zero = Tensor::from_array(([1usize, 1, 1, 1], vec![0.0f32]));
                states.push(zero.map_err(|e| unfit(e.to_string()))?);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            session,
            family,
            takes,
            gives,
            sides,
            states,
            backdrop,
            size,
            began: false,
        })
    }

    /// Runs it on `picture`: the matte, and the person without what shone through
    /// where the network tells that, both at the picture's size.
    fn run(&mut self, picture: &Mat) -> Result<(Vec<f32>, Option<Vec<f32>>), Error> {
        let [width, height] = self.sides;
        let fail = |e: ort::Error| unfit(&self.path, &e.to_string());
        let mut given = Mat::default();
        let wanted = CvSize::new(width as i32, height as i32);
        imgproc::resize(picture, &mut given, wanted, 0.0, 0.0, imgproc::INTER_AREA)?;
        let planes = planes(given.data_bytes()?, self.family);
        let mut inputs: Vec<(&str, SessionInputValue)> = Vec::new();
        let tensor = Tensor::from_array(([1, 3, height, width], planes)).map_err(fail)?;
        inputs.push((&self.takes[0], tensor.into()));
        for (name, state) in self.takes[1..].iter().zip(std::mem::take(&mut self.states)) {
            inputs.push((name, state.into()));
        }
        if self.family == Family::Rvm {
            let ratio = (COARSE / width.max(height) as f32).min(1.0);
            let ratio = Tensor::from_array(([1usize], vec![ratio])).map_err(fail)?;
            inputs.push((&self.takes[STATES + 1], ratio.into()));
        }
        let outputs = self.session.run(inputs).map_err(fail)?;
        let read = |name: &str| {
            let (shape, values) = outputs[name].try_extract_tensor::<f32>().map_err(fail)?;
            let shape: Vec<usize> = shape.iter().map(|n| *n as usize).collect();
            Ok::<_, Error>((shape, values))
        };
        let (shape, alpha) = read(&self.gives[0])?;
        let rows = match shape[..] {
            [1, 1, h, w] | [1, h, w] if h * w == alpha.len() && h > 0 && w > 0 => h,
            _ => {
                return Err(unfit(
                    &self.path,
                    &format!(
                        "its matte has the shape {shape:?}, and one plane is wanted: export it so"
                    ),
                ));
            }
        };
        if let Some(problem) = unlike_a_matte(alpha) {
            return Err(unfit(&self.path, &problem));
        }
        let mut even = enlarged(alpha, rows, self.size)?;
        if self.family != Family::Rvm {
            let mut soft = Mat::default();
            imgproc::gaussian_blur_def(&even, &mut soft, CvSize::new(0, 0), FEATHER)?;
            even = soft;
        }
        let alpha = even.data_typed::<f32>()?.to_vec();
        let mut person = None;
        if self.family == Family::Rvm {
            let (shape, values) = read(&self.gives[1])?;
            let plane = width * height;
            if shape != [1, 3, height, width] || values.iter().any(|x| !x.is_finite()) {
                return Err(unfit(
                    &self.path,
                    &format!(
                        "its foreground has the shape {shape:?}, or values that are no numbers: export it anew"
                    ),
                ));
            }
            let mut planes = Vec::with_capacity(3 * self.size.width * self.size.height);
            for n in [2, 1, 0] {
                let plane = enlarged(&values[n * plane..(n + 1) * plane], height, self.size)?;
                planes.extend_from_slice(plane.data_typed::<f32>()?);
            }
            person = Some(planes);
            for name in &self.gives[2..] {
                let (shape, values) = read(name)?;
                self.states
                    .push(Tensor::from_array((shape, values.to_vec())).map_err(fail)?);
            }
        }
        Ok((alpha, person))
    }
}

impl Cutter for Matte {
    fn draw(&mut self, picture: &mut Mat) -> Result<(), Error> {
        let (alpha, person) = self.run(picture)?;
        if !self.began && alpha.iter().sum::<f32>() < LEAST * alpha.len() as f32 {
            return Err(unfit(
                &self.path,
                "it sees nobody in the first picture: choose a later --start, or another network",
            ));
        }
        self.began = true;
        let pixels = picture.data_bytes_mut()?;
        for (n, (pixel, share)) in pixels.chunks_exact_mut(3).zip(&alpha).enumerate() {
            let behind = self.backdrop.at(n);
            for c in 0..3 {
                let own = match &person {
                    Some(planes) => 255.0 * planes[c * alpha.len() + n],
                    None => f32::from(pixel[c]),
                };
                let behind = f32::from(behind[c]);
                pixel[c] = (behind + (own - behind) * share.clamp(0.0, 1.0) + 0.5) as u8;
            }
        }
        Ok(())
    }
}

fn unfit(path: &Path, problem: &str) -> Error {
    Error::Matte {
        path: path.to_owned(),
        problem: problem.lines().next().unwrap_or_default().trim().to_owned(),
    }
}

/// The picture's planes, red first, as the family wants them.
fn planes(bgr: &[u8], family: Family) -> Vec<f32> {
    let (mean, spread) = match family {
        Family::Modnet => ([0.5; 3], [0.5; 3]),
        // ImageNet's.
        Family::U2net => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        Family::Isnet => ([0.5; 3], [1.0; 3]),
        Family::Rvm => ([0.0; 3], [1.0; 3]),
    };
    let plane = |n: usize| {
        let values = bgr.iter().skip(2 - n).step_by(3);
        values.map(move |x| (f32::from(*x) / 255.0 - mean[n]) / spread[n])
    };
    (0..3).flat_map(plane).collect()
}

/// What is wrong with the values of a matte.
fn unlike_a_matte(alpha: &[f32]) -> Option<String> {
    if alpha.iter().any(|x| !x.is_finite()) {
        return Some("its matte has values that are no numbers: export it anew, as float32".into());
    }
    let (least, most) = alpha
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), x| {
            (a.min(*x), b.max(*x))
        });
    (least < -ROUNDING || most > 1.0 + ROUNDING).then(|| {
        format!(
            "its matte goes from {least:.2} to {most:.2}, and 0 to 1 is wanted: export it with the sigmoid at its end"
        )
    })
}

/// A plane of `rows` rows at the size of the picture.
fn enlarged(plane: &[f32], rows: usize, size: Size) -> opencv::Result<Mat> {
    let columns = plane.len() / rows;
    let plane = Mat::new_rows_cols_with_data(rows as i32, columns as i32, plane)?;
    let mut to = Mat::new_rows_cols_with_default(1, 1, CV_32FC1, 0.0.into())?;
    let size = CvSize::new(size.width as i32, size.height as i32);
    imgproc::resize(&plane, &mut to, size, 0.0, 0.0, imgproc::INTER_LINEAR)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_matte_is_said() {
        assert!(unlike_a_matte(&[0.0, f32::NAN]).is_some());
        assert!(unlike_a_matte(&[-3.0, 4.0]).is_some_and(|p| p.contains("sigmoid")));
        assert!(unlike_a_matte(&[0.0, 1.0]).is_none());
    }

    #[test]
    fn each_family_gets_its_own_range_red_first() {
        let bgr = [0, 127, 255];
        assert_eq!(planes(&bgr, Family::Rvm)[..], [1.0, 127.0 / 255.0, 0.0]);
        let modnet = planes(&bgr, Family::Modnet);
        assert!((modnet[0] - 1.0).abs() < 1e-6 && (modnet[2] + 1.0).abs() < 1e-6);
    }
}
