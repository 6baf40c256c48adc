"""An identity's face: its shape, its expressions, its teeth and tongue, and the pose of its head.

Everything is in the head data's space (decimetres, y up, z to the front).
"""

import math

import numpy as np

from recipe import mouth
from recipe.mesh import HeadData, Part

# Vertex ranges of the base mesh that the head data fixes.
EYES = slice(14598, 14742)
LEFT_EYE = slice(14598, 14670)
RIGHT_EYE = slice(14670, 14742)
LOWER_TEETH = slice(14992, 15060)
UPPER_TEETH = slice(15060, 15128)
LIP_LINE = (474, 493)  # The middle of the upper lip and of the lower lip, where they meet.
TEETH_ANCHOR_SPLIT = 15060  # Teeth bound below this vertex belong to the jaw.


class Face:
    """The neutral shape of an identity and what moves on it."""

    def __init__(self, head: HeadData, targets: dict[str, float], teeth_drop: float = 0.03):
        """Shape targets by name, and how far the teeth stand below the head data's place for them (dm).

        As they come, the upper teeth hide behind the lip even in a wide open mouth.
        """
        self.head = head
        self.teeth_drop = np.array([0.0, -teeth_drop, 0.0])
        self.neutral = head.base.vertices.copy()
        for name, weight in targets.items():
            self.neutral += weight * head.target(name)
        self.teeth = head.part("teeth", "teeth_base")
        self.tongue = head.part("tongue", "tongue01")
        self.eyes = head.eyes()
        self.eye_middle = self.neutral[EYES].mean(0)
        teeth = self.neutral[UPPER_TEETH]
        self.teeth_middle = np.array([0.0, teeth[:, 1].mean(), teeth[:, 2].max()])
        self.mouth_middle = self.neutral[list(LIP_LINE)].mean(0)  # What a face track calls the mouth.
        # The size of a face against the prototype's: hair widths, lights and bumps scale with it.
        self.scale = abs(self.neutral[LEFT_EYE, 0].mean()) / 0.32

    def shape(self, units: dict[str, float]) -> np.ndarray:
        """Base vertices [n,3] under expression units, such as {"mouth-open": 0.5}."""
        vertices = self.neutral.copy()
        for name, weight in units.items():
            if weight:
                vertices += weight * self.head.target(f"expression/units/caucasian/{name}")
        return vertices

    def speaking(self, p: np.ndarray, smile: float = 0.12, more: dict[str, float] | None = None) -> np.ndarray:
        """Base vertices [n,3] for the mouth parameters `p` [7] and further units (blinks, brows)."""
        units = mouth.expression(p, smile)
        for name, weight in (more or {}).items():
            units[name] = units.get(name, 0.0) + weight
        return self.shape(units)

    def jaw(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The jaw's rigid motion from neutral to `vertices`: rotation [3,3] and shift [3] of a column vector.

        The units move the helper of the lower teeth nearly rigidly; fitting a rotation to it keeps
        the teeth's own shape, which three anchors alone would shear.
        """
        before, after = self.neutral[LOWER_TEETH], vertices[LOWER_TEETH]
        a, b = before.mean(0), after.mean(0)
        u, _, vt = np.linalg.svd((before - a).T @ (after - b))
        sign = np.sign(np.linalg.det(vt.T @ u.T))
        rotation = vt.T @ np.diag([1.0, 1.0, sign]) @ u.T
        return rotation, b - rotation @ a

    def teeth_at(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices of the teeth part: the upper row stays with the skull, the lower row turns with the jaw."""
        rest = self.teeth.fit(self.neutral) + self.teeth_drop
        rotation, shift = self.jaw(vertices)
        lower = (self.teeth.anchors[:, 0] < TEETH_ANCHOR_SPLIT)[:, None]
        return np.where(lower, rest @ rotation.T + shift, rest)

    def tongue_at(self, vertices: np.ndarray, lift: float) -> np.ndarray:
        """Vertices of the tongue: its tip turns with the jaw, its root less, and `lift` raises the tip."""
        rest = self.tongue.fit(self.neutral)
        rotation, shift = self.jaw(vertices)
        z = rest[:, 2]
        follow = (0.35 + 0.60 * np.clip((z - z.min()) / (z.max() - z.min()), 0, 1))[:, None]
        return mouth.lift_tongue(rest * (1 - follow) + (rest @ rotation.T + shift) * follow, lift)

    def part_at(self, part: Part, vertices: np.ndarray) -> np.ndarray:
        """Vertices of any other part (eyes, hair, clothes) on `vertices`."""
        return part.fit(vertices, self.neutral)

    def posed(self, points: np.ndarray, rest: np.ndarray, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0,
              shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """Turns `points` with the head about the neck's pivot; radians; shoulders, by the height of `rest`, stay."""
        pivot = np.array([0.0, self.teeth_middle[1] - 0.75, self.teeth_middle[2] - 1.05])
        t = np.clip((rest[..., 1] - pivot[1] + 0.55) / 1.0, 0, 1)
        weight = (t * t * (3 - 2 * t))[..., None]
        cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
        rotation = (np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
                    @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
                    @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]))
        turned = (points - pivot) @ rotation.T + pivot
        return points * (1 - weight) + turned * weight + np.array(shift) * weight
