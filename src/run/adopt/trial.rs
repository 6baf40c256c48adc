//! A model on a face that is known: in the right order of pictures and colours
//! it gives back the face that it was shown, outside the mouth.

use super::{Error, Job, TONE, ahead};
use crate::avatar::{Avatar, Player};
use crate::media::AudioChunk;
use crate::model::{Bundle, ColourOrder, Edit, FaceOrder, Manifest, Returns};
use crate::run::library;
use crate::stage::audio::file::SoundFile;
use crate::stage::compose::Compositor;
use crate::stage::lipsync::{Mouth, Runtime};

/// Frames that are compared, and the first of them in the speech and in the clip.
const FRAMES: u64 = 5;
const FIRST: u64 = 30;
/// Frames from one to the next.
const STRIDE: u64 = 8;
/// How much nearer one order must come than the other to be called right.
const ORDER_TELLS: f64 = 1.15;
const COLOUR_TELLS: f64 = 1.05;
/// Mean distance above which what a model gives back isn't the face that it sees.
const FAMILIAR: f64 = 0.12;
/// The mouth, in units of the distance from eyes to mouth: half its width and
/// height, with room for it to open.
const MOUTH: [f32; 2] = [0.5, 0.5];
/// Difference below which a value was not changed, and the share of such that
/// makes a residual.
const SAME: f32 = 1.0 / 1_024.0;
const RESIDUAL: f64 = 0.95;
/// A known face and speech.
pub(super) struct Trial<'j> {
    avatar: &'j Avatar,
    player: Player,
    chunks: Vec<AudioChunk>,
}

/// How far the output lies from the face outside the mouth, and the share of it
/// that is the same to the last bit.
#[derive(Clone, Copy, Default)]
struct Distance {
    mean: f64,
    same: f64,
}

impl<'j> Trial<'j> {
    pub fn new(job: &Job<'j>) -> Result<Self, Error> {
        let face = |_| Error::Face(job.avatar.id.clone());
        let mut speech = SoundFile::open(job.speech)?;
        let mut chunks = Vec::new();
        let mut chunk = AudioChunk::SILENCE;
        while chunks.len() < 100 && speech.next(&mut chunk)? {
            chunks.push(chunk);
        }
        Ok(Self {
            avatar: job.avatar,
            player: Player::start(job.avatar.idle()).map_err(face)?,
            chunks,
        })
    }

    /// Tries both orders of the pictures and both of the colours, sets those that
    /// fit in the bundle's manifest, and tells in words how sure that is.
    pub fn tell(&self, bundle: &mut Bundle, runtime: &Runtime) -> Result<Vec<String>, Error> {
        let usual = bundle.manifest.face_order();
        let other = match usual {
            FaceOrder::MaskedReference => FaceOrder::ReferenceMasked,
            FaceOrder::ReferenceMasked => FaceOrder::MaskedReference,
        };
        let mut tries = Vec::new();
        for order in [usual, other] {
            bundle.manifest.face = Some(order);
            let mut mouth = Mouth::new(&library::load(bundle, runtime)?)?;
            for colour in [ColourOrder::Bgr, ColourOrder::Rgb] {
                bundle.manifest.colour = colour;
                let distance = self.distance(&mut mouth, &bundle.manifest)?;
                tries.push((order, colour, distance));
            }
        }
        let least = |of: &dyn Fn(FaceOrder, ColourOrder) -> bool| {
            let means = tries
                .iter()
                .filter(|(order, colour, _)| of(*order, *colour));
            means.map(|(.., d)| d.mean).fold(f64::INFINITY, f64::min)
        };
        // A value of the picture is 1/255; what is nearer than a tenth of it is there.
        let ratio = |wrong: f64, right: f64| (wrong + 4e-4) / (right + 4e-4);
        let nearest = least(&|_, _| true);
        if nearest > FAMILIAR {
            (bundle.manifest.face, bundle.manifest.colour) = (Some(usual), ColourOrder::Bgr);
            return Ok(vec![format!(
                "{}, {}, assumed, as usual: in no order does it give back the face that it sees (a mean distance of {nearest:.2} from it, where 0 is the same and 1 black to white). Is it trained?",
                order_name(usual),
                colour_name(ColourOrder::Bgr)
            )]);
        }
        let orders = ratio(least(&|o, _| o == other), least(&|o, _| o == usual));
        let (order, told_order) = told(orders, ORDER_TELLS, usual, other, order_name);
        let of = |colour| {
            let mut tries = tries.iter();
            let found = tries.find(|(o, c, _)| (*o, *c) == (order, colour));
            found.map_or_else(Distance::default, |(.., distance)| *distance)
        };
        let [bgr, rgb] = [ColourOrder::Bgr, ColourOrder::Rgb].map(of);
        let same = bgr.same.max(rgb.same);
        let colours = ratio(rgb.mean, bgr.mean);
        let (colour, told_colour) = if same > RESIDUAL {
            let text = "assumed, as usual: what is given back unchanged is so in any order";
            (
                ColourOrder::Bgr,
                format!("{}, {text}", colour_name(ColourOrder::Bgr)),
            )
        } else {
            let [bgr, rgb] = [ColourOrder::Bgr, ColourOrder::Rgb];
            told(colours, COLOUR_TELLS, bgr, rgb, colour_name)
        };
        let manifest = &mut bundle.manifest;
        (manifest.face, manifest.colour) = (Some(order), colour);
        let mut told = vec![told_order, told_colour];
        if same > RESIDUAL {
            let size = library::load(bundle, runtime)?.size();
            let manifest = &mut bundle.manifest;
            manifest.returns = Returns::Residual;
            manifest.edit = Some(Edit {
                columns: [0, size],
                rows: [0, size],
                fade: size / 32,
            });
            told.push(format!(
                "returns = residual: outside the mouth it gives back {:.0} % of the face unchanged",
                same * 100.0
            ));
        }
        Ok(told)
    }

    /// Draws some frames, and compares them with the face outside the mouth.
    fn distance(&self, mouth: &mut Mouth, manifest: &Manifest) -> Result<Distance, Error> {
        let side = mouth.size();
        let mut compositor = Compositor::new(self.avatar.size, side, manifest);
        let outside = outside(manifest, side);
        let (mut sum, mut same, mut count) = (0.0, 0_u64, 0_u64);
        let speech = || self.chunks.iter().map(|chunk| &chunk.speech).cycle();
        let mut ear = ahead(manifest, speech());
        let mut later = speech().skip((manifest.look_ahead_ms / 40.0).ceil() as usize);
        for frame in 0..FIRST + FRAMES * STRIDE {
            ear.push(later.next().unwrap_or(&TONE));
            let nth = frame.saturating_sub(FIRST);
            if frame < FIRST || nth % STRIDE > 0 {
                continue;
            }
            let picture = self.player.picture_waiting(frame);
            let face = picture
                .as_ref()
                .and_then(|p| self.avatar.idle().face(p.index));
            let (Some(picture), Some(face)) = (picture, face) else {
                continue;
            };
            compositor.crop(picture.i420(), face, mouth.reference_mut());
            mouth.run(frame, |n, window| ear.window(n, window))?;
            let (reference, out) = mouth.pictures();
            let planes = reference
                .chunks_exact(side * side)
                .zip(out.chunks_exact(side * side));
            for (reference, out) in planes {
                for ((reference, out), outside) in reference.iter().zip(out).zip(&outside) {
                    if *outside {
                        let difference = (reference - out).abs();
                        sum += f64::from(difference);
                        same += u64::from(difference < SAME);
                        count += 1;
                    }
                }
            }
        }
        if count == 0 {
            return Err(Error::Face(self.avatar.id.clone()));
        }
        Ok(Distance {
            mean: sum / count as f64,
            same: same as f64 / count as f64,
        })
    }
}

/// Which pixels of a face show no mouth.
fn outside(manifest: &Manifest, side: usize) -> Vec<bool> {
    let face_box = manifest.face_box();
    let unit = side as f32 / face_box.side;
    let near = |n: usize, axis: usize| {
        let middle = face_box.mouth[axis] * side as f32;
        (n as f32 + 0.5 - middle).abs() < MOUTH[axis] * unit
    };
    (0..side * side)
        .map(|n| !(near(n % side, 0) && near(n / side, 1)))
        .collect()
}

/// Which of two orders is right, and how that was told: `ratio` is how much
/// farther from the face the other one is.
fn told<T: Copy>(
    ratio: f64,
    tells: f64,
    usual: T,
    other: T,
    name: impl Fn(T) -> &'static str,
) -> (T, String) {
    if ratio >= tells {
        let text = format!("told: the other way is {ratio:.1} times as far from the face");
        (usual, format!("{}, {text}", name(usual)))
    } else if ratio <= 1.0 / tells {
        let ratio = 1.0 / ratio;
        let text = format!("told: the usual way is {ratio:.1} times as far from the face");
        (other, format!("{}, {text}", name(other)))
    } else {
        let text = "assumed, as usual: both ways are about as far from the face";
        (usual, format!("{}, {text}", name(usual)))
    }
}

fn order_name(order: FaceOrder) -> &'static str {
    match order {
        FaceOrder::MaskedReference => "face = masked-reference",
        FaceOrder::ReferenceMasked => "face = reference-masked",
    }
}

fn colour_name(colour: ColourOrder) -> &'static str {
    match colour {
        ColourOrder::Bgr => "colour = bgr",
        ColourOrder::Rgb => "colour = rgb",
    }
}
