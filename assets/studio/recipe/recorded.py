"""Recorded people: the prompts of the Asterisk telephone exchange, which Debian packages with their texts.

Nobody wrote down when their mouths did what. espeak-ng tells a text's phonemes, and
PocketSphinx's American acoustic model finds each of them in the recording, also those of
other languages, by the American sound that is nearest.
"""

import gzip
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pocketsphinx import Decoder

from recipe.labels import Segment, viseme_of_ipa
from recipe.mel import RATE

_SOUNDS = Path("/usr/share/asterisk/sounds")
_TEXTS = "/usr/share/doc/asterisk-core-sounds-{0}/core-sounds-{0}.txt.gz"
# The aligner's frames, in 1/s.
_FRAMES = 100
# A longer prompt, in seconds, is a speech with more pauses than words.
_LONGEST = 20
# Silence that is put around a prompt, in seconds.
_HUSH = 0.25
# IPA signs by the nearest of the 39 American phones; a sign that is missing has no sound of its own.
_NEAREST = {
    "ɑa": "AA", "æ": "AE", "ʌɐəɨ": "AH", "ɔɒ": "AO", "ɛ": "EH", "e": "EY", "ɚɝɜøœ": "ER", "ɪ": "IH", "i": "IY",
    "o": "OW", "ʊ": "UH", "uy": "UW", "bβ": "B", "d": "D", "ð": "DH", "fɸ": "F", "ɡg": "G", "hɦ": "HH", "xχ": "HH",
    "jʎ": "Y", "k": "K", "lɫ": "L", "m": "M", "nɲ": "N", "ŋ": "NG", "p": "P", "ɹrɾʁ": "R", "sɕ": "S", "ʃʂ": "SH",
    "tɾ": "T", "θ": "TH", "v": "V", "wɥ": "W", "zʑ": "Z", "ʒʐʝ": "ZH", "ɣ": "G",
}  # fmt: skip
_PHONE = {sign: phone for signs, phone in reversed(_NEAREST.items()) for sign in signs}
_PAIRS = {"aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "ɔɪ": "OY", "tʃ": "CH", "dʒ": "JH"}
# Of a recording's alignments these are the least likely, most of them because the text isn't what was said.
_DOUBTFUL = 0.1

Aligned = tuple[str, np.ndarray, list[Segment]]


def recorded(person: str, language: str, draw: random.Random) -> Iterator[Aligned]:
    """Text, sound at 16 kHz and visemes of each of a person's prompts, in random order, once.

    `person` is the folder of the sounds, `language` espeak-ng's name of what is spoken.
    """
    country = language.split("-")[0]
    paths = sorted((_SOUNDS / person).rglob("*.g722"))
    if not (paths and Path(_TEXTS.format(country)).exists()):
        raise RuntimeError(f"{person} says nothing: are asterisk-core-sounds-{country} and its -g722 installed?")
    texts = _texts(country)
    aligner, found = _Aligner(), []
    for path in paths:
        text = texts.get(str(path.relative_to(_SOUNDS / person).with_suffix("")))
        if not text:
            continue
        wave = _decoded(path)
        if len(wave) > _LONGEST * RATE:
            continue
        if aligned := aligner.align(wave, _words(text, language)):
            found.append((aligned[0], text, wave, aligned[1]))
    found.sort(key=lambda one: one[0])
    found = found[round(_DOUBTFUL * len(found)) :]
    draw.shuffle(found)
    for _, text, wave, segments in found:
        yield text, wave, segments


def _texts(language: str) -> dict[str, str]:
    """What is said in each file; sounds that are no speech stand in brackets and are left out."""
    lines = gzip.decompress(Path(_TEXTS.format(language)).read_bytes()).decode("utf-8", "replace").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith(";"))
    return {name.strip(): text.strip() for name, text in pairs if text.strip() and "[" not in text and "(" not in text}


def _decoded(path: Path) -> np.ndarray:
    """G.722, which keeps 7 kHz of sound, in -1..1 at 16 kHz."""
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.int16).astype(np.float32) / 32768


def _words(text: str, language: str) -> list[list[str]]:
    """Each word's phonemes in IPA."""
    command = ["espeak-ng", "-v", language, "-q", "--ipa", "--sep=_", text]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # A name in brackets is a change of language.
    words = re.sub(r"\([^)]*\)", "", said).split()
    return [phonemes for word in words if (phonemes := [p for p in word.split("_") if _nearest(p)])]


def _nearest(phoneme: str) -> str | None:
    bare = re.sub(r"[ˈˌːʲ̃-]", "", phoneme)
    return _PAIRS.get(bare[:2]) or next((_PHONE[sign] for sign in bare if sign in _PHONE), None)


class _Aligner:
    def __init__(self) -> None:
        self._decoder = Decoder(lm=None, loglevel="FATAL", bestpath=False, beam=1e-100, pbeam=1e-100, wbeam=1e-80)
        self._known: set[str] = set()

    def align(self, wave: np.ndarray, words: list[list[str]]) -> tuple[float, list[Segment]] | None:
        """How likely the alignment is, a frame, and the visemes; None where the words can't be found."""
        phonemes = [phoneme for word in words for phoneme in word]
        if not phonemes:
            return None
        names = []
        for word in words:
            phones = " ".join(_nearest(phoneme) for phoneme in word)
            # Each pronunciation is a word of its own: the dictionary has others for most spellings.
            name = "said-" + phones.replace(" ", "-").lower()
            if name not in self._known:
                self._decoder.add_word(name, phones, True)
                self._known.add(name)
            names.append(name)
        # Prompts are cut close: without a hush around them their first and last sounds would last too long.
        hush = np.random.default_rng(0).normal(0, 1e-4, round(_HUSH * RATE)).astype(np.float32)
        raw = np.round(np.concatenate([hush, wave, hush]) * 32767).astype(np.int16).tobytes()
        self._decoder.set_align_text(" ".join(names))
        self._run(raw)
        if self._decoder.hyp() is None:
            return None
        self._decoder.set_alignment()
        self._run(raw)
        phones = [phone for word in self._decoder.get_alignment() for phone in word]
        sounds = [phone for phone in phones if phone.name != "SIL" and not phone.name.startswith("+")]
        if len(sounds) != len(phonemes):
            return None
        names_of = iter(phonemes)
        segments = []
        for phone in phones:
            is_silence = phone.name == "SIL" or phone.name.startswith("+")
            # A Spanish b between vowels is soft, and made by both lips all the same.
            viseme = "sil" if is_silence else viseme_of_ipa(next(names_of).replace("β", "b")) or "ax"
            start = phone.start / _FRAMES - _HUSH
            segments.append((viseme, max(0.0, start), min(len(wave) / RATE, start + phone.duration / _FRAMES)))
        return sum(sound.score for sound in sounds) / sum(sound.duration for sound in sounds), segments

    def _run(self, raw: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(raw, full_utt=True)
        self._decoder.end_utt()
