"""The human clips and their labels; see human/README.md."""

from pathlib import Path

import soundfile
from scipy.signal import resample_poly

from recipe.labels import ARPABET
from recipe.mel import RATE
from recipe.synthesis import Spoken

LABELS = Path(__file__).parent.parent / "human"
CLIPS = Path("/usr/share/sounds/alsa")


def clips(folder: Path = CLIPS) -> dict[str, Spoken]:
    """Each labelled clip by name; empty where the package is missing."""
    found = {}
    for lab in sorted(LABELS.glob("*.lab")):
        path = folder / f"{lab.stem}.wav"
        if not path.exists():
            continue
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        rows = [line.split() for line in lab.read_text().splitlines()]
        segments = [(ARPABET[phoneme], float(start), float(end)) for start, end, phoneme in rows]
        found[lab.stem] = Spoken(resample_poly(wave.mean(1), RATE, rate).astype("float32"), segments, lab.stem)
    return found
