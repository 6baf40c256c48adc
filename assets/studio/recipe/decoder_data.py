"""Pairs for the decoder: a reference crop and a target crop of one person, disturbed as the world disturbs them.

A pair is cut from two crops of one set (see crops.py) by one random box, so what a
careless face track does to the box, both share. Colour, light, sharpness and painted
marks are changed alike in both; noise and compression move with the skin.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from recipe import decoder_net

HEIGHT, WIDTH = decoder_net.HEIGHT, decoder_net.WIDTH


@dataclass
class CropSet:
    """All crops of one person in one light: pictures [k,h,w,3] BGR, flow [k,h,w,2], known [k,h,w], p [k,7].

    `back` [k,h,w,3] is the way from the neutral crop to each crop, and how far it is known.
    `teeth` [k,2,m,2] are pixels of points of the teeth, `flat` [2,m,2] what points those are (teeth.py).
    """

    number: int
    pictures: np.ndarray
    flow: np.ndarray
    known: np.ndarray
    back: np.ndarray
    p: np.ndarray
    mouth: np.ndarray
    d: float
    teeth: np.ndarray
    flat: np.ndarray


def load_set(folder: Path) -> CropSet:
    about = json.loads((folder / "set.json").read_text())
    pictures = np.stack([cv2.imread(str(folder / f"{name}.png")) for name in about["names"]])
    with np.load(folder / "flow.npz") as arrays:
        flow, known = arrays["flow"], arrays["known"]
    # Inside the mouth nothing has a source; elsewhere gaps are slivers that the chin uncovers, of no concern.
    middle = (round(about["mouth"][0]), round(about["mouth"][1] + 0.1 * about["d"]))
    mouth = np.zeros(known.shape[1:], np.uint8)
    cv2.ellipse(mouth, middle, (round(0.45 * about["d"]), round(0.5 * about["d"])), 0, 0, 360, 255, -1)
    ignored = (known == 0) & (mouth[None] == 0)
    back = np.stack([_turned(one.astype(np.float32), k == 255) for one, k in zip(flow, known)])
    with np.load(folder / "teeth.npz") as arrays:
        teeth, flat = arrays["seen"], arrays["flat"]
    return CropSet(int(folder.name), pictures, flow, np.where(ignored, 128, known).astype(np.uint8),
                   back, np.array(about["p"], np.float32), np.array(about["mouth"]), about["d"], teeth, flat)


def _turned(flow: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A flow [h,w,2] seen from its other end [h,w,3], by scattering; the last channel is 1 where it is known."""
    h, w = known.shape
    x, y = np.meshgrid(np.arange(w), np.arange(h))
    column, row = (np.rint(a + flow[..., i]).astype(int) for i, a in enumerate((x, y)))
    landed = known & (column >= 0) & (column < w) & (row >= 0) & (row < h)
    at = (row * w + column)[landed]
    sums = [np.bincount(at, v, h * w).reshape(h, w) for v in (-flow[landed, 0], -flow[landed, 1], np.ones(len(at)))]
    sums = cv2.GaussianBlur(np.stack(sums, -1).astype(np.float32), (0, 0), 0.8)
    share = sums[..., 2:]
    sure = cv2.erode((share > 0.3).astype(np.uint8), np.ones((3, 3), np.uint8))[..., None]  # The blur crossed edges.
    return np.concatenate([sums[..., :2] / np.maximum(share, 1e-3), sure], -1).astype(np.float16)


def box(one: CropSet, rng: np.random.Generator | None) -> tuple[np.ndarray, bool]:
    """The affine map [2,3] from slice pixels to crop pixels, and whether it mirrors; without `rng` the exact one."""
    scale, angle, shift, mirror = one.d / decoder_net.D, 0.0, np.zeros(2), False
    if rng is not None:
        # Most tracks are good, some are a tenth off.
        misfit = rng.choice([0.25, 0.25, 1.0])
        scale *= 1 + misfit * rng.uniform(-0.1, 0.1)
        angle = misfit * rng.uniform(-0.12, 0.12)
        shift = misfit * rng.uniform(-0.1, 0.1, 2) * one.d
        mirror = bool(rng.random() < 0.5)
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    # Pixel i of a picture spans i..i+1, its sample stands in the middle: OpenCV counts from the sample.
    middle = np.array(decoder_net.MOUTH) - 0.5
    return np.concatenate([turn, (one.mouth - 0.5 + shift - turn @ middle)[:, None]], 1), mirror


def cut(picture: np.ndarray, matrix: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=how | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REPLICATE)


@dataclass
class Pair:
    """One example: slices [h,w,3] float BGR, p [7], flow [h,w,2], known [h,w] (0 no source, 1 source, 0.5 ignore).

    `teeth` [2,m,4] are a target's points of the teeth: pixels of the slice and what points those are."""

    reference: np.ndarray
    target: np.ndarray
    p: np.ndarray
    flow: np.ndarray
    known: np.ndarray
    from_neutral: bool
    teeth: np.ndarray


def exact_pair(one: CropSet, reference: int, target: int) -> Pair:
    """A pair as it is, for evaluation."""
    matrix, _ = box(one, None)
    return _pair(one, reference, target, matrix)


def _pair(one: CropSet, reference: int, target: int, matrix: np.ndarray) -> Pair:
    a, b = (cut(one.pictures[i], matrix).astype(np.float32) / 255 for i in (reference, target))
    flow, known = motion(one, reference, target)
    flow = cut(flow, matrix) @ np.linalg.inv(matrix[:, :2]).T.astype(np.float32)
    known = cut(known, matrix, cv2.INTER_NEAREST).astype(np.float32) / 255
    # Pixel i of a picture spans i..i+1, see box.
    pixels = (one.teeth[target] - 0.5 - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T + 0.5
    # The rows are alike to the left and right: in a mirror it is the other tooth that stands there.
    side = [np.sign(np.linalg.det(matrix[:, :2])), 1.0]
    teeth = np.concatenate([pixels, one.flat * side], -1).astype(np.float32)
    return Pair(a, b, one.p[target].copy(), flow, known, reference == 0, teeth)


def motion(one: CropSet, reference: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Flow [h,w,2] of a target crop to a reference crop; where it is known [h,w]: 255 yes, 0 no source, 128 ignore."""
    flow, known = one.flow[target].astype(np.float32), one.known[target]
    if reference == 0:
        return flow, known
    x, y = np.meshgrid(np.arange(flow.shape[1], dtype=np.float32), np.arange(flow.shape[0], dtype=np.float32))
    onward = cv2.remap(one.back[reference].astype(np.float32), x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
    return flow + onward[..., :2], np.where((onward[..., 2] < 0.9) & (known == 255), 128, known).astype(np.uint8)


def random_pair(one: CropSet, rng: np.random.Generator) -> Pair:
    """A disturbed pair: two in three from the neutral crop, the others from a talking one."""
    count = len(one.pictures)
    reference = 0 if rng.random() < 0.65 else int(rng.integers(1, count))
    # To shut an open mouth is the hardest and, on photographs, the most looked at. Crop 1 is shut firmly.
    shut = rng.random() < (0.4 if reference else 0.08)
    target = int(rng.integers(2)) if shut else int(rng.integers(1, count))
    matrix, _ = box(one, rng)
    pair = _pair(one, reference, target, matrix)
    if rng.random() < 0.5:
        _mark(pair, one, reference, target, matrix, rng)
    _develop(pair, rng)
    _soften(pair, rng)
    _spoil(pair, rng)
    pair.p = np.clip(pair.p + rng.normal(0, 0.012, 7), 0, 1).astype(np.float32)
    return pair


def _mark(pair: Pair, one: CropSet, reference: int, target: int, matrix: np.ndarray, rng: np.random.Generator) -> None:
    """Paints a random pattern (stubble, spots, folds, make-up) that moves with the skin."""
    h, w = one.known.shape[1:]
    kind = rng.integers(4)
    if kind == 0:  # Speckle like stubble.
        grain = cv2.resize(rng.standard_normal((h * 2 // 3, w * 2 // 3), np.float32), (w, h))
        pattern = np.minimum(0, grain) * np.float32(rng.uniform(0.05, 0.4))
    elif kind == 1:  # Patches.
        cells = rng.integers(4, 40)
        pattern = cv2.resize(rng.standard_normal((cells, cells), np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
        pattern *= np.float32(rng.uniform(0.03, 0.2))
    elif kind == 2:  # Strokes.
        pattern = np.zeros((h, w), np.float32)
        for _ in range(rng.integers(3, 30)):
            a = rng.uniform(0, [w, h])
            b = a + rng.normal(0, 20, 2)
            cv2.line(pattern, tuple(int(x) for x in a), tuple(int(x) for x in b), float(rng.normal(0, 0.3)),
                     int(rng.integers(1, 3)), cv2.LINE_AA)
        pattern = cv2.GaussianBlur(pattern, (0, 0), rng.uniform(0.5, 2.0))
    else:  # Spots.
        pattern = np.zeros((h, w), np.float32)
        for _ in range(rng.integers(3, 40)):
            cv2.circle(pattern, tuple(int(x) for x in rng.uniform(0, [w, h])), int(rng.integers(1, 5)),
                       float(rng.normal(0, 0.25)), -1, cv2.LINE_AA)
        pattern = cv2.GaussianBlur(pattern, (0, 0), rng.uniform(0.5, 1.5))
    tint = rng.uniform(0.6, 1.0, 3).astype(np.float32)
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    for picture, index in ((pair.reference, reference), (pair.target, target)):
        flow = one.flow[index].astype(np.float32)
        there = cv2.remap(pattern, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        there *= one.known[index] > 0
        picture *= 1 + cut(there, matrix)[..., None] * tint


def _develop(pair: Pair, rng: np.random.Generator) -> None:
    """Exposure, colour, contrast and a light from one side, alike in both."""
    gamma = float(np.exp(rng.normal(0, 0.2)))
    gain = np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.08, 3)).astype(np.float32)
    grey_share, contrast = float(1 - np.exp(rng.normal(0, 0.2))), float(np.exp(rng.normal(0, 0.15)))
    side, strength = float(rng.uniform(0, 2 * np.pi)), float(rng.choice([0.0, rng.uniform(0, 0.6)]))
    across = np.exp(np.float32(strength * np.cos(side)) * np.linspace(-1, 1, WIDTH, dtype=np.float32))
    down = np.exp(np.float32(strength * np.sin(side)) * np.linspace(-1, 1, HEIGHT, dtype=np.float32))
    light = (down[:, None] * across)[..., None] * gain
    middle = float(pair.reference.mean())
    # Towards grey and away from the middle grey in one matrix.
    matrix = (np.eye(3) * (1 - grey_share) + grey_share / 3) * contrast
    matrix = np.concatenate([matrix, np.full((3, 1), middle * (1 - contrast))], 1).astype(np.float32)
    for name in ("reference", "target"):
        picture = np.power(np.clip(getattr(pair, name), 0, 1), np.float32(gamma)) * light
        setattr(pair, name, np.clip(cv2.transform(picture, matrix), 0, 1))


def _soften(pair: Pair, rng: np.random.Generator) -> None:
    """Blur, fewer pixels or sharpening, alike in both."""
    kind = rng.random()
    if kind < 0.25:
        sigma = rng.uniform(0.3, 1.3)
        change = lambda x: cv2.GaussianBlur(x, (0, 0), sigma)  # noqa: E731
    elif kind < 0.45:
        share = rng.uniform(0.45, 0.95)
        size = (round(WIDTH * share), round(HEIGHT * share))
        change = lambda x: cv2.resize(cv2.resize(x, size, interpolation=cv2.INTER_AREA), (WIDTH, HEIGHT),  # noqa: E731
                                      interpolation=cv2.INTER_CUBIC)
    elif kind < 0.7:
        amount = rng.uniform(0.2, 1.2)
        change = lambda x: x + amount * (x - cv2.GaussianBlur(x, (0, 0), 1.2))  # noqa: E731
    else:
        return
    pair.reference, pair.target = np.clip(change(pair.reference), 0, 1), np.clip(change(pair.target), 0, 1)


def _spoil(pair: Pair, rng: np.random.Generator) -> None:
    """Noise and compression of the reference, which the target shows where the skin has moved to.

    A clean target would teach the decoder to blur.
    """
    clean = pair.reference
    if rng.random() < 0.4:
        noise = rng.standard_normal(clean.shape, np.float32) * np.float32(rng.uniform(0.003, 0.03))
        if rng.random() < 0.5:
            noise = cv2.GaussianBlur(noise, (0, 0), 0.8) * 2
        pair.reference = np.clip(pair.reference + noise, 0, 1)
    if rng.random() < 0.4:
        quality = int(rng.integers(35, 95))
        _, code = cv2.imencode(".jpg", (pair.reference * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        pair.reference = cv2.imdecode(code, cv2.IMREAD_COLOR).astype(np.float32) / 255
    if pair.reference is not clean:
        x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
        change = cv2.remap(pair.reference - clean, x + pair.flow[..., 0], y + pair.flow[..., 1], cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REPLICATE)
        pair.target = np.clip(pair.target + change * (pair.known > 0.75)[..., None], 0, 1)


class Crops:
    """All sets under some folders; `scan` picks up what was rendered since.

    Of every `every` sets by number the last is held out: never trained on.
    """

    def __init__(self, folders: list[Path], every: int = 25):
        self.folders, self.every, self.sets = folders, every, {}

    def scan(self, only_held_out: bool = False) -> None:
        for folder in self.folders:
            for one in sorted(folder.rglob("set.json")):
                if one.parent in self.sets or one.parent.name.endswith(".part"):
                    continue
                if not only_held_out or self._held_out(int(one.parent.name)):
                    self.sets[one.parent] = load_set(one.parent)

    def _held_out(self, number: int) -> bool:
        return (number + 1) % self.every == 0

    def training(self) -> list[CropSet]:
        return [one for one in self.sets.values() if not self._held_out(one.number)]

    def held_out(self) -> list[CropSet]:
        return [one for one in self.sets.values() if self._held_out(one.number)]
