"""Quantises the starter model to int8: static, per channel, convolutions of the decoder only.

    python -m venv .studio && .studio/bin/pip install -r assets/studio/requirements.txt
    .studio/bin/python assets/studio/quantise.py FLOAT.onnx assets/models/ava-192/model.onnx

The network that hears (a small one, whose errors would be heard as wrong mouths) stays in 32-bit floats, and so do
the decoder's first and last convolution, which see and paint the picture itself. Activations are calibrated on the
avatar's own frames and the welcome speech. Prints how far the pictures are from the float model's, and the CPU of a run.
"""

import json
import pathlib
import sys
import tempfile
import time

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import soundfile
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

ASSETS = pathlib.Path(__file__).resolve().parents[1]
SIDE, BOX, MOUTH = 192, 2.93, (0.5, 0.589)  # model.toml: [box]
ROWS, COLUMNS = slice(66, 186), slice(40, 152)  # model.toml: [edit]
OFFSET_S = -0.03375  # model.toml: mel_offset_ms
CALIBRATION, TEST = 120, 70


def mel(wave):
    """The Wav2Lip mel of 16 kHz sound, [steps, 80] (see src/stage/mel)."""
    n_fft, hop, bands = 800, 200, 80
    wave = np.append(wave[0], wave[1:] - 0.97 * wave[:-1])
    wave = np.pad(wave, n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(wave, n_fft)[::hop] * np.hanning(n_fft + 1)[:-1]
    to_mel = lambda f: np.where(f < 1000, f * 3 / 200, 15 + np.log(np.maximum(f, 1e-9) / 1000) * 27 / np.log(6.4))
    to_hz = lambda m: np.where(m < 15, m * 200 / 3, 1000 * np.exp((m - 15) * np.log(6.4) / 27))
    edges = to_hz(np.linspace(to_mel(np.float64(55)), to_mel(np.float64(7600)), bands + 2))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = np.linspace(0, 8000, n_fft // 2 + 1)
    triangles = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    bank = np.maximum(0, triangles) * 2 / (high - low)
    decibels = 20 * np.log10(np.maximum(1e-5, np.abs(np.fft.rfft(frames)) @ bank.T)) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4).astype(np.float32)


class Examples(CalibrationDataReader):
    """What the model sees and hears: frames of the idle clip, words of the welcome speech."""

    def __init__(self):
        avatar = ASSETS / "avatars/ava"
        self.faces = json.loads((avatar / "idle.faces.json").read_text())
        clip = cv2.VideoCapture(str(avatar / "idle.mp4"))
        self.frames = [clip.read()[1] for _ in self.faces]
        wave, rate = soundfile.read(ASSETS / "speech/welcome.flac", dtype="float32")
        smooth = np.convolve(wave, np.ones(rate // 16_000) / (rate // 16_000), "same")
        self.mel = np.pad(mel(smooth[:: rate // 16_000]), ((16, 40), (0, 0)), constant_values=-4)
        self.seconds = len(wave) / rate
        self.left = iter(self.some(CALIBRATION, 0))

    def get_next(self):
        return next(self.left, None)

    def some(self, count, start):
        """`count` examples, spread over speech and clip."""
        last = int(self.seconds * 25) - 8
        return [self.example((start + n * 7) % last, (start + n * 11) % len(self.frames)) for n in range(count)]

    def example(self, moment, frame):
        eyes, mouth = (np.array(self.faces[frame][key]) for key in ("eyes", "mouth"))
        side = BOX * np.hypot(*(mouth - eyes))
        k, corner = side / SIDE, mouth - side * np.array(MOUTH)
        place = np.array([[k, 0, corner[0]], [0, k, corner[1]]])
        face = cv2.warpAffine(self.frames[frame], place, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        face = face.astype(np.float32).transpose(2, 0, 1)[None] / 255
        masked = face.copy()
        masked[:, :, SIDE // 2 :] = 0
        step = int(np.floor(80 * (moment / 25 + OFFSET_S))) + 16
        return {"mel": self.mel[step : step + 16].T[None, None], "face": np.concatenate([masked, face], 1)}


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def milliseconds(model, examples):
    """CPU of a run, the best of three times all examples."""
    times = []
    for _ in range(3):
        start = time.process_time()
        for example in examples:
            model.run(None, example)
        times.append((time.process_time() - start) * 1e3 / len(examples))
    return min(times)


def main(source, target):
    examples = Examples()
    with tempfile.TemporaryDirectory() as folder:
        prepared = f"{folder}/prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        decoder = [name for name in convolutions if name.startswith("/d/")]
        quantize_static(
            prepared,
            target,
            examples,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[name for name in convolutions if name not in decoder[1:-1]],
            calibrate_method=CalibrationMethod.MinMax,
        )
    tests = examples.some(TEST, 3)
    full, small = session(source), session(target)
    errors = [
        np.mean(((small.run(None, t)[0] - full.run(None, t)[0])[0, :, ROWS, COLUMNS] * 255) ** 2) for t in tests
    ]
    psnr = lambda error: 10 * np.log10(255**2 / error)
    print(f"PSNR of the mouth slice against the float model: mean {psnr(np.mean(errors)):.1f} dB, worst {psnr(max(errors)):.1f} dB")
    print(f"CPU of a run, one thread: float {milliseconds(full, tests):.2f} ms, int8 {milliseconds(small, tests):.2f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
