"""Hair as strands: a combed head of hair, a cropped one, a beard, brows and lashes.

Points are in the head data's space (decimetres, y up, z to the front); `u` is the height
from the eyes to the crown, by which the lengths of a hairstyle scale.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from recipe.face import LEFT_EYE, RIGHT_EYE, Face
from recipe.strands import Skull, Surface, ramp, smooth_noise, unit

# Rings of lash cards on the base mesh: how far a card's vertex lies from the eye tells root from tip.
LASH_GROUPS = {"helper-l-eyelashes-1": LEFT_EYE, "helper-l-eyelashes-2": LEFT_EYE,
               "helper-r-eyelashes-1": RIGHT_EYE, "helper-r-eyelashes-2": RIGHT_EYE}


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
        back = -style["sweep"] * ramp(rel[:, 2], -0.9, -0.1)
        comb = np.stack([side * (0.25 + 0.9 * top), -1.1 + 0.75 * top, back], 1)
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
    ends = (1 - style["uneven"] * rng.random(count) ** 2) * (1 - style["uneven"] * rng.random(len(leaders)))[lock]
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
            along = rng.uniform(0.05, 0.97)
            if rng.random() < style["thin"] * along**2:
                continue  # Towards the tail skin shows between the hairs.
            x = inner + (outer - inner) * along
            near = mine[abs(mine[:, 0] - x) < 0.05 * scale][:, 1]
            half = style["height"] * scale * (0.048 - 0.022 * along)
            half *= np.interp(along, [0, 0.2, 0.85, 1], [0.7, 1, 1, 0.6])
            across = rng.normal(0, 0.5)
            y = (near.min() + near.max()) / 2 + across * half + style["lift"] * scale
            length = style["length"] * scale * rng.uniform(0.65, 1.15) * (1 - 0.4 * along)
            # Inner hairs stand up, middle ones lean out and meet along the spine, the tail lies down.
            lean = np.interp(along, [0, 0.2, 0.5, 1], [78, 48, 22, -22]) + rng.normal(0, 9)
            lean = np.radians(lean - 26 * np.clip(across, -1, 1.2) * min(1, 3 * along))
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
                length = style["long"] * (0.75 + 0.25 * np.clip(outward, -1, 1)) if upper else style["short"]
                length *= face.scale * rng.uniform(0.75, 1.1) * (1 - 0.35 * np.clip(abs(outward) - 0.6, 0, 1))
                t = np.linspace(0, 1, 6)[:, None]
                direction = unit(0.55 * out + np.array([0, 0.12 * up, 0.62]) + fan + rng.normal(0, 0.07, 3))
                curve = root + length * (direction * t + np.array([0, up * (0.62 if upper else 0.35), 0]) * t**2)
                lines.append(curve)
                bound.append((a, b, c))
    return np.array(lines), np.array(bound)
