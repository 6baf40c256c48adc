"""What the decoder is taught by: the picture, the motion, and where there is nothing to move."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipe import decoder_data
from recipe.decoder_data import CropSet, Pair
from recipe.decoder_net import HEIGHT, MOUTH, MOVED, PAINTED, WIDTH, Decoder, terms


@dataclass
class Batch:
    """Pairs as tensors [n,c,h,w]; `edge` is 1 in and around the open mouth,
    which is what people look at; `neutral` [n] is 1 where the reference's mouth is shut."""

    reference: Tensor
    target: Tensor
    p: Tensor
    flow: Tensor
    known: Tensor
    edge: Tensor
    neutral: Tensor
    teeth: Tensor

    @staticmethod
    def of(pairs: list[Pair], device: str = "cpu") -> "Batch":
        def stack(name: str) -> Tensor:
            x = torch.from_numpy(np.stack([getattr(pair, name) for pair in pairs])).float()
            return x.permute(0, 3, 1, 2).contiguous().to(device)

        hidden = [cv2.dilate((x.known < 0.25).astype(np.float32), np.ones((7, 7))) for x in pairs]
        return Batch(stack("reference"), stack("target"), torch.tensor(np.stack([x.p for x in pairs]), device=device),
                     stack("flow"), torch.tensor(np.stack([x.known for x in pairs]), device=device)[:, None],
                     torch.tensor(np.stack(hidden), device=device)[:, None],
                     torch.tensor([float(x.from_neutral) for x in pairs], device=device),
                     torch.tensor(np.stack([x.teeth for x in pairs]), device=device))

    def to(self, device: str) -> "Batch":
        return Batch(*(getattr(self, one.name).to(device) for one in fields(self)))


class Loss(nn.Module):
    """Motion and cover are what the renderer knows exactly: they weigh more than their size in the picture."""

    def __init__(self, bf16: bool = False):
        """`bf16` runs the network, not the loss, in bfloat16: a quarter faster on processors that have it."""
        super().__init__()
        self.bf16 = bf16
        y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
        near = torch.exp(-0.5 * (((x - MOUTH[0]) / 30) ** 2 + ((y - MOUTH[1] - 6) / 30) ** 2))
        self.register_buffer("near", MOVED.of(near[None, None]))

    def forward(self, net: Decoder, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        with torch.autocast(batch.p.device.type, torch.bfloat16, enabled=self.bf16):
            parts = net.parts(batch.reference, batch.p)
        flow, shade, paint, mask, where = (part.float() for part in parts)
        # Only the window that moves: outside nothing can be wrong.
        error = net.compose(MOVED.of(batch.reference), flow, shade, paint, mask) - MOVED.of(batch.target)
        weight = 1 + 5 * self.near + 4 * MOVED.of(batch.edge)
        picture = (error.abs() * weight).mean()
        edges = sum((torch.diff(error, dim=d).abs() * weight.narrow(d, 1, weight.shape[d] - 1)).mean() for d in (2, 3))
        flow_truth = MOVED.of(batch.flow)
        known = MOVED.of((batch.known > 0.75).float()) * (0.15 + self.near)
        motion = ((flow - flow_truth).abs() * known).mean()
        # Neighbouring flows differ only at the lips, under the mask.
        steps = sum((torch.diff(flow, dim=d) - torch.diff(flow_truth, dim=d)).abs()
                    .mul(known.narrow(d, 1, known.shape[d] - 1)).mean() for d in (2, 3))
        # A talking reference may show teeth: there the picture decides what is painted.
        neutral = batch.neutral.view(-1, 1, 1, 1)
        truth = PAINTED.of((batch.known < 0.25).float())
        cover = (F.binary_cross_entropy(mask.clamp(1e-4, 1 - 1e-4), truth, reduction="none")
                 * neutral * (PAINTED.of(batch.known) != 128 / 255)).mean()
        # Paint learns under the mask too, before the mask is right.
        colour = ((paint - PAINTED.of(batch.target)).abs() * truth).mean()
        # What is painted has no source; its edges are the teeth's.
        fault = (paint - PAINTED.of(batch.target)) * truth
        lines = sum((torch.diff(fault, dim=d)).abs().mean() for d in (2, 3))
        placed = terms(batch.teeth[..., :2]) @ where.transpose(2, 3)
        teeth = (placed - batch.teeth[..., 2:]).abs().mean()
        loss = picture + 4 * colour + 2 * lines + 1.2 * edges + 0.3 * motion + 0.3 * steps + 0.15 * cover + 0.1 * teeth
        loss = loss + 0.02 * shade.abs().mean()
        named = dict(picture=picture, edges=edges, motion=motion, cover=cover, colour=colour, teeth=teeth)
        return loss, {name: part.item() for name, part in named.items()}


@torch.no_grad()
def psnr(net: Decoder, sets: list[CropSet]) -> tuple[float, float]:
    """Mean PSNR (dB) of the slices of all talking crops of `sets` from their neutral crop; and of that crop itself."""
    net.eval()
    scores, still = [], []
    for one in sets:
        batch = Batch.of([decoder_data.exact_pair(one, 0, i) for i in range(1, len(one.pictures))],
                         next(net.parameters()).device)
        out = net(batch.reference, batch.p)
        for x, into in ((out, scores), (batch.reference, still)):
            into += (-10 * torch.log10(((x - batch.target) ** 2).mean((1, 2, 3)))).tolist()
    return float(np.mean(scores)), float(np.mean(still))


