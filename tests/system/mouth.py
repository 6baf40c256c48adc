"""Whether the mouth of a picture moves: its difference from the avatar's own mouth at rest.

Idle and talk share one clip, so a picture of the stream and the clip's picture of the same moment differ in the mouth
alone. The moment is found by the upper face, which no model draws.
"""

import functools
import json
import tomllib

import av
import numpy as np

from server import ASSETS

# Pixels of a picture to one pixel of what is compared, each way: coding noise averages out.
SHRINK = 4
AVATAR = ASSETS / "avatars/ava"
BUNDLE = tomllib.loads((AVATAR / "avatar.toml").read_text())
SIZE = (BUNDLE["width"], BUNDLE["height"])
SMALL = (SIZE[0] // SHRINK, SIZE[1] // SHRINK)


def _regions():
    """The upper face and the mouth as slices of a small picture, by where the track has them on the mean."""
    track = json.loads((AVATAR / BUNDLE["clips"]["idle"]["faces"]).read_text())
    eyes, mouth = (np.mean([face[key] for face in track], axis=0) / SHRINK for key in ("eyes", "mouth"))
    scale = mouth[1] - eyes[1]

    def region(left, right, top, bottom):
        rows = (eyes[1] + top * scale, eyes[1] + bottom * scale)
        columns = (mouth[0] + left * scale, mouth[0] + right * scale)
        return tuple(slice(max(0, round(low)), round(high)) for low, high in (rows, columns))

    return region(-1.45, 1.45, -1.6, 0.2), region(-0.73, 0.73, 0.62, 1.85)


UPPER, MOUTH = _regions()


def shrink(luma):
    """A luma plane of the avatar's size as means of SHRINK by SHRINK pixels."""
    width, height = SMALL
    cut = luma[: height * SHRINK, : width * SHRINK].astype(np.float32)
    return cut.reshape(height, SHRINK, width, SHRINK).mean(axis=(1, 3))


def luma_of(frame):
    """The luma plane of a decoded picture, without a conversion."""
    if not frame.format.name.startswith(("yuv420p", "yuvj420p")):
        frame = frame.reformat(format="yuv420p")
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def small(frame):
    """A decoded picture as `change` wants it."""
    return shrink(luma_of(frame))


def _centred(picture, region):
    cut = picture[region]
    return (cut - cut.mean()).astype(np.float32)


@functools.cache
def _clip(name):
    with av.open(str(AVATAR / BUNDLE["clips"][name]["video"])) as clip:
        pictures = [small(frame) for frame in clip.decode(video=0)]
    return np.stack([_centred(p, UPPER) for p in pictures]), np.stack([_centred(p, MOUTH) for p in pictures])


def distances(picture, clip="idle"):
    """How far the upper face is from that of each picture of a clip, in levels of luma."""
    return np.abs(_clip(clip)[0] - _centred(picture, UPPER)).mean(axis=(1, 2))


def change(picture, clip="idle"):
    """How far the mouth is from its rest, in levels of luma; coding alone makes some 1 to 2 of them."""
    moment = distances(picture, clip).argmin()
    return float(np.abs(_clip(clip)[1][moment] - _centred(picture, MOUTH)).mean())


def activity(pictures):
    """The change that one picture in ten exceeds: high while somebody speaks, low at rest."""
    return float(np.percentile([change(p) for p in pictures], 90))
