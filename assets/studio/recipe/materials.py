"""Materials of a face for Cycles: skin with its lips, beard shadow and marks, teeth, gums, tongue, eyes, cloth, hair.

Colours are linear RGBA; `srgb("e0ac92")` makes one. Materials read two attributes of
the mesh: `rest`, the neutral position, which noise and marks stick to, and `source`,
where the point stood in the neutral picture, which goes to an AOV (see scene.py).
"""

from dataclasses import dataclass
from pathlib import Path

import bpy

Colour = tuple[float, float, float, float]


def srgb(code: str) -> Colour:
    """A linear colour from six hex digits of sRGB."""
    channels = [int(code[i:i + 2], 16) / 255 for i in (0, 2, 4)]
    return tuple(x / 12.92 if x < 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels) + (1.0,)


class Nodes:
    """A new material and short words to wire its nodes."""

    def __init__(self, name: str):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.tree.nodes.new("ShaderNodeOutputMaterial")

    def add(self, kind: str, inputs: dict | None = None, **settings) -> bpy.types.Node:
        """A node of `kind` (without its prefix ShaderNode); inputs are values or sockets by index or name."""
        node = self.tree.nodes.new(kind if kind.startswith("ShaderNode") else f"ShaderNode{kind}")
        for key, value in settings.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            self.set(node, key, value)
        return node

    def set(self, node: bpy.types.Node, key, value) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, node.inputs[key])
        else:
            node.inputs[key].default_value = value

    def mix(self, a, b, factor, mode: str = "MIX"):
        """Colour `a` moved towards `b`."""
        return self.add("Mix", {0: factor, 6: a, 7: b}, data_type="RGBA", blend_type=mode).outputs[2]

    def math(self, operation: str, a, b):
        return self.add("Math", {0: a, 1: b}, operation=operation).outputs[0]

    def ramp(self, value, low: float, high: float, to_low: float = 0.0, to_high: float = 1.0):
        """`value` mapped from low..high to to_low..to_high, clamped."""
        return self.add("MapRange", {"Value": value, 1: low, 2: high, 3: to_low, 4: to_high}).outputs[0]

    def attribute(self, name: str, output: str = "Fac"):
        return self.add("Attribute", attribute_name=name).outputs[output]

    def noise(self, vector, scale: float, detail: float = 2.0, roughness: float = 0.5):
        return self.add("TexNoise", {"Vector": vector, "Scale": scale, "Detail": detail,
                                     "Roughness": roughness}).outputs[0]

    def image(self, path: Path, space: str = "Non-Color"):
        image = bpy.data.images.load(str(path), check_existing=True)
        image.colorspace_settings.name = space
        return self.add("TexImage", image=image)

    def finish(self, shader: bpy.types.Node) -> bpy.types.Material:
        self.tree.links.new(shader.outputs[0], self.output.inputs[0])
        return self.material

    def trace_source(self) -> None:
        """Writes where this point stood in the neutral picture to the AOVs `source` and `sourced`."""
        self.add("OutputAOV", {"Color": self.attribute("source", "Vector")}).aov_name = "source"
        self.add("OutputAOV", {"Value": 1.0}).aov_name = "sourced"


@dataclass
class Skin:
    """What a skin looks like; the strengths are 0..1."""

    base: Colour
    dark: Colour
    red: Colour
    shade: Colour
    light: Colour
    lip: Colour
    lip_light: Colour
    lip_strength: float = 0.85
    lip_gloss: float = 0.5
    beard: Colour = (0.02, 0.015, 0.012, 1.0)
    beard_strength: float = 0.0
    beard_grain: float = 140.0
    freckles: float = 0.0
    blotches: float = 0.55
    bump: float = 0.16
    wrinkles: float = 0.0
    roughness: float = 0.5
    subsurface: float = 0.032
    quick: bool = False  # Cheaper subsurface scattering, for crops.
    seed: float = 0.0


def skin(look: Skin, textures: Path) -> bpy.types.Material:
    """Skin. The mesh carries `rest`, `source`, and the masks `blush`, `shade` and `beard`."""
    n = Nodes("skin")
    rest = n.attribute("rest", "Vector")
    moved = n.add("VectorMath", {0: rest, 1: (look.seed, 0.7 * look.seed, 0.0)}, operation="ADD").outputs[0]
    lips = n.image(textures / "mpfb_lips.jpg").outputs[0]
    inside = n.image(textures / "mpfb_inside-mouth.jpg").outputs[0]
    detail = 1.0 if look.quick else 3.0
    coarse, middle = n.noise(moved, 3.2, detail + 1, 0.6), n.noise(moved, 24.0, detail, 0.6)
    fine = n.noise(moved, 120.0, detail - 1)

    colour = n.mix(look.base, look.dark, n.ramp(coarse, 0.35, 0.75, 0.0, look.blotches))
    colour = n.mix(colour, look.red, n.math("MULTIPLY", n.attribute("blush"), n.ramp(middle, 0.3, 0.7, 0.6, 1.0)))
    colour = n.mix(colour, look.shade, n.attribute("shade"))
    colour = n.mix(colour, look.light, n.ramp(fine, 0.45, 0.8, 0.0, 0.25))
    if look.freckles:
        spots = n.add("TexVoronoi", {"Vector": moved, "Scale": 30.0}).outputs[0]
        dots = n.math("MULTIPLY", n.ramp(spots, 0.16, 0.28, 1.0, 0.0), n.ramp(middle, 0.45, 0.65))
        colour = n.mix(colour, look.shade, n.math("MULTIPLY", dots, look.freckles))
    if look.beard_strength:
        grain = n.noise(moved, look.beard_grain, 1.0, 0.7)
        hairs = n.math("ADD", n.ramp(grain, 0.38, 0.66, 0.3, 1.0), n.ramp(coarse, 0.3, 0.7, -0.15, 0.15))
        shadow = n.math("MULTIPLY", n.attribute("beard"), hairs)
        colour = n.mix(colour, look.beard, n.math("MULTIPLY", shadow, look.beard_strength))
    stretched = n.add("Mapping", {"Vector": moved, "Scale": (60.0, 8.0, 8.0)}).outputs[0]
    folds = n.noise(stretched, 1.0, detail)
    on_lips = n.ramp(lips, 0.15, 0.85, 0.0, look.lip_strength)
    colour = n.mix(colour, n.mix(look.lip, look.lip_light, folds), on_lips)
    colour = n.mix(colour, (0.16, 0.022, 0.02, 1.0), inside)

    height = fine
    if not look.quick:
        height = n.math("ADD", n.add("TexVoronoi", {"Vector": moved, "Scale": 55.0}).outputs[0], fine)
    if look.wrinkles:
        lines = n.noise(n.add("Mapping", {"Vector": moved, "Scale": (7.0, 26.0, 7.0)}).outputs[0], 1.0, detail, 0.65)
        height = n.math("ADD", height, n.math("MULTIPLY", lines, 5.0 * look.wrinkles))
    height = n.mix(height, folds, on_lips)
    bump = n.add("Bump", {"Strength": look.bump, "Distance": 0.012, "Height": height}).outputs[0]
    rough = n.ramp(middle, 0.3, 0.7, look.roughness - 0.08, look.roughness + 0.08)
    rough = n.add("Mix", {0: on_lips, 2: rough, 3: 0.55 - 0.4 * look.lip_gloss}).outputs[0]
    shader = n.add("BsdfPrincipled", {
        "Base Color": colour, "Roughness": rough, "Normal": bump, "IOR": 1.4, "Specular IOR Level": 0.45,
        "Subsurface Weight": 1.0, "Subsurface Scale": look.subsurface, "Subsurface Radius": (1.0, 0.38, 0.22)})
    shader.subsurface_method = "BURLEY" if look.quick else "RANDOM_WALK"
    n.trace_source()
    return n.finish(shader)


def plain(name: str, colour: Colour, roughness: float = 0.5, subsurface: float = 0.0, specular: float = 0.5,
          coat: float = 0.0, grain: float = 0.0, traced: bool = False) -> bpy.types.Material:
    """One colour, with a little bump of scale `grain`; `traced` for what stays where it is in the neutral picture."""
    n = Nodes(name)
    inputs = {"Base Color": colour, "Roughness": roughness, "Subsurface Weight": subsurface, "Subsurface Scale": 0.03,
              "Specular IOR Level": specular, "Coat Weight": coat, "Coat Roughness": 0.08}
    if grain:
        noise = n.noise(n.attribute("rest", "Vector"), grain, 3.0)
        inputs["Normal"] = n.add("Bump", {"Strength": 0.25, "Distance": 0.02, "Height": noise}).outputs[0]
    if traced:
        n.trace_source()
    return n.finish(n.add("BsdfPrincipled", inputs))


def teeth(shade: Colour = srgb("e9e0d2"), quick: bool = False) -> list[bpy.types.Material]:
    """Tooth and gum; the mesh's faces choose between them."""
    soft = 0.0 if quick else 1.0
    return [plain("tooth", shade, 0.22, 0.6 * soft, 0.5, 0.3),
            plain("gum", srgb("a8504f"), 0.28, 0.8 * soft, 0.5, 0.3, 30.0)]


def tongue(quick: bool = False) -> bpy.types.Material:
    return plain("tongue", srgb("b0524f"), 0.35, 0.0 if quick else 0.8, 0.5, 0.25, 25.0)


def cloth(colour: Colour) -> bpy.types.Material:
    return plain("cloth", colour, 0.75, 0.0, 0.25, 0.0, 90.0, traced=True)


def eye(texture: Path, hue: float = 0.5, saturation: float = 1.0, value: float = 1.0) -> bpy.types.Material:
    """The eyeball: its texture, turned to another colour, under a clear cornea."""
    n = Nodes("eye")
    image = n.image(texture, "sRGB")
    colour = n.add("HueSaturation", {"Color": image.outputs[0], "Hue": hue, "Saturation": saturation,
                                     "Value": value}).outputs[0]
    ball = n.add("BsdfPrincipled", {"Base Color": colour, "Roughness": 0.25, "Subsurface Weight": 0.15,
                                    "Subsurface Scale": 0.02, "Coat Weight": 0.5, "Coat Roughness": 0.03})
    clear = n.add("BsdfTransparent")
    gloss = n.add("BsdfGlossy", {"Roughness": 0.03, "Color": (1.0, 1.0, 1.0, 1.0)})
    cornea = n.add("MixShader", {0: n.add("Fresnel", {"IOR": 1.38}).outputs[0], 1: clear.outputs[0],
                                 2: gloss.outputs[0]})
    return n.finish(n.add("MixShader", {0: image.outputs[1], 1: cornea.outputs[0], 2: ball.outputs[0]}))


def hair(melanin: float = 0.6, redness: float = 0.3, name: str = "hair", roughness: float = 0.32,
         variety: float = 0.25) -> bpy.types.Material:
    """Strands of hair."""
    n = Nodes(name)
    shader = n.add("BsdfHairPrincipled", model="CHIANG")
    shader.parametrization = "MELANIN"
    for key, value in (("Melanin", melanin), ("Melanin Redness", redness), ("Random Color", variety),
                       ("Roughness", roughness), ("Radial Roughness", 0.4), ("Random Roughness", 0.2)):
        shader.inputs[key].default_value = value
    return n.finish(shader)
