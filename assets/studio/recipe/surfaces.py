"""Materials of an avatar's close look: skin with pores and zones, an iris, cloth, hair.

They extend the plainer ones of materials.py, which many random faces share.
"""

import bpy
import numpy as np

from recipe.face import Face
from recipe.materials import Nodes
from recipe.mesh import HeadData
from recipe.scene import bump_at


def skin_zones(face: Face) -> dict[str, np.ndarray]:
    """Masks [n] over the base mesh: `blush` (cheeks, nose, ears), `shade` (lids, under the eyes), `oil` (shine)."""
    v, eye, mouth, s = face.neutral, face.eye_middle, face.mouth_middle, face.scale
    x = 0.32 * s

    def spot(at, size) -> np.ndarray:
        return bump_at(v, at, tuple(k * s for k in size))

    def both(at, size) -> np.ndarray:
        return spot(at, size) + spot((-at[0], *at[1:]), size)

    middle = (eye[1] + mouth[1]) / 2
    nose = mouth[1] + 0.42 * (eye[1] - mouth[1]) / 0.52
    blush = 0.55 * both((1.4 * x, middle, mouth[2] - 0.12 * s), (0.2, 0.16, 0.35))
    blush += 0.5 * spot((0, nose, mouth[2] + 0.25 * s), (0.15, 0.12, 0.25))
    blush += 0.5 * both((0.85 * s, eye[1] - 0.15 * s, 0.3 * s), (0.2, 0.3, 0.5))
    blush += 0.25 * spot((0, mouth[1] - 0.42 * s, mouth[2]), (0.18, 0.1, 0.3))
    shade = 0.40 * both((0.95 * x, eye[1] - 0.14 * s, mouth[2] - 0.05 * s), (0.13, 0.045, 0.3))
    shade += 0.30 * both((0.6 * x, eye[1] - 0.06 * s, mouth[2] - 0.05 * s), (0.06, 0.08, 0.3))
    shade += 0.35 * both((1.05 * x, eye[1] + 0.12 * s, mouth[2] - 0.05 * s), (0.17, 0.06, 0.3))
    oil = spot((0, nose + 0.1 * s, mouth[2] + 0.2 * s), (0.14, 0.3, 0.3))
    oil += 0.8 * spot((0, eye[1] + 0.5 * s, mouth[2]), (0.4, 0.22, 0.5))
    oil += 0.4 * both((1.3 * x, eye[1] - 0.22 * s, mouth[2]), (0.12, 0.08, 0.3))
    return {"blush": np.clip(blush, 0, 1), "shade": np.clip(shade, 0, 1), "oil": np.clip(oil, 0, 1)}


def skin(look: dict, head: HeadData) -> bpy.types.Material:
    """Skin with mottling at three sizes, pores, lips and a scalp darkened by the roots of its hair."""
    n = Nodes("skin")
    rest = n.attribute("rest", "Vector")
    lips = n.image(head.texture("mpfb_lips.jpg")).outputs[0]
    inside = n.image(head.texture("mpfb_inside-mouth.jpg")).outputs[0]
    coarse, middle = n.noise(rest, 3.0, 4.0, 0.62), n.noise(rest, 18.0, 4.0, 0.65)
    fine, grain = n.noise(rest, 75.0, 3.0, 0.65), n.noise(rest, 190.0, 2.0)

    colour = n.mix(look["base"], look["dark"], n.ramp(coarse, 0.35, 0.72, 0.0, 0.55))
    colour = n.mix(colour, look["red"], n.ramp(middle, 0.52, 0.75, 0.0, 0.22))
    colour = n.mix(colour, look["red"], n.math("MULTIPLY", n.attribute("blush"), n.ramp(middle, 0.3, 0.7, 0.55, 1.0)))
    colour = n.mix(colour, look["shade"], n.attribute("shade"))
    colour = n.mix(colour, look["light"], n.ramp(fine, 0.5, 0.75, 0.0, 0.30))
    colour = n.mix(colour, look["dark"], n.ramp(fine, 0.5, 0.28, 0.0, 0.40))
    if look["freckles"]:
        spots = n.add("TexVoronoi", {"Vector": rest, "Scale": 16.0, "Randomness": 1.0})
        size = n.add("TexWhiteNoise", {"Vector": spots.outputs["Position"]}).outputs[0]
        near = n.math("LESS_THAN", n.math("MULTIPLY", spots.outputs[0], 3.2), n.math("MULTIPLY", size, 0.62))
        soft = n.math("MULTIPLY", n.math("MULTIPLY", near, n.ramp(middle, 0.42, 0.6)), look["freckles"])
        colour = n.mix(colour, look["shade"], soft)
    stretched = n.add("Mapping", {"Vector": rest, "Scale": (48.0, 7.0, 7.0)}).outputs[0]
    folds = n.noise(stretched, 1.0, 3.0, 0.6)
    on_lips = n.ramp(lips, 0.2, 0.9, 0.0, look["lip_strength"])
    colour = n.mix(colour, n.mix(look["lip"], look["lip_light"], n.ramp(folds, 0.35, 0.7)), on_lips)
    colour = n.mix(colour, (0.16, 0.022, 0.02, 1.0), inside)
    roots = n.math("MAXIMUM", n.attribute("scalp"), n.math("MULTIPLY", n.attribute("beard"), 0.55))
    colour = n.mix(colour, look["roots"], roots)

    cells = n.add("TexVoronoi", {"Vector": rest, "Scale": look["pore_scale"]}).outputs[0]
    pores = n.ramp(cells, 0.05, 0.55)
    height = n.math("ADD", n.math("MULTIPLY", pores, 0.7), n.math("ADD", n.math("MULTIPLY", fine, 1.0), grain))
    height = n.mix(height, n.math("MULTIPLY", folds, 1.6), on_lips)
    bump = n.add("Bump", {"Strength": look["bump"], "Distance": 0.012, "Height": height}).outputs[0]
    rough = n.ramp(middle, 0.3, 0.7, look["rough"] - 0.05, look["rough"] + 0.09)
    rough = n.math("SUBTRACT", rough, n.math("MULTIPLY", n.attribute("oil"), look["shine"]))
    rough = n.math("ADD", rough, n.math("MULTIPLY", roots, 0.3))
    rough = n.add("Mix", {0: on_lips, 2: rough, 3: look["lip_rough"]}).outputs[0]
    shader = n.add("BsdfPrincipled", {
        "Base Color": colour, "Roughness": rough, "Normal": bump, "IOR": 1.4, "Specular IOR Level": look["specular"],
        "Subsurface Weight": 1.0, "Subsurface Scale": look["subsurface"], "Subsurface Radius": (1.0, 0.36, 0.2)})
    shader.subsurface_method = "RANDOM_WALK"
    n.trace_source()
    return n.finish(shader)


def eye(look: dict, head: HeadData) -> bpy.types.Material:
    """The eyeball under a clear cornea. The mesh carries `angle`, degrees from the pupil's axis."""
    n = Nodes("eye")
    image = n.image(head.root / "eyes" / "materials" / "brown_eye.png", "sRGB")
    iris = n.add("HueSaturation", {"Color": image.outputs[0], "Hue": look["hue"], "Saturation": look["saturation"],
                                   "Value": look["value"]}).outputs[0]
    angle = n.attribute("angle")
    iris = n.mix((0.004, 0.003, 0.003, 1.0), iris, n.ramp(angle, look["pupil"] - 0.8, look["pupil"] + 0.8))
    white = n.mix(n.mix(look["white"], look["vein"], n.ramp(angle, 38.0, 75.0)), look["vein"],
                  n.ramp(n.noise(n.attribute("rest", "Vector"), 30.0, 4.0, 0.7), 0.6, 0.8, 0.0, 0.35))
    colour = n.mix(iris, white, n.ramp(angle, look["limbus"] - 1.5, look["limbus"] + 2.5))
    ball = n.add("BsdfPrincipled", {"Base Color": colour, "Roughness": 0.3, "Subsurface Weight": 0.1,
                                    "Subsurface Scale": 0.02, "Coat Weight": 1.0, "Coat Roughness": 0.04})
    clear = n.add("BsdfTransparent")
    gloss = n.add("BsdfGlossy", {"Roughness": 0.02, "Color": (1.0, 1.0, 1.0, 1.0)})
    cornea = n.add("MixShader", {0: n.add("Fresnel", {"IOR": 1.38}).outputs[0], 1: clear.outputs[0],
                                 2: gloss.outputs[0]})
    return n.finish(n.add("MixShader", {0: image.outputs[1], 1: cornea.outputs[0], 2: ball.outputs[0]}))


def cloth(name: str, look: dict) -> bpy.types.Material:
    """Woven or knitted cloth: threads along both directions of the texture, and a soft edge."""
    n = Nodes(name)
    rest, uv = n.attribute("rest", "Vector"), n.add("TexCoord").outputs["UV"]
    u, v = (n.add("TexWave", {"Vector": uv, "Scale": look["threads"], "Distortion": 1.2, "Detail": 1.0,
                              "Detail Scale": 3.0}, bands_direction=d).outputs["Fac"] for d in ("X", "Y"))
    weave = n.math("MULTIPLY", u, v) if look["knit"] else n.math("MAXIMUM", u, v)
    blot = n.noise(rest, 9.0, 3.0, 0.6)
    colour = n.mix(look["colour"], look["dark"], n.ramp(blot, 0.35, 0.7, 0.0, 0.35))
    colour = n.mix(colour, look["dark"], n.ramp(weave, 0.2, 0.8, 0.15, 0.0))
    height = n.math("ADD", weave, n.math("MULTIPLY", n.noise(rest, 60.0, 3.0), 0.8))
    bump = n.add("Bump", {"Strength": look["bump"], "Distance": 0.02, "Height": height}).outputs[0]
    folds = n.add("Bump", {"Strength": 0.25, "Distance": 0.5, "Height": n.noise(rest, 1.6, 2.0, 0.4),
                           "Normal": bump}).outputs[0]
    n.trace_source()
    return n.finish(n.add("BsdfPrincipled", {
        "Base Color": colour, "Roughness": look["rough"], "Specular IOR Level": 0.25, "Normal": folds,
        "Sheen Weight": look["sheen"], "Sheen Roughness": 0.4}))


def hair(name: str, look: dict) -> bpy.types.Material:
    """Strands: melanin, redness, and their variety from hair to hair; or `matt`, one colour.

    Fine single hairs let light through and glow orange, however dark: brows and lashes are matt.
    """
    n = Nodes(name)
    n.trace_source()
    if "matt" in look:
        return n.finish(n.add("BsdfPrincipled", {"Base Color": look["matt"], "Roughness": 0.5,
                                                 "Specular IOR Level": 0.3}))
    shader = n.add("BsdfHairPrincipled", model="CHIANG")
    shader.parametrization = "MELANIN"
    for key, value in (("Melanin", look["melanin"]), ("Melanin Redness", look["redness"]),
                       ("Random Color", look.get("variety", 0.2)), ("Roughness", look.get("rough", 0.3)),
                       ("Radial Roughness", 0.45), ("Random Roughness", 0.25)):
        shader.inputs[key].default_value = value
    return n.finish(shader)


def ambient(look: tuple) -> None:
    """An even light from everywhere: colour and strength."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs[0].default_value, background.inputs[1].default_value = look

