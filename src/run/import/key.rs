//! A screen of one colour, told from who is before it.

use std::path::{Path, PathBuf};

use opencv::core::Mat;
use opencv::prelude::*;

use super::Error;
use super::background::{Backdrop, Bgr, Cutter};

/// Distances from the screen's colour in the plane of colours, 0 to 255: what is
/// nearer is screen, what is farther is not.
const NEAR: f32 = 22.0;
const FAR: f32 = 52.0;
/// How like in hue a screen is to the colour that it is said to have (the cosine of
/// 30 degrees), and how far from grey at least.
const LIKE: f32 = 0.866;
const COLOURED: f32 = 30.0;
/// Least share of the picture that a screen covers.
const LEAST: f32 = 0.05;

/// Puts what is wanted behind each picture.
pub(super) struct Keyer {
    /// Where the pictures come from.
    path: PathBuf,
    key: [f32; 3],
    screen: Option<Bgr>,
    backdrop: Backdrop,
}

impl Keyer {
    /// For pictures from `path`, before a screen of the colour `key`.
    pub(super) fn new(key: Bgr, path: &Path, backdrop: Backdrop) -> Self {
        Self {
            path: path.to_owned(),
            key: key.map(f32::from),
            screen: None,
            backdrop,
        }
    }

    /// The mean of what is like the key, if there is enough of it.
    fn measure(&self, pixels: &[u8]) -> Option<Bgr> {
        let key = chroma(self.key);
        let (mut sum, mut count) = ([0.0; 3], 0.0);
        for pixel in pixels.chunks_exact(3) {
            let own: [f32; 3] = std::array::from_fn(|n| f32::from(pixel[n]));
            let [u, v] = chroma(own);
            let (away, wanted) = (u.hypot(v), key[0].hypot(key[1]));
            if away > COLOURED && u * key[0] + v * key[1] > LIKE * away * wanted {
                count += 1.0;
                for (sum, own) in sum.iter_mut().zip(own) {
                    *sum += f64::from(own);
                }
            }
        }
        let enough = count > f64::from(LEAST) * (pixels.len() / 3) as f64;
        enough.then(|| sum.map(|sum| (sum / count) as u8))
    }
}

impl Cutter for Keyer {
    /// Replaces the screen in `picture`, whose first one says its exact colour.
    fn draw(&mut self, picture: &mut Mat) -> Result<(), Error> {
        let pixels = picture.data_bytes_mut()?;
        let screen = match self.screen {
            Some(screen) => screen,
            None => self.measure(pixels).ok_or_else(|| {
                Error::unusable(
                    &self.path,
                    "there is no screen of the colour that --key names behind the face: give its colour as #rrggbb, or leave --key out",
                )
            })?,
        };
        self.screen = Some(screen);
        self.backdrop.or(screen);
        let key = chroma(screen.map(f32::from));
        let strongest = (0..3).max_by_key(|n| screen[*n]).expect("three of them");
        for (n, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let mut own: [f32; 3] = std::array::from_fn(|n| f32::from(pixel[n]));
            let [u, v] = chroma(own);
            let away = (u - key[0]).hypot(v - key[1]);
            if away >= 2.0 * FAR {
                continue;
            }
            let share = ((away - NEAR) / (FAR - NEAR)).clamp(0.0, 1.0);
            let share = share * share * (3.0 - 2.0 * share);
            // The screen shines on what is before it.
            let others = (0..3).filter(|n| *n != strongest).map(|n| own[n]);
            own[strongest] = own[strongest].min(others.fold(0.0, f32::max));
            for ((value, own), behind) in pixel.iter_mut().zip(own).zip(self.backdrop.at(n)) {
                let behind = f32::from(behind);
                *value = (behind + (own - behind) * share + 0.5) as u8;
            }
        }
        Ok(())
    }
}

/// Where a colour lies in the plane of colours, its brightness left out (ITU-R BT.601).
fn chroma([b, g, r]: [f32; 3]) -> [f32; 2] {
    [
        -0.1687 * r - 0.3313 * g + 0.5 * b,
        0.5 * r - 0.4187 * g - 0.0813 * b,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::background::{Background, Behind, By, colour};
    use super::*;
    use crate::pool::Size;

    const SIZE: Size = Size {
        width: 4,
        height: 2,
    };

    /// A row of screen in two shades, and a row of skin.
    fn picture() -> Mat {
        let screen = [[70u8, 180, 10], [60, 170, 4]];
        let skin = [130u8, 160, 210];
        let pixels: Vec<u8> = (0..8)
            .flat_map(|n| if n < 4 { screen[n % 2] } else { skin })
            .collect();
        let flat = Mat::from_slice(&pixels)
            .expect("a row")
            .try_clone()
            .expect("memory");
        flat.reshape(3, 2)
            .expect("its shape")
            .try_clone()
            .expect("memory")
    }

    #[test]
    fn the_screen_goes_and_skin_stays() {
        let wanted = Background {
            by: By::Key(colour("green").expect("known")),
            behind: Behind::Colour([200, 10, 10]),
        };
        let mut picture = picture();
        let mut keyer = wanted
            .cutter(Path::new("me.mp4"), SIZE)
            .expect("no file to read");
        keyer.draw(&mut picture).expect("a screen");
        let bytes = picture.data_bytes().expect("pixels");
        assert!(bytes[..12].chunks(3).all(|pixel| pixel == [200, 10, 10]));
        assert!(bytes[12..].chunks(3).all(|pixel| pixel == [130, 160, 210]));
    }

    #[test]
    fn where_there_is_no_such_screen_it_is_said() {
        let wanted = Background {
            by: By::Key(colour("blue").expect("known")),
            behind: Behind::Screen,
        };
        let mut keyer = wanted
            .cutter(Path::new("me.mp4"), SIZE)
            .expect("no file to read");
        let error = keyer.draw(&mut picture()).expect_err("no blue");
        assert!(error.to_string().contains("--key"));
    }
}
