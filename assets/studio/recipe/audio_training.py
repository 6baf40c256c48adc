"""Trains the ear: the loss, the average of the weights, and a run that goes on where it stopped."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipe.audio_data import Crops
from recipe.audio_net import AudioNet
from recipe.labels import COUNT, PARAMETERS

# What a viewer sees first weighs most.
_WEIGHTS = torch.tensor([2.0, 2.4, 1.4, 1.0, 1.8, 1.2, 0.6])[:, None]
_JAW, _PRESS, _FTUCK, _TEETH = (PARAMETERS.index(name) for name in ("jaw", "press", "ftuck", "teeth"))
# Steps that are about a frame of 40 ms apart.
_FRAME = 3
_AVERAGE = 0.9985


@dataclass
class Plan:
    """How long, how fast, how much at a time."""

    minutes: float
    rate: float = 3e-3
    crops: int = 24
    fresh: int = 4
    warm_up: int = 100


def _opening(tracks: Tensor) -> Tensor:
    """labels.opening of [n, 7, steps]."""
    jaw, press, ftuck, teeth = (tracks[:, index] for index in (_JAW, _PRESS, _FTUCK, _TEETH))
    return (0.9 * jaw + 0.25 * teeth + 0.1 * ftuck) * (1 - 0.9 * press)


def _change(tracks: Tensor) -> Tensor:
    return tracks[..., _FRAME:] - tracks[..., :-_FRAME]


def loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Of [n, 7, steps] each. Cross-entropy and distance, movement, opening, and the size of both."""
    guess = torch.sigmoid(logits)
    # Closed lips and lips on teeth are short and rare, and seen at once when they are missed.
    weights = _WEIGHTS.to(truth.device)
    matter = weights * torch.ones_like(truth)
    matter[:, _PRESS] += 1.8 * truth[:, _PRESS]
    matter[:, _JAW] += 2.0 * truth[:, _PRESS] + 1.0 * truth[:, _FTUCK]
    matter[:, _FTUCK] += 4.0 * truth[:, _FTUCK]
    matter[:, _TEETH] += 1.0 * truth[:, _TEETH]
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    # What is left when the guess is the truth is no fault: it keeps the figure readable.
    entropy = entropy - functional.binary_cross_entropy(truth, truth, reduction="none")
    near = (matter * (2 * entropy + 0.5 * (guess - truth).abs())).mean()
    moving = (weights * (_change(guess) - _change(truth)).abs()).mean()
    trembling = (weights * (_change(_change(guess)) - _change(_change(truth))).abs()).mean()
    opened, should = _opening(guess), _opening(truth)
    shape = (opened - should).abs().mean() + 0.5 * (_change(opened) - _change(should)).abs().mean()
    # In doubt the other terms choose the mean: lips that move too little.
    size = sum(
        (a.std() / (b.std() + 1e-3) - 1).square()
        for a, b in [(opened, should), *((guess[:, k], truth[:, k]) for k in range(COUNT))]
    )
    return near + 0.5 * moving + 0.3 * trembling + 2.0 * shape + 0.02 * size


class Training:
    """A run in `folder`: `audio.pt` (the averaged weights) and `audio.state` (all that going on takes)."""

    def __init__(self, folder: Path, crops: Crops, plan: Plan, start: Path | None = None):
        self._folder, self._crops, self._plan = folder, crops, plan
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._net = AudioNet().to(self._device)
        # A mouth at rest to begin with.
        nn.init.normal_(self._net.head.weight, 0, 0.03)
        nn.init.constant_(self._net.head.bias, -1.8)
        if start:
            self._net.load_state_dict(torch.load(start, weights_only=True, map_location=self._device))
        self._average = AudioNet().to(self._device)
        self._average.load_state_dict(self._net.state_dict())
        self._optimiser = torch.optim.AdamW(self._net.parameters(), plan.rate, weight_decay=1e-2)
        self._step, self._seconds = 0, 0.0
        if (folder / "audio.state").exists():
            self._resume()

    def _resume(self) -> None:
        state = torch.load(self._folder / "audio.state", weights_only=True, map_location=self._device)
        self._net.load_state_dict(state["net"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._step, self._seconds = state["step"], state["seconds"]

    def _save(self) -> None:
        state = {
            "net": self._net.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self._step,
            "seconds": self._seconds,
        }
        for name, what in (("audio.state", state), ("audio.pt", self._average.state_dict())):
            partial = self._folder / (name + ".partial")
            torch.save(what, partial)
            partial.rename(self._folder / name)

    def run(self, progress: Callable[[int, float, float], None]) -> None:
        """Until the plan's minutes are spent; `progress` hears the step, the seconds spent and the mean loss."""
        begun, before = time.monotonic(), self._seconds
        mean = math.nan
        saved = time.monotonic()
        while self._seconds < 60 * self._plan.minutes:
            value = self._one_step()
            mean = value if math.isnan(mean) else 0.99 * mean + 0.01 * value
            self._seconds = before + time.monotonic() - begun
            progress(self._step, self._seconds, mean)
            if time.monotonic() - saved > 60:
                self._save()
                saved = time.monotonic()
        self._save()

    def _one_step(self) -> float:
        done = min(1.0, self._seconds / (60 * self._plan.minutes))
        rate = self._plan.rate * min(1, (self._step + 1) / self._plan.warm_up) * (0.5 + 0.5 * math.cos(math.pi * done))
        for group in self._optimiser.param_groups:
            group["lr"] = rate + 1e-5
        mel, truth = (torch.from_numpy(part).to(self._device) for part in self._crops.batch(self._plan.crops, self._plan.fresh))
        self._net.train()
        # bfloat16 halves the time where the processor has it, and loses nothing.
        with torch.autocast(self._device.type, torch.bfloat16):
            logits = self._net.logits(mel.contiguous(memory_format=torch.channels_last))
        value = loss(logits.float(), truth.clamp(0, 1))
        self._optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
        self._optimiser.step()
        self._step += 1
        self._follow(min(_AVERAGE, (1 + self._step) / (10 + self._step)))
        return value.item()

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        for slow, fast in zip(self._average.state_dict().values(), self._net.state_dict().values()):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - keep)
            else:
                slow.copy_(fast)
