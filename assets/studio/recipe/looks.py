"""The two characters that are shipped, as data: face, hair, skin, clothes, light, room, habits.

Lengths are in face sizes, hairstyles' in heights of the skull above the eyes. Hairlines are corners
(azimuth, elevation) in degrees about the skull's middle. Lights: key, fill, two rims, each x, y, z from
the eyes, size, watts, colour, and whether it glints; `eye_light` shines on the eyes alone.
"""

from recipe.materials import srgb
from recipe.motion import BLINK, LONG_BLINK

FEMALE_HAIRLINE = [(0, 28), (22, 28.5), (38, 26.5), (50, 21), (60, 11), (66, -2), (70, -12), (80, -12), (86, 4),
                   (95, 8), (104, -8), (112, -28), (130, -42), (180, -48)]
MALE_HAIRLINE = [(0, 31), (20, 31.5), (34, 30), (44, 25), (50, 22), (54, 12), (60, 4), (68, 2), (70, -14), (80, -14),
                 (86, 4), (95, 8), (104, -8), (112, -26), (130, -36), (180, -40)]

AVA = {
    "name": "Ava", "seed": 1, "smile": 0.26, "rest": {"eyebrows-left-inner-up": 0.12, "eyebrows-right-inner-up": 0.12,
        "eye-left-closure": 0.10, "eye-right-closure": 0.10},
    "shape": {
        "macrodetails/caucasian-female-young": 0.75, "macrodetails/asian-female-young": 0.25,
        "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
        "eyes/l-eye-scale-incr": 0.7, "eyes/r-eye-scale-incr": 0.7, "head/head-oval": 0.25,
        "mouth/mouth-upperlip-volume-incr": 0.25, "mouth/mouth-lowerlip-volume-incr": 0.2,
        "mouth/mouth-scale-horiz-incr": 0.3, "mouth/mouth-angles-up": 0.4, "nose/nose-scale-horiz-decr": 0.3,
        "nose/nose-point-up": 0.15, "chin/chin-width-decr": 0.25, "cheek/l-cheek-bones-incr": 0.3,
        "cheek/r-cheek-bones-incr": 0.3, "neck/neck-scale-horiz-decr": 0.35,
        "ears/l-ear-wing-decr": 0.8, "ears/r-ear-wing-decr": 0.8, "ears/l-ear-scale-decr": 0.8,
        "ears/r-ear-scale-decr": 0.8,
    },
    "skin": {
        "base": srgb("dba88a"), "dark": srgb("c98f70"), "red": srgb("cc7361"), "shade": srgb("ad7660"),
        "light": srgb("e8bda2"), "lip": srgb("b0565a"), "lip_light": srgb("c26f70"), "lip_strength": 0.85,
        "lip_rough": 0.36, "roots": srgb("3a241b"), "freckles": 0.35, "pore_scale": 85.0, "bump": 0.22, "rough": 0.47,
        "shine": 0.09, "specular": 0.45, "subsurface": 0.026,
    },
    "iris": {"hue": 0.53, "saturation": 0.85, "value": 2.6, "white": srgb("d3cbc6"), "vein": srgb("c9988c"),
             "limbus": 33.0, "pupil": 11.0},
    "scalp": {
        "hairline": FEMALE_HAIRLINE, "shadow": (-1.0, 5.0), "points": 22, "guides": 1100, "count": 30000,
        "part": 0.16, "length": 2.65, "volume": 0.075, "sweep": 0.35, "curtain": -0.34, "width": 0.72,
        "taper": 0.0, "thick": 0.30, "smooth": 0.06, "locks": 450, "clump": 0.42, "wave": 0.03, "turns": 2.4,
        "frizz": 0.006, "flyaway": 0.02, "uneven": 0.16,
        "radii": (0.0026, 0.0008),
        "colour": {"melanin": 0.68, "redness": 0.22, "variety": 0.25, "rough": 0.3},
    },
    "brows": {"count": 400, "height": 1.25, "lift": -0.03, "thin": 0.75, "length": 0.062, "radii": (0.0008, 0.0003),
              "colour": {"matt": srgb("563a2a")}},
    "lashes": {"upper": 520, "lower": 120, "long": 0.066, "short": 0.022, "radii": (0.0014, 0.0004),
               "colour": {"matt": srgb("150d0a")}},
    "clothes": "female_casualsuit01", "cloth_of_island": {}, "cloth_thickness": 0.025,
    "cloth": [{"colour": srgb("2f5f63"), "dark": srgb("204447"), "threads": 160.0, "knit": True, "bump": 0.12,
               "rough": 0.8, "sheen": 0.15}],
    "lights": [(-4.5, 3.2, 6.5, 3.6, 620, (1.0, 0.95, 0.88), True),
               (5.5, 0.3, 6.0, 5.0, 170, (0.86, 0.93, 1.0), False),
               (3.6, 3.0, -3.6, 2.4, 210, (1.0, 0.96, 0.92), True),
               (-4.2, 1.5, -4.0, 2.4, 110, (0.82, 0.92, 1.0), True)],
    "mouth_light": 5.0, "teeth_light": 4.0, "ambient": ((0.60, 0.66, 0.74, 1.0), 0.30), "exposure": 0.35,
    "tone": "AgX - Medium High Contrast",
}

LEO = {
    "name": "Leo", "seed": 2, "smile": 0.16, "rest": {"eye-left-closure": 0.17, "eye-right-closure": 0.17},
    "shape": {
        "macrodetails/african-male-young": 0.85, "macrodetails/caucasian-male-young": 0.15,
        "macrodetails/universal-male-young-averagemuscle-averageweight": 1.0,
        "eyes/l-eye-scale-incr": 0.3, "eyes/r-eye-scale-incr": 0.3, "mouth/mouth-angles-up": 0.3,
        "head/head-scale-vert-decr": 0.3, "forehead/forehead-scale-vert-decr": 0.3, "chin/chin-width-incr": 0.2,
    },
    "skin": {
        "base": srgb("6d4b3a"), "dark": srgb("573a2c"), "red": srgb("6f4236"), "shade": srgb("452d23"),
        "light": srgb("82604d"), "lip": srgb("6a433e"), "lip_light": srgb("835a52"), "lip_strength": 0.75,
        "lip_rough": 0.4, "roots": srgb("1d1410"), "freckles": 0.25, "pore_scale": 80.0, "bump": 0.17, "rough": 0.50,
        "shine": 0.1, "specular": 0.45, "subsurface": 0.022,
    },
    "iris": {"hue": 0.515, "saturation": 0.9, "value": 1.3, "white": srgb("c6bcb2"), "vein": srgb("b08878"),
             "limbus": 33.0, "pupil": 11.0},
    "scalp": {
        "hairline": MALE_HAIRLINE, "shadow": (-1.5, 4.0), "points": 7, "count": 42000, "length": 0.085, "fade": 0.45,
        "curl": 0.012, "radii": (0.0026, 0.0018), "colour": {"melanin": 0.96, "redness": 0.1, "variety": 0.1,
        "rough": 0.4},
    },
    "brows": {"count": 330, "height": 1.05, "lift": -0.01, "thin": 0.75, "length": 0.075, "radii": (0.0010, 0.0004),
              "colour": {"matt": srgb("211915")}},
    "lashes": {"upper": 240, "lower": 110, "long": 0.042, "short": 0.016, "radii": (0.0011, 0.0004),
               "colour": {"matt": srgb("100b09")}},
    "beard": {"count": 26000, "length": 0.026, "curl": 0.004, "radii": (0.0011, 0.0007),
              "colour": {"matt": srgb("1c1512")}},
    "clothes": "male_elegantsuit01", "cloth_of_island": {3: 1, 6: 1}, "cloth_thickness": 0.02,
    "cloth": [{"colour": srgb("2b313c"), "dark": srgb("1d222b"), "threads": 420.0, "knit": False, "bump": 0.15,
               "rough": 0.8, "sheen": 0.1},
              {"colour": srgb("b4c0cf"), "dark": srgb("9fadbe"), "threads": 420.0, "knit": False, "bump": 0.1,
               "rough": 0.7, "sheen": 0.05}],
    "lights": [(4.5, 3.0, 6.5, 1.6, 820, (1.0, 0.96, 0.9), True),
               (-5.5, 0.5, 5.5, 5.0, 260, (0.85, 0.92, 1.0), False),
               (-3.8, 3.0, -3.4, 2.4, 380, (1.0, 0.86, 0.7), True),
               (4.4, 2.0, -3.8, 2.4, 220, (0.85, 0.93, 1.0), True)],
    "mouth_light": 8.0, "teeth_light": 3.5, "eye_light": (1.3, 1.5, 6.5, 0.7, 60.0),
    "ambient": ((0.62, 0.64, 0.68, 1.0), 0.35), "exposure": 0.45,
    "tone": "AgX - Medium High Contrast",
}

AVA["actions"], LEO["actions"] = ["smile", "nod"], ["nod", "look-aside"]
AVA["motion"] = {"seed": 11, "calm": 1.0,
                 "blinks": [(31, BLINK), (97, LONG_BLINK), (168, BLINK)],
                 "glances": [(12, 31, (0.5, -0.4)), (55, 68, (-0.9, 0.3)), (80, 97, "left"), (120, 141, (0.6, 0.5)),
                             (141, 168, (-0.4, 0.1)), (186, 196, (0.3, 0.3))]}
LEO["motion"] = {"seed": 23, "calm": 0.9,
                 "blinks": [(44, BLINK), (131, BLINK)],
                 "glances": [(18, 36, (-0.6, 0.2)), (60, 84, (0.7, -0.3)), (84, 101, "right"), (101, 109, "down"),
                             (112, 131, (0.3, 0.4)), (150, 174, (-0.7, -0.2)), (174, 189, (0.2, 0.5))]}
# A bright living room: a window to the left, a shelf with plants to the right.
AVA["backdrop"] = [
    {"box": (-1, -1, 2, 2), "light": (0.36, 0.33, 0.29), "light2": (0.16, 0.145, 0.13), "blur": 0.02},
    {"box": (-0.1, 0.02, 0.20, 0.70), "light": (1.5, 1.55, 1.6), "light2": (0.9, 0.95, 1.0), "blur": 0.035},
    {"box": (0.075, -0.1, 0.10, 0.75), "light": (0.5, 0.48, 0.45), "blur": 0.03},
    {"box": (-0.2, 0.34, 0.22, 0.36), "light": (0.5, 0.48, 0.45), "blur": 0.03},
    {"box": (-0.2, 0.68, 1.0, 1.2), "light": (0.20, 0.17, 0.145), "light2": (0.10, 0.085, 0.075), "blur": 0.04},
    {"box": (0.60, 0.20, 0.95, 0.22), "light": (0.10, 0.07, 0.045), "blur": 0.022},
    {"box": (0.60, 0.46, 0.95, 0.48), "light": (0.10, 0.07, 0.045), "blur": 0.022},
    {"box": (0.64, 0.08, 0.665, 0.20), "light": (0.30, 0.12, 0.07), "blur": 0.022},
    {"box": (0.67, 0.06, 0.70, 0.20), "light": (0.08, 0.16, 0.19), "blur": 0.022},
    {"box": (0.70, 0.09, 0.72, 0.20), "light": (0.42, 0.36, 0.26), "blur": 0.022},
    {"spot": (0.69, 0.415, 0.035), "light": (0.55, 0.50, 0.42), "light2": (0.30, 0.26, 0.22), "blur": 0.016},
    {"spot": (0.69, 0.34, 0.018), "light": (0.07, 0.12, 0.05), "blur": 0.013, "many": 18, "scatter": 0.062,
     "vary": 0.5,
     "narrow": 1.6},
    {"spot": (0.68, 0.32, 0.014), "light": (0.17, 0.25, 0.09), "blur": 0.012, "many": 16, "scatter": 0.062,
     "vary": 0.6,
     "narrow": 1.8},
]
# An office in the evening: dark panels, a warm lamp, a city behind glass.
LEO["backdrop"] = [
    {"box": (-1, -1, 2, 2), "light": (0.045, 0.060, 0.078), "light2": (0.085, 0.075, 0.065), "blur": 0.02},
    {"box": (-0.2, -0.2, 0.34, 0.78), "light": (0.050, 0.085, 0.125), "light2": (0.10, 0.14, 0.19), "blur": 0.02,
     "down": True},
    {"spot": (0.14, 0.52, 0.004), "light": (5.0, 3.2, 1.5), "blur": 0.022, "many": 12, "scatter": 0.16, "vary": 0.8,
     "solid": 0.0},
    {"spot": (0.12, 0.40, 0.004), "light": (1.8, 2.4, 3.2), "blur": 0.022, "many": 7, "scatter": 0.16, "vary": 0.8,
     "solid": 0.0},
    {"box": (0.155, -0.1, 0.175, 0.80), "light": (0.022, 0.024, 0.028), "blur": 0.018},
    {"box": (0.335, -0.1, 0.365, 0.80), "light": (0.022, 0.024, 0.028), "blur": 0.018},
    {"box": (-0.2, 0.77, 1.0, 1.3), "light": (0.030, 0.030, 0.032), "light2": (0.055, 0.045, 0.036), "blur": 0.03},
    {"spot": (0.70, 0.22, 0.42), "light": (0.30, 0.17, 0.07), "light2": (0.0, 0.0, 0.0), "blur": 0.06, "solid": 0.0},
    {"box": (0.65, 0.20, 0.75, 0.31), "light": (2.4, 1.5, 0.75), "light2": (1.6, 0.9, 0.4), "blur": 0.022,
     "down": True},
    {"box": (0.697, 0.31, 0.703, 0.60), "light": (0.10, 0.07, 0.04), "blur": 0.012},
]

LOOKS = {"ava": AVA, "leo": LEO}
