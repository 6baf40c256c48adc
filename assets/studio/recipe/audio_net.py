"""The ear: mel windows to the seven mouth parameters.

No convolution pads time. So one pass over an utterance's mel gives each of its
windows what a pass over that window alone would: training on whole utterances
costs a tenth, and the graph that ships is plain convolutions.
"""

import torch
from torch import Tensor, nn

from recipe.labels import COUNT
from recipe.mel import BANDS

# Steps of mel that a window has.
WINDOW = 16
# The first step of a frame's window against the frame's own time, in seconds.
# The last step's spectrum then ends 100 ms after the frame.
OFFSET = -0.1125


class _Residual(nn.Module):
    """Looks at three steps; the sum keeps the middle one."""

    def __init__(self, channels: int):
        super().__init__()
        self.look = nn.Conv1d(channels, channels, 3, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:-1] + self.mix(torch.relu(self.norm(self.look(x))))


def _over_frequency(before: int, after: int, bands: int) -> nn.Sequential:
    """Halves the bands, and looks at three steps."""
    convolution = nn.Conv2d(before, after, (bands, 3), stride=(2, 1), padding=(bands // 2, 0), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


class AudioNet(nn.Module):
    """mel [n, 1, 80, 16] -> parameters [n, 7] in 0..1."""

    def __init__(self, channels: int = 144):
        super().__init__()
        # Few weights shared over frequency: a longer throat shifts all of speech down there.
        self.front = nn.Sequential(_over_frequency(1, 24, 5), _over_frequency(24, 32, 3), _over_frequency(32, 48, 3))
        self.gather = nn.Sequential(
            nn.Conv1d(48 * BANDS // 8, channels, 1, bias=False), nn.BatchNorm1d(channels), nn.ReLU()
        )
        self.residuals = nn.Sequential(*(_Residual(channels) for _ in range(3)))
        self.whole = nn.Sequential(
            nn.ReLU(), nn.Conv1d(channels, channels, 4, bias=False), nn.BatchNorm1d(channels), nn.ReLU()
        )
        self.drop = nn.Dropout(0.1)
        self.head = nn.Conv1d(channels, COUNT, 1)

    def logits(self, mel: Tensor) -> Tensor:
        """mel [n, 1, 80, steps] -> [n, 7, steps - 15] before the sigmoid; column k is the window that starts at k."""
        x = self.front(mel * 0.25)
        x = self.gather(x.flatten(1, 2))
        return self.head(self.drop(self.whole(self.residuals(x))))

    def forward(self, mel: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(mel)).flatten(1)
