"""Batches for the ear: crops of mel and their tracks, from a pool that is always being renewed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recipe import labels, voices
from recipe.audio_net import OFFSET, WINDOW
from recipe.mel import FLOOR, HOP, RATE, STEPS_A_SECOND, UNITS_A_DECIBEL, mel
from recipe.noises import any_noise
from recipe.synthesis import Spoken, read_voice

# Windows a crop gives: 2 s.
CROP = 160
# Frames come every 3.2 steps and their windows start at the step below: 0.4 of a
# step early on average. The label of a window is taken that much later.
_ROUNDING = 0.4 / STEPS_A_SECOND
# People speak as no engine does. Women are few among the engines' free voices, and their nasals are the
# hardest to tell; English has sounds at the start of words that most of the other languages lack.
_PEOPLE = {"en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June", "ru_RU_f_IvrvoiceRU"}
_FAVOURED = _PEOPLE | {"czech_dita", "suo_fi_lj_diphone", "upc_ca_ona_hts", "awb", "rms", "kal16", "kal_diphone"}
# How far a voice's throat may be changed, see voices.another_throat: from a bass to a child, whoever it was.
_SMALL_VOICES = _PEOPLE | {"czech_dita", "czech_krb", "suo_fi_lj_diphone", "upc_ca_ona_hts"}
_SMALL, _MIXED, _LARGE = (-0.20, 0.14), (-0.14, 0.24), (-0.08, 0.32)
_POOL = 360
_NOISES = 90
# Silence before and after an utterance, in seconds.
_MARGIN = 0.35
# The speech's level while it speaks, and of sounds that are no speech, in dB of full scale (RMS).
_SPEECH_LEVEL = (-36.0, -11.0)
_NOISE_LEVEL = (-85.0, -24.0)


class Crops:
    """Draws batches from the corpus files in `folder`."""

    def __init__(self, folder: Path, seed: int | list[int]):
        self._draw = np.random.default_rng(seed)
        self._voices: list[list[Spoken]] = []
        self._sizes: list[tuple[float, float]] = []
        shares = []
        for path in sorted(folder.glob("*.npz")):
            if path.name.endswith(".partial.npz"):
                continue
            spoken = read_voice(path)
            self._voices.append(spoken)
            self._sizes.append(_SMALL if path.stem in _SMALL_VOICES else _MIXED if path.stem == "espeak" else _LARGE)
            minutes = sum(one.duration for one in spoken) / 60
            favour = 2.4 if path.stem in _PEOPLE else 1.6 if path.stem in _FAVOURED else 1.0
            # A voice's share grows with its minutes, but the small ones count: each is another throat.
            shares.append(favour * minutes**0.6)
        if not self._voices:
            raise FileNotFoundError(f"no speech in {folder}: run ./speech first")
        self._shares = np.array(shares) / sum(shares)
        self._noises = [self._new_noise() for _ in range(8)]
        self._pool: list[tuple[np.ndarray, np.ndarray]] = []

    def plain(self, each: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """mel [1, 80, steps] and tracks [7, steps - 15] of `each` utterances a voice, as they were spoken."""
        for voice in self._voices:
            for index in self._draw.integers(0, len(voice), each):
                spoken = voice[index]
                heard = mel(spoken.wave)
                yield heard.T[None], _track(spoken, len(heard), 0.0, 1.0).T

    def batch(self, crops: int, fresh: int) -> tuple[np.ndarray, np.ndarray]:
        """mel [crops, 1, 80, CROP + 15] and tracks [crops, 7, CROP], `fresh` of them never seen."""
        while len(self._pool) < 64:
            self._pool.append(self._item())
        for _ in range(fresh):
            self._pool.append(self._item())
        if len(self._pool) > _POOL:
            del self._pool[: len(self._pool) - _POOL]
        newest = range(len(self._pool) - fresh, len(self._pool))
        chosen = [*newest, *self._draw.integers(0, len(self._pool), crops - fresh)]
        mels, tracks = zip(*(self._crop(*self._pool[index]) for index in chosen))
        return np.stack(mels)[:, None], np.stack(tracks)

    def _crop(self, heard: np.ndarray, track: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start = self._draw.integers(0, len(track) - CROP + 1)
        cut = heard[start : start + CROP + WINDOW - 1].T.copy()
        if self._draw.random() < 0.5:
            cut = np.maximum(cut + self._draw.uniform(-5, 5) * UNITS_A_DECIBEL, FLOOR)
        if self._draw.random() < 0.12:
            band = self._draw.integers(0, 74)
            cut[band : band + self._draw.integers(2, 6)] = FLOOR
        return cut, track[start : start + CROP].T

    def _item(self) -> tuple[np.ndarray, np.ndarray]:
        """mel [steps, 80] and tracks [steps - 15, 7] of one augmented utterance, or of a noise."""
        draw = self._draw
        # The stock of noises grows at first, and later changes slowly.
        if len(self._noises) < _NOISES and draw.random() < 0.25:
            self._noises.append(self._new_noise())
        elif draw.random() < 0.02:
            self._noises[draw.integers(len(self._noises))] = self._new_noise()
        if draw.random() < 0.16:
            spectra = self._noise(CROP + WINDOW + 240, draw.uniform(*_NOISE_LEVEL))
            if draw.random() < 0.3:
                spectra = voices.another_microphone(spectra, draw)
            heard = voices.to_mel(spectra)
            return heard, np.zeros((len(heard) - WINDOW + 1, labels.COUNT), np.float32)
        heard, pace, spoken = self._speech()
        return heard, _track(spoken, len(heard), _MARGIN, pace)

    def _speech(self) -> tuple[np.ndarray, float, Spoken]:
        draw = self._draw
        chosen = draw.choice(len(self._voices), p=self._shares)
        voice, sizes = self._voices[chosen], self._sizes[chosen]
        spoken = voice[draw.integers(len(voice))]
        # Crops are 2.2 s long; two short utterances are not joined, a pause after one is.
        shortest = (CROP + WINDOW) / STEPS_A_SECOND * 1.45
        margin = np.zeros(int(_MARGIN * RATE), np.float32)
        tail = np.zeros(int(max(_MARGIN, shortest - spoken.duration - _MARGIN) * RATE), np.float32)
        wave = np.concatenate([margin, spoken.wave, tail])
        wave *= 10 ** (draw.uniform(*_SPEECH_LEVEL) / 20) / (_speaking_level(spoken.wave) + 1e-6)
        if draw.random() < 0.14:
            wave = _overdriven(wave, draw)
        pace = float(np.exp(draw.uniform(-0.25, 0.28))) if draw.random() < 0.7 else 1.0
        spectra = voices.magnitudes(wave, HOP * pace)
        if draw.random() < 0.8:
            spectra = voices.another_throat(spectra, draw, sizes)
        if draw.random() < 0.7:
            spectra = voices.another_microphone(spectra, draw)
        if draw.random() < 0.4:
            spectra = voices.another_room(spectra, draw)
        level = 20 * np.log10(np.sqrt((wave**2).mean()) + 1e-6)
        if draw.random() < 0.6:
            noise = self._noise(len(spectra), max(-90.0, level - draw.uniform(4, 45)))
            spectra = voices.mixed(spectra, noise, draw)
        elif draw.random() < 0.7:
            spectra = voices.mixed(spectra, self._noise(len(spectra), draw.uniform(-95, -60)), draw)
        return voices.to_mel(spectra), pace, spoken

    def _new_noise(self) -> np.ndarray:
        return voices.magnitudes(any_noise(self._draw, 8.0), HOP)

    def _noise(self, steps: int, level: float) -> np.ndarray:
        """[steps, 401] of a noise at `level` dB of full scale."""
        noise = self._noises[self._draw.integers(len(self._noises))]
        start = self._draw.integers(0, len(noise))
        rows = np.take(noise, np.arange(start, start + steps), axis=0, mode="wrap")
        return rows * np.float32(10 ** (level / 20))


def _track(spoken: Spoken, steps: int, margin: float, pace: float) -> np.ndarray:
    """[steps - 15, 7]: what the mouth does in the frame that each window is heard for.

    The mel has `steps`; the speech starts `margin` seconds after it and goes `pace` times as fast as it was spoken.
    """
    track = labels.tracks(_later(spoken.segments, margin), spoken.duration + 2 * margin + 0.5)
    moments = (np.arange(steps - WINDOW + 1) / STEPS_A_SECOND - OFFSET + _ROUNDING) * pace
    at = np.arange(len(track))
    columns = [np.interp(moments * labels.RATE, at, track[:, column]) for column in range(labels.COUNT)]
    return np.stack(columns, 1).astype(np.float32)


def _later(segments: list[labels.Segment], seconds: float) -> list[labels.Segment]:
    if not segments:
        return []
    moved = [(viseme, start + seconds, end + seconds) for viseme, start, end in segments]
    end = moved[-1][2]
    return [("sil", 0.0, moved[0][1]), *moved, ("sil", end, end + 60.0)]


def _overdriven(wave: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Too loud for something on its way: rounded, cut off, or wrapped around as careless integers are."""
    peak = np.abs(wave).max() + 1e-6
    kind = draw.integers(3)
    if kind == 2:
        driven = wave / peak * draw.uniform(1.0, 1.7)
        return ((driven + 1) % 2 - 1) * peak
    drive = draw.uniform(1, 8) / peak
    return (np.tanh(wave * drive) if kind else np.clip(wave * drive, -1, 1)) / drive


def _speaking_level(wave: np.ndarray) -> float:
    """RMS over the louder half of 25 ms pieces."""
    pieces = wave[: len(wave) // 400 * 400].reshape(-1, 400)
    power = np.sort((pieces**2).mean(1))
    return float(np.sqrt(power[len(power) // 2 :].mean()))
