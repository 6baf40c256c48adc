//! Bytes to samples, as they come: 16-bit WAV of one channel or two, or samples
//! without a header.

use super::{Error, RATES};

/// Bytes before the samples of a WAV file: its header and what programs tell of
/// themselves.
const HEADER: usize = 64 << 10;
/// A length that says that whoever wrote the header didn't know it.
const UNKNOWN: u32 = 0x7fff_0000;
/// Beginnings of sound that is coded, and of what is no sound.
const OTHERS: [(&[u8], &str); 5] = [
    (b"ID3", "is MP3"),
    (b"OggS", "is Ogg"),
    (b"fLaC", "is FLAC"),
    (b"{", "is JSON"),
    (b"<", "is a page"),
];

/// What the bytes are.
#[derive(Clone, Copy)]
struct Form {
    rate: u32,
    channels: usize,
}

/// Turns bytes into samples.
pub(super) struct Samples {
    /// Rate of sound without a header, where such may come.
    raw: Option<u32>,
    form: Option<Form>,
    /// What is no whole sample or header yet.
    held: Vec<u8>,
    /// Bytes of samples still to come, where the header says.
    left: Option<u64>,
}

impl Samples {
    /// `raw` is the rate of sound without a header, where such may come.
    pub fn new(raw: Option<u32>) -> Self {
        Self {
            raw,
            form: None,
            held: Vec::new(),
            left: None,
        }
    }

    /// Samples a second, once that is known.
    pub fn rate(&self) -> Option<u32> {
        self.form.map(|form| form.rate)
    }

    /// The samples that are whole with `bytes`; of two channels the mean.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, Error> {
        self.held.extend_from_slice(bytes);
        if self.form.is_none() && !self.begin()? {
            return Ok(Vec::new());
        }
        let Some(Form { channels, .. }) = self.form else {
            return Ok(Vec::new());
        };
        let frame = 2 * channels;
        let most = self.left.unwrap_or(u64::MAX).min(self.held.len() as u64) as usize;
        let taken = most - most % frame;
        let samples = self.held[..taken].chunks_exact(frame).map(|frame| {
            let (samples, _) = frame.as_chunks::<2>();
            let sum: i32 = samples
                .iter()
                .map(|s| i32::from(i16::from_le_bytes(*s)))
                .sum();
            (sum / channels as i32) as i16
        });
        let samples = samples.collect();
        self.held.drain(..taken);
        if let Some(left) = &mut self.left {
            *left -= taken as u64;
            if *left < frame as u64 {
                // What a file has behind its samples.
                self.held.clear();
            }
        }
        Ok(samples)
    }

    /// Notes that there is no more.
    pub fn end(&self) -> Result<(), Error> {
        match self.form {
            None if !self.held.is_empty() => Err(not("ends in its header")),
            _ => Ok(()),
        }
    }

    /// Looks for the form at the beginning. `false`: too little has come.
    fn begin(&mut self) -> Result<bool, Error> {
        if self.held.len() < 4 {
            return Ok(false);
        }
        if self.held.starts_with(b"RIFF") {
            return self.header();
        }
        let Some(rate) = self.raw else {
            return Err(not("is no WAV"));
        };
        // Samples may begin with any bytes: only what is unlikely in silence.
        if let Some((_, what)) = OTHERS.iter().find(|(mark, _)| {
            self.held.starts_with(mark) && (mark.len() > 1 || self.held[..4].is_ascii())
        }) {
            return Err(not(what));
        }
        self.form = Some(Form { rate, channels: 1 });
        Ok(true)
    }

    /// Reads the header of a WAV file, if all of it has come.
    fn header(&mut self) -> Result<bool, Error> {
        let word = |at: usize| {
            let bytes = self.held.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().expect("four")))
        };
        let mut form = None;
        let mut at = 12;
        loop {
            let Some(size) = word(at + 4) else {
                return Ok(false);
            };
            match &self.held[at..at + 4] {
                b"data" => {
                    self.form = Some(form.ok_or_else(|| not("has no format in its header"))?);
                    self.left = (1..UNKNOWN).contains(&size).then_some(size.into());
                    self.held.drain(..at + 8);
                    return Ok(true);
                }
                b"fmt " => {
                    let Some(((coding, rate), bits)) =
                        word(at + 8).zip(word(at + 12)).zip(word(at + 20))
                    else {
                        return Ok(false);
                    };
                    form = Some(understood(coding, rate, bits >> 16)?);
                }
                _ => {}
            }
            at += 8 + size as usize + size as usize % 2;
            if at > HEADER {
                return Err(not("has no samples behind its header"));
            }
        }
    }
}

/// The form that a header tells: its coding and channels in one word, its rate,
/// its bits.
fn understood(coding: u32, rate: u32, bits: u32) -> Result<Form, Error> {
    /// WAVE_FORMAT_PCM, and WAVE_FORMAT_EXTENSIBLE, whose 16 bits are PCM.
    const PCM: [u32; 2] = [1, 0xfffe];
    let (coding, channels) = (coding & 0xffff, coding >> 16);
    if !PCM.contains(&coding) || bits != 16 || !(1..=2).contains(&channels) {
        return Err(not(&format!(
            "is WAV of {bits} bits, {channels} channels and coding {coding}"
        )));
    }
    if !RATES.contains(&rate) {
        return Err(not(&format!("has {rate} samples a second")));
    }
    Ok(Form {
        rate,
        channels: channels as usize,
    })
}

fn not(what: &str) -> Error {
    Error::NotSound(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(channels: u16, rate: u32, bits: u16, length: u32, samples: &[i16]) -> Vec<u8> {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
        wav.extend(channels.to_le_bytes());
        wav.extend(rate.to_le_bytes());
        wav.extend([0; 6]);
        wav.extend(bits.to_le_bytes());
        wav.extend(b"LIST\x03\0\0\0abc\0data");
        wav.extend(length.to_le_bytes());
        wav.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        wav
    }

    fn all(raw: Option<u32>, bytes: &[u8], piece: usize) -> (Vec<i16>, Option<u32>) {
        let mut samples = Samples::new(raw);
        let pieces = bytes.chunks(piece);
        let heard = pieces.flat_map(|piece| samples.push(piece).expect("sound"));
        let heard = heard.collect();
        samples.end().expect("whole");
        (heard, samples.rate())
    }

    #[test]
    fn wav_is_read_in_pieces_of_any_size() {
        let mut bytes = wav(1, 22_050, 16, 6, &[1, -2, 300]);
        bytes.extend(b"what comes behind");
        for piece in [1, 2, 3, 7, 1_000] {
            assert_eq!(all(None, &bytes, piece), (vec![1, -2, 300], Some(22_050)));
        }
        for unknown in [0, 0x7fff_f000, u32::MAX] {
            let bytes = wav(2, 48_000, 16, unknown, &[1, 3, -6, -2]);
            assert_eq!(all(None, &bytes, 5), (vec![2, -4], Some(48_000)));
        }
    }

    #[test]
    fn samples_without_a_header_have_the_rate_that_is_configured() {
        let bytes = [1, 0, 255, 255, 0, 1];
        for piece in 1..=6 {
            assert_eq!(
                all(Some(24_000), &bytes, piece),
                (vec![1, -1, 256], Some(24_000))
            );
        }
    }

    #[test]
    fn what_is_no_sound_is_said_to_be_something_else() {
        let wrong: [(Option<u32>, Vec<u8>, &str); 6] = [
            (Some(8_000), b"ID3\x04....".to_vec(), "MP3"),
            (Some(8_000), b"{\"error\": 1}".to_vec(), "JSON"),
            (None, vec![0; 8], "no WAV"),
            (None, wav(1, 44_100, 32, 4, &[0, 0]), "32 bits"),
            (None, wav(6, 44_100, 16, 4, &[0, 0]), "6 channels"),
            (None, wav(1, 1, 16, 4, &[0, 0]), "1 samples a second"),
        ];
        for (raw, bytes, what) in wrong {
            let error = Samples::new(raw).push(&bytes).expect_err(what).to_string();
            assert!(error.contains(what), "{error}");
        }
        let mut cut = Samples::new(None);
        cut.push(&wav(1, 8_000, 16, 4, &[])[..30]).expect("not yet");
        assert!(cut.end().is_err());
        let mut endless = Samples::new(None);
        let bytes = [&b"RIFF\0\0\0\0WAVELIST"[..], &[255; 8]].concat();
        assert!(
            endless.push(&bytes).is_err(),
            "nothing is kept for a header without end"
        );
    }
}
