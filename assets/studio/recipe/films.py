"""The film that is rendered twice: as the labels say, by `render-avatar --film`, and by the model, by `evaluate`."""

from pathlib import Path

import numpy as np

from recipe import hearing, labels
from recipe.synthesis import Spoken, read_voice

FOLDER = "films"
VOICE = "ked_diphone"
FRAMES = 50


def spoken(data: Path) -> Spoken:
    """The first held-out utterance that is long enough."""
    return next(one for one in read_voice(data / f"speech/held-out/{VOICE}.npz") if one.duration > FRAMES / hearing.FPS)


def truth(data: Path) -> np.ndarray:
    """What the mouth should do in each of its frames, [FRAMES, 7]."""
    one = spoken(data)
    return hearing.at_frames(labels.tracks(one.segments, one.duration), FRAMES)
