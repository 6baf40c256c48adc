"""Strands: scalp hair, brows, lashes and beards, grown as curves on the skin.

A strand is rooted on a triangle of the base mesh and kept in that triangle's frame, so
brows, lashes and beard follow an expression. Points are in the head data's space
(decimetres, y up, z to the front); `u` below is the height from the eyes to the crown,
by which every length scales.
"""

from dataclasses import dataclass, field

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from recipe.face import LEFT_EYE, RIGHT_EYE, Face

# Rings of lash cards on the base mesh: how far a card's vertex lies from the eye tells root from tip.
LASH_GROUPS = {"helper-l-eyelashes-1": LEFT_EYE, "helper-l-eyelashes-2": LEFT_EYE,
               "helper-r-eyelashes-1": RIGHT_EYE, "helper-r-eyelashes-2": RIGHT_EYE}


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


def scalp_hair(face: Face, skin: Surface, body: Surface, style: dict, rng: np.random.Generator) -> np.ndarray:
    """Hair combed from a parting and falling over the ears: curves [n,k,3]. `body` is skin and clothes."""
    skull = Skull(face)
    u, k = skull.u, style["points"]

    def density(p: np.ndarray) -> np.ndarray:
        edge = skull.above(p, style["hairline"]) + 1.2 * smooth_noise(p, 0.06 * u, 4)[:, 0]
        return ramp(edge, -0.8, 4.0) ** 1.5

    guide_roots, guide_normals = skin.sample(style["guides"], density, rng)
    guides = grow(face, skull, body, guide_roots, guide_normals, style, rng)
    roots, normals = skin.sample(style["count"], density, rng)
    hair = between_guides(roots, guide_roots, guides, style["part"] * u, rng)
    return dress(hair, normals, skull, style, rng)


def grow(face: Face, skull: Skull, body: Surface, roots: np.ndarray, normals: np.ndarray, style: dict,
         rng: np.random.Generator) -> np.ndarray:
    """Guides [n,k,3]: combed along the skull away from the parting, then falling, kept out of `body`."""
    u, k = skull.u, style["points"]
    length = style["length"] * u * rng.uniform(0.93, 1.0, len(roots))
    side = np.where(roots[:, 0] > style["part"] * u, 1.0, -1.0)
    height = (roots[:, 1] - skull.eyes[1]) / u
    # Hair from the crown lies on top of hair from the sides.
    layer = u * (0.02 + style["volume"] * np.clip(height, 0.0, 1.0) ** 1.2) * rng.uniform(0.75, 1.1, len(roots))
    # Where a hair hangs, out to the side and forwards: hair from above lies outside.
    spread = style["thick"] * (0.5 * (np.clip(height, 0.0, 1.0) - 0.5) + 0.35 * smooth_noise(roots, 0.15 * u, 8)[:, 0])
    curtain = style["curtain"] - style["thick"] * rng.uniform(0, 1.0, len(roots))
    steps = 3 * (k - 1)
    p, v = roots.copy(), unit(normals + 0.5 * np.stack([side, 0 * side, -0.3 + 0 * side], 1))
    path = [p.copy()]
    for step in range(1, steps + 1):
        rel = (p - skull.eyes) / u
        near, normal, _ = body.nearest(p)
        inside = ((p - near) * normal).sum(1) < 0
        out = unit(np.where(inside[:, None], near - p, p - near))
        depth = np.linalg.norm(p - near, axis=1) * np.where(inside, -1, 1)
        # Sideways from the parting while on top; backwards at the temples, so that the face stays free.
        top = ramp(rel[:, 1], 0.25, 0.8)
        comb = np.stack([side * (0.25 + 0.9 * top), -1.1 + 0.75 * top, -style["sweep"] * ramp(rel[:, 2], -0.9, -0.1)], 1)
        comb = comb - (comb * out).sum(1, keepdims=True) * out * ramp(-depth, -0.35 * u, 0)[:, None]
        hang = np.tile([0.0, -1.0, 0.0], (len(roots), 1))
        # Beside the cheeks hair keeps to a curtain: outside of the jaw and behind the cheekbone.
        below = ramp(-rel[:, 1], -0.15, 0.25)
        hang[:, 2] += np.where(rel[:, 2] > curtain, (curtain - rel[:, 2]) * 2.5, 0.0)
        wide = style["width"] - style["taper"] * np.clip(-rel[:, 1] - 0.3, 0, 1.2) + spread
        hang[:, 0] += side * np.clip(wide - side * rel[:, 0], -0.3, 0.6) * 1.6
        want = unit(comb) * (1 - below[:, None]) + unit(hang) * below[:, None]
        want += 0.10 * smooth_noise(p, 0.5 * u, 9)
        v = unit(0.72 * v + 0.28 * want)
        p = p + v * (length / steps)[:, None]
        target = np.minimum(layer, 0.5 * length * step / steps)
        lift = np.where(depth < target, (target - depth) * 0.45, 0.0)
        cling = np.where((depth > target) & (rel[:, 1] > 0.1), (target - depth) * 0.25, 0.0)
        p = p + out * (lift + cling)[:, None]
        path.append(p.copy())
    # The ears' edges would show as bumps.
    rough = np.stack(path, 1)
    smooth = gaussian_filter1d(rough, style["smooth"] * steps, axis=1, mode="nearest")
    smooth = rough + (smooth - rough) * ramp(np.linspace(0, 1, steps + 1), 0.08, 0.3)[None, :, None]
    return smooth[:, ::3]


def between_guides(roots: np.ndarray, guide_roots: np.ndarray, guides: np.ndarray, part: float,
                   rng: np.random.Generator) -> np.ndarray:
    """Curves [n,k,3] from roots, mixed from the three nearest guides on the same side of the parting."""
    hair = np.zeros((len(roots), guides.shape[1], 3))
    for right in (False, True):
        mine, theirs = (roots[:, 0] > part) == right, (guide_roots[:, 0] > part) == right
        distance, pick = cKDTree(guide_roots[theirs]).query(roots[mine], 3)
        weight = 1 / (distance + 0.01) ** 2 * rng.uniform(0.4, 1.0, distance.shape)
        weight /= weight.sum(1, keepdims=True)
        chosen = guides[theirs][pick]
        shape = (chosen * weight[:, :, None, None]).sum(1)
        hair[mine] = shape + (roots[mine] - shape[:, 0])[:, None]
    return hair


def dress(hair: np.ndarray, normals: np.ndarray, skull: Skull, style: dict, rng: np.random.Generator) -> np.ndarray:
    """Gathers hair into locks, lets them wave, and frees a few single hairs."""
    count, k, _ = hair.shape
    u, t = skull.u, np.linspace(0, 1, hair.shape[1])
    for locks, pull, wave in ((style["locks"], style["clump"], style["wave"]), (style["locks"] * 6, 0.35, 0.0)):
        leaders = rng.choice(count, min(locks, count), replace=False)
        mid = k // 3
        feature = np.concatenate([hair[:, 0], hair[:, mid]], 1)
        _, lock = cKDTree(feature[leaders]).query(feature)
        leader = hair[leaders][lock]
        strength = pull * ramp(t, 0.05, 0.9)[None] * rng.uniform(0.5, 1.0, (count, 1))
        hair = hair + (leader - hair) * strength[:, :, None]
        if wave:
            phase = rng.uniform(0, 6.28, (len(leaders), 2))[lock] + rng.normal(0, 0.25, (count, 2))
            turns = rng.uniform(0.8, 1.2, len(leaders))[lock][:, None] * style["turns"] * 6.28
            size = (wave * u * rng.uniform(0.5, 1.2, len(leaders)))[lock][:, None] * ramp(t, 0.25, 0.75)[None]
            along = unit(np.gradient(hair, axis=1))
            across = unit(np.cross(along, np.array([0.0, 0.0, 1.0])))
            hair = hair + across * (size * np.sin(turns * t + phase[:, :1]))[..., None]
            hair = hair + np.cross(along, across) * (size * np.sin(turns * t + phase[:, 1:]))[..., None]
    # Single hairs: a smooth private drift, larger on a few.
    knots = rng.normal(0, 1, (count, 4, 3))
    knots[:, 0] = 0
    at = np.linspace(0, 3, k)
    low = np.minimum(at.astype(int), 2)
    f = (at - low)[None, :, None]
    f = f * f * (3 - 2 * f)
    drift = knots[:, low] * (1 - f) + knots[:, low + 1] * f
    loose = style["frizz"] * u * np.where(rng.random(count) < style["flyaway"], 5.0, 1.0)
    hair = hair + drift * loose[:, None, None] * ramp(t, 0.0, 0.3)[None, :, None]
    # Some hairs end earlier: no cut edge.
    ends = 1 - style["uneven"] * rng.random(count) ** 2
    at = np.linspace(0, 1, k)[None] * ends[:, None] * (k - 1)
    low = np.minimum(at.astype(int), k - 2)
    rows = np.arange(count)[:, None]
    f = (at - low)[..., None]
    return hair[rows, low] * (1 - f) + hair[rows, low + 1] * f


def short_hair(roots: np.ndarray, normals: np.ndarray, comb: np.ndarray, length: np.ndarray, points: int, curl: float,
               rng: np.random.Generator) -> np.ndarray:
    """Cropped hair or beard: curves [n,k,3] along `comb` [n,3], with tight curls of size `curl` (decimetres)."""
    t = np.linspace(0, 1, points)[None, :, None]
    direction = unit(comb + 0.25 * rng.normal(0, 1, comb.shape))
    line = roots[:, None] + direction[:, None] * t * length[:, None, None]
    line = line - normals[:, None] * (0.25 * length[:, None, None] * t * t)
    if curl:
        a = unit(np.cross(direction, rng.normal(0, 1, direction.shape)))
        b = np.cross(direction, a)
        turn = t * rng.uniform(4, 9, (len(roots), 1, 1)) + rng.uniform(0, 6.28, (len(roots), 1, 1))
        line = line + curl * np.minimum(t * 4, 1) * (a[:, None] * np.cos(turn) + b[:, None] * np.sin(turn))
    return line


def cropped(face: Face, skin: Surface, style: dict, rng: np.random.Generator) -> np.ndarray:
    """Closely cropped curls, shorter at the sides: curves [n,k,3]."""
    skull = Skull(face)

    def density(p: np.ndarray) -> np.ndarray:
        edge = skull.above(p, style["hairline"]) + 0.8 * smooth_noise(p, 0.05 * skull.u, 4)[:, 0]
        return ramp(edge, -0.6, 2.5)

    roots, normals = skin.sample(style["count"], density, rng)
    top = ramp((roots[:, 1] - skull.eyes[1]) / skull.u, 0.2, 0.75)
    edge = ramp(skull.above(roots, style["hairline"]), -1.0, 9.0)
    length = style["length"] * face.scale * (style["fade"] + (1 - style["fade"]) * top) * (0.45 + 0.55 * edge)
    length *= rng.uniform(0.75, 1.15, len(roots)) * (1 + 0.15 * smooth_noise(roots, 0.12 * skull.u, 6)[:, 0])
    comb = normals + 0.5 * smooth_noise(roots, 0.05 * skull.u, 7) + np.array([0.0, -0.15, 0.1])
    return short_hair(roots, normals, comb, length, style["points"], style["curl"] * face.scale, rng)


def beard(face: Face, skin: Surface, style: dict, rng: np.random.Generator) -> np.ndarray:
    """A short beard and moustache: curves [n,5,3]."""

    def density(p: np.ndarray) -> np.ndarray:
        return beard_area(face, p + 0.012 * smooth_noise(p, 0.05, 3))

    roots, normals = skin.sample(style["count"], density, rng)
    fullness = density(roots)
    length = style["length"] * face.scale * rng.uniform(0.6, 1.15, len(roots)) * (0.5 + 0.5 * fullness)
    comb = 0.45 * normals + np.array([0.0, -1.0, 0.15]) + 0.4 * rng.normal(0, 1, roots.shape)
    return short_hair(roots, normals, comb, length, 5, style["curl"] * face.scale, rng)


def beard_area(face: Face, points: np.ndarray) -> np.ndarray:
    """How densely a boxed beard grows (0..1) at points [n,3]: moustache, chin, and the jaw up to the ears."""
    long = face.eye_middle[1] - face.mouth_middle[1]
    x, y, z = ((points - face.mouth_middle) / long).T
    x = abs(x)
    cheek = -0.12 + 0.95 * np.clip((x - 0.40) / 0.85, 0, 1) ** 1.3
    jaw = ramp(cheek - y, -0.02, 0.14) * ramp(y, -0.86, -0.66) * ramp(z, -1.5, -1.15)
    lips = np.hypot(x / 0.44, (y + 0.06) / 0.20)
    moustache = ramp(-x, -0.54, -0.42) * ramp(-y, -0.33, -0.27) * ramp(y, -0.3, 0.02)
    goatee = ramp(-x, -0.52, -0.36) * ramp(-y, 0.1, 0.2) * ramp(y, -0.86, -0.66)
    bare = ramp(lips, 0.92, 1.12)
    under_lip = 1 - 0.7 * ramp(-x, -0.30, -0.16) * ramp(-y, 0.2, 0.28) * ramp(y, -0.42, -0.34)
    return np.clip(np.maximum(np.maximum(jaw, 0.9 * moustache), goatee * under_lip) * bare, 0, 1)


def brows(face: Face, skin: Surface, style: dict, rng: np.random.Generator) -> np.ndarray:
    """Both brows: curves [n,5,3]. They run along the head data's brow card."""
    card = face.part_at(face.head.part("eyebrows", "eyebrow006"), face.neutral)
    scale, lines = face.scale, []
    for side in (-1.0, 1.0):
        mine = card[card[:, 0] * side > 0] * [side, 1, 1]
        inner, outer = mine[:, 0].min(), mine[:, 0].max()
        for _ in range(style["count"]):
            along = rng.uniform(0.06, 0.985) ** 0.92
            x = inner + (outer - inner) * along
            near = mine[abs(mine[:, 0] - x) < 0.05 * scale][:, 1]
            half = style["height"] * scale * (0.052 - 0.036 * along) * (0.75 if along < 0.15 else 1.0)
            across = rng.normal(0, 0.5)
            y = (near.min() + near.max()) / 2 + across * half + style["lift"] * scale
            length = style["length"] * scale * rng.uniform(0.75, 1.15) * (1 - 0.3 * along)
            # Inner hairs stand up, middle ones lean out and meet along the spine, the tail lies down.
            lean = np.interp(along, [0, 0.2, 0.5, 1], [78, 48, 22, -22]) - 26 * np.clip(across, -1, 1.2) * min(1, 3 * along)
            lean = np.radians(lean + rng.normal(0, 7))
            curve = []
            for t in np.linspace(0, 1, 5):
                px, py = x + length * t * np.cos(lean - 0.3 * t), y + length * t * np.sin(lean - 0.3 * t)
                hit = skin.front(side * px, py)
                if hit is None:
                    break
                curve.append(hit + np.array([0, 0, 1]) * scale * (0.003 + 0.016 * t * (1 - 0.35 * t)))
            if len(curve) == 5:
                lines.append(curve)
    return np.array(lines)


def lashes(face: Face, style: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower lashes on the lids' edges: curves [n,6,3] and the base triangles [n,3] they are bound to.

    The base mesh carries cards along the lids' edges that follow every closure; a lash grows from a
    card's inner edge, fanned out towards the eye's corners.
    """
    base, lines, bound = face.head.base, [], []
    for group, eye in LASH_GROUPS.items():
        middle = face.neutral[eye].mean(0)
        quads = [f for f, g in zip(base.faces, base.groups) if g == group and len(f) == 4]
        reach = {i: np.linalg.norm(face.neutral[i] - middle) for f in quads for i in f}
        edges = [(f[k], f[(k + 1) % 4]) for f in quads for k in range(4)]
        rim = [(e, f) for e, f in zip(edges, [f for f in quads for _ in range(4)]) if e[::-1] not in edges]
        upper = np.mean([face.neutral[i][1] for i in reach]) > middle[1] - 0.01
        near = np.median(list(reach.values()))
        for (a, b), quad in rim:
            d, c = quad[quad.index(a) - 1], quad[(quad.index(b) + 1) % 4]
            if max(reach[a], reach[b]) > near or reach[a] + reach[b] > reach[c] + reach[d]:
                continue
            root_a, root_b = face.neutral[a], face.neutral[b]
            width = abs(root_b[0] - root_a[0])  # The rim turns upright at the corners: few lashes there.
            for _ in range(rng.poisson((style["upper"] if upper else style["lower"]) * width / face.scale)):
                f = rng.random()
                root = root_a * (1 - f) + root_b * f
                out = unit(face.neutral[d] * (1 - f) + face.neutral[c] * f - root)
                # The cards begin on the eyeball, behind the lid's edge.
                root = root + (out + np.array([0, 0, 1.0])) * (0.011 if upper else 0.008) * face.scale
                outward = (root[0] - middle[0]) * np.sign(middle[0]) / 0.15
                fan = np.array([np.sign(middle[0]) * (0.35 * outward + 0.12), 0, 0])
                up = 1.0 if upper else -1.0
                length = face.scale * (style["long"] * (0.75 + 0.25 * np.clip(outward, -1, 1)) if upper else style["short"])
                length *= rng.uniform(0.75, 1.1) * (1 - 0.35 * np.clip(abs(outward) - 0.6, 0, 1))
                t = np.linspace(0, 1, 6)[:, None]
                direction = unit(0.55 * out + np.array([0, 0.12 * up, 0.62]) + fan + rng.normal(0, 0.07, 3))
                curve = root + length * (direction * t + np.array([0, up * (0.62 if upper else 0.35), 0]) * t**2)
                lines.append(curve)
                bound.append((a, b, c))
    return np.array(lines), np.array(bound)
