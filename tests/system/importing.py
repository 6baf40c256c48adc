"""What the tests of `mouthpiece avatar import` share."""

import json
import subprocess

import av
import numpy as np

from server import ASSETS, PROGRAM, ROOT

#: Encodes quickly.
FAST = ["-c:v", "libx264", "-preset", "ultrafast"]


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def clip(person, name="idle"):
    return ASSETS / f"avatars/{person}/{name}.mp4"


def track(folder, name="idle"):
    """Eyes and mouth of each frame: an array of frames, two points, x and y."""
    entries = json.loads((folder / f"{name}.faces.json").read_text())
    return np.array([[entry["eyes"], entry["mouth"]] for entry in entries], float)


def pictures(path):
    """The luma of every picture as means of 4 by 4 pixels, in which coding noise averages out."""
    with av.open(str(path)) as file:
        planes = [frame.to_ndarray(format="gray").astype(np.float32) for frame in file.decode(video=0)]
    height, width = (side // 4 for side in planes[0].shape)
    return [p[: height * 4, : width * 4].reshape(height, 4, width, 4).mean(axis=(1, 3)) for p in planes]


def bring(place, source, name, *more):
    """Imports `source` as `name`: the bundle's folder, its report, and what was said."""
    run = subprocess.run(
        [str(PROGRAM), "avatar", "import", str(source), "--id", name, "--set", f"assets={place}", *map(str, more)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
    )
    assert run.returncode == 0, run.stderr
    folder = place / "avatars" / name
    return folder, json.loads((folder / "report.json").read_text()), run.stdout


def nothing_left(place, name):
    """No bundle, and nothing half-made beside."""
    return not (place / "avatars" / name).exists() and [f.name for f in place.iterdir()] == ["avatars"]
