//! Which matting network it is, by its tensors.

use ort::value::{Outlet, TensorElementType, ValueType};

use crate::pool::Size;

/// The shorter side that MODNet was trained on, and what its sides are multiples of.
const MODNET: usize = 512;
const MULTIPLE: usize = 32;
/// U²-Net's and ISNet's sides.
const U2NET: usize = 320;
const ISNET: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Modnet,
    U2net,
    Isnet,
    Rvm,
}

/// Rank and what is fixed of a tensor's shape, and whether it is of 32-bit floats.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) sides: Vec<Option<usize>>,
    float: bool,
}

pub(super) fn shape(outlet: &Outlet) -> Shape {
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
pub(super) fn recognise(
    takes: &[Shape],
    gives: &[Shape],
) -> Result<(Family, Vec<usize>, Vec<usize>), String> {
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
pub(super) fn sides(family: Family, picture: &Shape, size: Size) -> Result<[usize; 2], String> {
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
    fn other_tensors_are_told_by_what_was_found() {
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
}
