"""Curves on a skin, bound to its triangles, and the skull that they grow on.

A strand is kept in the frame of the triangle of the base mesh that it is rooted on, so
brows, lashes and beard follow an expression. Points are in the head data's space
(decimetres, y up, z to the front).
"""

from dataclasses import dataclass, field

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from recipe.face import Face


class Surface:
    """A triangle mesh that hair grows on or is kept out of."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        self.vertices, self.triangles = vertices, triangles
        corners = vertices[triangles]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.areas = np.linalg.norm(cross, axis=1) / 2
        self.normals = np.zeros_like(vertices)
        for k in range(3):
            np.add.at(self.normals, triangles[:, k], cross)
        self.normals /= np.maximum(1e-12, np.linalg.norm(self.normals, axis=1, keepdims=True))
        self.tree = BVHTree.FromPolygons(vertices.tolist(), triangles.tolist())

    def sample(self, count: int, accept, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """About `count` points [n,3] and normals [n,3] where `accept(points)` (0..1) lets them be."""
        middle = self.vertices[self.triangles].mean(1)
        weight = self.areas * np.where(accept(middle) > 0, 1.0, 0.0)
        # Triangles at the region's edge count too: their middle may lie just outside.
        edge = np.isin(self.triangles, np.unique(self.triangles[weight > 0])).any(1)
        weight = self.areas * edge
        points, normals = np.zeros((0, 3)), np.zeros((0, 3))
        for _ in range(20):
            pick = rng.choice(len(weight), count, p=weight / weight.sum())
            a, b = np.sqrt(rng.random(count)), rng.random(count)
            bary = np.stack([1 - a, a * (1 - b), a * b], 1)[:, :, None]
            p = (self.vertices[self.triangles[pick]] * bary).sum(1)
            n = (self.normals[self.triangles[pick]] * bary).sum(1)
            keep = rng.random(count) < accept(p)
            points, normals = np.concatenate([points, p[keep]]), np.concatenate([normals, n[keep]])
            if len(points) >= count:
                break
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return points[:count], normals[:count]

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The nearest point, its outward normal and the triangle for each of `points` [n,3]."""
        hits = [self.tree.find_nearest(Vector(p)) for p in points.tolist()]
        return (np.array([h[0][:] for h in hits]), np.array([h[1][:] for h in hits]), np.array([h[2] for h in hits]))

    def front(self, x: float, y: float) -> np.ndarray | None:
        """The frontmost point at (x, y), or none."""
        hit = self.tree.ray_cast(Vector((x, y, 50.0)), Vector((0, 0, -1)))[0]
        return None if hit is None else np.array(hit)


def frames(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origins [n,3] and right-handed frames [n,3,3] (columns: tangent, bitangent, normal) of triangles."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    tangent = (b - a) / np.maximum(1e-12, np.linalg.norm(b - a, axis=1, keepdims=True))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(1e-12, np.linalg.norm(normal, axis=1, keepdims=True))
    return a, np.stack([tangent, np.cross(normal, tangent), normal], 2)


@dataclass
class Strands:
    """Curves of equally many points, bound to triangles of the base mesh."""

    triangles: np.ndarray  # [n,3] vertices of the base mesh
    local: np.ndarray  # [n,k,3] points in the triangle's frame, from its middle
    points: np.ndarray = field(repr=False)  # [n,k,3] at rest

    @classmethod
    def bound(cls, points: np.ndarray, base: np.ndarray, triangles: np.ndarray):
        """Binds curves [n,k,3] to the nearest of the base mesh's `triangles` [m,3]."""
        tree = BVHTree.FromPolygons(base.tolist(), triangles.tolist())
        pick = np.array([tree.find_nearest(Vector(p))[2] for p in points[:, 0].tolist()])
        return cls.on(points, triangles[pick], base)

    @classmethod
    def on(cls, points: np.ndarray, triangles: np.ndarray, base: np.ndarray):
        """Binds each curve to the triangle given for it."""
        _, frame = frames(base, triangles)
        middle = base[triangles].mean(1)
        return cls(triangles, np.einsum("nji,nkj->nki", frame, points - middle[:, None]), points)

    def at(self, vertices: np.ndarray) -> np.ndarray:
        """Points [n,k,3] on the base vertices of an expression."""
        _, frame = frames(vertices, self.triangles)
        return np.einsum("nij,nkj->nki", frame, self.local) + vertices[self.triangles].mean(1)[:, None]


def body_triangles(face: Face) -> np.ndarray:
    """The base mesh's skin as triangles [m,3]."""
    base = face.head.base
    return np.array([(f[0], f[k], f[k + 1]) for f, group in zip(base.faces, base.groups) if group == "body"
                     for k in range(1, len(f) - 1)])


class Skull:
    """Angles about the skull's middle: azimuth 0° in front to 180° behind, elevation from the horizon."""

    def __init__(self, face: Face):
        skin = face.neutral[np.unique(body_triangles(face))]
        self.eyes = face.eye_middle
        self.u = skin[:, 1].max() - self.eyes[1]
        self.centre = self.eyes + np.array([0, 0.12, -0.85]) * self.u

    def angles(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y, z = np.moveaxis(points - self.centre, -1, 0)
        return np.degrees(np.arctan2(abs(x), z)), np.degrees(np.arctan2(y, np.hypot(x, z)))

    def above(self, points: np.ndarray, hairline: list[tuple[float, float]]) -> np.ndarray:
        """Degrees [n] above a hairline given as (azimuth, elevation) corners."""
        azimuth, elevation = self.angles(points)
        at, line = zip(*hairline)
        smooth = np.interp(np.arange(-8, 189), at, line)
        smooth = np.convolve(np.pad(smooth, 4, "edge"), np.hanning(11)[1:-1] / np.hanning(11).sum(), "valid")
        return elevation - np.interp(azimuth, np.arange(-8, 189), smooth)


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(1e-9, np.linalg.norm(v, axis=-1, keepdims=True))


def smooth_noise(points: np.ndarray, scale: float, seed: int) -> np.ndarray:
    """A smooth random vector [n,3] for each point, of size about one: a few random waves."""
    rng = np.random.default_rng(seed)
    waves, phases = rng.normal(0, 1 / scale, (8, 3)), rng.uniform(0, 6.3, (3, 8))
    return np.stack([np.sin(points @ waves.T + phase).sum(-1) for phase in phases], -1) / 2
