"""Random people: the shape of a face, its skin, its light, and how the camera sees it.

An identity is drawn from its seed alone, so a crop can be rendered again at any time.
"""

from dataclasses import dataclass

import numpy as np

from recipe.materials import Colour, Skin, srgb

# Skin tones from very fair to very dark, as sRGB.
TONES = ["f0cdbb", "e8bfa9", "e0ac92", "d9a586", "cc9470", "c08a62", "a97350", "8f5d40", "74492f", "593624", "432819"]
CLOTHES = ["female_casualsuit01", "male_casualsuit01", "female_elegantsuit01", "male_elegantsuit01", ""]
ORIGINS = ["caucasian", "asian", "african"]
# Targets that come in pairs, with the widest weight that still looks like somebody.
PAIRS = {
    "mouth/mouth-angles-{down,up}": 0.6, "mouth/mouth-cupidsbow-{decr,incr}": 0.8,
    "mouth/mouth-cupidsbow-width-{decr,incr}": 0.7, "mouth/mouth-lowerlip-ext-{down,up}": 0.4,
    "mouth/mouth-lowerlip-height-{decr,incr}": 0.6, "mouth/mouth-lowerlip-middle-{down,up}": 0.4,
    "mouth/mouth-lowerlip-volume-{decr,incr}": 0.7, "mouth/mouth-lowerlip-width-{decr,incr}": 0.5,
    "mouth/mouth-philtrum-volume-{decr,incr}": 0.8, "mouth/mouth-scale-horiz-{decr,incr}": 0.7,
    "mouth/mouth-scale-vert-{decr,incr}": 0.4, "mouth/mouth-upperlip-ext-{down,up}": 0.4,
    "mouth/mouth-upperlip-height-{decr,incr}": 0.6, "mouth/mouth-upperlip-middle-{down,up}": 0.4,
    "mouth/mouth-upperlip-volume-{decr,incr}": 0.7, "mouth/mouth-upperlip-width-{decr,incr}": 0.5,
    "mouth/mouth-laugh-lines-{in,out}": 0.8, "mouth/mouth-dimples-{in,out}": 0.6, "mouth/mouth-trans-{down,up}": 0.3,
    "chin/chin-height-{decr,incr}": 0.6, "chin/chin-width-{decr,incr}": 0.8, "chin/chin-prominent-{decr,incr}": 0.7,
    "chin/chin-cleft-{decr,incr}": 0.6, "chin/chin-jaw-drop-{decr,incr}": 0.6, "chin/chin-bones-{decr,incr}": 0.7,
    "nose/nose-scale-horiz-{decr,incr}": 0.6, "nose/nose-scale-vert-{decr,incr}": 0.5,
    "nose/nose-scale-depth-{decr,incr}": 0.5, "nose/nose-point-{down,up}": 0.5, "nose/nose-flaring-{decr,incr}": 0.6,
    "nose/nose-nostrils-width-{decr,incr}": 0.6, "nose/nose-volume-{decr,incr}": 0.5, "nose/nose-base-{down,up}": 0.5,
    "nose/nose-width2-{decr,incr}": 0.5, "nose/nose-hump-{decr,incr}": 0.5,
    "head/head-scale-horiz-{decr,incr}": 0.4, "head/head-scale-vert-{decr,incr}": 0.4,
    "head/head-fat-{decr,incr}": 0.6, "neck/neck-scale-horiz-{decr,incr}": 0.5, "neck/neck-double-{decr,incr}": 0.5,
}
SIDES = {"cheek/{}-cheek-bones-{decr,incr}": 0.7, "cheek/{}-cheek-volume-{decr,incr}": 0.6,
         "cheek/{}-cheek-inner-{decr,incr}": 0.5}
HEADS = ["oval", "round", "square", "rectangular", "diamond", "triangular", "invertedtriangular"]


@dataclass
class Light:
    """An area light: azimuth and elevation about the mouth (radians), distance and size (dm), watts, colour."""

    azimuth: float
    elevation: float
    distance: float
    size: float
    energy: float
    colour: tuple[float, float, float]


@dataclass
class Identity:
    """Everything that makes a set of crops."""

    seed: int
    targets: dict[str, float]
    teeth_drop: float
    tooth: Colour
    skin: Skin
    smile: float
    clothes: str
    cloth: Colour
    backdrop: tuple[Colour, Colour]
    ambient: Colour
    ambient_strength: float
    lights: list[Light]
    mouth_light: float
    lens: float
    camera_side: float
    camera_up: float
    pose: dict
    exposure: float
    look: str


def _pair(name: str, weight: float) -> tuple[str, float]:
    head, rest = name.split("{")
    low, high = rest.rstrip("}").split(",")
    return head + (high if weight > 0 else low), abs(weight)


def shape(rng: np.random.Generator) -> tuple[dict[str, float], bool, float]:
    """Shape targets of a random adult; with whether the shape is more a man's, and the age 0..1."""
    man, age = rng.random() < 0.5, rng.beta(1.0, 2.2)
    sex = "male" if man else "female"
    origins = rng.dirichlet([0.5] * 3)
    targets: dict[str, float] = {}

    def add(name: str, weight: float) -> None:
        if abs(weight) > 0.01:
            targets[name] = targets.get(name, 0.0) + float(weight)

    for origin, share in zip(ORIGINS, origins):
        old = age if origin == "caucasian" else 0.0  # The head data has old faces of one origin only.
        add(f"macrodetails/{origin}-{sex}-young", share * (1 - old))
        if old:
            add(f"macrodetails/{origin}-{sex}-old", share * old)
    weight = rng.normal(0, 0.35)
    add(f"macrodetails/universal-{sex}-old-averagemuscle-averageweight", age)
    add(f"macrodetails/universal-{sex}-young-averagemuscle-averageweight", (1 - age) * (1 - min(1, abs(weight))))
    heavy = "maxweight" if weight > 0 else "minweight"
    add(f"macrodetails/universal-{sex}-young-averagemuscle-{heavy}", (1 - age) * min(1, abs(weight)))
    add(f"head/head-{HEADS[rng.integers(len(HEADS))]}", rng.uniform(0, 0.8))
    add("head/head-age-incr", max(0.0, age - 0.3) * rng.uniform(0, 0.7))
    for name, widest in PAIRS.items():
        add(*_pair(name, float(np.clip(rng.normal(0, 0.5), -1, 1)) * widest))
    for name, widest in SIDES.items():
        amount, skew = float(np.clip(rng.normal(0, 0.5), -1, 1)) * widest, rng.normal(0, 0.08)
        for side, sign in (("l", 1), ("r", -1)):
            add(*_pair(name.replace("{}", side), amount + sign * skew))
    return targets, man, age


def _scaled(colour: Colour, factors) -> Colour:
    return tuple(float(np.clip(c * f, 0, 1)) for c, f in zip(colour[:3], np.broadcast_to(factors, 3))) + (1.0,)


def _between(a: Colour, b: Colour, t: float) -> Colour:
    return tuple(x * (1 - t) + y * t for x, y in zip(a, b))


def random_skin(rng: np.random.Generator, man: bool, age: float) -> Skin:
    """Skin of any tone: lips from bare to painted, beard shadow on many men, freckles, lines."""
    place = rng.uniform(0, len(TONES) - 1)
    tone = _between(srgb(TONES[int(place)]), srgb(TONES[min(int(place) + 1, len(TONES) - 1)]), place % 1)
    tone = _scaled(tone, rng.uniform(0.9, 1.1, 3) * rng.uniform(0.85, 1.15))
    depth = place / (len(TONES) - 1)
    bare = _between(srgb("b85c58"), srgb("6d3f3a"), depth)
    lip = _between(bare, _scaled(tone, (0.85, 0.6, 0.55)), rng.uniform(0, 0.8))
    painted = not man and rng.random() < 0.45
    if painted:
        lip = srgb(["a0182a", "c43a4a", "8a2342", "d06a6a", "6a1f2c", "b5523c", "d4779a"][rng.integers(7)])
    bearded = man and rng.random() < 0.65
    hair = _scaled(_between(srgb("241a14"), srgb("7a5a3a"), rng.random() ** 2 * (1 - depth)), 1.0)
    if age > 0.6 and rng.random() < 0.5:
        hair = srgb("8c8884")
    return Skin(
        base=tone, dark=_scaled(tone, (0.84, 0.76, 0.72)), red=_scaled(tone, (0.92, 0.55, 0.52)),
        shade=_scaled(tone, (0.64, 0.50, 0.44)), light=_scaled(tone, (1.15, 1.22, 1.28)),
        lip=lip, lip_light=_scaled(lip, (1.25, 1.3, 1.3)), lip_strength=0.97 if painted else rng.uniform(0.35, 0.9),
        lip_gloss=rng.uniform(0.6, 0.95) if painted else rng.uniform(0.0, 0.7),
        beard=hair, beard_strength=rng.uniform(0.15, 0.95) if bearded else 0.0, beard_grain=rng.uniform(70, 170),
        freckles=rng.uniform(0.2, 0.8) if rng.random() < 0.2 else 0.0, blotches=rng.uniform(0.2, 0.9),
        bump=rng.uniform(0.05, 0.4), wrinkles=age * rng.uniform(0, 1.0), roughness=rng.uniform(0.33, 0.65),
        subsurface=rng.uniform(0.012, 0.04), quick=True, seed=rng.uniform(0, 100))


def _warmth(rng: np.random.Generator, spread: float = 0.12) -> tuple[float, float, float]:
    """A light's colour from candle to blue sky."""
    t = float(np.clip(rng.normal(0, spread), -0.35, 0.3))
    return (1 + t, 1.0, 1 - 1.3 * t)


def random_lights(rng: np.random.Generator) -> list[Light]:
    """Key, fill and rim from anywhere in front; hard or soft, sometimes one side only, sometimes from below."""
    side = rng.uniform(-1.45, 1.45)
    height = rng.uniform(-0.5, 0.0) if rng.random() < 0.12 else rng.uniform(0.0, 1.1)
    size = float(np.exp(rng.uniform(np.log(0.4), np.log(6.0))))
    lights = [Light(side, height, 9.0, size, 1250 * rng.uniform(0.6, 1.3), _warmth(rng))]
    fill = rng.random() ** 1.6
    lights.append(Light(-side * rng.uniform(0.4, 1.2), rng.uniform(-0.2, 0.6), 9.0, 6.0, 900 * fill, _warmth(rng)))
    if rng.random() < 0.5:
        lights.append(Light(np.pi - side * rng.uniform(0.3, 0.8), 0.5, 8.0, 3.0, rng.uniform(200, 1000), _warmth(rng)))
    return lights


def _smile(u: float) -> float:
    """The resting pull of the mouth's corners: for seven in ten faint, for the others up to a broad smile."""
    return -0.05 + 0.5 * u if u < 0.7 else 0.3 + 1.8 * (u - 0.7)


def random_identity(seed: int) -> Identity:
    """The identity with this number."""
    rng = np.random.default_rng(seed)
    targets, man, age = shape(rng)

    def colour() -> Colour:
        return (*(float(c) for c in rng.random(3) ** 2.2), 1.0)

    grey = rng.uniform(0.02, 0.9)
    near = _between(colour(), (grey, grey, grey, 1.0), rng.uniform(0.3, 1))
    return Identity(
        seed=seed, targets=targets, teeth_drop=rng.uniform(0.012, 0.04),
        tooth=_scaled(srgb("e9e0d2"), rng.uniform(0.72, 1.05) * np.array([1.0, *rng.uniform([0.92, 0.78], 1.0)])),
        skin=random_skin(rng, man, age), smile=_smile(rng.random()),
        clothes=CLOTHES[rng.integers(len(CLOTHES))], cloth=colour(),
        backdrop=(near, _scaled(near, rng.uniform(0.2, 1.0))),
        ambient=(*_warmth(rng, 0.08), 1.0), ambient_strength=rng.uniform(0.05, 0.6), lights=random_lights(rng),
        mouth_light=rng.uniform(3.0, 14.0), lens=float(np.exp(rng.uniform(np.log(50), np.log(135)))),
        camera_side=float(np.clip(rng.normal(0, 0.08), -0.25, 0.25)),
        camera_up=float(np.clip(rng.normal(0, 0.06), -0.15, 0.15)),
        pose=dict(yaw=float(np.clip(rng.normal(0, 0.12), -0.25, 0.25)),
                  pitch=float(np.clip(rng.normal(0, 0.07), -0.15, 0.15)),
                  roll=float(np.clip(rng.normal(0, 0.04), -0.08, 0.08))),
        exposure=rng.uniform(-0.3, 0.8),
        look=["AgX - Base Contrast", "AgX - Medium High Contrast", "AgX - High Contrast", "AgX - Punchy"][
            rng.integers(4)])
