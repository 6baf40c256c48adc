"""Pictures that a person can look at: strips of talking faces with what is said written under them."""

import pathlib

import cv2
import numpy as np

from recipe.bundle import Avatar, Model
from recipe.geometry import FPS, MOUTH, SIDE, SLICE, crop, edit_mask, face_tensor, paste
from recipe.synthesis import read_voice

SHEET_S = 60
EVERY = FPS // 5
ON_A_SHEET = 60
PICTURE = 200  # pixels a side
CLOSE_UP = 0.75  # of the square that the model sees

CAPTION = 18  # pixels under a picture
INK, PAPER = (20, 20, 20), (245, 245, 245)


def caption(segments: list[tuple[str, float, float]], start: float, end: float) -> str:
    """The phonemes that sound from `start` to `end`, in seconds."""
    return " ".join(name for name, first, last in segments if first < end and last > start)


def sheet(pictures: list[np.ndarray], captions: list[str], path: pathlib.Path, columns: int = 10) -> None:
    """Writes pictures [h, w, 3] of one size as a grid, row by row, each with its caption under it."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    grid = np.full((rows * (height + CAPTION), columns * width, 3), PAPER, np.uint8)
    for n, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
        top, left = n // columns * (height + CAPTION), n % columns * width
        grid[top : top + height, left : left + width] = picture
        place = (left + 3, top + height + CAPTION - 5)
        cv2.putText(grid, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), grid)


def talk(model: Model, avatar: Avatar, windows: np.ndarray, fade: int) -> list[np.ndarray]:
    """The avatar's pictures as the program would send them, one for each window [n, 1, 80, 16]."""
    mask, pictures = edit_mask(fade)[..., None], []
    for n, window in enumerate(windows):
        frame, matrix = avatar.frames[n % len(avatar)], avatar.matrix(n)
        face = face_tensor(crop(frame, matrix))
        change = model.run(window, face) - face[3:].transpose(1, 2, 0)
        pictures.append(paste(frame, matrix, change[SLICE] * mask * 255))
    return pictures


def close_up(picture: np.ndarray, avatar: Avatar) -> np.ndarray:
    """The face of a talking picture, always the same part of it, from the eyes to under the chin."""
    matrix = avatar.matrix(0)
    side = round(CLOSE_UP * SIDE * matrix[0, 0])
    mouth = matrix @ np.array([SIDE * MOUTH[0], SIDE * MOUTH[1], 1])
    left, top = (max(0, round(x)) for x in mouth - side * np.array([0.5, 0.62]))
    face = picture[top : top + side, left : left + side]
    return cv2.resize(face, (PICTURE, PICTURE), interpolation=cv2.INTER_AREA)


def strip(pictures: list[np.ndarray], segments: list[tuple[str, float, float]], every: int) -> tuple[list, list]:
    """Every so many pictures of a film at 25 fps, and the phonemes of the time that each stands for."""
    kept = range(0, len(pictures), every)
    return [pictures[n] for n in kept], [caption(segments, n / FPS, (n + every) / FPS) for n in kept]


def draw_sheets(folder: pathlib.Path, model: Model, avatars: dict[str, Avatar], data: pathlib.Path) -> None:
    """A minute of held-out speech on each avatar at 5 fps, the phonemes written under each picture."""
    voices = [read_voice(path) for path in sorted((data / "speech/held-out").glob("*.npz"))]
    spoken = [one for group in zip(*voices) for one in group] if voices else []
    fade = model.manifest["edit"]["fade"]
    for name, avatar in avatars.items():
        pictures, captions, seconds = [], [], 0.0
        for one in spoken:
            if seconds > SHEET_S:
                break
            kept, texts = strip(talk(model, avatar, model.windows(one.wave), fade), one.segments, EVERY)
            pictures += [close_up(picture, avatar) for picture in kept]
            captions += texts
            seconds += one.duration
        for n in range(0, len(pictures), ON_A_SHEET):
            part = slice(n, n + ON_A_SHEET)
            sheet(pictures[part], captions[part], folder / f"{name}-{n // ON_A_SHEET:02d}.png")
