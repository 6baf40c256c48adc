use super::*;
use crate::model::Family;

const SIZE: Size = Size {
    width: 200,
    height: 160,
};
const SIDE: usize = 96;
const FACE: Face = Face {
    eyes: [101.3, 60.2],
    mouth: [99.1, 95.7],
};

fn manifest(returns: Returns, edit: Option<Edit>) -> Manifest {
    Manifest {
        name: String::new(),
        family: Family::Wav2lip,
        licence: String::new(),
        mel_offset_ms: 0.0,
        look_ahead_ms: 200.0,
        colour: ColourOrder::Bgr,
        face: Default::default(),
        returns,
        reads: Reads::Face,
        size: None,
        face_box: None,
        mask: None,
        edit,
        audio: None,
    }
}

/// A smooth picture with some colour.
fn picture() -> Vec<u8> {
    let mut i420 = vec![0; SIZE.i420_bytes()];
    let [y, u, v] = SIZE.planes_mut(&mut i420);
    for (n, y) in y.iter_mut().enumerate() {
        *y = (60 + (n % SIZE.width) / 2 + (n / SIZE.width) / 3) as u8;
    }
    for (n, (u, v)) in u.iter_mut().zip(v).enumerate() {
        (*u, *v) = (110, (140 + n % 100 / 10) as u8);
    }
    i420
}

/// Crops, lets `change` work on the output, draws, and returns the picture.
fn drawn(returns: Returns, weight: f32, change: impl Fn(usize, f32) -> f32) -> Vec<u8> {
    let mut compositor = Compositor::new(SIZE, SIDE, &manifest(returns, None));
    let mut i420 = picture();
    let mut reference = vec![0.0; 3 * SIDE * SIDE];
    compositor.crop(&i420, FACE, &mut reference);
    let out: Vec<f32> = reference
        .iter()
        .enumerate()
        .map(|(n, x)| change(n, *x))
        .collect();
    compositor.draw(&mut i420, FACE, (&reference, &out), weight);
    i420
}

#[test]
fn a_model_that_changes_nothing_changes_no_byte() {
    assert_eq!(drawn(Returns::Residual, 1.0, |_, x| x), picture());
}

#[test]
fn without_weight_no_byte_changes() {
    for returns in [Returns::Residual, Returns::Face] {
        assert_eq!(drawn(returns, 0.0, |_, _| 1.0), picture());
    }
}

#[test]
fn bytes_outside_the_region_are_those_of_the_base_picture() {
    let side = 2.6 * FACE.scale();
    let left = FACE.mouth[0] - side / 2.0;
    let top = FACE.mouth[1] - side * 0.72 + side / 2.0;
    for returns in [Returns::Residual, Returns::Face] {
        let (old, new) = (picture(), drawn(returns, 1.0, |n, _| (n % 7) as f32 / 7.0));
        let [old, new] = [&old, &new].map(|i420| SIZE.planes(i420)[0]);
        let changed: Vec<_> = (0..old.len()).filter(|n| old[*n] != new[*n]).collect();
        assert!(!changed.is_empty());
        for n in changed {
            let (x, y) = ((n % SIZE.width) as f32, (n / SIZE.width) as f32);
            assert!(left <= x + 1.0 && x <= left + side + 1.0, "{x} {y}");
            assert!(top <= y + 1.0 && y <= top + side / 2.0 + 1.0, "{x} {y}");
        }
    }
}

#[test]
fn a_difference_is_drawn_where_the_model_made_it() {
    // A bright square of 20x10 model pixels around the mouth's middle.
    let change = |n: usize, x: f32| {
        let (row, column) = (n % (SIDE * SIDE) / SIDE, n % SIDE);
        let inside = (38..58).contains(&column) && (64..74).contains(&row);
        if inside { x + 0.2 } else { x }
    };
    let (old, new) = (picture(), drawn(Returns::Residual, 1.0, change));
    let [old, new] = [&old, &new].map(|i420| SIZE.planes(i420)[0]);
    let at = |x: f32, y: f32| y.round() as usize * SIZE.width + x.round() as usize;
    let middle = at(FACE.mouth[0], FACE.mouth[1]);
    // 0.2 of full range is 0.2 * 219 in limited range.
    assert!((f64::from(new[middle]) - f64::from(old[middle]) - 43.8).abs() < 3.0);
    let k = 2.6 * FACE.scale() / SIDE as f32;
    let beside = at(FACE.mouth[0] + 20.0 * k, FACE.mouth[1]);
    assert_eq!(new[beside], old[beside]);
}

#[test]
fn a_face_of_another_tone_is_matched_to_the_picture() {
    let (old, new) = (picture(), drawn(Returns::Face, 1.0, |_, x| x + 0.1));
    let worst = old.iter().zip(&new).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(3), "{worst:?}");
}

#[test]
fn a_face_at_the_border_is_drawn_as_far_as_it_goes() {
    let mut compositor = Compositor::new(SIZE, SIDE, &manifest(Returns::Face, None));
    let mut reference = vec![0.0; 3 * SIDE * SIDE];
    for mouth in [[1.0, 1.0], [199.0, 159.0], [2.0, 158.0], [500.0, -300.0]] {
        let face = Face {
            eyes: [mouth[0], mouth[1] - 40.0],
            mouth,
        };
        let mut i420 = picture();
        compositor.crop(&i420, face, &mut reference);
        let out = vec![0.5; reference.len()];
        compositor.draw(&mut i420, face, (&reference, &out), 1.0);
    }
}

#[test]
fn a_model_that_looks_at_its_edit_alone_is_given_nothing_else() {
    let edit = Edit {
        columns: [17, 80],
        rows: [40, 95],
        fade: 4,
    };
    let [all, part] = [Reads::Face, Reads::Edit].map(|reads| {
        let mut manifest = manifest(Returns::Residual, Some(edit));
        manifest.reads = reads;
        let mut reference = vec![-1.0; 3 * SIDE * SIDE];
        Compositor::new(SIZE, SIDE, &manifest).crop(&picture(), FACE, &mut reference);
        reference
    });
    for (n, (all, part)) in all.iter().zip(part).enumerate() {
        let (row, column) = (n % (SIDE * SIDE) / SIDE, n % SIDE);
        let inside = (17..80).contains(&column) && (40..95).contains(&row);
        let wanted = if inside { *all } else { -1.0 };
        assert!((part - wanted).abs() < 1e-5, "{row} {column}");
    }
}

#[test]
fn what_the_model_sees_has_the_colours_of_the_picture() {
    let mut compositor = Compositor::new(SIZE, SIDE, &manifest(Returns::Face, None));
    let mut i420 = picture();
    let [y, u, v] = SIZE.planes_mut(&mut i420);
    // Pure red in BT.601, limited range.
    y.fill(81);
    u.fill(90);
    v.fill(240);
    let mut reference = vec![0.0; 3 * SIDE * SIDE];
    compositor.crop(&i420, FACE, &mut reference);
    for (plane, wanted) in reference.chunks(SIDE * SIDE).zip([0.0, 0.0, 1.0]) {
        assert!(plane.iter().all(|x| (x - wanted).abs() < 0.01), "{wanted}");
    }
}
