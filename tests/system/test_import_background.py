"""`mouthpiece avatar import` with another background: before a screen, and by a matting network."""

import sys

import av
import pytest

from importing import FAST, bring, clip, ffmpeg
from server import ASSETS, ROOT, eventually, refused

sys.path.insert(0, str(ROOT / "tests/models"))

import mattes  # noqa: E402

@pytest.fixture(scope="module")
def screen(material):
    """Ava before an uneven green screen."""
    source = material / "screen.mp4"
    inside = "lt(hypot((X-144)/115,(Y-220)/190),1)"
    ffmpeg("-t", "1.6", "-i", clip("ava"), "-vf", "scale=288:360,format=gbrp,geq="
           f"r='if({inside},r(X,Y),20)':g='if({inside},g(X,Y),160+X/9)':b='if({inside},b(X,Y),50)',format=yuv420p", *FAST, source)
    return source


def corner(path):
    """The mean of the upper left corner of the first picture, and how much it varies: red, green, blue."""
    with av.open(str(path)) as file:
        pixels = next(file.decode(video=0)).to_ndarray(format="rgb24")[2:34, 2:34].astype(float)
    return pixels.mean(axis=(0, 1)), pixels.std(axis=(0, 1)).max()


def test_a_screen_makes_room_for_a_colour(place, screen):
    folder, _, _ = bring(place, screen, "before-blue", "--key", "green", "--background", "#204080")
    mean, spread = corner(folder / "idle.mp4")
    assert mean == pytest.approx([0x20, 0x40, 0x80], abs=8) and spread < 3
    _, said = refused("avatar", "import", clip("ava"), "--id", "none", "--key", "green", "--set", f"assets={place}", within=60)
    assert "no screen" in said and not (place / "avatars/none").exists()


def test_the_page_keys_out_a_screen(place, screen, serve, open_page):
    folder, _, _ = bring(place, screen, "screen", "--key", "green")
    mean, spread = corner(folder / "idle.mp4")
    assert mean[1] > mean[0] + 80 and mean[1] > mean[2] + 60 and spread < 3
    for name in ("web", "models", "speech"):
        (place / name).symlink_to(ASSETS / name)
    server = serve({"assets": str(place), "avatar": "screen"})
    page = open_page(f"{server.url}?key=1")
    page.wait_for_picture()
    alpha = """() => {
        const keyed = document.getElementById('keyed');
        const at = (x, y) => keyed.getContext('2d').getImageData(x * keyed.width, y * keyed.height, 1, 1).data[3];
        return keyed.width === 288 ? [at(0.02, 0.02), at(0.97, 0.4), at(0.5, 0.45)] : null;
    }"""
    eventually(lambda: page.tab.evaluate(alpha) == [0, 0, 255], within=8)


@pytest.fixture(scope="module")
def networks(material):
    """Stand-ins that take what isn't green for the person."""
    return mattes.write(material)


@pytest.mark.parametrize("family", ["modnet", "u2net", "isnet", "rvm"])
def test_a_network_makes_room_for_a_colour(place, screen, networks, family):
    folder, _, _ = bring(place, screen, family, "--matte", networks / f"{family}.onnx", "--background", "#204080")
    mean, spread = corner(folder / "idle.mp4")
    assert mean == pytest.approx([0x20, 0x40, 0x80], abs=8) and spread < 3
    with av.open(str(screen)) as source, av.open(str(folder / "idle.mp4")) as made:
        face = lambda picture: picture.to_ndarray(format="rgb24")[150:240, 110:180].astype(float).mean(axis=(0, 1))
        before = face(next(source.decode(video=0)))
        first, second = [face(picture) for _, picture in zip(range(2), made.decode(video=0))]
    assert first == pytest.approx(before, abs=10)
    # The recurrent one paints the person red from the second picture on: its states and its foreground are used.
    red = pytest.approx([255, 0, 0], abs=25)
    assert second == (red if family == "rvm" else pytest.approx(before, abs=10))


@pytest.mark.parametrize(
    "name, word",
    [("rank", "MODNet"), ("int64", "float32"), ("nan", "no numbers"), ("logits", "sigmoid"), ("nobody", "nobody"), ("letter", "")],
)
def test_a_network_that_gives_no_matte_is_named(place, screen, networks, name, word):
    path = networks / f"{name}.onnx"
    _, said = refused("avatar", "import", screen, "--id", "none", "--matte", path, "--set", f"assets={place}", within=60)
    assert path.name in said and word in said and len(said.splitlines()) == 1, said
    assert not (place / "avatars/none").exists()
