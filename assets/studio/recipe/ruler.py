"""How far a mouth is open, measured in the picture alone.

A linear fit from a coarse grey picture of the mouth to the opening that it was rendered with. It knows nothing of the
network that it measures: it is fitted on renders of the face on which it measures, whose mouths are known.
"""

import cv2
import numpy as np

# Where the mouth lies in the slice [168, 152], with room for an open jaw, and how coarsely it is looked at.
MOUTH = (slice(30, 126), slice(20, 132))
GRID = (18, 16)  # columns, rows
RIDGE = 3.0


def _features(slices: np.ndarray) -> np.ndarray:
    """[n, features] of slices [n, 168, 152, 3] of BGR, 0-1."""
    grey = [cv2.cvtColor(np.ascontiguousarray(one[MOUTH], np.float32), cv2.COLOR_BGR2GRAY) for one in slices]
    return np.stack([cv2.resize(one, GRID, interpolation=cv2.INTER_AREA).ravel() for one in grey])


class Ruler:
    """Fitted on slices [n, 168, 152, 3] and what they show, [n]."""

    def __init__(self, slices: np.ndarray, openings: np.ndarray):
        features = _features(slices)
        self._mean = features.mean(0)
        columns = np.c_[features - self._mean, np.ones(len(features))]
        penalty = RIDGE * np.eye(columns.shape[1])
        penalty[-1, -1] = 0
        self._weights = np.linalg.solve(columns.T @ columns + penalty, columns.T @ openings)

    def __call__(self, slices: np.ndarray) -> np.ndarray:
        """The openings [n] of slices [n, 168, 152, 3]."""
        features = _features(slices)
        return np.c_[features - self._mean, np.ones(len(features))] @ self._weights
