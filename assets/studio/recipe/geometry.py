"""Where things lie in the square that the model sees, and how it is cut from a picture.

The unit is D, the distance from the eyes' midpoint to the mouth's. The square's side is 2.93 D, the mouth's midpoint
lies at (0.500, 0.589) of it. The model edits the slice ROWS x COLUMNS of its square and nothing else.
"""

import cv2
import numpy as np

SIDE = 256  # pixels
BOX = 2.93  # the square's side, in D
MOUTH = (0.5, 0.589)
ROWS, COLUMNS = (88, 256), (52, 204)
SLICE = (slice(*ROWS), slice(*COLUMNS))
FPS = 25


def box_matrix(eyes: np.ndarray, mouth: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The matrix [2, 3] from pixels of the upright square to pixels of the picture."""
    length = BOX * float(np.hypot(*(np.asarray(mouth) - np.asarray(eyes))))
    corner = np.asarray(mouth) - length * np.array(MOUTH)
    scale = length / side
    return np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])


def crop(picture: np.ndarray, matrix: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The square of a picture [h, w, 3], as numbers of the picture's own range, [side, side, 3]."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def face_tensor(square: np.ndarray) -> np.ndarray:
    """What the model takes for a square [side, side, 3] of BGR bytes: [6, side, side], masked then whole, 0-1."""
    whole = square.astype(np.float32).transpose(2, 0, 1) / 255
    masked = whole.copy()
    masked[:, square.shape[0] // 2 :] = 0
    return np.concatenate([masked, whole])


def edit_mask(fade: int) -> np.ndarray:
    """How much of the slice's edit is drawn, [rows, columns]: 1 inside, easing to 0 over `fade` pixels at its border,
    as src/stage/compose does."""
    ramps = []
    for low, high in (ROWS, COLUMNS):
        inward = np.arange(high - low, dtype=np.float32)
        ramps.append(np.minimum(np.minimum(inward, inward[::-1]) / fade, 1))
    share = np.outer(*ramps)
    return share * share * (3 - 2 * share)


def paste(picture: np.ndarray, matrix: np.ndarray, edit: np.ndarray) -> np.ndarray:
    """Adds the difference `edit` [rows, columns, 3] of the slice, already masked, to a picture of bytes."""
    whole = np.zeros((SIDE, SIDE, 3), np.float32)
    whole[SLICE] = edit
    size = (picture.shape[1], picture.shape[0])
    difference = cv2.warpAffine(whole, matrix, size, flags=cv2.INTER_CUBIC)
    return np.clip(np.rint(picture + difference), 0, 255).astype(np.uint8)
