//! What the program hears: the mel against librosa's, and that hearing
//! allocates nothing.

use mouthpiece::media::{MEL_BANDS, MEL_STEPS, MelWindow};
use mouthpiece::stage::mel::Mel;

/// See `tests/mel/reference.py`.
const SOUND: &[u8] = include_bytes!("mel/speech.i16");
const CELLS: &[u8] = include_bytes!("mel/speech.mel");

fn sound() -> Vec<f32> {
    let (samples, _) = SOUND.as_chunks();
    samples
        .iter()
        .map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0)
        .collect()
}

#[test]
fn the_mel_is_that_of_wav2lip() {
    let (cells, _) = CELLS.as_chunks();
    let expected: Vec<f32> = cells
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let mut mel = Mel::new();
    mel.push(&sound());
    mel.finish();
    assert_eq!(mel.columns() as usize * MEL_BANDS, expected.len());
    let mut window: MelWindow = [[0.0; MEL_STEPS]; MEL_BANDS];
    for first in 0..=mel.columns() as usize - MEL_STEPS {
        assert!(mel.window(first as i64, &mut window));
        for (band, row) in window.iter().enumerate() {
            for (step, cell) in row.iter().enumerate() {
                let wanted = expected[(first + step) * MEL_BANDS + band];
                assert!(
                    (cell - wanted).abs() < 1e-3,
                    "column {}, band {band}: {cell}, but librosa has {wanted}",
                    first + step
                );
            }
        }
    }
}
