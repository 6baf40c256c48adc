"""Stand-ins for models that can't be shipped: the published architectures with few channels and
random weights, with the real shapes, names and orders of their tensors.

    .venv/bin/python tests/models/standins.py FOLDER

writes one of each family, and some that are broken. `reference.py` says what a program that runs
them should get.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Channels at full size; the published nets have 16 or 32.
FEW = 4


class Net:
    """An ONNX graph, a node at a time."""

    def __init__(self, seed, opset=17):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.shapes, self.opset = {}, opset

    def input(self, name, shape, kind=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value, name, shape):
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def add(self, kind, *values, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(values), names, **attributes))
        return names[0] if outputs == 1 else names

    def weight(self, array, kind=np.float32):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def numbers(self, *values):
        return self.weight(values, np.int64)

    def conv(self, x, c_in, c_out, kernel, stride=1, pad=0, groups=1, act="Relu"):
        """A convolution with what its batch norm folds into, in as many dimensions as `kernel` has."""
        kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        each = lambda n: list(n) if isinstance(n, tuple) else [n] * len(kernel)
        fan = c_in // groups * int(np.prod(kernel))
        w = self.weight(self.random.standard_normal((c_out, c_in // groups, *kernel)) * (1.6 / fan) ** 0.5)
        b = self.weight(self.random.standard_normal(c_out) * 0.1)
        pads = each(pad) * 2
        y = self.add("Conv", x, w, b, kernel_shape=list(kernel), strides=each(stride), pads=pads, group=groups)
        return self.add(act, y) if act else y

    def grow(self, x, c_in, c_out, kernel, stride, pad=0):
        fan = c_in * kernel * kernel / stride**2
        w = self.weight(self.random.standard_normal((c_in, c_out, kernel, kernel)) * (1.6 / fan) ** 0.5)
        y = self.add("ConvTranspose", x, w, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
                     output_padding=[stride - 1 if stride > 1 else 0] * 2)
        return self.add("Relu", y)

    def save(self, path, **more):
        graph = helper.make_graph(self.nodes, "standin", self.inputs, self.outputs, self.weights)
        # The format of the runtimes that people have, not of the newest.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path), **more)
        return path


# ---- Wav2Lip ----

NAMES = {  # as people export it
    96: ("mel_spectrogram", "video_frames", "predicted_frames"),
    128: ("mel", "face", "output"),
    192: ("audio", "x", "y"),
    288: ("source", "target", "out"),
    384: ("mel_spectrogram", "video_frames", "predicted_frames"),
}


def wav2lip(path, size, batch=1, seed=1, faithful=None, colour="bgr", kind=None, rank=None, open_size=False, end=None):
    """Prajwal et al., 2020: both encoders down to one pixel, and a decoder with the face's own
    layers beside its. With `faithful` ("masked-reference" or "reference-masked") the output keeps
    to the reference and drifts to skin, as a trained net's does."""
    net = Net(seed)
    mel_name, face_name, out_name = NAMES.get(size, NAMES[96])
    side = ["h", "w"] if open_size else [size, size]
    mel_kind = {"int64": TensorProto.INT64}.get(kind, TensorProto.FLOAT)
    mel = net.input(mel_name, [batch, 1, 80, 16], mel_kind)
    face_shape = [batch, 6, 5, *side] if rank == 5 else [batch, 6, *side]
    face = net.input(face_name, face_shape)
    if kind == "int64":
        mel = net.add("Cast", mel, to=TensorProto.FLOAT)
    whole = face
    if rank == 5:
        face = net.add("ReduceMean", face, axes=[2], keepdims=0)
    # Sound: 80x16 to 1x1.
    c = FEW
    x = net.conv(mel, 1, c, 3, 1, 1)
    x = net.conv(x, c, 2 * c, 3, (3, 1), 1)
    x = net.conv(x, 2 * c, 2 * c, 3, 3, 1)
    x = net.conv(x, 2 * c, 4 * c, 3, (3, 2), 1)
    x = net.conv(x, 4 * c, 4 * c, 3)
    # Face: seven by seven, then halves while it can be halved, then one pixel.
    y = net.conv(face, 6, c, 7, 1, 3)
    skips, left, channels = [(y, c)], size, c
    while left % 2 == 0 and left > 4:
        more = min(channels * 2, 4 * c)
        y = net.conv(y, channels, more, 3, 2, 1)
        left, channels = left // 2, more
        skips.append((y, channels))
    y = net.conv(y, channels, channels, left)
    # Both together, and up again.
    z = net.add("Concat", x, y, axis=1)
    z = net.grow(z, 4 * c + channels, channels, left, 1)
    for n, (skip, wide) in enumerate(reversed(skips)):
        z = net.add("Concat", z, skip, axis=1)
        narrow = skips[len(skips) - 2 - n][1] if n + 1 < len(skips) else c
        z = net.conv(z, channels + wide, narrow, 3, 1, 1)
        channels = narrow
        if n + 1 < len(skips):
            z = net.grow(z, channels, channels, 3, 2, 1)
    z = net.conv(z, channels, 3, 1, act="Sigmoid")
    if faithful:
        first = 3 if faithful == "masked-reference" else 0
        kept = net.add("Slice", face, net.numbers(first), net.numbers(first + 3), net.numbers(1))
        skin = np.array([0.45, 0.55, 0.75])[:: 1 if colour == "bgr" else -1].reshape(1, 3, 1, 1)
        share = lambda v, n: net.add("Mul", v, net.weight([n]))
        z = net.add("Add", share(z, 0.02), net.add("Add", share(kept, 0.78), net.weight(skin * 0.2)))
    if end == "nan":
        z = net.add("Log", net.add("Sub", z, net.weight([2.0])))
    if end == "later":  # all is well until it sees something bright
        brightest = net.add("ReduceMax", whole, keepdims=0)
        dark = net.add("Log", net.add("Sub", net.weight([0.5]), brightest))
        z = net.add("Add", z, net.add("Mul", dark, net.weight([0.0])))
    net.output(z, out_name, [batch, 3, *side])
    return net.save(path)


# ---- Ultralight-Digital-Human, FeatherTalk ----


def residual(net, x, c_in, c_out, stride, add):
    y = net.conv(x, c_in, 2 * c_in, 1)
    y = net.conv(y, 2 * c_in, 2 * c_in, 3, stride, 1, groups=2 * c_in)
    y = net.conv(y, 2 * c_in, c_out, 1, act=None)
    return net.add("Add", x, y) if add else y


def double(net, x, c_in, c_out, stride):
    return residual(net, residual(net, x, c_in, c_out, stride, False), c_out, c_out, 1, True)


def ultralight(path, heard, size=160, window=8, seed=2):
    """Its unet.py: inverted residuals down to a sixteenth, the sound's features beside them."""
    net = Net(seed, opset=17 if heard == "tokens" else 11)
    c = [FEW, 2 * FEW, 2 * FEW, 4 * FEW, 4 * FEW]
    face = net.input("input", [1, 6, size, size])
    if heard == "wenet":
        audio = net.input("audio", [1, 16 * window, 16, 32])
        a = net.conv(audio, 16 * window, c[2], 1)
        a = residual(net, a, c[2], c[2], 1, True)
        a = net.conv(a, c[2], c[3], 3, (1, 2), 1)
    elif heard == "hubert":
        audio = net.input("audio", [1, 2 * window, 32, 32])
        a = residual(net, audio, 2 * window, c[2], 1, False)
        a = net.conv(a, c[2], c[3], 3, 2, 1)
    else:
        audio = net.input("audio", [1, 2 * window, 1024])
        a = net.add("Reshape", audio, net.numbers(1, 2 * window, 32, 32))
        a = net.conv(a, 2 * window, c[3], 3, 2, 1)
    a = net.conv(a, c[3], c[4], 3, 2, 3)  # 16 to 10
    if size != 160:
        a = net.add("Resize", a, "", "", net.numbers(1, c[4], size // 16, size // 16), mode="nearest")
    downs = [residual(net, face, 6, c[0], 1, False)]
    for n in range(4):
        downs.append(double(net, downs[-1], c[n], c[n + 1], 2))
    z = net.add("Concat", downs[-1], a, axis=1)
    z = double(net, z, 2 * c[4], c[4], 1)
    channels = c[4]
    for n in (3, 2, 1, 0):
        roi = net.weight(np.zeros(0))
        z = net.add("Resize", z, roi, net.weight([1, 1, 2, 2]), mode="linear",
                    coordinate_transformation_mode="align_corners")
        z = net.add("Concat", z, downs[n], axis=1)
        z = double(net, z, channels + c[n], c[n], 1)
        channels = c[n]
    z = net.conv(z, channels, 3, 1, act="Sigmoid")
    net.output(z, "output", [1, 3, size, size])
    return net.save(path)


def hubert(path, names=("input_values", "last_hidden_state"), samples="samples", mask=False, seed=3):
    """HuBERT's convolutions (kernels 10 3 3 3 3 2 2, strides 5 2 2 2 2 2 2), one layer that looks
    at the steps around, and a projection to 1024."""
    net = Net(seed)
    x = net.input(names[0], [1, samples])
    hidden = net.input("attention_mask", [1, samples], TensorProto.INT64) if mask else None
    x = net.add("Unsqueeze", x, net.numbers(1))
    channels = 1
    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)):
        x = net.conv(x, channels, 2 * FEW, (kernel,), stride)
        channels = 2 * FEW
    x = net.conv(x, channels, channels, (5,), 1, 2, act="Tanh")
    x = net.conv(x, channels, 1024, (1,), act=None)
    x = net.add("Transpose", x, perm=[0, 2, 1])
    if mask:
        mean = net.add("ReduceMean", net.add("Cast", hidden, to=TensorProto.FLOAT), keepdims=0)
        x = net.add("Mul", x, mean)
    net.output(x, names[1], [1, "steps", 1024])
    return net.save(path)


def feather(path, seed=4):
    """FeatherHuBERT: the same steps with norms over the time between, and dilated blocks."""
    net = Net(seed)
    x = net.input("waveform", [1, "samples"])
    x = net.add("Unsqueeze", x, net.numbers(1))
    c = 2 * FEW
    channels = 1

    def norm(x):
        return net.add("InstanceNormalization", x, net.weight(np.ones(c)), net.weight(np.zeros(c)), epsilon=1e-5)

    def gelu(x):
        root = net.add("Erf", net.add("Mul", x, net.weight([0.5**0.5])))
        return net.add("Mul", net.add("Mul", x, net.weight([0.5])), net.add("Add", root, net.weight([1.0])))

    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)):
        x = gelu(norm(net.conv(x, channels, c, (kernel,), stride, act=None)))
        channels = c
    for dilation in (1, 2, 4, 8):
        y = net.conv(norm(x), c, 2 * c, (1,), act=None)
        w = net.weight(net.random.standard_normal((2 * c, 1, 5)) * 0.4)
        y = net.add("Conv", y, w, kernel_shape=[5], dilations=[dilation], pads=[2 * dilation] * 2, group=2 * c)
        x = net.add("Add", x, net.conv(gelu(y), 2 * c, c, (1,), act=None))
    x = net.conv(gelu(norm(x)), c, 1024, (1,), act=None)
    x = net.add("Transpose", x, perm=[0, 2, 1])
    net.output(x, "hidden", [1, "tokens", 1024])
    return net.save(path)


def wenet(path, seed=5):
    """WeNet's encoder as Ultralight-Digital-Human runs it: 67 columns to 16 steps, the offset and
    the caches given and given back."""
    net = Net(seed, opset=14)
    chunk = net.input("chunk", [1, 1, 67, 80])
    offset = net.input("offset", [1], TensorProto.INT64)
    attention = net.input("att_cache", [3, 8, 16, 128])
    convolution = net.input("cnn_cache", [3, 1, 512, 14])
    x = net.add("Mul", chunk, net.weight([0.1]))
    x = net.conv(x, 1, FEW, 3, 2)  # 33x39
    x = net.conv(x, FEW, FEW, 3, 2)  # 16x19
    x = net.add("Transpose", x, perm=[0, 2, 1, 3])
    x = net.add("Reshape", x, net.numbers(1, 16, FEW * 19))
    x = net.add("MatMul", x, net.weight(net.random.standard_normal((FEW * 19, 512)) * 0.1))
    # Whoever gives another offset, or caches that aren't empty, gets something else.
    place = net.add("Mul", net.add("Cast", offset, to=TensorProto.FLOAT), net.weight([0.01]))
    before = [net.add("ReduceMean", cache, keepdims=0) for cache in (attention, convolution)]
    x = net.add("Tanh", net.add("Add", x, net.add("Add", place, net.add("Add", *before))))
    net.output(x, "output", [1, 16, 512])
    net.output(net.add("Mul", attention, net.weight([0.5])), "r_att_cache", [3, 8, 16, 128])
    net.output(net.add("Mul", convolution, net.weight([0.5])), "r_cnn_cache", [3, 1, 512, 14])
    return net.save(path)


# ---- what is broken ----


def broken(folder):
    whole = wav2lip(folder / "whole.onnx", 96)
    (folder / "truncated.onnx").write_bytes(whole.read_bytes()[:-1000])
    (folder / "text.onnx").write_text("This is a letter and no network.\n" * 20)
    model = onnx.load(str(whole))
    onnx.save(model, str(folder / "outside.onnx"), save_as_external_data=True, location="outside.bin", size_threshold=64)
    model = onnx.load(str(whole))
    onnx.save(model, str(folder / "no-weights.onnx"), save_as_external_data=True, location="gone.bin", size_threshold=64)
    (folder / "gone.bin").unlink()
    model = onnx.load(str(whole))
    onnx.save(model, str(folder / "short-weights.onnx"), save_as_external_data=True, location="short.bin", size_threshold=64)
    (folder / "short.bin").write_bytes((folder / "short.bin").read_bytes()[:1000])
    wav2lip(folder / "int64.onnx", 96, kind="int64")
    wav2lip(folder / "ranks.onnx", 96, rank=5)
    wav2lip(folder / "batch.onnx", 96, batch=16)
    wav2lip(folder / "open.onnx", 96, open_size=True)
    wav2lip(folder / "nan.onnx", 96, end="nan")
    wav2lip(folder / "fails-later.onnx", 96, end="later")
    other = Net(9)
    other.output(other.add("Relu", other.input("x", [1, 3])), "y", [1, 3])
    other.save(folder / "other.onnx")


def all_of_them(folder):
    for size in NAMES:
        wav2lip(folder / f"wav2lip-{size}.onnx", size, batch="n" if size in (128, 288) else 1)
    for order in ("masked-reference", "reference-masked"):
        wav2lip(folder / f"faithful-{order}.onnx", 96, faithful=order)
    wav2lip(folder / "faithful-rgb.onnx", 96, faithful="masked-reference", colour="rgb")
    ultralight(folder / "ultralight-hubert.onnx", "hubert")
    ultralight(folder / "ultralight-wenet.onnx", "wenet")
    ultralight(folder / "feathertalk-144.onnx", "tokens", size=144, window=20)
    hubert(folder / "hubert.onnx")
    hubert(folder / "hubert-mask.onnx", mask=True)
    hubert(folder / "hubert-16000.onnx", names=("input", "output"), samples=16_000)
    feather(folder / "feather.onnx")
    wenet(folder / "wenet.onnx")
    broken(folder)


if __name__ == "__main__":
    to = Path(sys.argv[1])
    to.mkdir(parents=True, exist_ok=True)
    all_of_them(to)
