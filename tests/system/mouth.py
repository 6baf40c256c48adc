"""Whether the mouth of a picture moves: its difference from the avatar's own mouth at rest.

Idle and talk share one clip, so a picture of the stream and the clip's picture of the same moment differ in the mouth
alone. The moment is found by the upper face, which no model draws.
"""

import functools

import av
import numpy as np

from server import ASSETS

# All of it on a picture of 128 by 128, for an avatar that fills 512 by 512 as `ava` does.
SIDE = 128
UPPER = (slice(24, 58), slice(36, 92))
MOUTH = (slice(66, 90), slice(50, 78))


def shrink(luma):
    """A luma plane, whatever its size, as SIDE by SIDE means."""
    height, width = luma.shape
    rows, columns = height // SIDE, width // SIDE
    cut = luma[: rows * SIDE, : columns * SIDE].astype(np.float32)
    return cut.reshape(SIDE, rows, SIDE, columns).mean(axis=(1, 3))


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
def _clip(avatar="ava"):
    with av.open(str(ASSETS / f"avatars/{avatar}/idle.mp4")) as clip:
        pictures = [small(frame) for frame in clip.decode(video=0)]
    return np.stack([_centred(p, UPPER) for p in pictures]), np.stack([_centred(p, MOUTH) for p in pictures])


def change(picture):
    """How far the mouth is from its rest, in levels of luma; coding alone makes some 1 to 2 of them."""
    uppers, mouths = _clip()
    moment = np.abs(uppers - _centred(picture, UPPER)).mean(axis=(1, 2)).argmin()
    return float(np.abs(mouths[moment] - _centred(picture, MOUTH)).mean())


def activity(pictures):
    """The change that one picture in ten exceeds: high while somebody speaks, low at rest."""
    return float(np.percentile([change(p) for p in pictures], 90))
