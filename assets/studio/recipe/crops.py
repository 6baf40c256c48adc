"""Renders crops of a talking mouth, with the motion that made them.

A set is a folder: `neutral.png`, `00.png` ..., the flows in `flow.npz`, and
`set.json`, which says where mouth and eyes are and which parameters each crop has;
`teeth.npz` has the pixels of points of the teeth (see teeth.py).
A flow [h,w,2] tells for each pixel where its point stood in the neutral crop, as
(x, y) of that pixel less its own; `known` is 255 where the neutral crop shows that
very point and 0 where it shows nothing of it (teeth, tongue, the inside of a lip).
"""

import json
import math
import os
from pathlib import Path

import bpy
import cv2
import numpy as np

from recipe import materials, poses
from recipe.face import Face
from recipe.identities import Identity
from recipe.mesh import HeadData
from recipe.teeth import Teeth
from recipe.scene import Stage, add_light, add_source_aovs, new_scene, render, set_world

D = 90.0  # Pixels from the eyes' middle to the mouth's; the model sees 87.4.
WIDTH, HEIGHT = 192, 198
MOUTH = (96.0, 77.0)  # Where the mouth's middle stands in a crop.


def build(head: HeadData, who: Identity, samples: int, threads: int) -> Stage:
    """The identity in its light before its camera, framed for a crop."""
    scene = new_scene(WIDTH, HEIGHT, samples, threads, quick=True)
    scene.view_settings.exposure = who.exposure
    scene.view_settings.look = who.look
    face = Face(head, who.targets, who.teeth_drop)
    stage = Stage(face)
    hidden = stage.add_clothes(who.clothes, materials.cloth(who.cloth), 2.2) if who.clothes else set()
    stage.add_head(materials.skin(who.skin, head.root / "textures"), 1, 2.2, hidden)
    stage.add_mouth(materials.teeth(who.tooth, quick=True), materials.tongue(quick=True))
    stage.add_eyes(materials.eye(head.root / "eyes" / "materials" / "brown_eye.png"))
    distance = face.eye_middle[1] - face.mouth_middle[1]
    stage.add_camera(who.lens, face.mouth_middle, distance * HEIGHT / D, who.camera_side, who.camera_up)
    for light in who.lights:
        a, e = light.azimuth, light.elevation
        where = face.mouth_middle + light.distance * np.array([math.sin(a) * math.cos(e), math.sin(e),
                                                               math.cos(a) * math.cos(e)])
        add_light(where, light.size, light.energy, light.colour, face.mouth_middle)
    stage.add_mouth_light(who.mouth_light)
    set_world(*who.backdrop, 0.8, who.ambient, who.ambient_strength)
    stage.speak(np.zeros(7), who.pose, who.smile)
    stage.mark_neutral()
    frame(stage, who.pose)
    return stage


def landmarks(stage: Stage, pose: dict) -> np.ndarray:
    """Pixels [2,2] of the mouth's middle and the eyes' middle at rest."""
    points = np.stack([stage.face.mouth_middle, stage.face.eye_middle])
    return stage.project(stage.face.posed(points, points, **pose))


def frame(stage: Stage, pose: dict) -> None:
    """Zooms and shifts the camera until mouth and eyes stand where a crop wants them."""
    data = stage.camera.data
    for _ in range(3):
        mouth, eyes = landmarks(stage, pose)
        data.lens *= D / float(np.linalg.norm(mouth - eyes))
        mouth, _ = landmarks(stage, pose)
        data.shift_x += (mouth[0] - MOUTH[0]) / HEIGHT
        data.shift_y -= (mouth[1] - MOUTH[1]) / HEIGHT


class SourceFiles:
    """Has the compositor write the source AOVs beside each picture."""

    def __init__(self, folder: Path):
        add_source_aovs()
        scene = bpy.context.scene
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        layers = tree.nodes.new("CompositorNodeRLayers")
        tree.links.new(layers.outputs["Image"], tree.nodes.new("CompositorNodeComposite").inputs[0])
        files = tree.nodes.new("CompositorNodeOutputFile")
        files.base_path = str(folder)
        files.format.file_format, files.format.color_depth = "OPEN_EXR", "32"
        files.file_slots.clear()
        for name in ("source", "sourced"):
            files.file_slots.new(f"{name}_")
            tree.links.new(layers.outputs[name], files.inputs[f"{name}_"])
        self.folder = folder

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The latest sources [h,w,3] in the head data's space, and how much of each pixel has one [h,w]."""
        number = f"{bpy.context.scene.frame_current:04d}.exr"
        colour = cv2.imread(str(self.folder / f"source_{number}"), cv2.IMREAD_UNCHANGED)[..., 2::-1]
        share = cv2.imread(str(self.folder / f"sourced_{number}"), cv2.IMREAD_UNCHANGED)
        share = share[..., 0] if share.ndim == 3 else share
        return colour / np.maximum(share, 1e-3)[..., None], share


def flow_of(stage: Stage, source: np.ndarray, share: np.ndarray, neutral: np.ndarray, neutral_share: np.ndarray,
            size: float) -> tuple[np.ndarray, np.ndarray]:
    """Flow [h,w,2] float16 and its validity [h,w] uint8, from the sources of this crop and of the neutral one.

    The neutral crop shows a point if what it shows where that point stood is within four pixels of it
    (`size` is a pixel's width in dm): on the same surface, not in front of it.
    """
    height, width = share.shape
    pixels = stage.project(source).astype(np.float32)
    grid = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1).astype(np.float32)
    flow = pixels - grid
    at = pixels - 0.5
    there = cv2.remap(neutral.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REPLICATE)
    inside = (at > -1).all(-1) & (at[..., 0] < width) & (at[..., 1] < height)
    known = (share > 0.7) & inside & (np.linalg.norm(there - source, axis=-1) < 4 * size)
    still = np.maximum(share, neutral_share) < 0.02  # Background in both crops: it stands still.
    flow[share < 0.7] = 0
    return flow.astype(np.float16), ((known | still) * 255).astype(np.uint8)


def render_set(head: HeadData, who: Identity, medoids: np.ndarray, folder: Path, count: int, samples: int,
               threads: int = 1) -> None:
    """Renders the neutral crop and `count` talking ones of one identity into `folder`, which appears when done."""
    stage = build(head, who, samples, threads)
    rows = np.concatenate([np.zeros((1, 7)), poses.choose(np.random.default_rng(who.seed + 10**6), medoids, count)])
    render_poses(stage, rows, who.pose, who.smile, folder, dict(seed=who.seed))


def render_poses(stage: Stage, rows: np.ndarray, pose: dict, smile: float, folder: Path, more: dict) -> None:
    """Renders poses [n,7], the first of them neutral, of a stage that `frame` has framed."""
    work = folder.with_name(folder.name + ".part")
    work.mkdir(parents=True, exist_ok=True)
    files = SourceFiles(work)
    mouth, eyes = landmarks(stage, pose)
    size = float(np.linalg.norm(stage.face.mouth_middle - stage.face.eye_middle)) / D
    flows, knowns, names, neutral, rows_of_teeth = [], [], [], (), []
    teeth = Teeth(stage.face)
    for i, p in enumerate(rows):
        name = "neutral" if i == 0 else f"{i - 1:02d}"
        base = stage.speak(p, pose, smile, everything=False)
        rows_of_teeth.append(teeth.seen(stage, base, pose))
        render(work / f"{name}.png")
        source, share = files.read()
        neutral = neutral or (source, share)
        flow, known = flow_of(stage, source, share, *neutral, size)
        flows.append(flow)
        knowns.append(known)
        names.append(name)
    np.savez_compressed(work / "flow.npz", flow=np.array(flows), known=np.array(knowns))
    np.savez_compressed(work / "teeth.npz", seen=np.array(rows_of_teeth), flat=teeth.flat)
    for exr in work.glob("*.exr"):
        exr.unlink()
    (work / "set.json").write_text(json.dumps(dict(
        more, d=float(np.linalg.norm(mouth - eyes)), mouth=mouth.tolist(), eyes=eyes.tolist(), names=names,
        p=np.round(rows, 4).tolist())))
    os.replace(work, folder)
