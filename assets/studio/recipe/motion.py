"""Clips from one rendered picture: every frame is the key, moved as its points in space move.

A frame's state (`Moment`) says how the head is turned, how far a breath has come, where the
eyes look and how far the lids are closed. Lids and large turns of the eyes come from renders
of the eyes' region; all else from the key, by the projected motion of each pixel's point.
Loops are sums of sines with whole periods, so they have no seam.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from recipe.face import Face

FPS = 25
IDLE = 200  # Frames.
BREATHS = 2  # In an idle loop: fifteen a minute.
# A blink closes in 80 ms and opens in 200 ms; the numbers are lids' closures (keys.LIDS).
BLINK = (0.6, 1.0, 0.85, 0.6, 0.3)
LONG_BLINK = (0.3, 0.85, 1.0, 1.0, 0.85, 0.6, 0.3)


@dataclass(frozen=True)
class Moment:
    """The state of a frame. Angles in degrees; `sway` in face sizes; the rest 0..1."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    sway: tuple[float, float] = (0.0, 0.0)
    breath: float = 0.0
    smile: float = 0.0
    brows: float = 0.0
    lid: float = 0.0
    gaze: str = ""  # A rendered turn of the eyes, or straight ahead.
    glance: tuple[float, float] = (0.0, 0.0)  # A small turn on top, in degrees.


def wander(frames: int, rng: np.random.Generator, size: float, slope: float = 1.4, highest: int = 7) -> np.ndarray:
    """A periodic signal [frames] of standard deviation `size`, slow parts the largest."""
    k = np.arange(1, highest + 1)
    phase = rng.uniform(0, 2 * np.pi, highest)
    height = k**-slope * rng.uniform(0.6, 1.4, highest)
    wave = (height * np.sin(2 * np.pi * np.outer(np.arange(frames) / frames, k) + phase)).sum(1)
    return size * wave / wave.std()


def breath(t: np.ndarray) -> np.ndarray:
    """How full the lungs are, 0..1, over breaths `t`: in faster than out."""
    phase = 2 * np.pi * t
    return 0.5 - 0.5 * np.cos(phase - 0.45 * np.sin(phase))


def idle(style: dict) -> list[Moment]:
    """The idle loop: waiting and listening."""
    rng = np.random.default_rng(style["seed"])
    time = np.arange(IDLE)
    calm = style["calm"]
    yaw, pitch, roll = wander(IDLE, rng, 0.95 * calm), wander(IDLE, rng, 0.55 * calm), wander(IDLE, rng, 0.5 * calm)
    sway = np.stack([wander(IDLE, rng, 0.008 * calm), wander(IDLE, rng, 0.004 * calm)], 1)
    lungs = breath(time * BREATHS / IDLE)
    smile, brows = wander(IDLE, rng, 0.045, 1.0, 4), wander(IDLE, rng, 0.035, 1.0, 5)
    moments = [Moment(yaw[i], pitch[i] - 0.25 * lungs[i], roll[i], tuple(sway[i]), lungs[i], smile[i], brows[i])
               for i in time]
    return with_eyes(moments, style["blinks"], style["glances"])


def with_eyes(moments: list[Moment], blinks: list[tuple[int, tuple]], glances: list[tuple]) -> list[Moment]:
    """Adds blinks (first frame, closures) and glances (first frame, last frame, rendered turn or small angles)."""
    moments = list(moments)
    for first, last, where in glances:
        for i in range(first, last):
            change = {"gaze": where} if isinstance(where, str) else {"glance": where}
            moments[i] = replace(moments[i], **change)
    for first, closures in blinks:
        for i, lid in enumerate(closures):
            moments[first + i] = replace(moments[first + i], lid=lid, gaze="")
            # Brows and cheeks give a little.
            moments[first + i] = replace(moments[first + i], brows=moments[first + i].brows - 0.08 * lid)
    return moments


def bump(t: np.ndarray, first: float, top: float, down: float, last: float) -> np.ndarray:
    """0 until `first`, 1 from `top` to `down`, 0 from `last` on; smooth to the second derivative."""
    def step(x: np.ndarray) -> np.ndarray:
        x = np.clip(x, 0, 1)
        return x**3 * (x * (6 * x - 15) + 10)

    return step((t - first) / (top - first)) * (1 - step((t - down) / (last - down)))


def action(name: str, style: dict) -> list[Moment]:
    """A clip that begins and ends as the idle loop begins."""
    start, rng = idle(style)[0], np.random.default_rng(style["seed"] + 7)
    count = {"nod": 62, "smile": 75, "look-aside": 75}[name]
    t = np.arange(count) / FPS
    end = (count - 1) / FPS
    lungs = breath(np.arange(count) / (count - 1))
    edge = bump(t, 0, 0.5, end - 0.5, end)
    drift = [wander(count, rng, size) * edge for size in (0.35, 0.25, 0.3)]
    yaw, pitch, roll, smile, brows = (np.zeros(count) for _ in range(5))
    blinks, glances = [], []
    if name == "nod":
        # Up a little, down, a smaller second time: as one agrees while listening.
        pitch = (1.0 * bump(t, 0.05, 0.25, 0.25, 0.5) - 4.6 * bump(t, 0.22, 0.58, 0.60, 1.0)
                 - 2.5 * bump(t, 0.98, 1.28, 1.30, 1.75) + 0.3 * bump(t, 1.6, 1.9, 1.9, 2.4))
        smile = 0.22 * bump(t, 0.2, 0.8, 1.5, end)
        brows = 0.25 * bump(t, 0.0, 0.3, 0.5, 1.0)
        blinks = [(13, BLINK)]
    elif name == "smile":
        smile = 0.85 * bump(t, 0.15, 0.75, 1.9, end)
        brows = 0.22 * bump(t, 0.1, 0.5, 1.0, 1.9)
        roll, pitch = 1.6 * bump(t, 0.2, 1.0, 1.7, end), 0.8 * bump(t, 0.2, 0.8, 1.7, end)
        blinks = [(9, BLINK), (56, BLINK)]
    else:
        yaw = 5.0 * bump(t, 0.24, 0.85, 1.6, 2.3)
        pitch, brows = 0.8 * bump(t, 0.3, 0.9, 1.6, 2.3), 0.1 * bump(t, 0.3, 0.7, 1.3, 2.0)
        glances = [(5, 7, "aside1"), (7, 44, "aside2"), (44, 46, "aside1")]
        blinks = [(46, BLINK)]
    moments = [replace(start, yaw=start.yaw + yaw[i] + drift[0][i], pitch=start.pitch + pitch[i] + drift[1][i],
                       roll=start.roll + roll[i] + drift[2][i], breath=float(lungs[i]),
                       smile=start.smile + smile[i], brows=start.brows + brows[i]) for i in range(count)]
    return with_eyes(moments, blinks, glances)


class Animator:
    """Draws moments. `pictures` are developed (0..1, BGR): the key's backdrop, the key before it, eyes by name."""

    def __init__(self, face: Face, maps: dict[str, np.ndarray], pictures: dict[str, np.ndarray], alpha: np.ndarray,
                 size: tuple[int, int]):
        self.face, self.maps, self.size = face, maps, size
        self.height, self.width = alpha.shape
        backdrop = pictures["backdrop"]
        self.backdrop = cv2.resize(backdrop, size, interpolation=cv2.INTER_AREA)
        # A still dither, or the room's soft shades show as bands.
        self.backdrop += np.random.default_rng(0).normal(0, 0.7 / 255, self.backdrop.shape).astype(np.float32)
        # What the figure itself adds to the picture; before its own backdrop it gives the key again.
        figure = pictures["key"] - (1 - alpha[..., None]) * backdrop
        self.figure = np.dstack([figure, alpha]).astype(np.float32)
        self.eyes = {name: picture for name, picture in pictures.items() if name.startswith(("lid-", "gaze-"))}
        left, top, right, bottom = maps["border"]
        self.box = np.s_[top:bottom, left:right]
        self.eyes[""] = pictures["key"][self.box]
        feather = np.zeros((bottom - top, right - left), np.float32)
        feather[8:-8, 8:-8] = 1
        self.feather = cv2.GaussianBlur(feather, (0, 0), 4)[..., None]
        mask = cv2.erode(maps["eye_mask"].astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
        self.eye_mask = cv2.GaussianBlur(mask, (0, 0), 1.2)
        self.rest_pixels = self.project(maps["position"])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels [...,2] of the key for points [...,3]."""
        *position, focal, shift = self.maps["camera"]
        rel = points - np.array(position)
        scale = focal * self.height / -rel[..., 2]
        return np.stack([self.width / 2 + rel[..., 0] * scale,
                         self.height / 2 - rel[..., 1] * scale + shift * self.height], -1)

    def moved(self, points: np.ndarray, rest: np.ndarray, moment: Moment) -> np.ndarray:
        """Points [...,3] of the resting scene where `moment` has them: turned with the head, lifted by the breath."""
        s, neck = self.face.scale, self.face.mouth_middle[1] - 0.95 * self.face.scale
        yaw, pitch, roll = (math.radians(angle) for angle in (moment.yaw, -moment.pitch, moment.roll))
        points = self.face.posed(points, rest, yaw, pitch, roll)
        chest = np.clip((neck - rest[..., 1]) / (0.55 * s), 0, 1)
        chest = chest * chest * (3 - 2 * chest)
        lift = (0.0035 + 0.009 * chest) * s * moment.breath
        widen = 1 + 0.0045 * chest * moment.breath
        lean = np.clip((rest[..., 1] - neck) / s + 2.2, 0, 3) / 3  # The body sways about the hips.
        return np.stack([points[..., 0] * widen + moment.sway[0] * s * lean,
                         points[..., 1] + lift + moment.sway[1] * s * lean, points[..., 2]], -1)

    def shift(self, moment: Moment, pixels: tuple) -> np.ndarray:
        """How far (pixels [...,2] of the key) points of the resting picture move; `pixels` picks from the maps."""
        maps = {name: self.maps[name][pixels] for name in ("position", "smile", "brows")}
        points = maps["position"] + moment.smile * maps["smile"] + moment.brows * maps["brows"]
        return self.project(self.moved(points, maps["position"], moment)) - self.rest_pixels[pixels]

    def landmarks(self, moment: Moment) -> np.ndarray:
        """Pixels [2,2] of the clip: the eyes' midpoint and the mouth's, moved as the picture is there."""
        eyes, mouth = self.project(np.stack([self.face.eye_middle, self.face.mouth_middle]))
        x, y = (np.stack([*self.project(self.maps["eye_centres"]), mouth]) / 2).astype(int).T
        left, right, lips = self.shift(moment, np.s_[y, x])
        return np.stack([eyes + (left + right) / 2, mouth + lips]) * (self.size[1] / self.height)

    def looking(self, moment: Moment) -> np.ndarray:
        """The eyes' region, the eyes turned."""
        if moment.lid:
            return self.eyes[f"lid-{moment.lid}"]
        picture = self.eyes[f"gaze-{moment.gaze}" if moment.gaze else ""]
        # Eyes keep to what they look at while the head turns.
        yaw, pitch = moment.glance[0] - 0.8 * moment.yaw * (not moment.gaze), moment.glance[1] - 0.8 * moment.pitch
        eye = self.maps["eye"]
        a, b = math.radians(yaw), math.radians(pitch)
        centre = self.maps["eye_centres"][(eye[..., 0] < 0).astype(int)]
        rel = eye - centre
        turned = np.stack([rel[..., 0] + a * rel[..., 2], rel[..., 1] + b * rel[..., 2],
                           rel[..., 2] - a * rel[..., 0] - b * rel[..., 1]], -1)
        flow = (self.project(centre + turned) - self.project(eye)).astype(np.float32) * self.eye_mask[..., None]
        grid = np.stack(np.meshgrid(np.arange(flow.shape[1]), np.arange(flow.shape[0])), -1).astype(np.float32)
        at = grid - flow
        return cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    def draw(self, moment: Moment) -> np.ndarray:
        """The frame [h,w,3], BGR, 0..255."""
        figure = self.figure.copy()
        place = figure[self.box]
        place[..., :3] += (self.looking(moment) - place[..., :3]) * self.feather

        flow = self.shift(moment, np.s_[:, :]).astype(np.float32)
        flow = cv2.GaussianBlur(flow, (0, 0), 1.5)
        grid = np.stack(np.meshgrid(np.arange(flow.shape[1]), np.arange(flow.shape[0])), -1).astype(np.float32)
        back = -flow
        for _ in range(4):  # The pixel that comes to rest here: x = p + flow(x).
            at = grid + back / 2
            back = -cv2.remap(flow, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        back = cv2.resize(back, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        x, y = np.meshgrid(np.arange(self.width, dtype=np.float32), np.arange(self.height, dtype=np.float32))
        warped = cv2.remap(figure, x + back[..., 0], y + back[..., 1], cv2.INTER_LANCZOS4,
                           borderMode=cv2.BORDER_REPLICATE)
        small = cv2.resize(warped, self.size, interpolation=cv2.INTER_AREA)
        alpha = np.clip(small[..., 3:], 0, 1)
        return np.clip((small[..., :3] + (1 - alpha) * self.backdrop) * 255 + 0.5, 0, 255).astype(np.uint8)


def frames(animator: Animator, moments: list[Moment]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and landmarks of a clip."""
    for moment in moments:
        yield animator.draw(moment), animator.landmarks(moment)


def load_maps(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return dict(stored)
