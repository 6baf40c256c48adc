"""flite and festival: programs that say a text and write down when they said each phoneme."""

import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from recipe.labels import ARPABET, Segment

_BY_LETTER = {
    "a": "aa", "e": "eh", "i": "iy", "o": "ao", "u": "uw", "y": "iy", "w": "w", "j": "y", "v": "f", "f": "f",
    "b": "p", "p": "p", "m": "p", "t": "t", "d": "t", "n": "n", "l": "l", "r": "r", "s": "s", "z": "s", "c": "s",
    "k": "k", "g": "k", "h": "h", "q": "k", "x": "k", "#": "sil", "_": "sil", "pau": "sil", "ch": "sh", "sh": "sh",
}  # fmt: skip
# What a language's letters don't tell, by the phone set of its festival voices.
_PHONES = {
    "it": {"E": "eh", "O": "ao", "ts": "s", "dz": "s", "tS": "sh", "dZ": "sh", "S": "sh", "SS": "sh", "JJ": "n",
           "LL": "l", "ng": "k", "nf": "n", "dj": "sh", "gn": "n", "ll": "l"},
    "cs": {"c~": "sh", "s~": "sh", "z~": "sh", "dz": "s", "dz~": "sh", "r~": "sh", "n~": "n", "t~": "t", "d~": "t",
           "ch": "k"},
    "fi": {"y": "yy", "|": "er", "@": "ae", "N": "k", "x": "er", "[": "ae", "]": "er"},
    "ca": {"ax": "ax", "E": "eh", "O": "ao", "S": "sh", "Z": "sh", "tS": "sh", "dZ": "sh", "ts": "s", "dz": "s",
           "L": "l", "J": "n", "N": "k", "rr": "r", "B": "p", "D": "th", "G": "k", "uw": "w", "iy": "y", "Y": "y"},
    "hi": {"aa": "aa", "eh": "eh", "ii": "iy", "uu": "uw", "oo": "ow", "ei": "eh", "ai": "ae", "au": "ao",
           "bh": "p", "ph": "p", "mh": "p", "th": "t", "dh": "t", "tt": "t", "dd": "t", "nn": "n", "kh": "k",
           "gh": "k", "jh": "sh", "j": "sh", "c": "sh", "ch": "sh", "chh": "sh", "ng": "k", "nj": "n", "a": "ah",
           "oh": "ow"},
    "ru": {"c": "s", "ch": "sh", "sch": "sh", "zh": "sh", "j": "y", "ur": "ax", "ae": "ax", "ay": "ax", "y": "ih",
           "yy": "ih", "h": "k", "hh": "k"},
}  # fmt: skip


class UnknownPhone(ValueError):
    """An engine said a phone that the tables above don't place."""


def viseme_of(phone: str, language: str) -> str:
    """The viseme of a festival or flite phone."""
    if language == "en":
        bare = phone.lower()
        if bare not in ARPABET:
            raise UnknownPhone(f"{phone} in {language}")
        return ARPABET[bare]
    bare = re.sub(r"[0-9:'!]+$", "", phone) or "#"
    table = _PHONES[language]
    for candidate in (bare, bare.lower()):
        if candidate in table:
            return table[candidate]
        if candidate in _BY_LETTER:
            return _BY_LETTER[candidate]
    # A doubled letter is the same sound, soft or long.
    if len(bare) == 2 and bare[0] == bare[1]:
        return viseme_of(bare[0], language)
    # Indian voices spell foreign words by the American set.
    if bare.lower() in ARPABET:
        return ARPABET[bare.lower()]
    raise UnknownPhone(f"{phone} in {language}")


def flite(text: str, voice: str, stretch: float, pitch: float) -> tuple[np.ndarray, int, list[Segment]]:
    """Sound, its rate and the visemes' times; `stretch` over 1 is slower, `pitch` in Hz."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "said.wav"
        settings = ["--setf", f"duration_stretch={stretch:.3f}", "--setf", f"int_f0_target_mean={pitch:.0f}"]
        command = ["flite", "-voice", voice, *settings, "-psdur", "-t", text, "-o", str(wav)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        wave, rate = soundfile.read(wav, dtype="float32")
    ends = [(phone, float(end)) for phone, end in (entry.split(":") for entry in said.split())]
    return wave, rate, _between(ends, "en")


def _between(ends: list[tuple[str, float]], language: str) -> list[Segment]:
    segments, start = [], 0.0
    for phone, end in ends:
        viseme = viseme_of(phone, language)
        segments.append((viseme, start, end))
        start = end
    return segments


def festival(
    texts: list[str], voice: str, language: str, encoding: str, stretches: list[float]
) -> list[tuple[np.ndarray, int, list[Segment]]]:
    """Each text's sound, rate and visemes' times. One process says them all: starting it costs a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [f"(voice_{voice})"]
        for index, (text, stretch) in enumerate(zip(texts, stretches)):
            quoted = text.replace("\\", " ").replace('"', " ")
            lines += [
                f"(Parameter.set 'Duration_Stretch {stretch:.3f})",
                # A text that the voice stumbles over must not end the others.
                f'(unwind-protect (begin (set! said (utt.synth (Utterance Text "{quoted}")))'
                f'(utt.save.wave said "{folder}/{index}.wav" (quote riff))'
                f'(utt.save.segs said "{folder}/{index}.lab")) nil)',
            ]
        script = folder / "say.scm"
        script.write_bytes("\n".join(lines).encode(encoding, "ignore"))
        subprocess.run(["festival", "--batch", str(script)], capture_output=True, check=False)
        return [read for index in range(len(texts)) if (read := _read(folder, index, language))]


def _read(folder: Path, index: int, language: str) -> tuple[np.ndarray, int, list[Segment]] | None:
    wav, lab = folder / f"{index}.wav", folder / f"{index}.lab"
    if not (wav.exists() and lab.exists()):
        return None
    wave, rate = soundfile.read(wav, dtype="float32")
    rows = [line.split() for line in lab.read_text(errors="ignore").splitlines()]
    try:
        return wave, rate, _between([(row[2], float(row[0])) for row in rows if len(row) == 3], language)
    except UnknownPhone:
        return None
