"""Mouth parameters worth rendering: what speech does most, its rare corners, and what lies between."""

import numpy as np
from scipy.cluster.vq import kmeans2

from recipe import labels

VOWELS = "aa ae ah ax er eh ih iy ao ow uh uw yy aa>uh aa>ih eh>iy ow>uw ao>ih".split()
CONSONANTS = "p p p f f th t n n l s s sh k h r w y".split()
# Corners that speech touches rarely but a model must know: jaw press pucker wide ftuck teeth tongue.
CORNERS = [
    (1.0, 0, 0, 0, 0, 0, 0), (0, 1.0, 0, 0, 0, 0, 0), (0, 0, 1.0, 0, 0, 0, 0), (0, 0, 0, 1.0, 0, 0, 0),
    (0, 0, 0, 0, 1.0, 0, 0), (0, 0, 0, 0, 0, 1.0, 0), (0.2, 0, 0, 0, 0, 0, 1.0), (0.85, 0, 0.5, 0, 0, 0.2, 0),
    (0.9, 0, 0, 0.5, 0, 0.3, 0), (0.4, 0, 1.0, 0, 0, 0, 0), (0.1, 0, 1.0, 0, 0, 0.7, 0), (0.2, 0, 0, 0.9, 0, 0.8, 0),
    (0.5, 0, 0, 0.4, 0, 0.4, 0.9), (0.15, 0, 0, 0.3, 1.0, 0.2, 0), (0, 1.0, 0.4, 0, 0, 0, 0),
    (0.3, 0, 0, 0, 0, 0.5, 1.0),
]


def babble(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Tracks [steps,7] at labels.RATE of random syllables with pauses, in the time that people take for them."""
    segments, now = [], 0.2
    while now < seconds:
        if rng.random() < 0.06:
            names = ["sil"]
        else:
            onset = [CONSONANTS[i] for i in rng.integers(len(CONSONANTS), size=rng.choice([0, 1, 1, 1, 2]))]
            coda = [CONSONANTS[i] for i in rng.integers(len(CONSONANTS), size=rng.choice([0, 0, 0, 1]))]
            names = [*onset, VOWELS[rng.integers(len(VOWELS))], *coda]
        pace = rng.lognormal(0, 0.25)
        for name in names:
            long = 0.25 if name == "sil" else 0.11 if name in VOWELS else 0.07
            end = now + long * pace * rng.lognormal(0, 0.3)
            segments.append((name, now, end))
            now = end
    return labels.tracks(segments, now + 0.2)


def bank(count: int = 160, seed: int = 0) -> np.ndarray:
    """Medoids [count,7] of a quarter of an hour of babble."""
    rng = np.random.default_rng(seed)
    tracks = babble(rng, 900)[::11]
    middles, nearest = kmeans2(tracks, count, iter=8, minit="++", seed=seed)
    return np.array([tracks[((tracks - m) ** 2).sum(1).argmin()] for m in middles])


def choose(rng: np.random.Generator, medoids: np.ndarray, count: int) -> np.ndarray:
    """Poses [count,7] for one identity: a shut mouth, two corners, and the rest from speech or between two of it."""
    rows = [np.array(CORNERS[1]) * rng.uniform(0.75, 1.0)]
    rows += [np.array(CORNERS[i]) * rng.uniform(0.8, 1.0) for i in rng.permutation(len(CORNERS))[:2]]
    while len(rows) < count:
        a, b = medoids[rng.integers(len(medoids), size=2)]
        mix = rng.choice([0.0, 0.0, rng.random()])
        rows.append(a * (1 - mix) + b * mix)
    return np.clip(np.array(rows[:count]), 0, 1)
