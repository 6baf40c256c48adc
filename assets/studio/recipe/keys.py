"""The pictures and maps that an avatar's clips are made of: rendered once, a few minutes each.

A folder per avatar holds `key.exr`, the whole figure before nothing; `lid-*.exr` and
`gaze-*.exr`, its eyes' region with the lids at some closure and the eyes turned; and
`maps.npz`, where each pixel of the key lies in the head's space and how it moves.
"""

import os
from pathlib import Path

import cv2
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from recipe.face import LEFT_EYE, RIGHT_EYE
from recipe.mesh import HeadData
from recipe.portrait import HEIGHT, WIDTH, Portrait
from recipe.strands import body_triangles

KEY_HEIGHT = 900  # 1.25 times the clip: a turned picture stays sharp.
LIDS = (0.3, 0.6, 0.85, 1.0)
GAZES = {"left": (4.5, 0.5), "right": (-5.0, 0.0), "down": (-1.0, -4.0), "aside1": (9.0, 1.0), "aside2": (16.0, 2.0)}


def eye_border(portrait: Portrait) -> tuple[int, int, int, int]:
    """The eyes' region (left, top, right, bottom) in pixels of the key, without the brows."""
    face, s = portrait.face, portrait.face.scale
    corners = face.eye_middle + np.array([[-0.60, 0.19, 0.1], [0.60, -0.19, 0.1]]) * s
    (left, top), (right, bottom) = np.round(portrait.stage.project(corners)).astype(int)
    return left, top, right, bottom


def render_all(head: HeadData, look: dict, folder: Path, samples: int, threads: int = 1, progress=lambda x: x) -> None:
    """Renders what `folder` lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [("key", 0.0, (0.0, 0.0))] + [(f"lid-{lid}", lid, (0.0, 0.0)) for lid in LIDS]
    wanted += [(f"gaze-{name}", 0.0, turn) for name, turn in GAZES.items()]
    missing = [w for w in wanted if not (folder / f"{w[0]}.exr").exists()]
    if not missing and (folder / "maps.npz").exists():
        return
    portrait = Portrait(head, look, KEY_HEIGHT, samples, threads)
    border = eye_border(portrait)
    if not (folder / "maps.npz").exists():
        np.savez_compressed(folder / "maps.npz", border=border, **maps(portrait, border))
    for name, lid, (yaw, pitch) in progress(missing):
        rest = look["rest"].get("eye-left-closure", 0.0)
        # Lids follow the eyes down and up.
        closure = lid * (1 - rest) - 0.03 * pitch * (lid == 0)
        portrait.express({"eye-left-closure": closure, "eye-right-closure": closure})
        portrait.gaze(yaw, pitch)
        part = folder / f"{name}.part.exr"
        portrait.render(part, None if name == "key" else border)
        os.replace(part, folder / f"{name}.exr")


def maps(portrait: Portrait, border: tuple[int, int, int, int]) -> dict[str, np.ndarray]:
    """Maps over the key's pixels.

    position [h/2,w/2,3]: where the pixel lies, spread over the background; smile, brows [h/2,w/2,3]:
    how it moves with them; eye [h,w,3] and eye_mask: the eyes within the border.
    """
    height, width = KEY_HEIGHT // 2, KEY_HEIGHT // 2 * WIDTH // HEIGHT
    face, look = portrait.face, portrait.look
    camera = camera_position(portrait)
    solid = portrait._surface("body", "clothes", "eyes")
    grid = np.stack(np.meshgrid(np.arange(width) * 2 + 1.0, np.arange(height) * 2 + 1.0), -1).reshape(-1, 2)
    position, _ = cast(portrait, solid.tree, camera, grid)
    position = nearer_hair(portrait, position.reshape(height, width, 3), camera)

    rest = face.speaking(np.zeros(7), look["smile"], look["rest"])
    triangles = body_triangles(face)
    tree = BVHTree.FromPolygons(rest.tolist(), triangles.tolist())
    at, hit = cast(portrait, tree, camera, grid)
    weights = barycentric(at, rest[triangles[hit]])
    moves = {}
    for name, units, smile in (("smile", {"eye-left-slit": 0.25, "eye-right-slit": 0.25}, look["smile"] + 0.5),
                               ("brows", {"eyebrows-left-up": 0.5, "eyebrows-right-up": 0.5}, look["smile"])):
        moved = face.speaking(np.zeros(7), smile, look["rest"] | units) - rest
        move = (moved[triangles[hit]] * weights[..., None]).sum(1)
        move[hit < 0] = 0
        moves[name] = cv2.GaussianBlur(move.reshape(height, width, 3).astype(np.float32), (0, 0), 1.5)

    left, top, right, bottom = border
    grid = np.stack(np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5), -1).reshape(-1, 2)
    eyes, hit = cast(portrait, solid.tree, camera, grid)
    first = len(solid.triangles) - len(portrait._surface("eyes").triangles)
    shape = (bottom - top, right - left)
    return {"position": position.astype(np.float32), **moves, "camera": camera_numbers(portrait),
            "eye_centres": np.stack([face.neutral[eye].mean(0) for eye in (LEFT_EYE, RIGHT_EYE)]),
            "eye": np.nan_to_num(eyes.reshape(*shape, 3)).astype(np.float32), "eye_mask": (hit >= first).reshape(shape)}


def camera_position(portrait: Portrait) -> np.ndarray:
    x, y, z = portrait.stage.camera.location
    return np.array([x, z, -y])


def camera_numbers(portrait: Portrait) -> np.ndarray:
    """Its position, its focal length in heights of the picture, and its shift in them."""
    data = portrait.stage.camera.data
    return np.array([*camera_position(portrait), data.lens / data.sensor_height, data.shift_y])


def cast(portrait: Portrait, tree: BVHTree, camera: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays through pixels [n,2] meet a surface: points [n,3] (NaN where none) and its triangle (-1)."""
    plane = portrait.face.mouth_middle[2]
    # Projection is affine on a plane that faces the camera: two points give it.
    a, b = np.array([-1.0, camera[1] - 1, plane]), np.array([1.0, camera[1] + 1, plane])
    pa, pb = portrait.stage.project(np.stack([a, b]))
    xy = a[:2] + (pixels - pa) / (pb - pa) * (b[:2] - a[:2])
    start = Vector(camera)
    rays = np.concatenate([xy - camera[:2], np.full((len(xy), 1), plane - camera[2])], 1)
    hits = [tree.ray_cast(start, Vector(r)) for r in rays.tolist()]
    points = np.array([h[0][:] if h[0] is not None else (np.nan,) * 3 for h in hits])
    return points, np.array([h[2] if h[2] is not None else -1 for h in hits])


def nearer_hair(portrait: Portrait, position: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Puts hair before what lies behind it, and spreads positions over what shows nothing [h,w,3]."""
    height, width, _ = position.shape
    points = portrait.stage.strands["hair"].points.reshape(-1, 3)
    x, y = np.floor(portrait.stage.project(points) / 2).astype(int).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    order = np.argsort(points[inside, 2])
    hair = np.full((height, width, 3), np.nan)
    hair[y[inside][order], x[inside][order]] = points[inside][order]
    near = np.nan_to_num(hair[..., 2], nan=-1e9) > np.nan_to_num(position[..., 2], nan=-1e9)
    position = np.where(near[..., None], hair, position)
    return spread(position)


def spread(values: np.ndarray) -> np.ndarray:
    """Fills NaN [h,w,3] from around, near ones first."""
    known = np.isfinite(values[..., 0]).astype(np.float32)
    filled = np.nan_to_num(values).astype(np.float32) * known[..., None]
    result, done = filled.copy(), known > 0
    for sigma in (1, 2, 4, 8, 16, 32, 64, 128):
        weight = cv2.GaussianBlur(known, (0, 0), sigma)
        mean = cv2.GaussianBlur(filled, (0, 0), sigma) / np.maximum(weight, 1e-6)[..., None]
        fresh = ~done & (weight > 0.05)
        result[fresh] = mean[fresh]
        done |= fresh
    return result


def barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Weights [n,3] of triangles [n,3,3] at points [n,3]."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    normal = np.cross(b - a, c - a)
    area = np.maximum((normal**2).sum(1), 1e-12)
    u = (np.cross(c - b, points - b) * normal).sum(1) / area
    v = (np.cross(a - c, points - c) * normal).sum(1) / area
    return np.nan_to_num(np.stack([u, v, 1 - u - v], 1))

