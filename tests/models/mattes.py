"""Stand-ins for matting networks, whose weights can't be shipped: the published tensors and ranges,
and a matte that is known, since it is 1 wherever a pixel isn't green.

    .venv/bin/python tests/models/mattes.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto

from standins import Net

#: What a pixel of 0 to 1 becomes before each network: its mean and its spread.
MODNET, U2NET, ISNET, RVM = (0.5, 0.5), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), (0.5, 1.0), (0.0, 1.0)
#: Logits by red, green and blue, and what is added: of what isn't green, and of nothing.
NOT_GREEN, NOTHING = ([40.0, -40.0, 0.0], 8.0), ([0.0, 0.0, 0.0], -20.0)


def logit(net, picture, mean, spread, of=NOT_GREEN):
    mean, spread = np.broadcast_to(mean, 3), np.broadcast_to(spread, 3)
    by, more = np.array(of[0]), of[1]
    weights = net.weight((by * spread).reshape(1, 3, 1, 1))
    return net.add("Conv", picture, weights, net.weight([more + float(by @ mean)]), kernel_shape=[1, 1])


def single(path, sides, shape, outputs=1, end="Sigmoid", kind=TensorProto.FLOAT, rank=4, of=NOT_GREEN):
    net = Net(1)
    picture = net.input("input", ["n", 3, *sides], kind)
    value = net.add("Cast", picture, to=TensorProto.FLOAT) if kind != TensorProto.FLOAT else picture
    value = logit(net, value, *shape, of=of)
    value = net.add(end, value) if end else value
    if rank == 2:
        value = net.add("GlobalAveragePool", value)
        value = net.add("Flatten", value)
    for n in range(outputs):
        net.output(value, f"d{n}", ["n", 1, *sides][:rank])
    return net.save(path)


def rvm(path):
    net = Net(1)
    src = net.input("src", ["n", 3, "h", "w"])
    states = [net.input(f"r{n}i", ["n", f"c{n}", f"h{n}", f"w{n}"]) for n in range(1, 5)]
    ratio = net.input("downsample_ratio", [1])
    pha = net.add("Sigmoid", logit(net, src, *RVM))
    # From the second picture on the first state is 1: red stays, green and blue go.
    seen = net.add("Clip", net.add("ReduceMax", states[0], keepdims=1), net.weight(0.0), net.weight(1.0))
    red = net.weight(np.array([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1))
    old = net.add("Mul", src, net.add("Sub", net.weight(1.0), seen))
    fgr = net.add("Add", old, net.add("Mul", red, seen))
    # A ratio above 1 or none would show.
    pha = net.add("Mul", pha, net.add("Ceil", net.add("Clip", ratio, net.weight(0.0), net.weight(1.0))))
    net.output(fgr, "fgr", ["n", 3, "h", "w"])
    net.output(pha, "pha", ["n", 1, "h", "w"])
    for n, state in enumerate(states, 1):
        net.output(net.add("Add", state, net.weight(1.0)), f"r{n}o", ["n", f"c{n}", f"h{n}", f"w{n}"])
    return net.save(path)


def write(folder):
    """All of them, and some that are none: the folder."""
    folder = Path(folder)
    single(folder / "modnet.onnx", ["h", "w"], MODNET)
    single(folder / "u2net.onnx", [320, 320], U2NET, outputs=7)
    single(folder / "isnet.onnx", [1024, 1024], ISNET)
    rvm(folder / "rvm.onnx")
    single(folder / "rank.onnx", ["h", "w"], MODNET, rank=2)
    single(folder / "int64.onnx", ["h", "w"], MODNET, kind=TensorProto.INT64)
    single(folder / "nan.onnx", ["h", "w"], MODNET, end="Log")
    single(folder / "logits.onnx", ["h", "w"], MODNET, end=None)
    single(folder / "nobody.onnx", ["h", "w"], MODNET, of=NOTHING)
    (folder / "letter.onnx").write_text("this is no network")
    return folder


if __name__ == "__main__":
    write(sys.argv[1])
