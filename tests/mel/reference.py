"""Writes the vectors that tests/hearing.rs checks the mel against.

    python3 -m venv venv && venv/bin/pip install librosa==0.11.0 scipy==1.17.1 numpy==2.4.6
    venv/bin/python tests/mel/reference.py

Both steps of it are Wav2Lip's own (audio.py and hparams.py): librosa makes the
spectrogram and the filter bank, scipy the pre-emphasis. `speech.i16` is the
sound (16 kHz mono, little-endian), `speech.mel` the expected cells
(`[column][band]`, little-endian f32).
"""

from pathlib import Path

import librosa
import numpy as np
import scipy.signal

RATE, N_FFT, HOP, WINDOW, BANDS = 16_000, 800, 200, 800, 80
HERE = Path(__file__).parent


def sound():
    """A chirp, noise, speech-like pulses and silence, 1.5 s, as i16."""
    noise = np.random.default_rng(7)
    t = np.arange(RATE // 2) / RATE
    chirp = 0.5 * scipy.signal.chirp(t, 80, t[-1], 7_000)
    chirp += 0.01 * noise.standard_normal(t.size)
    # A glottal pulse train through three formants, its pitch falling.
    pitch = 140 - 40 * t
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0.0)
    voice = np.zeros_like(t)
    for formant, width in ((660, 90), (1_720, 120), (2_410, 160)):
        radius = np.exp(-np.pi * width / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2]
        voice += scipy.signal.lfilter([1 - radius], poles, pulses)
    voice *= 0.6 / np.abs(voice).max()
    hiss = 0.05 * noise.standard_normal(RATE // 4)
    both = np.concatenate([chirp, voice, np.zeros(RATE // 8), hiss, 0.3 * voice[: RATE // 8]])
    return np.round(both.clip(-1, 1) * 32_767).astype("<i2")


def mel(wave):
    """Wav2Lip's audio.melspectrogram()."""
    emphasised = scipy.signal.lfilter([1, -0.97], [1], wave)
    spectrum = librosa.stft(
        y=emphasised, n_fft=N_FFT, hop_length=HOP, win_length=WINDOW, pad_mode="reflect"
    )
    bank = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=BANDS, fmin=55, fmax=7_600)
    floor = np.exp(-100 / 20 * np.log(10))
    level = 20 * np.log10(np.maximum(floor, bank @ np.abs(spectrum))) - 20
    return np.clip(8 * ((level + 100) / 100) - 4, -4, 4).T


if __name__ == "__main__":
    samples = sound()
    samples.tofile(HERE / "speech.i16")
    cells = mel(samples.astype(np.float32) / 32_768)
    cells.astype("<f4").tofile(HERE / "speech.mel")
    print(samples.size, "samples,", cells.shape, "cells,", cells.min(), "to", cells.max())
