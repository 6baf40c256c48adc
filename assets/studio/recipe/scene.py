"""A Blender scene with one face: meshes, camera, lights, background, and rendering.

Blender's space is x to the head's left, y to the back, z up; `to_blender` turns the
head data's space into it. The AOVs `source` and `sourced` tell for each pixel where
its point stood in the neutral picture (head data's space) and whether it did.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import mathutils
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from recipe.face import Face
from recipe.materials import Colour


def to_blender(points: np.ndarray) -> np.ndarray:
    """Points [...,3] of the head data's space in Blender's."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def enable_gpu() -> bool:
    """Whether Cycles has a GPU now: the first kind that this machine offers, every device of it."""
    preferences = bpy.context.preferences.addons["cycles"].preferences
    for kind in ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI"):
        try:
            preferences.compute_device_type = kind
        except TypeError:  # This build knows no such kind.
            continue
        preferences.refresh_devices()
        found = [device for device in preferences.devices if device.type == kind]
        for device in found:
            device.use = True
        if found:
            return True
    return False


def new_scene(width: int, height: int, samples: int, threads: int = 1, quick: bool = False) -> bpy.types.Scene:
    """An empty scene set up for Cycles, denoised; on a GPU where there is one."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "GPU" if enable_gpu() else "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    if quick:  # For many small pictures: half the cost, a little less light between the lips.
        cycles.use_light_tree = False
        cycles.denoising_prefilter, cycles.denoising_quality = "NONE", "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = (3, 1, 1) if quick else (6, 2, 2)
    cycles.transparent_max_bounces, cycles.transmission_bounces = 12, 4
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.use_persistent_data = True
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.view_settings.exposure = 0.35
    scene.cycles_curves.shape = "RIBBONS"
    scene.cycles_curves.subdivisions = 2
    return scene


def add_mesh(name: str, vertices: np.ndarray, faces: list[list[int]], uvs: np.ndarray | None = None,
             face_uvs: list[list[int]] | None = None, subdivisions: int = 0,
             material: bpy.types.Material | list[bpy.types.Material] | None = None,
             masks: dict[str, np.ndarray] | None = None) -> bpy.types.Object:
    """A smooth mesh with the attributes `rest` and `source` (its vertices as given) and further masks [n]."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(to_blender(vertices).tolist(), [], faces)
    if uvs is not None:
        layer = mesh.uv_layers.new(name="UV")
        layer.data.foreach_set("uv", np.array([uvs[i] for f in face_uvs for i in f], np.float32).ravel())
    for key in ("rest", "source"):
        mesh.attributes.new(key, "FLOAT_VECTOR", "POINT").data.foreach_set("vector", _flat(vertices))
    for key, values in (masks or {}).items():
        mesh.attributes.new(key, "FLOAT", "POINT").data.foreach_set("value", np.asarray(values, np.float32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    mesh.update()
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    if subdivisions:
        modifier = thing.modifiers.new("smooth", "SUBSURF")
        modifier.levels = modifier.render_levels = subdivisions
        modifier.boundary_smooth = "ALL"
    for one in material if isinstance(material, list) else [material] if material else []:
        mesh.materials.append(one)
    return thing


def move_mesh(thing: bpy.types.Object, vertices: np.ndarray) -> None:
    """Gives a mesh new positions [n,3]."""
    thing.data.vertices.foreach_set("co", _flat(to_blender(vertices)))
    thing.data.update()


def mark_source(thing: bpy.types.Object, vertices: np.ndarray) -> None:
    """Says where the mesh stands in the neutral picture."""
    thing.data.attributes["source"].data.foreach_set("vector", _flat(vertices))


def _flat(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(vectors, np.float32).ravel()


def bump_at(points: np.ndarray, middle: tuple, size: tuple) -> np.ndarray:
    """A Gaussian hill [n] over `points` [n,3]."""
    return np.exp(-0.5 * (((points - np.array(middle)) / np.array(size)) ** 2).sum(-1))


def skin_masks(face: Face) -> dict[str, np.ndarray]:
    """Where skin is redder, darker and bearded: masks [n] over the base mesh."""
    v, eye, mouth, scale = face.neutral, face.eye_middle, face.teeth_middle, face.scale
    eye_x = 0.32 * scale
    blush = sum(bump_at(v, (s * eye_x * 1.35, (eye[1] + mouth[1]) / 2 + 0.02, mouth[2] - 0.12), (0.2, 0.17, 0.35))
                for s in (-1, 1)) * 0.55
    blush += bump_at(v, (0, mouth[1] + 0.42, mouth[2] + 0.25), (0.14, 0.14, 0.25)) * 0.5
    blush += bump_at(abs(v), (1.0, eye[1] - 0.1, 0.4), (0.25, 0.35, 0.6)) * 0.5
    shade = sum(bump_at(v, (s * eye_x, eye[1] - 0.13, mouth[2] - 0.05), (0.16, 0.06, 0.3)) * 0.3
                + bump_at(v, (s * eye_x * 1.05, eye[1] + 0.13, mouth[2] - 0.05), (0.2, 0.07, 0.3)) * 0.35
                for s in (-1, 1))
    return {"blush": np.clip(blush, 0, 1), "shade": np.clip(shade, 0, 1), "beard": beard_mask(face)}


def beard_mask(face: Face) -> np.ndarray:
    """Where a beard grows [n]: upper lip, chin, jaw and the throat's top, up to the cheeks' line."""
    x, y, z = ((face.neutral - face.teeth_middle) / face.scale).T
    x = abs(x)
    line = -0.05 + 0.55 * np.clip((x - 0.25) / 0.5, 0, 1) ** 1.5  # The cheek's line climbs to the ear.
    jaw = _smooth(line + 0.06, line - 0.10, y) * _smooth(-0.85, -0.55, y)
    moustache = _smooth(0.30, 0.24, x) * _smooth(0.14, 0.09, y)
    return np.clip(np.maximum(jaw, moustache) * _smooth(-0.95, -0.7, z), 0, 1)


def _smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass
class Stage:
    """A face in a scene: its objects by name, its camera."""

    face: Face
    things: dict[str, bpy.types.Object] = field(default_factory=dict)
    camera: bpy.types.Object | None = None

    def add_head(self, skin: bpy.types.Material, subdivisions: int = 1, below_mouth: float = 3.3,
                 hidden: set[int] = frozenset()) -> None:
        """The body's mesh down to `below_mouth`, without the vertices that clothes hide."""
        face, base = self.face, self.face.head.base
        lowest = face.mouth_middle[1] - below_mouth
        keep = [i for i, (f, group) in enumerate(zip(base.faces, base.groups))
                if group == "body" and min(face.neutral[j, 1] for j in f) > lowest and not all(j in hidden for j in f)]
        self.things["body"] = add_mesh("body", face.neutral, [base.faces[i] for i in keep], base.uvs,
                                       [base.face_uvs[i] for i in keep], subdivisions, skin, skin_masks(face))

    def add_mouth(self, tooth_and_gum: list[bpy.types.Material], tongue: bpy.types.Material,
                  subdivisions: int = 1) -> None:
        """Teeth, gums and tongue."""
        face, mesh = self.face, self.face.teeth.mesh
        teeth = add_mesh("teeth", face.teeth_at(face.neutral), mesh.faces, mesh.uvs, mesh.face_uvs, subdivisions,
                         tooth_and_gum)
        piece = pieces(mesh.faces, len(mesh.vertices))
        gums = np.bincount(piece).argmax()  # One connected piece; each tooth is another.
        teeth.data.polygons.foreach_set("material_index",
                                        np.array([piece[f[0]] == gums for f in mesh.faces], np.int32))
        self.things["teeth"] = teeth
        mesh = face.tongue.mesh
        self.things["tongue"] = add_mesh("tongue", face.tongue_at(face.neutral, 0.0), mesh.faces, mesh.uvs,
                                         mesh.face_uvs, subdivisions, tongue)

    def add_eyes(self, material: bpy.types.Material) -> None:
        mesh = self.face.eyes.mesh
        self.things["eyes"] = add_mesh("eyes", self.face.eyes.fit(self.face.neutral), mesh.faces, mesh.uvs,
                                       mesh.face_uvs, 0, material)

    def add_clothes(self, name: str, material: bpy.types.Material, below_mouth: float = 3.3) -> set[int]:
        """Clothes above `below_mouth`; returns the body's vertices that they hide."""
        part = self.face.head.part("clothes", name)
        vertices, mesh = part.fit(self.face.neutral), part.mesh
        lowest = self.face.mouth_middle[1] - below_mouth
        keep = [i for i, f in enumerate(mesh.faces) if max(vertices[j, 1] for j in f) > lowest]
        self.things["clothes"] = add_mesh("clothes", vertices, [mesh.faces[i] for i in keep], mesh.uvs,
                                          [mesh.face_uvs[i] for i in keep], 1, material)
        self.things["clothes"]["part"] = name
        return part.hides

    def speak(self, p: np.ndarray, pose: dict | None = None, smile: float = 0.12, more: dict | None = None,
              everything: bool = True) -> np.ndarray:
        """Moves the meshes to mouth parameters `p` [7], further units and the head's pose; returns the unposed base.

        `everything` also moves what only the pose moves (eyes, clothes).
        """
        face, pose = self.face, pose or {}
        vertices = face.speaking(p, smile, more)
        moved = {"body": (vertices, face.neutral)}
        for name, points in (("teeth", face.teeth_at(vertices)), ("tongue", face.tongue_at(vertices, float(p[6])))):
            moved[name] = (points, points)
        if everything and "eyes" in self.things:
            moved["eyes"] = (face.part_at(face.eyes, vertices), face.eyes.fit(face.neutral))
        if everything and "clothes" in self.things:
            part = face.head.part("clothes", self.things["clothes"]["part"])
            moved["clothes"] = (part.fit(face.neutral), part.fit(face.neutral))
        for name, (points, rest) in moved.items():
            if name in self.things:
                move_mesh(self.things[name], face.posed(points, rest, **pose))
        return vertices

    def mark_neutral(self) -> None:
        """Takes the meshes as they stand now for the neutral picture."""
        for name in ("body", "clothes"):
            if name in self.things:
                mesh = self.things[name].data
                points = np.empty(3 * len(mesh.vertices), np.float32)
                mesh.vertices.foreach_get("co", points)
                x, y, z = points.reshape(-1, 3).T
                mark_source(self.things[name], np.stack([x, z, -y], -1))

    def add_camera(self, lens: float, look_at: np.ndarray, view_height: float, side: float = 0.0,
                   up: float = 0.0) -> None:
        """A camera in front, `side` and `up` radians off the axis, that sees `view_height` dm at the face's depth."""
        scene = bpy.context.scene
        data = bpy.data.cameras.new("camera")
        data.lens, data.sensor_fit, data.sensor_height = lens, "VERTICAL", 24.0
        distance = view_height / 2 / (12.0 / lens)
        direction = np.array([math.sin(side) * math.cos(up), math.sin(up), math.cos(side) * math.cos(up)])
        self.camera = bpy.data.objects.new("camera", data)
        scene.collection.objects.link(self.camera)
        scene.camera = self.camera
        place(self.camera, look_at + direction * distance, look_at)

    def add_mouth_light(self, energy: float = 6.0) -> None:
        """A small soft light before the lips: half-open teeth would be grey without it."""
        mouth, scale = self.face.mouth_middle, self.face.scale
        add_light(mouth + np.array([0.0, 0.0, 2.2]) * scale, 0.5 * scale, energy * scale ** 2, (1.0, 0.97, 0.93),
                  mouth)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels [n,2], x right and y down, of points [n,3] of the head data's space; pixel centres at .5."""
        bpy.context.view_layer.update()
        scene, data = bpy.context.scene, self.camera.data
        width, height = scene.render.resolution_x, scene.render.resolution_y
        world = np.array(self.camera.matrix_world.inverted())
        seen = to_blender(np.asarray(points, float)) @ world[:3, :3].T + world[:3, 3]
        focal = data.lens / data.sensor_height * height
        return np.stack([seen[..., 0] / -seen[..., 2] * focal + width / 2 - data.shift_x * height,
                         height / 2 - seen[..., 1] / -seen[..., 2] * focal + data.shift_y * height], -1)


def pieces(faces: list[list[int]], count: int) -> np.ndarray:
    """The connected piece [count] that each vertex belongs to."""
    edges = np.array([(f[i], f[(i + 1) % len(f)]) for f in faces for i in range(len(f))])
    graph = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), (count, count))
    return scipy.sparse.csgraph.connected_components(graph)[1]


def place(thing: bpy.types.Object, where: np.ndarray, look_at: np.ndarray) -> None:
    """Puts a camera or a lamp at `where`, looking at `look_at` (head data's space)."""
    a, b = (mathutils.Vector(to_blender(np.asarray(x, float)).tolist()) for x in (where, look_at))
    thing.location = a
    thing.rotation_euler = (b - a).to_track_quat("-Z", "Y").to_euler()


def add_light(where: np.ndarray, size: float, energy: float, colour: tuple[float, float, float],
              look_at: np.ndarray) -> bpy.types.Object:
    """A square soft light; energy in watts."""
    lamp = bpy.data.lights.new("light", "AREA")
    lamp.size, lamp.energy, lamp.color = size, energy, colour
    thing = bpy.data.objects.new("light", lamp)
    bpy.context.scene.collection.objects.link(thing)
    place(thing, where, look_at)
    return thing


def set_world(near: Colour, far: Colour, strength: float, ambient: Colour, ambient_strength: float) -> None:
    """A background shaded from the middle to the corners, seen by the camera only, and an ambient light."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    tree = world.node_tree
    tree.nodes.clear()
    make, link = tree.nodes.new, tree.links.new
    window = make("ShaderNodeTexCoord").outputs["Window"]
    distance = make("ShaderNodeVectorMath")
    distance.operation = "DISTANCE"
    distance.inputs[1].default_value = (0.62, 0.62, 0.0)
    link(window, distance.inputs[0])
    ramp = make("ShaderNodeValToRGB")
    link(distance.outputs["Value"], ramp.inputs[0])
    ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = near, far
    ramp.color_ramp.elements[1].position = 0.85
    seen, light = make("ShaderNodeBackground"), make("ShaderNodeBackground")
    link(ramp.outputs[0], seen.inputs[0])
    seen.inputs[1].default_value = strength
    light.inputs[0].default_value, light.inputs[1].default_value = ambient, ambient_strength
    choose, output = make("ShaderNodeMixShader"), make("ShaderNodeOutputWorld")
    link(make("ShaderNodeLightPath").outputs["Is Camera Ray"], choose.inputs[0])
    link(light.outputs[0], choose.inputs[1])
    link(seen.outputs[0], choose.inputs[2])
    link(choose.outputs[0], output.inputs[0])


def add_source_aovs() -> None:
    """Lets the next renders also write the AOVs of materials.Nodes.trace_source."""
    layer = bpy.context.view_layer
    for name, kind in (("source", "COLOR"), ("sourced", "VALUE")):
        aov = layer.aovs.add()
        aov.name, aov.type = name, kind


def render(path: Path, border: tuple[float, float, float, float] | None = None) -> None:
    """Renders a PNG; `border` is (left, right, top, bottom) in pixels of the whole picture."""
    scene = bpy.context.scene
    settings = scene.render
    settings.filepath = str(path)
    settings.image_settings.file_format = "PNG"
    settings.use_border = settings.use_crop_to_border = border is not None
    if border:
        left, right, top, bottom = border
        settings.border_min_x, settings.border_max_x = left / settings.resolution_x, right / settings.resolution_x
        settings.border_min_y, settings.border_max_y = (1 - y / settings.resolution_y for y in (bottom, top))
    bpy.ops.render.render(write_still=True)
