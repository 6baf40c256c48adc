"""What stands behind an avatar: a room out of focus, painted from soft shapes in linear light.

A lens blurs light, not pixels' codes: lamps and windows grow into bright discs because
shapes are blurred before the picture is developed.
"""

import cv2
import numpy as np


def disc(radius: float) -> np.ndarray:
    """The blur of a lens out of focus: an even disc with a soft rim."""
    n = int(np.ceil(radius)) + 2
    y, x = np.mgrid[-n:n + 1, -n:n + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return kernel / kernel.sum()


def room(shapes: list[dict], width: int, height: int, seed: int) -> np.ndarray:
    """Linear BGR [h,w,3] of a room.

    Shapes are painted in order: `box` (x0, y0, x1, y1) or `spot` (x, y, radius) in parts of the height,
    `light` RGB at the top or left, `light2` at the other end, `blur` in parts of the height, `down` for a
    gradient downwards instead of sideways, `many` scatters copies.
    """
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for shape in shapes:
        for _ in range(shape.get("many", 1)):
            mask, colour = paint(shape, width, height, rng)
            radius = shape["blur"] * height
            pad = int(radius) + 4
            wide = cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
            soft = cv2.filter2D(wide, -1, disc(radius))
            soft = cv2.GaussianBlur(soft, (0, 0), max(0.8, radius * 0.12))[pad:-pad, pad:-pad]
            picture += (colour - picture * shape.get("solid", 1.0)) * soft[..., None]
    return picture[..., ::-1]


def paint(shape: dict, width: int, height: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A shape's mask [h,w] and its colour [h,w,3]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    jitter = rng.uniform(-1, 1, 3) * shape.get("scatter", 0.0)
    if "box" in shape:
        x0, y0, x1, y1 = np.array(shape["box"]) + np.array([jitter[0], jitter[1], jitter[0], jitter[1]])
        mask = ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).astype(np.float32)
        along = (y - y0) / (y1 - y0) if shape.get("down") else (x - x0) / (x1 - x0)
    else:
        cx, cy, radius = np.array(shape["spot"]) + jitter * [1, 1, 0.02]
        distance = np.hypot((x - cx) * shape.get("narrow", 1.0), y - cy)
        mask = np.clip((radius - distance) * height + 0.5, 0, 1)
        along = distance / max(radius, 1e-6)
    vary = rng.uniform(1 - shape.get("vary", 0), 1 + shape.get("vary", 0))
    first, last = (np.array(c, np.float32) * vary for c in (shape["light"], shape.get("light2", shape["light"])))
    t = np.clip(along, 0, 1)[..., None]
    t = t * t * (3 - 2 * t)
    return mask, first * (1 - t) + last * t
