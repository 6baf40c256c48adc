"""What the voices say: written sentences, templates with slots, commands and words that don't exist."""

import json
import random
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "texts"
# Lips are what a viewer watches, so invented words are rich in p, b, m, f, v, w and sh.
_ONSETS = "p b m f v w p b m f v w sh ch t d n l s z k g r y h th j pl br fl pr".split()
_NUCLEI = "a e i o u a o ee oo ay ow ai".split()
_CODAS = ["", "", "", "n", "s", "m", "p", "l", "t", "f", "b"]
# The same for spelling as it is spoken.
_PLAIN_ONSETS = "p b m f v p b m v t d n l s k r h j".split()
_PLAIN_NUCLEI = "a e i o u".split()
_PLAIN_CODAS = ["", "", "", "", "n", "s", "m", "p", "l", "t"]
_DEVANAGARI = dict(zip("pbmfvtdnlskrhjaeiou", "पबमफवतदनलसकरहजाेीोू"))


def _lines(name: str) -> list[str]:
    return (FOLDER / name).read_text().strip().split("\n")


class Texts:
    """Draws texts; the same seed draws the same ones."""

    def __init__(self, draw: random.Random):
        self._draw = draw
        self._english = _lines("en.txt")
        self._commands = _lines("commands.txt")
        self._templates = _lines("templates.txt")
        self._slots = json.loads((FOLDER / "slots.json").read_text())
        self._others = json.loads((FOLDER / "languages.json").read_text())

    def english(self) -> str:
        """A sentence, a filled template or a few commands."""
        kind = self._draw.random()
        if kind < 0.55:
            return self._draw.choice(self._english)
        if kind < 0.85:
            return self._filled()
        return self._command_list()

    def in_language(self, language: str) -> str:
        """A sentence of `language`."""
        if language.startswith("en"):
            return self.english()
        return self._draw.choice(self._others[language[:2]])

    def invented(self, plain: bool = False) -> str:
        """Words that don't exist; `plain` ones hold to letters that most languages say as written."""
        return " ".join(self._word(plain) for _ in range(self._draw.randint(3, 8))) + self._draw.choice(".?!.")

    def invented_in_devanagari(self) -> str:
        """The same for Hindi and Marathi voices, which stumble over Latin letters."""
        return "".join(_DEVANAGARI.get(letter, letter) for letter in self.invented(plain=True))

    def _word(self, plain: bool) -> str:
        onsets, nuclei, codas = (_PLAIN_ONSETS, _PLAIN_NUCLEI, _PLAIN_CODAS) if plain else (_ONSETS, _NUCLEI, _CODAS)
        pick = self._draw.choice
        return "".join(pick(onsets) + pick(nuclei) + pick(codas) for _ in range(pick([1, 2, 2, 3])))

    def _command_list(self) -> str:
        chosen = [self._draw.choice(self._commands) for _ in range(self._draw.randint(1, 4))]
        return self._draw.choice([", ", ". "]).join(chosen) + "."

    def _filled(self) -> str:
        text = self._draw.choice(self._templates)
        while "{" in text:
            start, end = text.index("{"), text.index("}")
            text = text[:start] + self._draw.choice(self._slots[text[start + 1 : end]]) + text[end + 1 :]
        return text
