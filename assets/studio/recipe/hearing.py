"""Measures how well a mouth follows the voice: every function compares tracks with the labels' truth.

Truth is a track [steps, 7] at labels.RATE from `labels.tracks`. What is judged
is sampled at 25 fps: parameters [frames, 7] of the ear, or an opening [frames]
measured in pictures. Frame n is the moment n / 25.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recipe import labels
from recipe.audio_net import OFFSET, WINDOW
from recipe.labels import Segment
from recipe.mel import FLOOR, RATE, STEPS_A_SECOND, mel

FPS = 25
# A closure counts as found when the lips meet this near to its middle, in seconds...
NEAR = 0.060
# ...and this much of press, or of ftuck, is reached.
CLOSED = 0.5
TUCKED = 0.4
# A mouth is at rest when it is open by less than this.
REST = 0.06
# The offset is looked for within this, in seconds.
_LONGEST_LAG = 0.12

Predictor = Callable[[np.ndarray], np.ndarray]
"""Mel windows [n, 1, 80, 16] -> parameters [n, 7]."""


def windows(wave: np.ndarray, offset: float = OFFSET, fps: float = FPS) -> np.ndarray:
    """The windows [frames, 1, 80, 16] that the product's ear hears for each frame of 16 kHz sound in -1..1."""
    spectrogram = mel(wave)
    frames = np.arange(int(len(wave) / RATE * fps))
    # A hair is added, since 0.2 and its like are not exact.
    first = np.floor(STEPS_A_SECOND * (frames / fps + offset) + 1e-6).astype(int)
    before, after = max(0, -first.min()), max(0, first.max() + WINDOW - len(spectrogram))
    padded = np.pad(spectrogram, ((before, after), (0, 0)), constant_values=FLOOR)
    return np.stack([padded[start + before : start + before + WINDOW].T for start in first])[:, None]


def at_frames(truth: np.ndarray, frames: int, later: float = 0.0, fps: float = FPS) -> np.ndarray:
    """The truth's rows at the frames' moments plus `later` seconds, linear between steps."""
    places = (np.arange(frames) / fps + later) * labels.RATE
    steps = np.arange(len(truth))
    columns = truth.reshape(len(truth), -1).T
    return np.stack([np.interp(places, steps, column) for column in columns], 1).reshape(frames, *truth.shape[1:])


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; 0 where either stands still."""
    if len(one) < 2 or one.std() < 1e-9 or other.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def lag(openings: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
    """How many ms the openings [frames] come after the truth's openings [steps]: the best correlation's place."""
    lags = np.arange(-_LONGEST_LAG, _LONGEST_LAG + 1e-9, 1 / labels.RATE)
    judged = np.concatenate(openings)
    fits = []
    for by in lags:
        moved = [at_frames(truth, len(opening), -by) for opening, truth in zip(openings, truths)]
        fits.append(correlation(judged, np.concatenate(moved)))
    best = int(np.argmax(fits))
    if not 0 < best < len(lags) - 1:
        return float(lags[best] * 1000)
    left, middle, right = fits[best - 1 : best + 2]
    return float((lags[best] + (left - right) / (2 * (left - 2 * middle + right)) / labels.RATE) * 1000)


def hits(track: np.ndarray, segments: Sequence[Segment], viseme: str, level: float) -> tuple[int, int]:
    """How many of the viseme's moments the track [frames] marks by reaching `level` nearby, and how many there are.

    Frames are 40 ms apart, so the track is taken as linear between them. Moments that touch are one.
    """
    places = np.arange(len(track)) / FPS
    moments: list[list[float]] = []
    for name, start, end in segments:
        if name != viseme or end <= start:
            continue
        if moments and start - moments[-1][1] < 0.005:
            moments[-1][1] = end
        else:
            moments.append([start, end])
    found = 0
    for start, end in moments:
        middle = (start + end) / 2
        near = np.interp(np.linspace(middle - NEAR, middle + NEAR, 25), places, track)
        found += bool(near.max() >= level)
    return found, len(moments)


def flicker(openings: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
    """The openings' mean second difference against the truth's."""
    judged = np.concatenate([np.abs(np.diff(o, 2)) for o in openings])
    should = np.concatenate([np.abs(np.diff(at_frames(t, len(o)), 2)) for o, t in zip(openings, truths)])
    return float(judged.mean() / max(should.mean(), 1e-9))


def rest_share(openings: np.ndarray, skip: int = 5) -> float:
    """The share of frames that are at rest, but for the first few."""
    return float((openings[skip:] < REST).mean())


@dataclass
class Heard:
    """One utterance: what the ear said [frames, 7], the truth [steps, 7] and its visemes."""

    parameters: np.ndarray
    truth: np.ndarray
    segments: list[Segment]


@dataclass
class OpeningFigures:
    """Correlations over all frames, the mean of the utterances, the worst of them; then size, delay and unrest."""

    opening: float
    opening_mean: float
    opening_worst: float
    amplitude: float
    offset_ms: float
    flicker: float
    utterances: list[float]

    def __str__(self) -> str:
        return (
            f"opening {self.opening:.3f} (mean {self.opening_mean:.3f}, worst {self.opening_worst:.3f})  "
            f"amplitude {self.amplitude:.2f}  offset {self.offset_ms:+.0f} ms  flicker {self.flicker:.2f}"
        )


@dataclass
class Figures(OpeningFigures):
    """A voice's row of the table: the opening, each parameter's correlation, moments found and how many there are."""

    parameters: dict[str, float]
    closures: tuple[int, int]
    lip_to_teeth: tuple[int, int]

    def __str__(self) -> str:
        each = " ".join(f"{name} {value:.2f}" for name, value in self.parameters.items())
        shares = f"p,b,m {_share(self.closures)}  f,v {_share(self.lip_to_teeth)}"
        return f"{super().__str__()}  {shares}  {each}"


def opening_figures(openings: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> OpeningFigures:
    """Openings [frames] an utterance, the ear's or measured in pictures, against the truth's [steps].

    Amplitude and flicker take both in the same units.
    """
    should = [at_frames(truth, len(opening)) for opening, truth in zip(openings, truths)]
    each = [correlation(opening, truth) for opening, truth in zip(openings, should)]
    all_said, all_should = np.concatenate(openings), np.concatenate(should)
    return OpeningFigures(
        opening=correlation(all_said, all_should),
        opening_mean=float(np.mean(each)),
        opening_worst=float(np.min(each)),
        amplitude=float(all_said.std() / max(all_should.std(), 1e-9)),
        offset_ms=lag(openings, truths),
        flicker=flicker(openings, truths),
        utterances=each,
    )


def _share(pair: tuple[int, int]) -> str:
    return f"{100 * pair[0] / max(1, pair[1]):.0f} % of {pair[1]}"


def figures(heard: Sequence[Heard]) -> Figures:
    """The figures of one voice."""
    said = np.concatenate([one.parameters for one in heard])
    should = np.concatenate([at_frames(one.truth, len(one.parameters)) for one in heard])
    openings = [labels.opening(one.parameters) for one in heard]
    return Figures(
        **vars(opening_figures(openings, [labels.opening(one.truth) for one in heard])),
        parameters={name: correlation(said[:, k], should[:, k]) for k, name in enumerate(labels.PARAMETERS)},
        closures=_found(heard, "p", "press", CLOSED),
        lip_to_teeth=_found(heard, "f", "ftuck", TUCKED),
    )


def _found(heard: Sequence[Heard], viseme: str, parameter: str, level: float) -> tuple[int, int]:
    column = labels.PARAMETERS.index(parameter)
    pairs = [hits(one.parameters[:, column], one.segments, viseme, level) for one in heard]
    return sum(found for found, _ in pairs), sum(count for _, count in pairs)


def hear(wave: np.ndarray, segments: list[Segment], predict: Predictor) -> Heard:
    """An utterance (16 kHz, -1..1) through the ear."""
    return Heard(predict(windows(wave)), labels.tracks(segments, len(wave) / RATE), segments)
