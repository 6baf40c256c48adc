"""What a program that runs the stand-ins should get: each family's pre- and post-processing once
more, in numpy, without a look at the program's.

    .venv/bin/python tests/models/reference.py FOLDER

writes the stand-ins to FOLDER/onnx, and to FOLDER/cases a folder a case: a bundle, and for some
frames the face that its network sees (`seen-N.f32`), what it gives (`out-N.f32`) and the picture
with the mouth (`drawn-N.i420`). The sound and the picture are the same for all.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import standins

RATE, CHUNK = 16_000, 640
#: So near that the others' code averages pixels, of the brightness and of the colours.
WIDTH, HEIGHT = 480, 432
EYES, MOUTH = np.array([238.3, 100.4]), np.array([243.9, 272.2])
#: The mouth begins to move with frame START; what comes before it is not made up for.
START = 13
FRAMES = (13, 15, 22)


def sound():
    """Three seconds: noise that swells, tones, and a pause."""
    noise = np.random.default_rng(11)
    t = np.arange(3 * RATE) / RATE
    wave = 0.3 * np.sin(2 * np.pi * (200 + 600 * t) * t) * np.sin(7 * t) ** 2
    wave += 0.1 * noise.standard_normal(t.size) * (0.2 + np.sin(3 * t) ** 2)
    wave[(t > 0.9) & (t < 0.96)] = 0
    return wave.clip(-1, 1).astype(np.float32)


def picture():
    """A smooth coloured I420 picture with some texture: Y, U and V."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    luma = 110 + 50 * np.sin(x / 23) * np.cos(y / 31) + 20 * np.sin(x * y / 900)
    half_y, half_x = np.mgrid[0 : HEIGHT // 2, 0 : WIDTH // 2]
    return [luma.astype(np.uint8), (115 + 10 * np.sin(half_x / 17)).astype(np.uint8), (145 + 10 * np.cos(half_y / 13)).astype(np.uint8)]


class Conv(OpRun):
    """A convolution as the package's own, in a tenth of the time."""

    op_domain = ""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=1, kernel_shape=None, pads=None, strides=None):
        nd = w.ndim - 2
        strides, dilations, pads = strides or [1] * nd, dilations or [1] * nd, pads or [0] * 2 * nd
        x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:nd], pads[nd:])])
        reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations)]
        views = sliding_window_view(x, reach, axis=tuple(range(2, 2 + nd)))
        views = views[(slice(None),) * 2 + tuple(slice(None, None, s) for s in strides) + tuple(slice(None, None, d) for d in dilations)]
        each = []
        for views, weights in zip(np.split(views, group or 1, axis=1), np.split(w, group or 1)):
            axes = [1, *range(2 + nd, 2 + 2 * nd)]
            each.append(np.moveaxis(np.tensordot(views, weights, axes=(axes, range(1, 2 + nd))), -1, 1))
        y = np.concatenate(each, axis=1)
        return ((y if b is None else y + b.reshape(1, -1, *[1] * nd)).astype(x.dtype),)


class ConvTranspose(OpRun):
    """Likewise: zeros between the pixels, and a convolution with the kernel turned round."""

    op_domain = ""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=1, kernel_shape=None, output_padding=None,
             output_shape=None, pads=None, strides=None):
        n, c, high, wide = x.shape
        spread = np.zeros((n, c, (high - 1) * strides[0] + 1, (wide - 1) * strides[1] + 1), x.dtype)
        spread[:, :, :: strides[0], :: strides[1]] = x
        around = [(k - 1 - p, k - 1 - p + more) for k, p, more in zip(w.shape[2:], pads, output_padding)]
        spread = np.pad(spread, [(0, 0), (0, 0), *around])
        views = sliding_window_view(spread, w.shape[2:], axis=(2, 3))
        y = np.tensordot(views, w[:, :, ::-1, ::-1], axes=([1, 4, 5], [0, 2, 3]))
        return (np.moveaxis(y, -1, 1).astype(x.dtype),)


def load(path):
    return ReferenceEvaluator(str(path), new_ops=[Conv, ConvTranspose])


# ---- what is seen ----


def place(plane, size, box):
    """A pixel of the plane is `scale` times a pixel of the model plus `origin`."""
    side = box["side"] * np.hypot(*(MOUTH - EYES))
    scale, origin = side / size, MOUTH - side * np.array(box["mouth"])
    # Samples of colour lie between four pixels.
    return (scale, origin) if plane == 0 else (scale / 2, (origin - 0.5) / 2)


def between(count, at, taps):
    """A matrix that takes a line of `count` pixels to the places `at`; beyond the ends they repeat."""
    matrix = np.zeros((len(at), count))
    for row, x in enumerate(at):
        left = int(np.floor(x))
        t = x - left
        if taps == 2:
            weights = {0: 1 - t, 1: t}
        else:  # Catmull and Rom
            weights = {
                -1: -0.5 * t + t**2 - 0.5 * t**3, 0: 1 - 2.5 * t**2 + 1.5 * t**3,
                1: 0.5 * t + 2 * t**2 - 1.5 * t**3, 2: -0.5 * t**2 + 0.5 * t**3,
            }
        for n, weight in weights.items():
            matrix[row, min(max(left + n, 0), count - 1)] += weight
    return matrix


def means(count, at, step):
    """A matrix that takes a line to the mean of the `step` pixels around each place."""
    matrix = np.zeros((len(at), count))
    for row, x in enumerate(at):
        low, high = x - step / 2, x + step / 2
        pixels = np.arange(int(np.floor(low)) - 1, int(np.ceil(high)) + 2)
        shares = (np.minimum(high, pixels + 0.5) - np.maximum(low, pixels - 0.5)).clip(0) / step
        np.add.at(matrix[row], pixels.clip(0, count - 1), shares)
    return matrix


def crop(planes, size, box, family):
    """The face as blue, green and red, 0 to 1. Wav2Lip's code takes pixels (OpenCV's INTER_LINEAR),
    the others' the mean of those that become one (INTER_AREA)."""
    yuv = []
    for n, plane in enumerate(planes):
        scale, (x, y) = place(n, size, box)
        at = [(plane.shape[n], np.arange(size) * scale + o) for n, o in ((0, y), (1, x))]
        if family == "wav2lip" or scale < 1:
            rows, columns = (between(count, places, 2) for count, places in at)
        else:
            rows, columns = (means(count, places, scale) for count, places in at)
        yuv.append(rows @ plane.astype(np.float64) @ columns.T)
    y, u, v = yuv[0] - 16, yuv[1] - 128, yuv[2] - 128
    blue, green, red = 1.164383 * y + 2.017232 * u, 1.164383 * y - 0.391762 * u - 0.812968 * v, 1.164383 * y + 1.596027 * v
    return (np.stack([blue, green, red]) / 255).clip(0, 1)


def seen(face, family, colour="bgr"):
    """Both pictures as the family stacks them."""
    face = face if colour == "bgr" else face[::-1]
    size, masked = face.shape[1], face.copy()
    if family == "wav2lip":
        masked[:, size // 2 :] = 0
        return np.concatenate([masked, face])
    # cv2.rectangle(picture, (5, 5, 150, 145), black, filled) at 160 pixels
    x, y, w, h = (int(n * size / 160 + 0.5) for n in (5, 5, 150, 145))
    masked[:, y : y + h, x : x + w] = 0
    return np.concatenate([face, masked])


# ---- what is heard ----


def mel_window(wave, frame):
    """Wav2Lip's mel, 16 columns from int(3.2 frame) on."""
    n_fft, hop = 800, 200
    emphasised = np.append(wave[0], wave[1:] - 0.97 * wave[:-1]).astype(np.float64)
    padded = np.pad(emphasised, n_fft // 2, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    first = frame * 16 // 5
    spectra = [np.abs(np.fft.rfft(padded[k * hop : k * hop + n_fft] * hann)) for k in range(first, first + 16)]
    to_mel = lambda hz: hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)
    to_hz = lambda mel: mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)
    edges = [to_hz(m) for m in np.linspace(to_mel(55), to_mel(7600), 82)]
    bins = np.arange(n_fft // 2 + 1) * RATE / n_fft
    bank = np.array([
        np.maximum(0, np.minimum((bins - l) / (c - l), (r - bins) / (r - c))) * 2 / (r - l)
        for l, c, r in zip(edges, edges[1:], edges[2:])
    ])
    level = 20 * np.log10(np.maximum(1e-5, bank @ np.array(spectra).T)) - 20
    return (8 * (level + 100) / 100 - 4).clip(-4, 4)[None, None]


def fbank(wave):
    """torchaudio.compliance.kaldi.fbank with 80 bands of 16-bit samples, as inference.py calls it:
    320 ms of silence before and 350 ms after."""
    samples = (wave.astype(np.float32) * 32767).astype(np.int16).astype(np.float64)
    samples = np.concatenate([np.zeros(32 * 160), samples, np.zeros(35 * 160)])
    count = 1 + (len(samples) - 400) // 160
    frames = np.stack([samples[n * 160 : n * 160 + 400] for n in range(count)])
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    povey = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft((frames - 0.97 * before) * povey, 512)) ** 2
    mel = lambda hz: 1127 * np.log(1 + np.asarray(hz) / 700)
    low, high = mel(20), mel(8000)
    step = (high - low) / 81
    bins = mel(np.arange(256) * RATE / 512)
    bank = np.stack([
        np.maximum(0, np.minimum((bins - low - n * step) / step, (low + (n + 2) * step - bins) / step)) for n in range(80)
    ])
    return np.log(np.maximum(np.finfo(np.float32).eps, power[:, :256] @ bank.T))


def hubert_features(net, wave, frame, left, right, frames):
    """The two steps of `frame`, from a run over the sound of its `frames` frames and what is around."""
    first = frame - frame % frames
    start, end = first * CHUNK - left, (first + frames) * CHUNK + 80 + right
    around = np.concatenate([np.zeros(max(0, -start), np.float32), wave[max(0, start) : end]]).astype(np.float64)
    around = (around - around.mean()) / np.sqrt(around.var() + 1e-7)
    feeds = {net.input_names[0]: around[None].astype(np.float32)}
    if len(net.input_names) > 1:
        feeds[net.input_names[1]] = np.ones((1, around.size), np.int64)
    steps = net.run(None, feeds)[0][0]
    assert len(steps) == (around.size - 80) // 320
    at = left // 320 + 2 * (frame - first)
    return steps[at : at + 2]


def wenet_features(net, columns, step):
    """A window of 67 columns, as inference.py runs the encoder: offset 100, empty caches."""
    feeds = {
        "chunk": columns[None, None, 5 * step : 5 * step + 67].astype(np.float32),
        "offset": np.array([100], np.int64),
        "att_cache": np.zeros((3, 8, 16, 128), np.float32),
        "cnn_cache": np.zeros((3, 1, 512, 14), np.float32),
    }
    return net.run(None, feeds)[0][0]


def window(features, start, unit, half):
    """get_audio_features(): half before, half from here on, and zeros for what there isn't."""
    each = [features(n) if n >= start else None for n in range(unit - half, unit + half)]
    shape = next(e for e in each if e is not None)
    return np.stack([np.zeros_like(shape) if e is None else e for e in each])


# ---- what is drawn ----


def drawn(planes, face, out, box, edit):
    """The output in the face's tone, feathered into the picture."""
    size = out.shape[1]
    to_yuv = lambda bgr: np.tensordot(
        np.array([[24.966, 128.553, 65.481], [112.0, -74.203, -37.797], [-18.214, -93.786, 112.0]]), bgr, 1
    )
    left, right, top, bottom, fade = edit
    ramp = lambda a, b: np.minimum(np.minimum(np.arange(b - a), np.arange(b - a)[::-1]) / fade, 1)
    share = np.outer(ramp(top, bottom), ramp(left, right))
    share = share**2 * (3 - 2 * share)
    border = (share > 0.02) & (share < 0.6)
    inside = to_yuv(out)[:, top:bottom, left:right]
    tone = (to_yuv(face)[:, top:bottom, left:right] - inside)[:, border].mean(axis=1)
    result = []
    for n, plane in enumerate(planes):
        scale, (x, y) = place(n, size, box)
        high, wide = plane.shape
        columns = np.arange(max(0, int(np.floor(left * scale + x))), min(wide, int(np.ceil(right * scale + x))))
        rows = np.arange(max(0, int(np.floor(top * scale + y))), min(high, int(np.ceil(bottom * scale + y))))
        a = between(bottom - top, (rows - y) / scale - top, 4)
        b = between(right - left, (columns - x) / scale - left, 4)
        painted = inside[n] + tone[n] + (16, 128, 128)[n]
        new, weight = a @ painted @ b.T, (a @ share @ b.T).clip(0, 1)
        after = plane.copy()
        old = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64)
        after[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = (old + (new - old) * weight + 0.5).clip(0, 255)
        result.append(after)
    assert size == out.shape[2]
    return result


# ---- the cases ----

WAV2LIP = ("wav2lip", {"side": 2.6, "mouth": [0.5, 0.72]})
ULTRALIGHT_BOX = {"side": 2 * 160 / 168, "mouth": [0.5, 0.5]}


def case(folder, name, family, box, face, audio=None, look_ahead=213, colour="bgr", **front):
    to = folder / "cases" / name
    to.mkdir(parents=True, exist_ok=True)
    onnx = folder / "onnx"
    shutil.copy(onnx / face, to / "model.onnx")
    lines = [f'name = "{name}"', f'family = "{family}"', f"look_ahead_ms = {look_ahead}", f'colour = "{colour}"']
    settings = {"window": 8, "left_ms": 400, "right_ms": 160, "frames": 1, **front}
    if audio:
        shutil.copy(onnx / audio, to / "audio.onnx")
        lines += ["[audio]"] + [f"{key} = {value}" for key, value in settings.items()]
    (to / "model.toml").write_text("\n".join(lines) + "\n")

    net = load(to / "model.onnx")
    encoder = load(to / "audio.onnx") if audio else None
    # The tensors' places by their ranks, as exporters put them.
    first, second = net.input_names
    wave, planes = sound(), picture()
    known, half, columns = {}, settings["window"] // 2, fbank(wave)
    left, right, frames = settings["left_ms"] * 16, settings["right_ms"] * 16, settings["frames"]

    def features(unit):
        if unit not in known:
            known[unit] = (
                wenet_features(encoder, columns, unit) if family.endswith("wenet")
                else hubert_features(encoder, wave, unit, left, right, frames)
            )
        return known[unit]

    for frame in FRAMES:
        of_audio = next(i for i in net.proto_.graph.input if i.name == (first if family == "wav2lip" else second))
        shape = [d.dim_value or 1 for d in of_audio.type.tensor_type.shape.dim]
        size = net.proto_.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
        face_bgr = crop(planes, size, box, family)
        sees = seen(face_bgr, family, colour)[None].astype(np.float32)
        if family == "wav2lip":
            hears = mel_window(wave, frame)
        else:
            of = lambda frame: frame * 4 // 5 if family.endswith("wenet") else frame
            start = of(START) if family.endswith("wenet") else START - START % frames
            hears = window(features, start, of(frame), half)
        hears = hears.reshape(shape).astype(np.float32)
        feeds = {first: hears, second: sees} if family == "wav2lip" else {first: sees, second: hears}
        out = net.run(None, feeds)[0][0].astype(np.float64)
        sees.tofile(to / f"seen-{frame}.f32")
        out.astype("<f4").tofile(to / f"out-{frame}.f32")
        bgr = out if colour == "bgr" else out[::-1]
        edit = (
            (size // 10, size - size // 10, size // 2, size, size // 10) if family == "wav2lip"
            else (size // 32, size - size // 32, size // 4, size - size // 32, size // 10)
        )
        after = drawn(planes, face_bgr, bgr, box, edit)
        (to / f"drawn-{frame}.i420").write_bytes(b"".join(plane.tobytes() for plane in after))


def all_cases(folder):
    standins.all_of_them(folder / "onnx")
    sound().tofile(folder / "sound.f32")
    (folder / "picture.i420").write_bytes(b"".join(plane.tobytes() for plane in picture()))
    for size in standins.NAMES:
        case(folder, f"wav2lip-{size}", *WAV2LIP, f"wav2lip-{size}.onnx")
    case(folder, "wav2lip-rgb", *WAV2LIP, "wav2lip-96.onnx", colour="rgb")
    hubert = ("ultralight-hubert", ULTRALIGHT_BOX, "ultralight-hubert.onnx")
    case(folder, "ultralight-hubert", *hubert, "hubert.onnx", look_ahead=325)
    case(folder, "hubert-mask", *hubert, "hubert-mask.onnx", look_ahead=325)
    case(folder, "hubert-three", *hubert, "hubert.onnx", look_ahead=285, left_ms=200, right_ms=40, frames=3)
    case(folder, "hubert-16000", *hubert, "hubert-16000.onnx", look_ahead=340, left_ms=780, right_ms=175)
    case(folder, "feathertalk", "feathertalk", ULTRALIGHT_BOX, "ultralight-hubert.onnx", "feather.onnx", look_ahead=325)
    case(folder, "feathertalk-144", "feathertalk", ULTRALIGHT_BOX, "feathertalk-144.onnx", "feather.onnx", look_ahead=565, window=20)
    case(folder, "ultralight-wenet", "ultralight-wenet", ULTRALIGHT_BOX, "ultralight-wenet.onnx", "wenet.onnx", look_ahead=515)


if __name__ == "__main__":
    to = Path(sys.argv[1])
    (to / "onnx").mkdir(parents=True, exist_ok=True)
    all_cases(to)
