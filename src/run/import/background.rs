//! What stands behind somebody: what comes in its place, and by which means.

use std::path::{Path, PathBuf};

use opencv::core::Mat;
use opencv::prelude::*;

use super::key::Keyer;
use super::matte::Matte;
use super::{Error, source};
use crate::pool::Size;
use crate::stage::lipsync::Runtime;

/// A colour, blue, green and red.
pub type Bgr = [u8; 3];

/// What is put behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The screen, all in one shade, for a page to key out.
    Screen,
    /// A colour.
    Colour(Bgr),
    /// A picture, which fills the avatar's.
    Picture(PathBuf),
}

/// How somebody is told from what is behind.
#[derive(Clone, Copy)]
pub enum By<'j> {
    /// By the colour of a screen, roughly.
    Key(Bgr),
    /// By a matting network, and what runs it.
    Matte(&'j Path, &'j Runtime),
}

/// What is done about the background.
#[derive(Clone)]
pub struct Background<'j> {
    /// How it is found.
    pub by: By<'j>,
    /// What comes in its place.
    pub behind: Behind,
}

impl Background<'_> {
    /// What does it, to pictures of `size` from `path`.
    pub(super) fn cutter(&self, path: &Path, size: Size) -> Result<Box<dyn Cutter>, Error> {
        let backdrop = Backdrop::new(&self.behind, size)?;
        Ok(match self.by {
            By::Key(key) => Box::new(Keyer::new(key, path, backdrop)),
            By::Matte(network, runtime) => Box::new(Matte::load(network, runtime, backdrop, size)?),
        })
    }
}

/// Puts something else behind somebody.
pub(super) trait Cutter {
    /// Does so in the next picture (BGR).
    fn draw(&mut self, picture: &mut Mat) -> Result<(), Error>;
}

/// What stands behind, pixel by pixel.
pub(super) struct Backdrop {
    flat: Option<Bgr>,
    picture: Vec<u8>,
}

impl Backdrop {
    fn new(behind: &Behind, size: Size) -> Result<Self, Error> {
        Ok(Self {
            flat: match behind {
                Behind::Colour(colour) => Some(*colour),
                _ => None,
            },
            picture: match behind {
                Behind::Picture(path) => filling(path, size)?,
                _ => Vec::new(),
            },
        })
    }

    /// Makes `colour` of it, if it isn't told.
    pub(super) fn or(&mut self, colour: Bgr) {
        self.flat.get_or_insert(colour);
    }

    /// Pixel `n`.
    pub(super) fn at(&self, n: usize) -> Bgr {
        match self.picture.get(3 * n..3 * n + 3) {
            Some(pixel) => [pixel[0], pixel[1], pixel[2]],
            None => self.flat.unwrap_or_default(),
        }
    }
}

/// The colour that `text` names, or none: green, blue, black, white, grey, or #rrggbb.
pub fn colour(text: &str) -> Option<Bgr> {
    Some(match text {
        "green" => [64, 177, 0],
        "blue" => [187, 71, 0],
        "black" => [16, 16, 16],
        "white" => [240, 240, 240],
        "grey" | "gray" => [128, 128, 128],
        _ => {
            let digits = text
                .strip_prefix('#')
                .filter(|d| d.len() == 6 && d.is_ascii())?;
            let [_, r, g, b] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
            [b, g, r]
        }
    })
}

/// The picture at `path`, cut to the shape of `size`.
fn filling(path: &Path, size: Size) -> Result<Vec<u8>, Error> {
    let picture = source::photo(path);
    if picture.empty() {
        return Err(Error::unusable(
            path,
            "this background is no picture that can be read: take a PNG, JPEG or WebP, or a colour as #rrggbb",
        ));
    }
    let (width, height) = (picture.cols() as usize, picture.rows() as usize);
    let wide = (height * size.width / size.height).clamp(1, width);
    let tall = (width * size.height / size.width).clamp(1, height);
    let area = opencv::core::Rect::new(
        ((width - wide) / 2) as i32,
        ((height - tall) / 2) as i32,
        wide as i32,
        tall as i32,
    );
    let cut = Mat::roi(&picture, area)?.try_clone()?;
    let mut filled = Mat::default();
    source::resized(&cut, size, &mut filled)?;
    Ok(filled.data_bytes()?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_names_and_numbers() {
        assert_eq!(colour("#0a141e"), Some([30, 20, 10]));
        assert_eq!(colour("#0a14"), None);
        assert_eq!(colour("mauve"), None);
    }
}
