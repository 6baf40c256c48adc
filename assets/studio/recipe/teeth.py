"""Where the teeth stand in a picture: what lets the decoder learn them sharp, once, instead of guessing them anew.

Both rows are seen flat, from the front: u grows to the picture's right from -1 to 1 over a row,
v downwards from the gum to the tips, -1 to 1. Points [2, n, 2] are of the upper row, then the lower.
"""

import numpy as np

from recipe.face import TEETH_ANCHOR_SPLIT, Face
from recipe.scene import Stage, pieces

# Half the width and height that u and v span, in dm.
HALF = (0.27, 0.15)
# Teeth further back than this behind the foremost, in dm, are never seen.
_DEPTH = 0.35


class Teeth:
    """The points of a face's teeth: each tooth's middle and its tip."""

    def __init__(self, face: Face):
        self._face = face
        base = Face(face.head, {}, 0.0)
        vertices = base.teeth_at(base.neutral)
        lower = base.teeth.anchors[:, 0] < TEETH_ANCHOR_SPLIT
        piece = pieces(base.teeth.mesh.faces, len(vertices))
        gums = np.bincount(piece).argmax()
        self._points: list[list[np.ndarray]] = []
        flat = []
        for row, sign in ((~lower, -1), (lower, 1)):
            teeth = [np.flatnonzero(row & (piece == p)) for p in np.unique(piece[row]) if p != gums]
            front = max(vertices[tooth, 2].max() for tooth in teeth)
            teeth = [tooth for tooth in teeth if vertices[tooth, 2].mean() > front - _DEPTH]
            tips = [tooth[np.argsort(sign * vertices[tooth, 1])[-8:]] for tooth in teeth]
            self._points.append(teeth + tips)
            x, y, _ = self._middles(vertices, self._points[-1]).T
            y_middle = np.concatenate([vertices[tooth, 1] for tooth in teeth]).mean() - 0.02 * sign
            flat.append(np.stack([x / HALF[0], -(y - y_middle) / HALF[1]], 1))
        self.flat = np.array(flat, np.float32)

    @staticmethod
    def _middles(vertices: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
        return np.array([vertices[group].mean(0) for group in groups])

    def seen(self, stage: Stage, base: np.ndarray, pose: dict) -> np.ndarray:
        """Pixels [2, n, 2] of the points, for the unposed base vertices that `stage.speak` returns."""
        vertices = self._face.teeth_at(base)
        vertices = self._face.posed(vertices, vertices, **pose)
        return np.array([stage.project(self._middles(vertices, groups)) for groups in self._points], np.float32)
