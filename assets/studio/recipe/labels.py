"""Phonemes to seven mouth parameters, the truth that the ear is trained on and measured with.

Each phoneme belongs to a viseme; each viseme has a target for the seven
parameters and a dominance that says how firmly it insists on it. The track is
the dominance-weighted mean of the targets, smoothed over time, after Cohen and
Massaro, "Modeling coarticulation in synthetic visual speech" (1993).

Segments are (viseme, start, end) in seconds. A viseme may be a glide: "aa>uh"
spends half of its time in each.
"""

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import convolve1d

PARAMETERS = ("jaw", "press", "pucker", "wide", "ftuck", "teeth", "tongue")
COUNT = len(PARAMETERS)
# Tracks are kept at this rate, in 1/s.
RATE = 200
# Standard deviation of the smoothing, in seconds: how long lips take.
SMOOTHING = 0.032

Segment = tuple[str, float, float]


def _values(base: float, given: dict[str, float]) -> np.ndarray:
    row = np.full(COUNT, base)
    for name, value in given.items():
        row[PARAMETERS.index(name)] = value
    return row


def _viseme(target: dict[str, float], dominance: float, **firmer: float) -> tuple[np.ndarray, np.ndarray]:
    return _values(0.0, target), _values(dominance, firmer)


VISEMES = {
    "sil": _viseme({}, 0.55, press=0.3),
    "aa": _viseme(dict(jaw=0.85, wide=0.1), 1.2),
    "ae": _viseme(dict(jaw=0.72, wide=0.4, teeth=0.2), 1.2),
    "ah": _viseme(dict(jaw=0.5, wide=0.1), 1.0),
    "ax": _viseme(dict(jaw=0.32), 0.6),
    "er": _viseme(dict(jaw=0.3, pucker=0.3), 0.8),
    "eh": _viseme(dict(jaw=0.5, wide=0.45, teeth=0.2), 1.0),
    "ih": _viseme(dict(jaw=0.26, wide=0.45, teeth=0.3), 0.9),
    "iy": _viseme(dict(jaw=0.16, wide=0.85, teeth=0.45), 1.2),
    "ao": _viseme(dict(jaw=0.6, pucker=0.5), 1.2),
    "ow": _viseme(dict(jaw=0.42, pucker=0.7), 1.2),
    "uh": _viseme(dict(jaw=0.25, pucker=0.6), 1.0),
    "uw": _viseme(dict(jaw=0.15, pucker=1.0), 1.3),
    "yy": _viseme(dict(jaw=0.15, pucker=0.85, teeth=0.1), 1.2),
    "w": _viseme(dict(jaw=0.1, pucker=1.0), 1.0, pucker=2.2, jaw=1.6),
    "y": _viseme(dict(jaw=0.14, wide=0.55, teeth=0.3), 0.9),
    "p": _viseme(dict(press=1.0), 0.7, jaw=6.0, press=7.0, ftuck=3.0, teeth=3.0),
    "f": _viseme(dict(jaw=0.06, ftuck=1.0, teeth=0.1), 0.7, jaw=4.0, ftuck=5.0, press=3.0),
    "th": _viseme(dict(jaw=0.2, tongue=1.0, teeth=0.3), 0.8, jaw=1.8, tongue=2.5, press=2.0),
    "t": _viseme(dict(jaw=0.16, tongue=0.6, teeth=0.35), 0.5, jaw=1.3, tongue=1.5, press=2.0),
    "n": _viseme(dict(jaw=0.18, tongue=0.65, teeth=0.2), 0.5, jaw=1.1, tongue=1.5, press=2.0),
    "l": _viseme(dict(jaw=0.3, tongue=0.9, teeth=0.2), 0.6, jaw=1.1, tongue=2.2, press=2.0),
    "s": _viseme(dict(jaw=0.05, wide=0.4, teeth=0.75), 0.8, jaw=2.6, teeth=2.2, press=2.0),
    "sh": _viseme(dict(jaw=0.08, pucker=0.6, teeth=0.65), 0.9, jaw=2.4, pucker=2.0, teeth=2.0, press=2.0),
    "k": _viseme(dict(jaw=0.25, tongue=0.1, teeth=0.15), 0.45, jaw=0.8, press=2.0),
    "h": _viseme(dict(jaw=0.35), 0.3, press=2.0),
    "r": _viseme(dict(jaw=0.2, pucker=0.45, teeth=0.2), 0.7, jaw=1.1, pucker=1.3, press=2.0),
}

# The American phone set that flite, festival and the human labels use.
ARPABET = {
    **{name: name for name in "aa ae ah ax ao eh er ih iy uh uw f l n p r s sh t th w y k".split()},
    "aw": "aa>uh", "ay": "aa>ih", "ey": "eh>iy", "ow": "ow>uw", "oy": "ao>ih", "axr": "er", "ix": "ih",
    "b": "p", "m": "p", "em": "p", "v": "f", "d": "t", "dx": "t", "dh": "th", "z": "s",
    "ch": "sh", "jh": "sh", "zh": "sh", "g": "k", "ng": "k", "hh": "h", "el": "l", "en": "n", "pau": "sil",
}  # fmt: skip

_IPA_GROUPS = {
    "aɑ": "aa", "æ": "ae", "ʌɐ": "ah", "əɘɨ": "ax", "ɚɜɝ": "er", "ɛe": "eh", "ɪ": "ih", "iɯ": "iy", "ɔɒ": "ao",
    "oɤ": "ow", "ʊ": "uh", "u": "uw", "yøœʏ": "yy", "wʍɥ": "w", "jʝ": "y", "pbmɓ": "p", "fvɱʋβɸ": "f", "θð": "th",
    "tdɾʈɖ": "t", "nɲɳ": "n", "lɫʎɭɬ": "l", "szɕʑ": "s", "ʃʒʂʐ": "sh", "kgɡŋxɣqχʁcɟɢʀ": "k", "hɦħʔʕ": "h",
    "rɹɻɽ": "r",
}  # fmt: skip
IPA = {sign: viseme for signs, viseme in _IPA_GROUPS.items() for sign in signs}


def viseme_of_ipa(phoneme: str) -> str | None:
    """The viseme, or glide of visemes, of an IPA string; None for a mark without a sound of its own."""
    parts: list[str] = []
    for sign in phoneme:
        viseme = IPA.get(sign)
        if viseme is None:
            continue
        # An affricate looks like its fricative from the start.
        if parts and parts[-1] == "t" and viseme in ("s", "sh"):
            parts[-1] = viseme
        else:
            parts.append(viseme)
    if not parts:
        return "sil" if phoneme == "" or phoneme.startswith("_") else None
    return ">".join(parts)


def flatten(segments: Iterable[Segment]) -> list[Segment]:
    """Segments with their glides split into equal parts."""
    flat = []
    for viseme, start, end in segments:
        if end <= start:
            continue
        parts = viseme.split(">")
        share = (end - start) / len(parts)
        flat += [(part, start + i * share, start + (i + 1) * share) for i, part in enumerate(parts)]
    return flat


def tracks(segments: Iterable[Segment], duration: float, rate: int = RATE) -> np.ndarray:
    """The parameters of `duration` seconds, [steps, 7] in 0..1; step k is the moment k / rate."""
    steps = int(np.ceil(duration * rate)) + 1
    weighted = np.zeros((steps, COUNT))
    weights = np.full((steps, COUNT), 1e-6)
    for viseme, start, end in flatten(segments):
        first = int(round(start * rate))
        last = max(int(round(end * rate)), first + 1)
        if first >= steps:
            continue
        target, dominance = VISEMES[viseme]
        weighted[first:last] += dominance * target
        weights[first:last] += dominance
    sigma = SMOOTHING * rate
    reach = int(4 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    smooth = [convolve1d(track, kernel, axis=0, mode="nearest") for track in (weighted, weights)]
    return np.clip(smooth[0] / smooth[1], 0, 1)


def opening(parameters: np.ndarray) -> np.ndarray:
    """How far the mouth looks open: one number a row of [..., 7]."""
    jaw, press, ftuck, teeth = (parameters[..., PARAMETERS.index(name)] for name in ("jaw", "press", "ftuck", "teeth"))
    return (0.9 * jaw + 0.25 * teeth + 0.1 * ftuck) * (1 - 0.9 * press)
