"""The product's bundles as the program reads them: a model with its manifest, an avatar with its clips."""

import json
import pathlib
import tomllib

import cv2
import numpy as np
import onnx
import onnxruntime as ort

from recipe.geometry import SIDE, box_matrix, crop, face_tensor
from recipe.hearing import windows
from recipe.labels import COUNT
from recipe.model import BETWEEN


def session(model: pathlib.Path | bytes) -> ort.InferenceSession:
    """A session on one thread, as the program runs it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Model:
    """A model bundle of this recipe: `model.onnx` and `model.toml`."""

    def __init__(self, folder: pathlib.Path):
        self.path = folder / "model.onnx"
        self.manifest = tomllib.loads((folder / "model.toml").read_text())
        self.offset_s = self.manifest["mel_offset_ms"] / 1000
        self.whole = session(self.path)
        graph = onnx.shape_inference.infer_shapes(onnx.load(self.path))
        if not any(value.name == BETWEEN for value in graph.graph.value_info):
            raise ValueError(f"{self.path} has no tensor {BETWEEN!r}: it wasn't exported by this recipe")
        extractor = onnx.utils.Extractor(graph)
        self._ear = session(extractor.extract_model(["mel"], [BETWEEN]).SerializeToString())
        self._painter = session(extractor.extract_model(["face", BETWEEN], ["out"]).SerializeToString())

    def windows(self, wave: np.ndarray) -> np.ndarray:
        """The windows of mel [frames, 1, 80, 16] of 16 kHz sound, one a picture at 25 fps."""
        return windows(wave, self.offset_s)

    def mouths(self, windows: np.ndarray) -> np.ndarray:
        """Mouth parameters [n, 7] of windows [n, 1, 80, 16]."""
        return self._ear.run(None, {"mel": windows.astype(np.float32)})[0]

    def paint(self, face: np.ndarray, mouth: np.ndarray) -> np.ndarray:
        """The square [256, 256, 3], 0-1, for one face tensor [6, 256, 256] and one mouth [7]."""
        inputs = {"face": face[None], BETWEEN: mouth.reshape(1, COUNT).astype(np.float32)}
        return self._painter.run(None, inputs)[0][0].transpose(1, 2, 0)

    def run(self, window: np.ndarray, face: np.ndarray) -> np.ndarray:
        """The square [256, 256, 3], 0-1, for one window [1, 80, 16] and one face tensor, by the whole graph."""
        return self.whole.run(None, {"mel": window[None].astype(np.float32), "face": face[None]})[0][0].transpose(1, 2, 0)


class Avatar:
    """An avatar bundle: one of its clips, whole."""

    def __init__(self, folder: pathlib.Path, clip: str = "idle"):
        manifest = tomllib.loads((folder / "avatar.toml").read_text())
        self.name = manifest["name"]
        chosen = manifest["clips"][clip]
        self.track = json.loads((folder / chosen["faces"]).read_text())
        video = cv2.VideoCapture(str(folder / chosen["video"]))
        self.frames = [video.read()[1] for _ in self.track]

    def __len__(self) -> int:
        return len(self.frames)

    def matrix(self, n: int) -> np.ndarray:
        """Where the model's square lies in frame `n` (see `geometry.box_matrix`)."""
        face = self.track[n % len(self)]
        return box_matrix(np.array(face["eyes"]), np.array(face["mouth"]))

    def face(self, n: int) -> np.ndarray:
        """The face tensor [6, 256, 256] of frame `n`."""
        return face_tensor(crop(self.frames[n % len(self)], self.matrix(n), SIDE))
