"""The scene of an avatar: head, eyes, hair, clothes, camera and light, built from a look (looks.py).

Lengths and lights scale with the face, so one set of them fits every head.
"""

from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np

from recipe import hair, materials, surfaces
from recipe.face import LEFT_EYE, RIGHT_EYE, Face
from recipe.materials import srgb
from recipe.mesh import HeadData
from recipe.scene import Stage, add_light, add_mesh, move_mesh, new_scene, pieces, to_blender
from recipe.strands import Skull, Strands, Surface, body_triangles, ramp

WIDTH, HEIGHT = 576, 720
EYE_MOUTH = 108.0  # Pixels from the eyes' midpoint to the mouth's.
EYE_LEVEL = 0.39  # Of the height, from the top.
LENS = 85.0
BELOW_MOUTH = 3.0  # Of the body and the clothes, in face sizes.


def turned(points: np.ndarray, middle: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Points [n,3] about `middle`, turned to the head's left and up by degrees."""
    a, b = np.radians(yaw), -np.radians(pitch)
    turn = (np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
            @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]))
    return (points - middle) @ turn.T + middle


@dataclass
class Figure(Stage):
    """A stage whose hair, brows, lashes and beard follow the face; `units` are the expression it rests in."""

    strands: dict[str, Strands] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)

    def speak(self, p: np.ndarray, pose: dict | None = None, smile: float = 0.12, more: dict | None = None,
              everything: bool = True) -> np.ndarray:
        more = {name: self.units.get(name, 0) + (more or {}).get(name, 0) for name in self.units | (more or {})}
        vertices = super().speak(p, pose, smile, more, everything)
        for name, strands in self.strands.items():
            if name != "hair" or everything:
                points = self.face.posed(strands.at(vertices), strands.points, **(pose or {}))
                data = self.things[name].data
                data.position_data.foreach_set("vector", to_blender(points).astype(np.float32).ravel())
                data.update_tag()
        return vertices

    def mark_neutral(self) -> None:
        super().mark_neutral()
        for name, strands in self.strands.items():
            points = np.empty(strands.points.size, np.float32)
            data = self.things[name].data
            data.position_data.foreach_get("vector", points)
            x, y, z = points.reshape(-1, 3).T
            data.attributes["source"].data.foreach_set("vector", np.stack([x, z, -y], -1).ravel())


class Portrait:
    """An avatar's scene: `express` changes the face, `gaze` turns the eyes, `render` takes the picture."""

    def __init__(self, head: HeadData, look: dict, height: int = HEIGHT, samples: int = 32, threads: int = 1,
                 quick: bool = False):
        self.look, self.head, self.quick = look, head, quick
        self.scene = new_scene(height * WIDTH // HEIGHT, height, samples, threads, quick)
        cycles = self.scene.cycles
        cycles.use_adaptive_sampling, cycles.adaptive_threshold, cycles.adaptive_min_samples = not quick, 0.03, 8
        self.face = Face(head, look["shape"])
        self.stage = Figure(self.face, units=look["rest"])
        self._meshes()
        self._hair()
        self._camera()
        self._lights()
        self.express()

    def _meshes(self) -> None:
        look, face, stage = self.look, self.face, self.stage
        below = BELOW_MOUTH * face.scale
        part = self.head.part("clothes", look["clothes"])
        stage.add_head(surfaces.skin(look["skin"], self.head), 2, below, part.hides)
        scalp = ramp(Skull(face).above(face.neutral, look["scalp"]["hairline"]), *look["scalp"]["shadow"])
        masks = surfaces.skin_zones(face) | {"scalp": scalp}
        masks["beard"] = hair.beard_area(face, face.neutral) * ("beard" in look)
        for name, values in masks.items():
            layer = stage.things["body"].data.attributes
            (layer.get(name) or layer.new(name, "FLOAT", "POINT")).data.foreach_set("value", values.astype(np.float32))
        stage.add_mouth(materials.teeth(srgb("e8dcc6"), self.quick), materials.tongue(self.quick))
        mesh = face.eyes.mesh
        vertices = face.eyes.fit(face.neutral)
        centres = np.where(vertices[:, :1] > 0, face.neutral[LEFT_EYE].mean(0), face.neutral[RIGHT_EYE].mean(0))
        rel = vertices - centres
        radius = np.linalg.norm(rel, axis=1)
        angle = np.degrees(np.arccos(rel[:, 2] / radius))
        stage.things["eyes"] = add_mesh("eyes", vertices, mesh.faces, mesh.uvs, mesh.face_uvs, 1,
                                        surfaces.eye(look["iris"], self.head), {"angle": angle, "radius": radius})
        self._clothes(part, below)

    def _clothes(self, part, below: float) -> None:
        look, mesh, vertices = self.look, part.mesh, part.fit(self.face.neutral)
        lowest = self.face.mouth_middle[1] - below
        keep = [i for i, f in enumerate(mesh.faces) if vertices[f, 1].max() > lowest]
        thing = add_mesh("clothes", vertices, [mesh.faces[i] for i in keep], mesh.uvs,
                         [mesh.face_uvs[i] for i in keep], 2,
                         [surfaces.cloth(f"cloth{i}", c) for i, c in enumerate(look["cloth"])])
        island = pieces(mesh.face_uvs, len(mesh.uvs))
        index = [look["cloth_of_island"].get(int(island[mesh.face_uvs[i][0]]), 0) for i in keep]
        thing.data.polygons.foreach_set("material_index", np.array(index, np.int32))
        solid = thing.modifiers.new("thick", "SOLIDIFY")
        solid.thickness, solid.offset = look["cloth_thickness"] * self.face.scale, 1.0
        thing["part"] = look["clothes"]
        self.stage.things["clothes"] = thing

    def _surface(self, *names: str) -> Surface:
        """Meshes as the renderer sees them, smoothed, as one surface."""
        graph = bpy.context.evaluated_depsgraph_get()
        vertices, triangles, count = [], [], 0
        for name in names:
            mesh = self.stage.things[name].evaluated_get(graph).to_mesh()
            mesh.calc_loop_triangles()
            points = np.zeros(len(mesh.vertices) * 3, np.float32)
            mesh.vertices.foreach_get("co", points)
            corners = np.zeros(len(mesh.loop_triangles) * 3, np.int32)
            mesh.loop_triangles.foreach_get("vertices", corners)
            x, y, z = points.reshape(-1, 3).astype(float).T
            vertices.append(np.stack([x, z, -y], 1))
            triangles.append(corners.reshape(-1, 3) + count)
            count += len(x)
        return Surface(np.concatenate(vertices), np.concatenate(triangles))

    def _hair(self) -> None:
        look, face = self.look, self.face
        rng = np.random.default_rng(look["seed"])
        skin, body = self._surface("body"), self._surface("body", "clothes")
        triangles = body_triangles(face)

        scalp = look["scalp"]
        points = (hair.scalp_hair(face, skin, body, scalp, rng) if "part" in scalp
                  else hair.cropped(face, skin, scalp, rng))
        self._add("hair", Strands.bound(points, face.neutral, triangles), scalp)
        points = hair.brows(face, skin, look["brows"], rng)
        self._add("brows", Strands.bound(points, face.neutral, triangles), look["brows"])
        self._add("lashes", Strands.on(*hair.lashes(face, look["lashes"], rng), face.neutral), look["lashes"])
        if "beard" in look:
            points = hair.beard(face, skin, look["beard"], rng)
            self._add("beard", Strands.bound(points, face.neutral, triangles), look["beard"])

    def _add(self, name: str, strands: Strands, style: dict) -> None:
        count, k, _ = strands.points.shape
        curves = bpy.data.hair_curves.new(name)
        curves.add_curves([k] * count)
        curves.position_data.foreach_set("vector", to_blender(strands.points).astype(np.float32).ravel())
        thickness = np.linspace(*style["radii"], k)[None] * np.random.default_rng(1).uniform(0.7, 1.2, (count, 1))
        radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
        radius.data.foreach_set("value", (thickness * self.face.scale).astype(np.float32).ravel())
        curves.attributes.new("source", "FLOAT_VECTOR", "POINT")
        curves.materials.append(surfaces.hair(name, style["colour"]))
        thing = bpy.data.objects.new(name, curves)
        bpy.context.scene.collection.objects.link(thing)
        self.stage.strands[name], self.stage.things[name] = strands, thing

    def _camera(self) -> None:
        eyes, mouth = self.face.eye_middle, self.face.mouth_middle
        height = HEIGHT / EYE_MOUTH * (eyes[1] - mouth[1])
        middle = (eyes[1] + mouth[1]) / 2
        self.stage.add_camera(LENS, np.array([0.0, middle, mouth[2]]), height)
        self.stage.camera.data.shift_y = ((eyes[1] - middle) / height - (0.5 - EYE_LEVEL))

    def _lights(self) -> None:
        s, mouth = self.face.scale, self.face.mouth_middle
        middle = self.face.eye_middle * [0, 1, 1] - np.array([0, 0.25, 0.3]) * s
        for x, y, z, size, power, colour, glint in self.look["lights"]:
            lamp = add_light(middle + np.array([x, y, z]) * s, size * s, power * s * s, colour, middle)
            lamp.visible_glossy = glint
        self.stage.add_mouth_light(self.look["mouth_light"])
        # Only the key light glints in the eyes: a second glint, in the middle, makes them stare.
        self.scene.collection.objects[-1].visible_glossy = False
        self._linked_light(mouth + np.array([0.0, -0.7, 2.4]) * s, 0.6 * s, self.look["teeth_light"] * s * s, mouth,
                           ("teeth", "tongue"))
        if "eye_light" in self.look:
            *where, size, power = self.look["eye_light"]
            self._linked_light(middle + np.array(where) * s, size * s, power * s * s, middle, ("eyes",))
        surfaces.ambient(self.look["ambient"])
        self.scene.view_settings.exposure = self.look["exposure"]
        self.scene.view_settings.look = self.look["tone"]
        self.scene.render.film_transparent = True

    def _linked_light(self, where: np.ndarray, size: float, power: float, look_at: np.ndarray,
                      names: tuple[str, ...]) -> None:
        """A light for these things alone: teeth, which the upper lip leaves grey, or eyes without a glint."""
        seen = bpy.data.collections.new("seen by one light")
        for name in names:
            seen.objects.link(self.stage.things[name])
        lamp = add_light(where, size, power, (1.0, 0.95, 0.88), look_at)
        lamp.light_linking.receiver_collection = lamp.light_linking.blocker_collection = seen

    def express(self, units: dict[str, float] | None = None, p: np.ndarray | None = None,
                smile: float | None = None) -> None:
        """Sets the face: mouth parameters [7], the corners' pull, and further expression units."""
        smile = self.look["smile"] if smile is None else smile
        self.stage.speak(np.zeros(7) if p is None else p, None, smile, units, everything=False)

    def gaze(self, yaw: float = 0.0, pitch: float = 0.0) -> None:
        """Turns both eyes, in degrees to the head's left and up."""
        vertices = self.face.eyes.fit(self.face.neutral)
        for eye, sign in ((LEFT_EYE, 1), (RIGHT_EYE, -1)):
            mine = vertices[:, 0] * sign > 0
            vertices[mine] = turned(vertices[mine], self.face.neutral[eye].mean(0), yaw, pitch)
        move_mesh(self.stage.things["eyes"], vertices)

    def render(self, path: Path | str, border: tuple[int, int, int, int] | None = None) -> None:
        """Writes an EXR, RGBA, linear, premultiplied; `border` is (left, top, right, bottom) in pixels."""
        settings = self.scene.render
        settings.image_settings.file_format, settings.image_settings.color_mode = "OPEN_EXR", "RGBA"
        settings.image_settings.color_depth = "16"
        settings.use_border = settings.use_crop_to_border = border is not None
        if border:
            # Blender cuts off fractions: a quarter of a pixel more keeps a border whole.
            left, top, right, bottom = (value + 0.25 for value in border)
            width, height = settings.resolution_x, settings.resolution_y
            settings.border_min_x, settings.border_max_x = left / width, right / width
            settings.border_min_y, settings.border_max_y = 1 - (bottom - 0.5) / height, 1 - (top - 0.5) / height
        settings.filepath = str(path)
        bpy.ops.render.render(write_still=True)
