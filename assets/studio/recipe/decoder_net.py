"""The decoder: a slice of a face and seven mouth parameters -> the slice with that mouth.

It moves the person's own lips, beard and chin by a predicted flow, and paints only
what the picture does not show: teeth, tongue and the dark between. Two rows of teeth, learned
once, are put where this head's would be, so that they are sharp. What it paints is
confined to a window about the mouth; what it moves, to a wider one. Outside of both the slice stays as it was.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEIGHT, WIDTH = 168, 152  # The slice of the model's 256 x 256 box: rows 88.., columns 52..
MOUTH = (76.0, 62.8)  # x, y of the mouth's middle in the slice.
D = 87.37  # Pixels from the eyes' middle to the mouth's.
FLOW_SCALE = 8.0  # Pixels that one unit of the flow heads means.
PAINT_SCALE = 4.0  # Colour that one unit of the paint head means: it has much to learn from few pixels.
BORDER = 14  # Pixels at a window's border over which its effect fades to nothing.


@dataclass(frozen=True)
class Window:
    """A part of the slice, in its pixels; multiples of 4, so that all scales agree."""

    top: int
    left: int
    height: int
    width: int

    def of(self, x: Tensor, scale: int = 1) -> Tensor:
        """This part of a picture [n,c,h,w] that is `scale` times smaller than the slice."""
        return x[:, :, self.top // scale:(self.top + self.height) // scale,
                 self.left // scale:(self.left + self.width) // scale]

    def within(self, x: Tensor, height: int, width: int, top: int = 0, left: int = 0) -> Tensor:
        """Zeros around `x`, so that it lies in a height x width picture that starts at `top`, `left`."""
        above, before = self.top - top, self.left - left
        return F.pad(x, (before, width - before - self.width, above, height - above - self.height))

    def on(self, picture: Tensor, x: Tensor) -> Tensor:
        """The picture with `x` in this part's place."""
        bottom, right = self.top + self.height, self.left + self.width
        band = picture[:, :, self.top:bottom]
        band = torch.cat([band[..., :self.left], x, band[..., right:]], 3)
        return torch.cat([picture[:, :, :self.top], band, picture[:, :, bottom:]], 2)


MOVED = Window(16, 12, 144, 128)  # Cheeks, chin, and the throat under an open jaw.
PAINTED = Window(36, 32, 80, 88)  # What lips can open.
TEETH = Window(52, 44, 48, 64)  # Where teeth are seen.
ROW = (40, 104)  # Height and width of a row of teeth as it is learned.
UNIT = 32.0  # Pixels about the mouth's middle that teeth are placed by.


def block(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution and batch normalisation; the caller adds what comes before the ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False),
                         nn.BatchNorm2d(outputs))


def border(height: int, width: int) -> Tensor:
    """[1,2,1,1]: x and y of the last pixels' middles, where the picture's borders are at 1."""
    return 1 - 1 / torch.tensor([width, height]).view(1, 2, 1, 1)


def fetch(picture: Tensor, at: Tensor, border: Tensor) -> Tensor:
    """A picture [n,c,..] at places [n,2,h,w], x and y from -1 to 1 over its width and height; beyond its border, that.

    ONNX Runtime (1.31) fetches 3.6 times as fast where zeros lie beyond the border. So the places are kept inside it,
    where those zeros weigh nothing."""
    inside = torch.minimum(torch.maximum(at, -border), border)
    return F.grid_sample(picture, inside.permute(0, 2, 3, 1), "bilinear", "zeros", align_corners=False)


class Film(nn.Module):
    """Scales and shifts each channel by the mouth's embedding."""

    def __init__(self, embedding: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(embedding, 2 * channels)
        nn.init.normal_(self.linear.weight, std=0.05)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        channels = self.linear.out_features // 2
        scale, shift = self.linear(z).view(-1, 2 * channels, 1, 1).split(channels, 1)
        return x * (1 + scale) + shift


class Residual(nn.Module):
    """Two convolutions, the first conditioned, added to their input."""

    def __init__(self, embedding: int, channels: int):
        super().__init__()
        self.first, self.second = block(channels, channels), block(channels, channels)
        self.film = Film(embedding, channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.film(self.first(x), z))))


def ramp(n: int) -> Tensor:
    """[n]: 0 at both ends, 1 inside, smooth between, over BORDER."""
    x = torch.arange(n) + 0.5
    t = (torch.minimum(x, n - x) / BORDER).clamp(0, 1)
    return t * t * (3 - 2 * t)


def between(n: int, factor: int) -> Tensor:
    """[n * factor, n]: makes n pixels `factor` times as many, each between its two neighbours.

    As matrices along both axes it is F.interpolate's "bilinear", for a third of what ONNX Runtime (1.31) takes for that."""
    return F.interpolate(torch.eye(n)[None], scale_factor=float(factor), mode="linear")[0].T


class Teeth(nn.Module):
    """Two rows of teeth, colour and cover, and where they stand in the face that is seen."""

    def __init__(self, deep: int, fine: int, embedding: int):
        super().__init__()
        self.rows = nn.Parameter(torch.cat([torch.zeros(2, 3, *ROW), arches()], 1))
        self.look = nn.Conv2d(deep, 6, 1)
        self.gather = nn.Linear(6 * (HEIGHT // 8) * (WIDTH // 8), 32)
        self.turn = nn.Linear(32 + embedding, 2 * 2 * 4)
        nn.init.normal_(self.turn.weight, std=1e-3)
        # A face from the front that talks, as the renders have it on average.
        upper, lower = ([[0.95, 0.0, 0.0, 0.0], [0.0, 2.0, v, bend]] for v, bend in ((0.5, -0.25), (-0.4, -0.2)))
        with torch.no_grad():
            self.turn.bias.copy_(torch.tensor([upper, lower]).flatten())
        self.light = nn.Conv2d(fine, 5, 3, 1, 1)  # How bright in each colour, and how far each row is covered.
        nn.init.normal_(self.light.weight, std=1e-3)
        nn.init.zeros_(self.light.bias)
        y, x = torch.meshgrid(torch.arange(TEETH.height) + 0.5 + TEETH.top, torch.arange(TEETH.width) + 0.5 + TEETH.left,
                              indexing="ij")
        self.register_buffer("border", border(*ROW), persistent=False)
        self.register_buffer("pixels", terms(torch.stack([x, y], -1).view(1, -1, 2)), persistent=False)

    def place(self, x8: Tensor, z: Tensor) -> Tensor:
        """[n,2,2,4]: for the upper and the lower row, u and v (teeth.py) by the terms of a pixel."""
        seen = F.relu(self.gather(self.look(x8).flatten(1)))
        return self.turn(torch.cat([seen, z], 1)).view(-1, 2, 2, 4)

    def forward(self, paint: Tensor, y2: Tensor, where: Tensor) -> Tensor:
        """Puts the teeth on what is painted [n,3,..] of PAINTED."""
        inner = Window(TEETH.top - PAINTED.top, TEETH.left - PAINTED.left, TEETH.height, TEETH.width)
        light = F.interpolate(self.light(inner.of(y2, 2)), scale_factor=2.0, mode="bilinear", align_corners=False)
        bright = torch.sigmoid(light[:, :3]) * 2
        under = inner.of(paint)
        out = under
        for row in (1, 0):  # The upper row stands before the lower.
            at = (where[:, row] @ self.pixels.transpose(1, 2)).view(-1, 2, TEETH.height, TEETH.width)
            tooth = fetch(self.rows[row:row + 1].expand(at.shape[0], -1, -1, -1), at, self.border)
            cover = torch.sigmoid(tooth[:, 3:4] * 8 - 2) * torch.sigmoid(light[:, 3 + row:4 + row] * 4 + 2)
            out = out + cover * ((tooth[:, :3] * PAINT_SCALE + 0.6) * bright - out)
        return paint + inner.within(out - under, PAINTED.height, PAINTED.width)


def arches() -> Tensor:
    """[2,1,..] of ROW: where the head data's teeth and their gums are, as cover before the sigmoid."""
    v, u = torch.meshgrid(*(torch.linspace(-1 + 1 / n, 1 - 1 / n, n) for n in ROW), indexing="ij")
    rows = []
    for middle, bend, half in ((0.36, -0.75, 0.28), (0.12, -0.86, -0.24)):
        to_tip = (v - middle - bend * u * u) / half
        rows.append(0.6 * ((1 - to_tip) * 6).clamp(0, 1) * ((to_tip + 1.6) * 3).clamp(0, 1))
    return torch.stack(rows)[:, None]


def terms(pixels: Tensor) -> Tensor:
    """[..,4] of a slice's pixels [..,2]: x, y, 1 and x squared, which is how far back a tooth stands."""
    x, y = ((pixels - torch.tensor(MOUTH)) / UNIT).unbind(-1)
    return torch.stack([x, y, torch.ones_like(x), x * x], -1)


class Decoder(nn.Module):
    """forward(slice [n,3,168,152] BGR 0..1, p [n,7]) -> the edited slice."""

    def __init__(self, c2: int = 16, c4: int = 32, c8: int = 48, embedding: int = 64):
        super().__init__()
        self.mouth = nn.Sequential(nn.Linear(7, 64), nn.ReLU(), nn.Linear(64, embedding), nn.ReLU())
        self.stem = block(3, c2, 2, 4)
        self.down4 = block(c2, c4, 2)
        self.down8 = block(c4, c8, 2)
        self.place = nn.Parameter(torch.zeros(1, c8, HEIGHT // 8, WIDTH // 8))
        self.deep = nn.ModuleList([Residual(embedding, c8) for _ in range(2)])
        self.film8 = Film(embedding, c8)
        self.narrow4 = nn.Conv2d(c8, c4, 1)
        self.merge4 = block(2 * c4, c4)
        self.film4 = Film(embedding, c4)
        self.refine4 = block(c4, c4)
        self.coarse = nn.Conv2d(c4, 5, 3, 1, 1)  # Flow, shade.
        self.narrow2 = nn.Conv2d(c4, c2, 1)
        self.merge2 = block(2 * c2, 2 * c2)
        self.film2 = Film(embedding, 2 * c2)
        self.fine = nn.Conv2d(2 * c2, 24, 3, 1, 1)  # By pixel shuffle: paint, mask, flow.
        self.teeth = Teeth(c8, 2 * c2, embedding)
        for head in (self.coarse, self.fine):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)
        y, x = torch.meshgrid(torch.arange(MOVED.height) + 0.5, torch.arange(MOVED.width) + 0.5, indexing="ij")
        size = torch.tensor([MOVED.width, MOVED.height])
        grid = torch.stack([x, y], -1)[None] / size * 2 - 1
        self.register_buffer("border", border(MOVED.height, MOVED.width), persistent=False)
        self.register_buffer("grid", grid.permute(0, 3, 1, 2), persistent=False)
        self.register_buffer("unit", (2 / size).view(1, 2, 1, 1), persistent=False)
        # From a quarter of MOVED's pixels to all of them, fading at its border.
        rows, columns = (ramp(n)[:, None] * between(n // 4, 4) for n in (MOVED.height, MOVED.width))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns.T, persistent=False)
        painted = ramp(PAINTED.height)[:, None] * ramp(PAINTED.width)
        self.register_buffer("painted", painted[None, None], persistent=False)

    def parts(self, picture: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Flow [n,2,..] in pixels and shade [n,3,..] of MOVED, paint [n,3,..] and mask [n,1,..] of PAINTED.

        The last is where both rows of teeth stand, see Teeth.place."""
        z = self.mouth(p)
        x2 = F.relu(self.stem(picture - 0.5))
        x4 = F.relu(self.down4(x2))
        x8 = F.relu(self.film8(self.down8(x4) + self.place, z))
        for layer in self.deep:
            x8 = layer(x8, z)
        y4 = MOVED.of(F.interpolate(self.narrow4(x8), scale_factor=2.0, mode="nearest"), 4)
        y4 = F.relu(self.film4(self.merge4(torch.cat([y4, MOVED.of(x4, 4)], 1)), z))
        y4 = F.relu(y4 + self.refine4(y4))
        coarse = self.rows @ self.coarse(y4) @ self.columns
        inner = Window(PAINTED.top - MOVED.top, PAINTED.left - MOVED.left, PAINTED.height, PAINTED.width)
        y2 = F.interpolate(self.narrow2(inner.of(y4, 4)), scale_factor=2.0, mode="nearest")
        y2 = F.relu(self.film2(self.merge2(torch.cat([y2, PAINTED.of(x2, 2)], 1)), z))
        fine = F.pixel_shuffle(self.fine(y2), 2)
        # PAINTED lies where nothing of MOVED fades.
        sharp = inner.within(fine[:, 4:6] * self.painted, MOVED.height, MOVED.width)
        flow = (coarse[:, :2] + sharp) * FLOW_SCALE
        mask = torch.sigmoid(fine[:, 3:4] * 8 - 4) * self.painted
        where = self.teeth.place(x8, z)
        paint = self.teeth(fine[:, :3] * PAINT_SCALE + 0.5, y2, where)
        return flow, coarse[:, 2:5], paint, mask, where

    def compose(self, before: Tensor, flow: Tensor, shade: Tensor, paint: Tensor, mask: Tensor) -> Tensor:
        """Puts the parts together over MOVED of the slice as it was [n,3,..]."""
        # What a flow fetches from outside the window is not there.
        moved = fetch(before, self.grid + flow * self.unit, self.border) + shade
        inner = Window(PAINTED.top - MOVED.top, PAINTED.left - MOVED.left, PAINTED.height, PAINTED.width)
        return moved + inner.within(mask * (paint - inner.of(moved)), MOVED.height, MOVED.width)

    def edited(self, picture: Tensor, p: Tensor) -> Tensor:
        """MOVED of the slice with that mouth: the rest stays as it is."""
        return self.compose(MOVED.of(picture), *self.parts(picture, p)[:4]).clamp(0, 1)

    def forward(self, picture: Tensor, p: Tensor) -> Tensor:
        return MOVED.on(picture, self.edited(picture, p))
