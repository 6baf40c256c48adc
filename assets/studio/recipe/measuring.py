"""The table that `evaluate` prints: what a model bundle reaches on speech and faces that it never saw."""

import pathlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from recipe import films, hearing, human, labels, noises
from recipe.bundle import Avatar, Model
from recipe.decoder_data import Crops, exact_pair, load_set
from recipe.geometry import SIDE, SLICE
from recipe.mel import RATE
from recipe.ruler import Ruler
from recipe.synthesis import HELD_OUT, read_voice

UNSEEN_LANGUAGE = "it"
NOISE_S, NOISE_DBFS, NOISES_OF_A_KIND = 20, -30, 3
# Pictures cost milliseconds each: so many utterances of a voice are drawn.
DRAWN = 4
# Where the crops of the avatars lie among the data, of which every fifth set is held out.
OWN, OWN_HELD_OUT = "own", 5


@dataclass
class Table:
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, reached: str, wanted: str, is_good: bool | None = None) -> None:
        """One row; `is_good` None is a figure that nothing was promised of."""
        self.rows.append((what, reached, wanted, "" if is_good is None else "yes" if is_good else "NO"))

    def __str__(self) -> str:
        rows = [("what", "reached", "wanted", ""), *self.rows]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
        return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def psnr(errors: np.ndarray | float) -> float:
    """Decibels of mean squared errors of values 0-1."""
    return float(-10 * np.log10(max(float(np.mean(errors)), 1e-10)))


def measure_speed(table: Table, model: Model, runs: int = 150) -> None:
    """The size of the file and the CPU of a run on one thread, the median."""
    inputs = {"mel": np.zeros((1, 1, 80, 16), np.float32), "face": np.full((1, 6, SIDE, SIDE), 0.5, np.float32)}
    times = []
    for _ in range(runs):
        start = time.process_time()
        model.whole.run(None, inputs)
        times.append((time.process_time() - start) * 1e3)
    size, cpu = model.path.stat().st_size / 1e6, float(np.median(times))
    table.add("size", f"{size:.1f} MB", "at most 4 MB", size <= 4)
    table.add("CPU of a frame here, one thread", f"{cpu:.2f} ms", "at most 2 ms", cpu <= 2)


def measure_ear(table: Table, model: Model, data: pathlib.Path) -> None:
    """What the ear says of voices that it never heard, by the parameters between ear and decoder."""
    folder = data / "speech/held-out"
    voices = {voice: folder / f"{voice.name}.npz" for voice in HELD_OUT if (folder / f"{voice.name}.npz").exists()}
    if not voices:
        return table.add("held-out voices", "left out", "`speech --held-out` makes them")
    figures = {}
    for voice, path in voices.items():
        heard = [hearing.hear(one.wave, one.segments, model.mouths) for one in read_voice(path)]
        figures[voice] = hearing.figures(heard)
        table.add(f"{voice.name} ({voice.language})", str(figures[voice]), "")
    groups = {
        "opening, held-out voices": ([f for v, f in figures.items() if v.language != UNSEEN_LANGUAGE], 0.90),
        "opening, unseen language": ([f for v, f in figures.items() if v.language == UNSEEN_LANGUAGE], 0.82),
    }
    for name, (group, wanted) in groups.items():
        if group:
            mean, worst = np.mean([f.opening_mean for f in group]), min(f.opening_worst for f in group)
            table.add(name, f"{mean:.3f}, worst utterance {worst:.3f}", f"{wanted:.2f}, 0.85", mean >= wanted)
    every = list(figures.values())
    jaw = float(np.mean([f.parameters["jaw"] for f in every]))
    table.add("jaw", f"{jaw:.3f}", "0.92", jaw >= 0.92)
    for name, key, wanted in (("p, b, m", "closures", 0.98), ("f, v", "lip_to_teeth", 0.85)):
        found, there = np.sum([getattr(f, key) for f in every], axis=0)
        table.add(f"{name} found", f"{found / max(1, there):.1%} of {there}", f"{wanted:.0%}", found >= wanted * there)
    spread = [f.amplitude for f in every]
    table.add(
        "amplitude",
        f"mean {np.mean(spread):.2f}, {min(spread):.2f} ... {max(spread):.2f}",
        "0.95-1.05",
        0.95 <= np.mean(spread) <= 1.05,
    )
    offsets = [f.offset_ms for f in every]
    text = f"median {np.median(offsets):+.0f} ms, {min(offsets):+.0f} ... {max(offsets):+.0f} ms"
    table.add("offset", text, "±8, each ±20 ms", abs(np.median(offsets)) <= 8 and max(map(abs, offsets)) <= 20)
    flicker = float(np.mean([f.flicker for f in every]))
    table.add("flicker of the ear", f"{flicker:.2f}", "0.8-1.2", 0.8 <= flicker <= 1.2)


def measure_humans(table: Table, model: Model) -> None:
    """The opening on the labelled human clips."""
    clips = human.clips()
    if not clips:
        return table.add("human clips", "left out", "alsa-utils brings them")
    heard = [hearing.hear(one.wave, one.segments, model.mouths) for one in clips.values()]
    figures = hearing.figures(heard)
    each = ", ".join(f"{name} {value:.2f}" for name, value in zip(clips, figures.utterances))
    table.add("human clips, opening", f"{figures.opening:.3f} ({each})", "0.85", figures.opening >= 0.85)
    table.add("human clips", str(figures), "")


def measure_noise(table: Table, model: Model) -> None:
    """Silence and steady noise: the share of frames with the mouth at rest."""
    draw = np.random.default_rng(11)
    samples = NOISE_S * RATE
    kinds: dict[str, Callable] = {"fan": noises.fan, "street": noises.street, "music": noises.music}
    shares = {"silence": [_rest(model, np.zeros(samples, np.float32))]}
    for name, make in kinds.items():
        for _ in range(NOISES_OF_A_KIND):
            noise = make(draw, samples)
            level = 10 ** (NOISE_DBFS / 20) / max(1e-9, float(np.sqrt(np.mean(noise**2))))
            shares.setdefault(name, []).append(_rest(model, (noise * level).astype(np.float32)))
    means = {name: float(np.mean(values)) for name, values in shares.items()}
    text = ", ".join(f"{name} {value:.1%}" for name, value in means.items())
    table.add("at rest in silence and noise", text, "99 %", min(means.values()) >= 0.99)


def _rest(model: Model, wave: np.ndarray) -> float:
    return hearing.rest_share(labels.opening(model.mouths(model.windows(wave))))


def crop_sets(folder: pathlib.Path, *every: int) -> Crops:
    """The sets of crops in a folder of them, `every` so manieth held out."""
    crops = Crops([folder], *every)
    crops.scan()
    return crops


def paint(model: Model, reference: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """The slice [168, 152, 3], 0-1, that the decoder makes of a reference slice and a mouth [7]."""
    face = np.zeros((6, SIDE, SIDE), np.float32)
    face[(slice(3, 6), *SLICE)] = reference.transpose(2, 0, 1)
    return model.paint(face, mouth)[SLICE]


def measure_decoder(table: Table, model: Model, data: pathlib.Path, avatars: list[str]) -> None:
    """The decoder alone, told the truth, against renders of held-out faces, from their neutral pictures."""
    own = [one for name in avatars for one in crop_sets(data / OWN / name, OWN_HELD_OUT).held_out()]
    others = crop_sets(data / "crops").held_out()
    for name, sets, wanted in (("own avatars", own, 40), ("unseen identities", others, 35)):
        if not sets:
            table.add(f"decoder, {name}", "left out", "`render-crops` and `render-avatar --crops` make them")
            continue
        pairs = [exact_pair(one, 0, k) for one in sets for k in range(1, len(one.pictures))]
        errors = [float(np.mean((paint(model, pair.reference, pair.p) - pair.target) ** 2)) for pair in pairs]
        before = [float(np.mean((pair.reference - pair.target) ** 2)) for pair in pairs]
        mean = float(np.mean([psnr(error) for error in errors]))
        text = f"{mean:.1f} dB, of all pixels {psnr(errors):.1f} dB (untouched {np.mean([psnr(e) for e in before]):.1f})"
        table.add(f"decoder, {name}", text, f"{wanted} dB", mean >= wanted)


def measure_films(table: Table, model: Model, data: pathlib.Path, avatars: list[str]) -> None:
    """Sound to picture against renders of the same utterance as its labels have it, frame by frame."""
    for name in avatars:
        folder = data / films.FOLDER / name / "00"
        if not (folder / "set.json").exists():
            table.add(f"end to end, {name}", "left out", "`render-avatar --film` makes it")
            continue
        film = load_set(folder)
        pairs = [exact_pair(film, 0, k) for k in range(1, len(film.pictures))]
        windows = model.windows(films.spoken(data).wave)[: len(pairs)]
        drawn = np.stack([paint(model, pair.reference, mouth) for pair, mouth in zip(pairs, model.mouths(windows))])
        should = np.stack([pair.target for pair in pairs])
        each = [psnr(error) for error in ((drawn - should) ** 2).mean(axis=(1, 2, 3))]
        table.add(f"end to end, {name}", f"{np.mean(each):.1f} dB", "30 dB", np.mean(each) >= 30)
        tremble = [float(np.abs(np.diff(part, 2, axis=0)).mean()) for part in (drawn, should)]
        ratio = tremble[0] / tremble[1]
        table.add(f"flicker in the picture, {name}", f"{ratio:.2f}", "0.8-1.2", 0.8 <= ratio <= 1.2)


def measure_pictures(table: Table, model: Model, avatars: dict[str, Avatar], data: pathlib.Path) -> None:
    """Opening and flicker as they are seen: by a ruler fitted on renders of the same avatar."""
    folder = data / "speech/held-out"
    for name, avatar in avatars.items():
        sets = list(crop_sets(data / OWN / name).sets.values())
        if not sets or not folder.exists():
            table.add(f"in the picture, {name}", "left out", "`render-avatar --crops` makes its ruler")
            continue
        pairs = [exact_pair(one, 0, k) for one in sets for k in range(len(one.pictures))]
        ruler = Ruler(np.stack([pair.target for pair in pairs]), labels.opening(np.stack([pair.p for pair in pairs])))
        seen, truths = [], []
        for path in sorted(folder.glob("*.npz")):
            for spoken in read_voice(path)[:DRAWN]:
                face = avatar.face(0)
                drawn = np.stack([model.run(window, face)[SLICE] for window in model.windows(spoken.wave)])
                seen.append(ruler(drawn))
                truths.append(labels.opening(labels.tracks(spoken.segments, spoken.duration)))
        each = [hearing.correlation(o, hearing.at_frames(t, len(o))) for o, t in zip(seen, truths)]
        table.add(
            f"in the picture, {name}",
            f"opening {np.mean(each):.3f}, worst utterance {min(each):.3f}, "
            f"offset {hearing.lag(seen, truths):+.0f} ms, flicker {hearing.flicker(seen, truths):.2f}",
            "0.90, 0.85, ±8 ms, 0.8-1.2",
            np.mean(each) >= 0.9,
        )
