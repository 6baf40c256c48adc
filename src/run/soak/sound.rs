//! Speech of any length, as a sound file.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::media::{AudioChunk, FRAME_PERIOD, SOUND_RATE};
use crate::stage::audio::file::{self, SoundFile};

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The speech can't be read.
    #[error(transparent)]
    Speech(#[from] file::Error),
    /// There is no room for it.
    #[error("cannot write a sound file: {0}")]
    Write(#[from] std::io::Error),
}

/// The speech in `source` over and over for `length`, as a WAV file that goes
/// when it is dropped.
///
/// # Errors
///
/// When the one can't be read or the other not be written.
pub fn looped(source: &Path, length: Duration) -> Result<NamedTempFile, Error> {
    let file = tempfile::Builder::new().suffix(".wav").tempfile()?;
    let chunks = (length.as_millis() / FRAME_PERIOD.as_millis()).max(1) as u32;
    let mut out = BufWriter::new(&file);
    let mut sound = SoundFile::open(source)?;
    let mut chunk = AudioChunk::SILENCE;
    out.write_all(&header(chunks * chunk.sound.len() as u32 * 2))?;
    for _ in 0..chunks {
        if !sound.next(&mut chunk)? {
            sound = SoundFile::open(source)?;
            sound.next(&mut chunk)?;
        }
        for sample in chunk.sound {
            let sample = (sample * f32::from(i16::MAX)) as i16;
            out.write_all(&sample.to_le_bytes())?;
        }
    }
    out.flush()?;
    drop(out);
    Ok(file)
}

/// What stands before `bytes` of mono sound of 16 bits in a WAV file.
fn header(bytes: u32) -> [u8; 44] {
    let mut head =
        *b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\x02\0\x10\0data\0\0\0\0";
    head[4..8].copy_from_slice(&(bytes + 36).to_le_bytes());
    head[24..28].copy_from_slice(&SOUND_RATE.to_le_bytes());
    head[28..32].copy_from_slice(&(SOUND_RATE * 2).to_le_bytes());
    head[40..].copy_from_slice(&bytes.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_as_long_as_it_should_and_says_what_the_source_says() {
        let welcome = Path::new("assets/speech/welcome.flac");
        let mut source = SoundFile::open(welcome).expect("it is there");
        let once = source.measure().expect("whole");
        let length = once + Duration::from_secs(2);
        let file = looped(welcome, length).expect("room");
        let mut sound = SoundFile::open(file.path()).expect("a sound file");
        let measured = sound.measure().expect("whole");
        assert!(measured.abs_diff(length) <= FRAME_PERIOD, "{measured:?}");

        let mut sound = SoundFile::open(file.path()).expect("a sound file");
        let mut source = SoundFile::open(welcome).expect("it is there");
        let (mut said, mut meant) = (AudioChunk::SILENCE, AudioChunk::SILENCE);
        for _ in 0..50 {
            assert!(sound.next(&mut said).expect("whole"));
            assert!(source.next(&mut meant).expect("whole"));
            for (a, b) in said.sound.iter().zip(&meant.sound) {
                assert!((a - b).abs() < 1e-3, "{a} for {b}");
            }
        }
    }
}
