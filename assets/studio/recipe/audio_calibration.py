"""Gives the ear its full movement: one gain and one shift a parameter, before the sigmoid, folded into the last layer.

In doubt a network says something between, so its mouths move too little. The
fit is on the training voices as they are: augmented ones leave more doubt than
voices in the world do, and a fit on them overshoots.
"""

import torch
from torch import Tensor

from recipe.audio_data import Crops
from recipe.audio_net import AudioNet
from recipe.labels import COUNT, PARAMETERS

_UTTERANCES = 16
_ROUNDS = 60
# Added to press: lips that should have met and didn't are seen at once, lips that met without need are not.
_SOONER_SHUT = 0.5
# A gain much over this would make noise of doubt.
_LARGEST_GAIN = 1.3


@torch.no_grad()
def _heard(net: AudioNet, crops: Crops) -> tuple[Tensor, Tensor]:
    """Logits and truths, [7, windows] each, of as much of each voice."""
    logits, truths = [], []
    for heard, truth in crops.plain(_UTTERANCES):
        logits.append(net.logits(torch.from_numpy(heard.copy())[None])[0])
        truths.append(torch.from_numpy(truth.copy()))
    return torch.cat(logits, 1), torch.cat(truths, 1)


def calibrate(net: AudioNet, crops: Crops) -> list[tuple[float, float]]:
    """Changes `net`'s last layer; returns each parameter's gain and shift."""
    net.eval()
    logits, truths = _heard(net, crops)
    fits = [_fit(logits[k], truths[k]) for k in range(COUNT)]
    press = PARAMETERS.index("press")
    fits[press] = (fits[press][0], fits[press][1] + _SOONER_SHUT)
    with torch.no_grad():
        for k, (gain, shift) in enumerate(fits):
            net.head.weight[k] *= gain
            net.head.bias[k] = net.head.bias[k] * gain + shift
    return fits


def _fit(logits: Tensor, truth: Tensor) -> tuple[float, float]:
    """The gain and shift that give the guesses the truth's mean and deviation: a fixed point, found in small steps."""
    gain, shift = 1.0, 0.0
    for _ in range(_ROUNDS):
        guess = torch.sigmoid(gain * logits + shift)
        slope = (guess * (1 - guess)).mean()
        shift += 0.5 * float((truth.mean() - guess.mean()) / slope)
        gain *= float(truth.std() / guess.std()) ** 0.5
        gain = min(max(gain, 0.8), _LARGEST_GAIN)
    return gain, shift
