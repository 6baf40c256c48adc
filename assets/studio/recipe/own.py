"""Talking crops of the avatars that are shipped, for the decoder: it should know them best.

The sets are those of crops.py, in the avatar's own light, with its hair and beard; each has another
small turn of the head. A film is a set too: the frames of an utterance, one after the other.
"""

from pathlib import Path

import numpy as np

from recipe import crops, poses
from recipe.mesh import HeadData
from recipe.portrait import Portrait
from recipe.scene import Stage


def render_sets(head: HeadData, look: dict, folder: Path, sets: int, each: int, samples: int, threads: int = 1,
                progress=lambda x: x) -> None:
    """Renders `sets` folders of `each` talking crops, those that `folder` lacks."""
    medoids = poses.bank()
    missing = [i for i in range(sets) if not (folder / f"{i:02d}").exists()]
    if not missing:
        return
    stage = _stage(head, look, samples, threads)
    for i in progress(missing):
        rng = np.random.default_rng(1000 * look["seed"] + i)
        turn = rng.uniform(-1, 1, 3) * np.radians([3.0, 2.5, 2.0]) * (i > 0)
        pose = dict(zip(("yaw", "pitch", "roll"), turn.tolist()))
        rows = np.concatenate([np.zeros((1, 7)), poses.choose(rng, medoids, each)])
        stage.speak(rows[0], pose, look["smile"])
        stage.mark_neutral()
        crops.frame(stage, pose)
        crops.render_poses(stage, rows, pose, look["smile"], folder / f"{i:02d}", {"seed": look["seed"]})


def render_film(head: HeadData, look: dict, folder: Path, rows: np.ndarray, samples: int, threads: int = 1) -> None:
    """Renders the frames [n,7] of an utterance into `folder`, after the face at rest, unless they are there."""
    if folder.exists():
        return
    stage, still = _stage(head, look, samples, threads), {}
    rows = np.concatenate([np.zeros((1, 7)), rows])
    stage.speak(rows[0], still, look["smile"])
    stage.mark_neutral()
    crops.frame(stage, still)
    crops.render_poses(stage, rows, still, look["smile"], folder, {"seed": look["seed"]})


def _stage(head: HeadData, look: dict, samples: int, threads: int) -> Stage:
    portrait = Portrait(head, look, crops.HEIGHT, samples, threads, quick=True)
    stage, render = portrait.stage, portrait.scene.render
    render.resolution_x, render.resolution_y, render.film_transparent = crops.WIDTH, crops.HEIGHT, False
    render.image_settings.color_mode, render.image_settings.color_depth = "RGB", "8"
    stage.camera.data.shift_y = 0.0
    return stage
