"""Other throats and other rooms: augmentation on the magnitudes of the spectrum.

The ear hears mel, which has no phase. So voices are changed where it is cheap:
a frame's spectrum is parted by its cepstrum into an envelope (throat, lips) and
a rest (the voice's pitch), each is stretched for itself, and nothing need ever
be heard again. Frames are taken at any hop, which changes the pace alone.
"""

import numpy as np

from recipe.mel import BANK, N_FFT, RATE, WINDOW

_BINS = N_FFT // 2 + 1
_HERTZ = np.linspace(0, RATE / 2, _BINS)
_BANK = np.ascontiguousarray(BANK.T)
# Cepstral coefficients under this one are the envelope: a bend in 350 Hz or more.
_LIFTER = 24


def magnitudes(wave: np.ndarray, hop: float) -> np.ndarray:
    """[steps, 401]: the mel's own spectra, at any hop in samples."""
    emphasised = np.concatenate([wave[:1], wave[1:] - 0.97 * wave[:-1]])
    padded = np.pad(emphasised, N_FFT // 2, mode="reflect")
    starts = np.round(np.arange(0, len(wave) + 1, hop)).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[starts[starts <= len(padded) - N_FFT]]
    return np.abs(np.fft.rfft(frames * WINDOW, axis=1)).astype(np.float32)


def to_mel(spectra: np.ndarray) -> np.ndarray:
    """[steps, 401] -> [steps, 80] in -4..4."""
    level = 20 * np.log10(np.maximum(1e-5, spectra @ _BANK)) - 20
    return np.clip(8 * (level + 100) / 100 - 4, -4, 4).astype(np.float32)


def _stretched(rows: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Rows read at bin / factor: a factor over 1 moves what is there up. Factors [1 or steps, 1 or bins]."""
    places = np.broadcast_to(np.minimum(np.arange(_BINS) / factor, _BINS - 1.001), (len(factor), _BINS))
    low = places.astype(np.int32)
    part = (places - low).astype(np.float32)
    if len(factor) == 1:
        return rows[:, low[0]] * (1 - part) + rows[:, low[0] + 1] * part
    lines = np.arange(len(rows))[:, None]
    return rows[lines, low] * (1 - part) + rows[lines, low + 1] * part


def another_throat(spectra: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Another length of throat, another pitch and tune, another breath."""
    logs = np.log(spectra + 1e-5)
    cepstrum = np.fft.irfft(logs, axis=1)[:, :_LIFTER]
    cepstrum[:, 1:] *= 2
    envelope = (cepstrum @ _COSINES).astype(np.float32)
    rest = logs - envelope
    steps = len(spectra)
    # From a bass to a child; the free voices are big men, mostly, so more way up than down. Long throats have low voices: without that, nobody could tell
    # a small person's m from a large one's n.
    throat = draw.uniform(-0.12, 0.30)
    # Mouth and pharynx don't scale alike.
    bend = draw.normal(0, 0.035) * np.tanh((_HERTZ - 1800) / 900)
    envelope = _stretched(envelope, np.exp(throat + bend)[None])
    # Formants stand out more in some voices, and less in breathy ones.
    if draw.random() < 0.4:
        flat = cepstrum[:, :5] @ _COSINES[:5]
        envelope = flat + draw.uniform(0.75, 1.3) * (envelope - flat)
    if draw.random() < 0.9:
        pitch = 2.6 * throat + draw.normal(0, 0.15)
        tune = np.cumsum(draw.standard_normal(steps // 8 + 2)) * draw.uniform(0, 0.05)
        tune = np.interp(np.arange(steps) / 8, np.arange(len(tune)), tune - tune.mean())
        rest = _stretched(rest, np.clip(np.exp(pitch + tune), 0.5, 2.2)[:, None])
    breath = draw.random()
    if breath < 0.3:
        # A whisper has a rest without lines; breath has it above some frequency.
        noise = np.log(np.sqrt(draw.exponential(1.0, spectra.shape)) + 1e-3).astype(np.float32) + rest.mean()
        above = 0 if breath < 0.05 else draw.uniform(1200, 6000)
        share = 1 / (1 + np.exp(-(_HERTZ - above) / 400)) if above else 1.0
        rest = rest + np.float32(share) * (noise - rest)
    return np.exp(np.minimum(envelope + rest, 8)).astype(np.float32)


_COSINES = np.cos(np.pi * np.outer(np.arange(_LIFTER), np.arange(_BINS)) / (_BINS - 1)).astype(np.float32)


# The cosine of any phase.
_TURNS = np.cos(2 * np.pi * np.arange(255) / 255).astype(np.float32)


def another_microphone(spectra: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A smooth curve of gains, a tilt, perhaps a telephone's band or a codec's holes."""
    points = np.sort(draw.uniform(np.log(60), np.log(8000), 6))
    gain = np.interp(np.log(_HERTZ + 30), points, draw.normal(0, draw.uniform(0, 5), 6))
    gain += draw.uniform(-3, 3) * np.log2((_HERTZ + 100) / 1000)
    if draw.random() < 0.15:
        low, high = draw.uniform(80, 350), draw.uniform(3000, 7000)
        gain += -24 * np.maximum(0, np.log2(low / (_HERTZ + 1))) - 60 * np.maximum(0, np.log2((_HERTZ + 1) / high))
    spectra = spectra * 10 ** (np.clip(gain, -70, 20) / 20).astype(np.float32)
    if draw.random() < 0.12:
        # Codecs drop what its neighbours drown.
        around = np.maximum(spectra, np.roll(spectra, 7, 1) * 0.7)
        around = np.maximum(around, np.roll(spectra, -7, 1) * 0.7)
        spectra = np.where(spectra < around * draw.uniform(0.02, 0.2), spectra * 0.1, spectra)
    return spectra


def another_room(spectra: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A tail of echoes: power that leaks from step to step and fades over 0.1 to 0.7 s."""
    fade = 10 ** (-6 / 80 / draw.uniform(0.1, 0.7))
    amount = 10 ** (draw.uniform(-28, -9) / 10)
    dark = np.float32(10 ** (-draw.uniform(0, 10) * np.maximum(0, np.log2((_HERTZ + 1) / 2000)) / 10))
    power = spectra**2
    tail = np.zeros(_BINS, np.float32)
    out = np.empty_like(spectra)
    for step, row in enumerate(power):
        # Echoes are not in step with the voice: their power scatters.
        out[step] = row + tail * np.float32(amount) * draw.uniform(0.5, 1.5)
        tail = fade * tail + row * dark
    return np.sqrt(out)


def mixed(spectra: np.ndarray, noise: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The sum of two sounds, [steps, 401] each, that know nothing of each other's phase."""
    turn = _TURNS[draw.integers(0, len(_TURNS), spectra.shape, np.uint8)]
    return np.sqrt(np.maximum(spectra**2 + noise**2 + 2 * spectra * noise * turn, 1e-14))
