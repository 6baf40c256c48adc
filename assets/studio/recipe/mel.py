"""Sound to mel: Wav2Lip's spectrogram, 80 bands, 80 steps a second.

Step k is centred on sample 200·k and reflects the sound at both ends, as the
product and tests/mel/reference.py do.
"""

import numpy as np

RATE = 16_000
N_FFT = 800
HOP = 200
BANDS = 80
STEPS_A_SECOND = RATE / HOP
# The value of silence: the mel is clipped to -4..4, 12.5 dB a unit.
FLOOR = -4.0
UNITS_A_DECIBEL = 8 / 100


def _hz_to_mel(hertz: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    hertz = np.asarray(hertz, float)
    above = 15 + np.log(np.maximum(hertz, 1e-9) / 1000) / (np.log(6.4) / 27)
    return np.where(hertz >= 1000, above, hertz / (200 / 3))


def _mel_to_hz(mels: np.ndarray) -> np.ndarray:
    mels = np.asarray(mels, float)
    return np.where(mels >= 15, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)), mels * (200 / 3))


def _filter_bank(low: float = 55, high: float = 7_600) -> np.ndarray:
    """[bands, n_fft / 2 + 1], triangles of equal area."""
    frequencies = np.linspace(0, RATE / 2, N_FFT // 2 + 1)
    edges = _mel_to_hz(np.linspace(*_hz_to_mel(np.array([low, high])), BANDS + 2))
    slopes = edges[:, None] - frequencies
    widths = np.diff(edges)
    rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


BANK = _filter_bank().astype(np.float32)
WINDOW = np.hanning(N_FFT + 1)[:-1].astype(np.float32)


def spectrum(wave: np.ndarray) -> np.ndarray:
    """Magnitudes [steps, n_fft / 2 + 1] of 16 kHz mono sound in -1..1."""
    wave = np.asarray(wave, np.float32)
    emphasised = np.concatenate([wave[:1], wave[1:] - 0.97 * wave[:-1]])
    padded = np.pad(emphasised, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return np.abs(np.fft.rfft(frames * WINDOW, axis=1)).astype(np.float32)


def mel(wave: np.ndarray) -> np.ndarray:
    """[steps, 80] in -4..4 of 16 kHz mono sound in -1..1, at least half a window long."""
    level = 20 * np.log10(np.maximum(1e-5, spectrum(wave) @ BANK.T)) - 20
    return np.clip(8 * (level + 100) / 100 - 4, -4, 4).astype(np.float32)
