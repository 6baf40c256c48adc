"""`mouthpiece avatar import` of what can't talk: a sentence that says why, and nothing left behind."""

import os
import subprocess
import time

import numpy as np
import pytest

from importing import FAST, clip, ffmpeg, nothing_left
from server import PROGRAM, ROOT, refused


def made(*arguments):
    return lambda path: ffmpeg(*arguments, path)


def cut(path):
    path.write_bytes(clip("ava").read_bytes()[:20_000])


BAD = {
    "letter.mp4": (lambda path: path.write_text("Dear video, I am text.\n" * 50), "text"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "empty"),
    "noise.mp4": (lambda path: path.write_bytes(bytes(range(256)) * 40), "no video"),
    "cut.mp4": (cut, "can be decoded"),
    "sound.mp4": (made("-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac"), "only sound"),
    "one.mp4": (made("-i", clip("ava"), "-frames:v", "1", *FAST), "only one picture"),
    "short.mp4": (made("-i", clip("ava"), "-t", "0.4", *FAST), "0.40 s"),
    "8k.mp4": (made("-f", "lavfi", "-i", "color=s=7680x4320:d=0.1", *FAST), "7680x4320"),
    "tiny.mp4": (made("-i", clip("ava"), "-t", "2", "-vf", "scale=32:40", *FAST), "32x40"),
    "pattern.mp4": (made("-f", "lavfi", "-i", "testsrc2=s=640x480:d=2", *FAST), "face 1 was not found in 50 of 50"),
    "lying.mp4": (made("-i", clip("ava"), "-t", "2", "-vf", "transpose=1,scale=-2:360", *FAST), "isn't upright"),
    "head.mp4": (made("-i", clip("ava"), "-t", "2", "-vf", "hflip,vflip", *FAST), "hflip,vflip"),
    "head.jpg": (made("-ss", "4.8", "-i", clip("ava"), "-frames:v", "1", "-vf", "hflip,vflip"), "hflip,vflip"),
    "photo.jpg": (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(500)), "can't be decoded"),
    "wall.png": (made("-f", "lavfi", "-i", "testsrc2=s=640x480", "-frames:v", "1"), "was not found"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_face_is_refused_in_a_sentence(tmp_path, name):
    place, source = tmp_path / "assets", tmp_path / name
    (place / "avatars").mkdir(parents=True)
    make, word = BAD[name]
    make(source)
    _, said = refused("avatar", "import", source, "--id", "bad", "--set", f"assets={place}", "--refused", tmp_path / "why", within=60)
    assert word in said and name in said and len(said.splitlines()) == 1, said
    assert nothing_left(place, "bad")


def drawing():
    """A face as a child draws one: flat colours, black lines."""
    y, x = np.mgrid[:720, :576].astype(float)
    inside = lambda cx, cy, rx, ry: ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
    picture = np.full((720, 576, 3), (150, 200, 230), np.uint8)
    picture[inside(288, 330, 153, 203)] = 30
    picture[inside(288, 330, 150, 200)] = (240, 190, 150)
    for eye in (228, 348):
        picture[inside(eye, 268, 44, 12)] = 30
        picture[inside(eye, 310, 36, 20)] = 30
        picture[inside(eye, 310, 33, 17)] = 255
        picture[inside(eye, 310, 14, 14)] = (30, 80, 120)
        picture[inside(eye, 310, 6, 6)] = 0
    picture[inside(288, 440, 55, 14) & (y > 440)] = (200, 70, 70)
    picture[(np.abs(y - 439) < 2) & (np.abs(x - 288) < 55)] = 30
    return picture


def test_a_drawing_is_refused_or_told(tmp_path):
    place, source = tmp_path / "assets", tmp_path / "drawn.png"
    (place / "avatars").mkdir(parents=True)
    run = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "576x720", "-i", "-", str(source)]
    subprocess.run(run, input=drawing().tobytes(), check=True)
    run = subprocess.run(
        [str(PROGRAM), "avatar", "import", str(source), "--id", "drawn", "--set", f"assets={place}", "--refused", str(tmp_path)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
    )
    if run.returncode == 0:
        assert "poor" in run.stdout and "little like a human face" in run.stdout, run.stdout
    else:
        assert "was not found" in run.stderr, run.stderr


def test_what_a_killed_import_left_is_cleared_away(tmp_path):
    place = tmp_path / "assets"
    (place / "avatars").mkdir(parents=True)
    left, fresh = place / ".import-left", place / ".import-fresh"
    for folder in (left, fresh):
        (folder / "me").mkdir(parents=True)
    hour_ago = time.time() - 3600
    os.utime(left, (hour_ago, hour_ago))
    subprocess.run([str(PROGRAM), "avatar", "list", "--set", f"assets={place}"], cwd=ROOT, check=True, timeout=20)
    assert not left.exists() and fresh.exists()
