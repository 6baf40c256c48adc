"""Reads the head data: base mesh, shape targets, and the parts fitted onto them.

The files are MakeHuman's, released as CC0: Wavefront .obj meshes, .target files
(one moved vertex a line: index dx dy dz) and .mhclo files, which bind each vertex
of a part (teeth, tongue, hair, clothes) to three vertices of the base mesh.
Lengths are decimetres, x to the head's left, y up, z to the front.
"""

import gzip
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np


@dataclass
class Mesh:
    """A polygon mesh: positions [n,3], texture coordinates [m,2], faces as lists of indices into both."""

    vertices: np.ndarray
    uvs: np.ndarray
    faces: list[list[int]]
    face_uvs: list[list[int]]
    groups: list[str]


def load_obj(path: Path) -> Mesh:
    """Reads an .obj file; faces without texture coordinates get coordinate 0."""
    vertices, uvs, faces, face_uvs, groups, group = [], [], [], [], [], ""
    for line in path.read_text(errors="ignore").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(x) for x in words[1:4]])
        elif words[0] == "vt":
            uvs.append([float(x) for x in words[1:3]])
        elif words[0] == "g":
            group = words[1] if len(words) > 1 else ""
        elif words[0] == "f":
            corners = [corner.split("/") for corner in words[1:]]
            faces.append([int(c[0]) - 1 for c in corners])
            face_uvs.append([int(c[1]) - 1 if len(c) > 1 and c[1] else 0 for c in corners])
            groups.append(group)
    return Mesh(np.array(vertices), np.array(uvs if uvs else [[0.0, 0.0]]), faces, face_uvs, groups)


def vertex_normals(vertices: np.ndarray, faces: list[list[int]]) -> np.ndarray:
    """Unit normals [n,3], faces weighted by their area."""
    normals = np.zeros_like(vertices)
    for corners in (3, 4):
        quads = np.array([f for f in faces if len(f) == corners])
        if len(quads) == 0:
            continue
        a, b = quads[:, 2], quads[:, 0]
        c, d = (quads[:, 3], quads[:, 1]) if corners == 4 else (quads[:, 0], quads[:, 1])
        if corners == 4:
            face_normals = np.cross(vertices[a] - vertices[b], vertices[c] - vertices[d])
        else:
            face_normals = np.cross(vertices[d] - vertices[b], vertices[a] - vertices[b])
        for k in range(corners):
            np.add.at(normals, quads[:, k], face_normals)
    return normals / np.maximum(1e-9, np.linalg.norm(normals, axis=1, keepdims=True))


class Part:
    """A mesh bound to the base mesh by an .mhclo file."""

    def __init__(self, path: Path):
        self.scales: dict[int, tuple[int, int, float]] = {}
        self.hides: set[int] = set()  # Base vertices that the part covers.
        mesh_path, bindings, section = None, [], ""
        for line in path.read_text(errors="ignore").splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] in ("x_scale", "y_scale", "z_scale"):
                self.scales["xyz".index(words[0][0])] = (int(words[1]), int(words[2]), float(words[3]))
            elif words[0] == "obj_file":
                mesh_path = path.parent / words[1]
            elif words[0] in ("verts", "delete_verts"):
                section = words[0]
            elif words[0][0].isalpha():
                section = "" if words[0] != "material" else section
            elif section == "verts" and len(words) == 1:
                bindings.append((int(words[0]),) * 3 + (1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
            elif section == "verts" and len(words) >= 9:
                bindings.append(tuple(int(x) for x in words[:3]) + tuple(float(x) for x in words[3:9]))
            elif section == "delete_verts":
                self._hide(words)
        self.mesh = load_obj(mesh_path)
        table = np.array(bindings)
        self.anchors = table[:, :3].astype(int)
        self.weights = table[:, 3:6]
        self.offsets = table[:, 6:9]

    def _hide(self, words: list[str]) -> None:
        """A line of single indices and ranges written as `first - last`."""
        i = 0
        while i < len(words):
            if i + 2 < len(words) and words[i + 1] == "-":
                self.hides.update(range(int(words[i]), int(words[i + 2]) + 1))
                i += 3
            else:
                self.hides.add(int(words[i]))
                i += 1

    def fit(self, base: np.ndarray, neutral: np.ndarray | None = None) -> np.ndarray:
        """The part's vertices on the base vertices `base`; its size is taken from `neutral`, so talking keeps it."""
        neutral = base if neutral is None else neutral
        scale = np.ones(3)
        for axis, (a, b, length) in self.scales.items():
            scale[axis] = abs(neutral[a, axis] - neutral[b, axis]) / length
        return (base[self.anchors] * self.weights[:, :, None]).sum(1) + self.offsets * scale


class HeadData:
    """The head data's folder. Meshes, targets and parts are read once."""

    def __init__(self, root: Path | str):
        self.root = Path(root)
        self.base = load_obj(self.root / "3dobjs" / "base.obj")
        self.target = lru_cache(maxsize=None)(self._target)
        self.part = lru_cache(maxsize=None)(self._part)

    def _target(self, name: str) -> np.ndarray:
        """Moves of all base vertices [n,3] for a target such as `mouth/mouth-angles-up`."""
        moves = np.zeros_like(self.base.vertices)
        with gzip.open(self.root / "targets" / f"{name}.target.gz", "rt") as lines:
            for line in lines:
                words = line.split()
                if len(words) >= 4 and not line.startswith("#") and int(words[0]) < len(moves):
                    moves[int(words[0])] = [float(x) for x in words[1:4]]
        return moves

    def _part(self, kind: str, name: str) -> Part:
        """A part such as `hair`, `long01`."""
        return Part(self.root / kind / name / f"{name}.mhclo")

    def eyes(self) -> Part:
        return Part(self.root / "eyes" / "high-poly" / "high-poly.mhclo")

    def texture(self, name: str) -> Path:
        return self.root / "textures" / name
