"""Sounds that nobody's mouth makes: fans, streets, music, tones, hiss. All synthesised, all at 16 kHz."""

from collections.abc import Callable

import numpy as np
from scipy.signal import fftconvolve, lfilter

from recipe.mel import RATE


def coloured(draw: np.random.Generator, samples: int) -> np.ndarray:
    """Noise whose spectrum falls by 0 (white) to 8 dB an octave, with a random tilt and bumps."""
    spectrum = np.fft.rfft(draw.standard_normal(samples))
    hertz = np.linspace(1, RATE / 2, len(spectrum))
    gain = -draw.uniform(0, 8) * np.log2(np.maximum(hertz, 50) / 1000)
    for _ in range(draw.integers(0, 4)):
        centre, width = draw.uniform(80, 6000), draw.uniform(0.1, 0.6)
        gain += draw.uniform(-8, 12) * np.exp(-0.5 * (np.log(hertz / centre) / width) ** 2)
    return np.fft.irfft(spectrum * 10 ** (gain / 20), samples)


def fan(draw: np.random.Generator, samples: int) -> np.ndarray:
    """Rushing air and the blades' harmonics, breathing slowly."""
    time = np.arange(samples) / RATE
    air = coloured(draw, samples)
    blades = draw.uniform(25, 180)
    hum = np.zeros(samples)
    for k in range(1, 12):
        hum += np.sin(2 * np.pi * blades * k * time + draw.uniform(0, 6)) / k ** draw.uniform(0.6, 1.6)
    slow = 1 + draw.uniform(0, 0.3) * np.sin(2 * np.pi * draw.uniform(0.2, 6) * time)
    return (air / air.std() + draw.uniform(0, 1.2) * hum / hum.std()) * slow


def street(draw: np.random.Generator, samples: int) -> np.ndarray:
    """A low rumble, cars that pass, a horn or a squeak now and then."""
    time = np.arange(samples) / RATE
    sound = lfilter([1], [1, -draw.uniform(0.93, 0.995)], draw.standard_normal(samples))
    sound /= sound.std()
    for _ in range(draw.integers(1, 4)):
        moment, width = draw.uniform(0, time[-1]), draw.uniform(0.4, 2)
        car = coloured(draw, samples)
        sound += draw.uniform(0.3, 2) * car / car.std() * np.exp(-0.5 * ((time - moment) / width) ** 2)
    for _ in range(draw.integers(0, 3)):
        moment, width, pitch = draw.uniform(0, time[-1]), draw.uniform(0.05, 0.4), draw.uniform(250, 2500)
        horn = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 1.26, 2, 3))
        sound += draw.uniform(0.2, 1.5) * horn * (np.abs(time - moment) < width)
    return sound


def music(draw: np.random.Generator, samples: int) -> np.ndarray:
    """Chords, a tune and, often, a beat."""
    time = np.arange(samples) / RATE
    sound = np.zeros(samples)
    beat = draw.uniform(0.25, 0.7)
    key = draw.uniform(80, 220)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19, 24])
    moment = 0.0
    while moment < time[-1]:
        length = beat * draw.choice([0.5, 1, 1, 2, 4])
        first = int(moment * RATE)
        span = time[: min(samples - first, int(length * 1.5 * RATE) + 1)]
        for _ in range(draw.integers(1, 5)):
            pitch = key * 2 ** (draw.choice(scale) / 12) * draw.choice([1, 1, 2])
            bright = draw.uniform(0.7, 2.2)
            vibrato = 1 + draw.uniform(0, 0.004) * np.sin(2 * np.pi * 5.5 * span)
            partials = range(1, max(2, min(16, int(7000 / pitch))))
            note = sum(np.sin(2 * np.pi * pitch * k * span * vibrato) / k**bright for k in partials)
            decay = np.exp(-span / draw.uniform(0.1, 1.5)) * np.minimum(1, span / draw.uniform(0.002, 0.08))
            sound[first : first + len(span)] += note * decay * draw.uniform(0.3, 1)
        moment += length
    if draw.random() < 0.7:
        for moment in np.arange(draw.uniform(0, beat), time[-1], beat / draw.choice([1, 2])):
            first = int(moment * RATE)
            span = time[: min(samples - first, RATE // 4)]
            hit = draw.standard_normal(len(span)) if draw.random() < 0.5 else np.sin(2 * np.pi * 70 * span)
            sound[first : first + len(span)] += draw.uniform(0.3, 2) * hit * np.exp(-span / draw.uniform(0.01, 0.08))
    return sound


def tones(draw: np.random.Generator, samples: int) -> np.ndarray:
    """Steady or gliding tones, some of them beeping."""
    time = np.arange(samples) / RATE
    sound = np.zeros(samples)
    for _ in range(draw.integers(1, 4)):
        start, end = np.exp(draw.uniform(np.log(60), np.log(6000), 2))
        if draw.random() < 0.6:
            end = start
        tone = np.sin(2 * np.pi * np.cumsum(start + (end - start) * time / time[-1]) / RATE)
        if draw.random() < 0.4:
            tone *= np.sin(2 * np.pi * draw.uniform(0.3, 5) * time + draw.uniform(0, 6)) > draw.uniform(-0.5, 0.7)
        sound += draw.uniform(0.2, 1) * tone
    return sound + draw.uniform(0, 0.05) * draw.standard_normal(samples)


def mains(draw: np.random.Generator, samples: int) -> np.ndarray:
    """The hum of a bad cable over hiss."""
    time = np.arange(samples) / RATE
    base = draw.choice([50, 60])
    hum = sum(draw.uniform(0, 1) / k * np.sin(2 * np.pi * base * k * time) for k in range(1, 14))
    hiss = coloured(draw, samples)
    return hum / hum.std() + draw.uniform(0.05, 1) * hiss / hiss.std()


def clatter(draw: np.random.Generator, samples: int) -> np.ndarray:
    """Keys, cups and steps: short knocks in a room."""
    sound = np.zeros(samples)
    for _ in range(draw.integers(4, 40)):
        sound[draw.integers(0, samples)] = draw.uniform(-1, 1)
    length = int(draw.uniform(0.005, 0.08) * RATE)
    knock = draw.standard_normal(length) * np.exp(-np.arange(length) / length * 5)
    ringing = np.sin(2 * np.pi * draw.uniform(200, 4000) * np.arange(length) / RATE)
    return fftconvolve(sound, knock * (0.5 + ringing))[:samples] + 1e-3 * draw.standard_normal(samples)


KINDS: tuple[Callable[[np.random.Generator, int], np.ndarray], ...] = (
    coloured, coloured, fan, fan, street, street, music, music, music, music, tones, mains, clatter,
)  # fmt: skip


def any_noise(draw: np.random.Generator, seconds: float) -> np.ndarray:
    """One of them all, of standard deviation 1."""
    sound = KINDS[draw.integers(len(KINDS))](draw, int(seconds * RATE))
    sound = np.nan_to_num(sound)
    return (sound / (sound.std() + 1e-9)).astype(np.float32)


def steady(seed: int = 99, level: float = -30.0, seconds: float = 8.0, each: int = 3) -> dict[str, list[np.ndarray]]:
    """Sounds to measure rest with: some of every kind at `level` dB of full scale (RMS), and silence."""
    draw = np.random.default_rng(seed)
    gain = 10 ** (level / 20)
    found = {"silence": [np.zeros(int(seconds * RATE), np.float32)]}
    for kind in dict.fromkeys(KINDS):
        sounds = (kind(draw, int(seconds * RATE)) for _ in range(each))
        found[kind.__name__] = [(gain * sound / sound.std()).astype(np.float32) for sound in sounds]
    return found
