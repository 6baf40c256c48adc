//! Another background behind somebody who was filmed before anything, by a network
//! that tells a person from what is behind: MODNet, Robust Video Matting, U²-Net or
//! ISNet, told apart by their tensors.

use std::path::{Path, PathBuf};

use opencv::core::{CV_32FC1, Mat, Size as CvSize};
use opencv::imgproc;
use opencv::prelude::*;
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use super::Error;
use super::background::{Backdrop, Cutter};
use crate::pool::Size;
use crate::stage::lipsync::Runtime;

/// The shorter side that MODNet was trained on, and what its sides are multiples of.
const MODNET: usize = 512;
const MULTIPLE: usize = 32;
/// U²-Net's and ISNet's sides.
const U2NET: usize = 320;
const ISNET: usize = 1_024;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Modnet,
    U2net,
    Isnet,
    Rvm,
}

/// Rank and what is fixed of a tensor's shape, and whether it is of 32-bit floats.
#[derive(Clone, Debug)]
struct Shape {
    sides: Vec<Option<usize>>,
    float: bool,
}

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

fn shape(outlet: &Outlet) -> Shape {
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => Shape {
            sides: shape.iter().map(|n| usize::try_from(*n).ok()).collect(),
            float: *ty == TensorElementType::Float32,
        },
        _ => Shape {
            sides: Vec::new(),
            float: false,
        },
    }
}

/// Which family has these tensors, and which of them are the picture and the states,
/// the matte, the person and the states again. An error says what was found.
fn recognise(takes: &[Shape], gives: &[Shape]) -> Result<(Family, Vec<usize>, Vec<usize>), String> {
    const WANTED: &str = "MODNet takes one picture and gives one matte, U²-Net and ISNet the same at 320 and 1024 pixels, Robust Video Matting takes six tensors and gives six: use one of those";
    let with = |shapes: &[Shape], rank: usize, planes: Option<usize>| {
        let fits = |s: &Shape| {
            s.sides.len() == rank && planes.is_none_or(|n| s.sides[1].is_none_or(|c| c == n))
        };
        (0..shapes.len())
            .filter(|n| fits(&shapes[*n]))
            .collect::<Vec<_>>()
    };
    if let Some(n) = takes.iter().chain(gives).position(|s| !s.float) {
        return Err(format!(
            "its {} is not of 32-bit floats: export it as float32",
            if n < takes.len() { "input" } else { "output" }
        ));
    }
    match (takes.len(), gives.len()) {
        (6, 6) => {
            let fixed = |shapes: &[Shape], planes: usize| {
                let is = |s: &Shape| s.sides.len() == 4 && s.sides[1] == Some(planes);
                shapes.iter().position(is)
            };
            let ratio = takes.iter().position(|s| s.sides.len() <= 1);
            let found = (fixed(takes, 3), ratio, fixed(gives, 3), fixed(gives, 1));
            let (Some(picture), Some(ratio), Some(person), Some(matte)) = found else {
                return Err(format!("its tensors aren't those of a matte: {WANTED}"));
            };
            let rest = |len: usize, not: [usize; 2]| (0..len).filter(move |n| !not.contains(n));
            let mut order = vec![picture];
            order.extend(rest(6, [picture, ratio]));
            order.push(ratio);
            let mut given = vec![matte, person];
            given.extend(rest(6, [matte, person]));
            Ok((Family::Rvm, order, given))
        }
        (1, 1..) => {
            let picture = with(takes, 4, Some(3));
            let matte = [with(gives, 4, Some(1)), with(gives, 3, None)].concat();
            let (Some(picture), Some(0)) = (picture.first(), matte.iter().min()) else {
                return Err(format!(
                    "it takes {:?} and gives {:?} (None is open): {WANTED}",
                    takes[0].sides, gives[0].sides
                ));
            };
            let side = takes[0].sides[2];
            let family = match (side, gives.len()) {
                (Some(ISNET), _) => Family::Isnet,
                (Some(U2NET), _) | (_, 2..) => Family::U2net,
                _ => Family::Modnet,
            };
            Ok((family, vec![*picture], vec![0]))
        }
        (takes, gives) => Err(format!(
            "it takes {takes} tensors and gives {gives}: {WANTED}"
        )),
    }
}

/// Columns and rows of the picture that a network gets: its own, or the family's.
fn sides(family: Family, picture: &Shape, size: Size) -> Result<[usize; 2], String> {
    let fixed = [picture.sides[3], picture.sides[2]];
    if fixed.iter().flatten().any(|n| *n == 0 || *n > 4_096) {
        return Err(format!(
            "its picture has {fixed:?} pixels each way: 4096 are the most"
        ));
    }
    let own = [size.width, size.height];
    let open = match family {
        Family::U2net => [U2NET; 2],
        Family::Isnet => [ISNET; 2],
        Family::Rvm => own,
        Family::Modnet => {
            let factor = MODNET as f64 / size.width.min(size.height) as f64;
            own.map(|n| (n as f64 * factor) as usize / MULTIPLE * MULTIPLE)
        }
    };
    Ok([0, 1].map(|n| fixed[n].unwrap_or(open[n])))
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

    fn shape(sides: &[i64]) -> Shape {
        Shape {
            sides: sides.iter().map(|n| usize::try_from(*n).ok()).collect(),
            float: true,
        }
    }

    fn family(takes: &[&[i64]], gives: &[&[i64]]) -> Result<Family, String> {
        let shapes = |all: &[&[i64]]| all.iter().map(|s| shape(s)).collect::<Vec<_>>();
        recognise(&shapes(takes), &shapes(gives)).map(|(family, ..)| family)
    }

    #[test]
    fn families_are_told_by_their_tensors() {
        let open: &[i64] = &[-1, 3, -1, -1];
        assert_eq!(family(&[open], &[&[-1, 1, -1, -1]]), Ok(Family::Modnet));
        let u2net: [&[i64]; 7] = [&[1, 1, 320, 320]; 7];
        assert_eq!(family(&[&[1, 3, 320, 320]], &u2net), Ok(Family::U2net));
        assert_eq!(
            family(&[&[1, 3, 1024, 1024]], &[&[1, 1, 1024, 1024]]),
            Ok(Family::Isnet)
        );
        let state: &[i64] = &[-1, -1, -1, -1];
        let takes = [open, state, state, state, state, &[1]];
        let gives = [open, &[-1, 1, -1, -1], state, state, state, state];
        assert_eq!(family(&takes, &gives), Ok(Family::Rvm));
    }

    #[test]
    fn what_is_no_matte_is_said() {
        let open: &[i64] = &[-1, 3, -1, -1];
        let said = |takes: &[&[i64]], gives: &[&[i64]]| family(takes, gives).unwrap_err();
        assert!(said(&[&[1, 3, 8]], &[open]).contains("[Some(1), Some(3), Some(8)]"));
        assert!(said(&[open], &[open]).contains("MODNet"));
        assert!(said(&[open, open], &[open]).contains("2 tensors"));
        let whole = Shape {
            float: false,
            ..shape(open)
        };
        let error = recognise(&[whole], &[shape(open)]).unwrap_err();
        assert!(error.contains("float32"));
        assert!(unlike_a_matte(&[0.0, f32::NAN]).is_some());
        assert!(unlike_a_matte(&[-3.0, 4.0]).is_some_and(|p| p.contains("sigmoid")));
        assert!(unlike_a_matte(&[0.0, 1.0]).is_none());
    }

    #[test]
    fn modnet_gets_multiples_of_32_with_512_on_the_shorter_side() {
        let size = Size {
            width: 576,
            height: 720,
        };
        let picture = shape(&[-1, 3, -1, -1]);
        assert_eq!(sides(Family::Modnet, &picture, size), Ok([512, 640]));
        assert_eq!(sides(Family::U2net, &picture, size), Ok([320, 320]));
        assert_eq!(sides(Family::Rvm, &picture, size), Ok([576, 720]));
    }

    #[test]
    fn each_family_gets_its_own_range_red_first() {
        let bgr = [0, 127, 255];
        assert_eq!(planes(&bgr, Family::Rvm)[..], [1.0, 127.0 / 255.0, 0.0]);
        let modnet = planes(&bgr, Family::Modnet);
        assert!((modnet[0] - 1.0).abs() < 1e-6 && (modnet[2] + 1.0).abs() < 1e-6);
    }
}
