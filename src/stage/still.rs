//! A picture to JPEG, for whoever wants a single one.

use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

use crate::pool::Size;

/// Quality of JPEG, 1 to 100: nothing of the coding shows at twice the size.
const QUALITY: u8 = 92;
/// Darkest luma and middle of chroma in BT.601 as pictures have it, and how many
/// steps each has where JPEG has 255 (ITU-R BT.601-7, 2.5.3).
const BLACK: i32 = 16;
const GREY: i32 = 128;
const LUMA_STEPS: i32 = 219;
const CHROMA_STEPS: i32 = 224;

/// The picture could not be coded.
#[derive(Debug, thiserror::Error)]
#[error("a picture of {width}x{height} can't be coded as JPEG: {source}")]
pub struct Error {
    width: usize,
    height: usize,
    source: jpeg_encoder::EncodingError,
}

/// One picture, in I420.
pub struct Still {
    /// Its size in pixels.
    pub size: Size,
    /// Planes Y, U and V one after the other, without gaps.
    pub i420: Vec<u8>,
}

impl Still {
    /// The picture as a JPEG file (JFIF, 4:2:0).
    ///
    /// # Errors
    ///
    /// When JPEG has no pictures of this size.
    pub fn jpeg(&self) -> Result<Vec<u8>, Error> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.encode_image(Rows(self)).map_err(|source| Error {
            width: self.size.width,
            height: self.size.height,
            source,
        })?;
        Ok(file)
    }
}

/// What the encoder reads, row by row.
struct Rows<'s>(&'s Still);

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        pixels(self.0.size.width)
    }

    fn height(&self) -> u16 {
        pixels(self.0.size.height)
    }

    fn fill_buffers(&self, row: u16, buffers: &mut [Vec<u8>; 4]) {
        let Size { width, .. } = self.0.size;
        let [y, u, v] = self.0.size.planes(&self.0.i420);
        let [luma, blue, red, _] = buffers;
        let row = usize::from(row);
        let whole = |y: &u8| full(*y, BLACK, 0, LUMA_STEPS);
        luma.extend(y[row * width..][..width].iter().map(whole));
        // Each stands for four pixels, of which the encoder makes one again.
        for (plane, buffer) in [(u, blue), (v, red)] {
            let half = &plane[row / 2 * (width / 2)..][..width / 2];
            let twice = |c: &u8| [full(*c, GREY, GREY, CHROMA_STEPS); 2];
            buffer.extend(half.iter().flat_map(twice));
        }
    }
}

/// JPEG uses all of a byte, where pictures leave room at both ends.
fn full(value: u8, from: i32, to: i32, steps: i32) -> u8 {
    let value = i32::from(value) - from;
    let half = steps / 2 * value.signum();
    (to + (value * 255 + half) / steps).clamp(0, 255) as u8
}

fn pixels(count: usize) -> u16 {
    u16::try_from(count).expect("encoders take 3840 pixels at most")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_and_white_become_the_ends_of_the_range() {
        let luma = |y| full(y, BLACK, 0, LUMA_STEPS);
        assert_eq!([16, 235, 0, 255, 126].map(luma), [0, 255, 0, 255, 128]);
        let chroma = |c| full(c, GREY, GREY, CHROMA_STEPS);
        assert_eq!([128, 16, 240, 72].map(chroma), [128, 0, 255, 64]);
    }

    #[test]
    fn a_picture_becomes_a_file_of_its_size() {
        let size = Size {
            width: 36,
            height: 18,
        };
        let still = Still {
            size,
            i420: vec![128; size.i420_bytes()],
        };
        let file = still.jpeg().expect("a small picture");
        assert_eq!(
            (&file[..2], &file[file.len() - 2..]),
            (&[0xFF, 0xD8][..], &[0xFF, 0xD9][..])
        );
        // The frame header: marker, length, precision, rows, columns, components,
        // the first of them luma, twice as fine as the others.
        let frame = file.windows(2).position(|at| at == [0xFF, 0xC0]);
        let frame = &file[frame.expect("baseline")..];
        assert_eq!(frame[4..12], [8, 0, 18, 0, 36, 3, frame[10], 0x22]);
    }
}
