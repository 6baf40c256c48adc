"""The product's network: the ear and the decoder as one graph with the Wav2Lip contract.

mel [n, 1, 80, 16] and face [n, 6, 256, 256] to out [n, 3, 256, 256]; see `geometry.py` for what lies where.
"""

import pathlib
import tempfile
from dataclasses import replace

import numpy as np
import onnx
import torch
from onnx.numpy_helper import from_array, to_array
from torch import nn

from recipe.audio_net import AudioNet
from recipe.decoder_net import MOVED, Decoder
from recipe.geometry import COLUMNS, ROWS, SIDE
from recipe.labels import COUNT

OPSET = 17
# What the decoder moves, in the square.
WHERE = replace(MOVED, top=ROWS[0] + MOVED.top, left=COLUMNS[0] + MOVED.left)
LAST = 2**31 - 1  # A cut to the end, wherever that is.
# The tensor between the ear and the decoder, by which `evaluate` looks at each alone.
BETWEEN = "mouth"


class Painter(nn.Module):
    """Face [n, 6, 256, 256] and mouth parameters [n, 7] to the picture [n, 3, 256, 256]: the slice edited, the rest as
    the reference has it, to the last bit."""

    def __init__(self, decoder: Decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, face: torch.Tensor, mouth: torch.Tensor) -> torch.Tensor:
        reference = face[:, 3:6]
        return WHERE.on(reference, self.decoder.edited(reference[:, :, slice(*ROWS), slice(*COLUMNS)], mouth))


def export(ear: AudioNet, decoder: Decoder, path: pathlib.Path) -> None:
    """Writes both as one ONNX file, checked, whose inputs are `mel` and `face` and whose output is `out`."""
    with tempfile.TemporaryDirectory() as folder:
        halves = [pathlib.Path(folder) / name for name in ("ear.onnx", "painter.onnx")]
        _export_half(ear, (torch.rand(2, 1, 80, 16),), halves[0], ["mel"], [BETWEEN])
        inputs = (torch.rand(2, 6, SIDE, SIDE), torch.rand(2, COUNT))
        _export_half(Painter(decoder), inputs, halves[1], ["face", BETWEEN], ["out"])
        first, second = (onnx.load(half) for half in halves)
    # Names of the halves' own tensors may be the same: a prefix tells them apart.
    for half, prefix in ((first, "ear/"), (second, "painter/")):
        _prefix(half.graph, prefix, {"mel", "face", BETWEEN, "out"})
    whole = onnx.compose.merge_models(first, second, io_map=[(BETWEEN, BETWEEN)])
    _cut_once(whole.graph)
    del whole.opset_import[1:]  # Both halves brought the same.
    whole.producer_name, whole.producer_version, whole.doc_string = "mouthpiece-studio", "", ""
    onnx.checker.check_model(whole)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(whole, path)


def _export_half(net: nn.Module, inputs: tuple, path: pathlib.Path, names: list[str], outputs: list[str]) -> None:
    axes = {name: {0: "n"} for name in (*names, *outputs)}
    net.eval()
    torch.onnx.export(
        net, inputs, path, input_names=names, output_names=outputs, dynamic_axes=axes, opset_version=OPSET, dynamo=False
    )


def _cut_once(graph: onnx.GraphProto) -> None:
    """Cuts of cuts become cuts of the whole: PyTorch writes one for each axis, and ONNX Runtime copies at each."""
    constants = {node.output[0]: to_array(node.attribute[0].t) for node in graph.node if node.op_type == "Constant"}
    cuts = {}  # By output: what it is cut from, and by axis from where to where.
    for node in graph.node:
        if node.op_type != "Slice" or not constants.keys() >= {*node.input[1:]}:
            continue
        starts, ends, axes = (constants[name].tolist() for name in node.input[1:4])
        if min(starts + ends) < 0:
            continue  # Counted from an end that isn't known here.
        whole, cut = cuts.get(node.input[0], (node.input[0], {}))
        cut = dict(cut)
        for axis, start, end in zip(axes, starts, ends):
            first, last = cut.get(axis, (0, LAST))
            cut[axis] = (first + start, min(first + end, last))
        cuts[node.output[0]] = whole, cut
    alive = {one.name for one in graph.output}
    for node in reversed(graph.node):
        if not alive.intersection(node.output):
            graph.node.remove(node)
            continue
        if node.output[0] in cuts:
            whole, cut = cuts[node.output[0]]
            axes = sorted(cut)
            values = {"starts": [cut[axis][0] for axis in axes], "ends": [cut[axis][1] for axis in axes], "axes": axes}
            graph.initializer.extend(from_array(np.array(of, np.int64), f"{node.name}/{name}") for name, of in values.items())
            node.input[:] = [whole, *(f"{node.name}/{name}" for name in values)]
        alive.update(node.input)


def _prefix(graph: onnx.GraphProto, prefix: str, kept: set[str]) -> None:
    """Puts `prefix` before the names of all nodes and of all tensors but those that are kept."""
    named = lambda name: name if name == "" or name in kept else prefix + name
    for node in graph.node:
        node.name = prefix + node.name
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
    for value in (*graph.initializer, *graph.value_info):
        value.name = named(value.name)
