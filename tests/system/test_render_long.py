"""Long renders: broken off and resumed, in memory that doesn't grow, and lists of them."""

import json
import os
import shutil
import signal
import subprocess
import time

import av
import numpy as np
import pytest

import mouth
import sounds
from server import PROGRAM, ROOT, eventually, refused

SECONDS = 16.0


def start(*arguments, **more):
    return subprocess.Popen(
        [str(PROGRAM), "render", *map(str, arguments)], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )


def render(*arguments, code=0, within=180):
    process = start(*arguments)
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == code, out + err
    assert "panicked" not in err, err
    return out, err


def decodes(path):
    """Decodes all of a video without a complaint: its frames, and its sound as samples."""
    check = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-"], capture_output=True, text=True)
    assert check.returncode == 0 and not check.stderr, check.stderr
    with av.open(str(path)) as file:
        times = [frame.pts * frame.time_base for frame in file.decode(video=0)]
    assert times == [n * (times[1] - times[0]) for n in range(len(times))], "time goes evenly on"
    with av.open(str(path)) as file:
        sound = np.concatenate([f.to_ndarray()[0] for f in file.decode(audio=0)]).astype(np.float32)
    return len(times), sound


def luma(path):
    with av.open(str(path)) as file:
        return [mouth.small(frame) for frame in file.decode(video=0)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    (folder / "sound.wav").write_bytes(sounds.speech(SECONDS))
    render("--audio", folder / "sound.wav", "--out", folder / "whole.mp4")
    return folder


@pytest.fixture(scope="module")
def broken(place):
    """A render that was killed half-way."""
    path = place / "killed.mp4"
    process = start("--audio", place / "sound.wav", "--out", path)
    # A fragment has two seconds at 1 Mbit/s, and the header next to nothing.
    eventually(lambda: path.exists() and path.stat().st_size > 500_000, within=120)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    shutil.copy(path, place / "broken.mp4")
    return place / "broken.mp4"


@pytest.fixture(scope="module")
def resumed(place, broken):
    path = place / "resumed.mp4"
    shutil.copy(broken, path)
    _, err = render("--audio", place / "sound.wav", "--out", path, "--resume")
    assert "going on" in err, err
    return path


def test_a_render_that_is_killed_plays_to_its_last_fragment(broken):
    frames, sound = decodes(broken)
    assert 40 <= frames < SECONDS * 25
    assert len(sound) / 48_000 == pytest.approx(frames / 25, abs=0.2)


def test_resumed_it_is_as_long_as_if_nothing_had_been(place, resumed):
    frames, sound = decodes(resumed)
    whole_frames, whole_sound = decodes(place / "whole.mp4")
    assert (frames, len(sound)) == (whole_frames, len(whole_sound))


def test_the_join_can_neither_be_heard_nor_seen(place, broken, resumed):
    join = decodes(broken)[0]
    # The sound: as near to the uninterrupted one around the join as elsewhere, where both are the same packets.
    sound, whole = decodes(resumed)[1], decodes(place / "whole.mp4")[1]
    around = slice(join * 1_920 - 4_800, join * 1_920 + 9_600)
    noise = np.sqrt(((sound - whole)[around] ** 2).mean())
    assert noise < 0.1 * np.sqrt((whole[around] ** 2).mean()), "the sound breaks at the join"
    # The mouth: no further from the uninterrupted one than coding makes it.
    seen, would_be = luma(resumed), luma(place / "whole.mp4")
    off = [float(np.abs(a[mouth.MOUTH] - b[mouth.MOUTH]).mean()) for a, b in zip(seen, would_be, strict=True)]
    steps = [float(np.abs(a[mouth.MOUTH] - b[mouth.MOUTH]).mean()) for a, b in zip(would_be, would_be[1:])]
    assert max(off[join : join + 10]) < max(2.0, np.percentile(steps, 75)), (max(off), join)


def test_half_a_fragment_is_taken_off(place, broken):
    path = place / "half.mp4"
    shutil.copy(place / "whole.mp4", path)
    unfinished = broken.read_bytes()
    path.write_bytes(unfinished + b"\0\0\x40\0moof" + b"\0" * 100)
    render("--audio", place / "sound.wav", "--out", path, "--resume")
    assert decodes(path)[0] == decodes(place / "whole.mp4")[0]


def test_what_is_finished_stays(place):
    before = (place / "whole.mp4").read_bytes()
    out, _ = render("--audio", place / "sound.wav", "--out", place / "whole.mp4", "--resume")
    assert "finished" in out
    assert (place / "whole.mp4").read_bytes() == before


def test_with_nothing_there_it_begins(place, tmp_path):
    short = tmp_path / "short.wav"
    short.write_bytes(sounds.speech(1))
    render("--audio", short, "--out", tmp_path / "new.mp4", "--resume")
    assert decodes(tmp_path / "new.mp4")[0] == 25


def test_another_ones_video_does_not_go_on(place, broken, tmp_path):
    other = tmp_path / "other.wav"
    other.write_bytes(sounds.speech(SECONDS)[:-2000])
    before = broken.read_bytes()
    _, said = refused("render", "--audio", other, "--out", broken, "--resume")
    assert "another sound" in said
    _, said = refused("render", "--audio", place / "sound.wav", "--avatar", "leo", "--out", broken, "--resume")
    assert "ava" in said and "leo" in said
    _, said = refused("render", "--audio", place / "sound.wav", "--clip", "nod", "--out", broken, "--resume")
    assert "nod" in said
    assert broken.read_bytes() == before
    foreign = tmp_path / "foreign.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(broken), "-c", "copy", str(foreign)], check=True)
    _, said = refused("render", "--audio", place / "sound.wav", "--out", foreign, "--resume")
    assert "foreign.mp4" in said


def test_memory_does_not_grow_with_the_length(tmp_path):
    """The first 9 s go round the clip once, so that its cache is full."""
    peaks = []
    for seconds in (9, 45):
        sound = tmp_path / f"{seconds}.wav"
        sound.write_bytes(sounds.silence(seconds))
        report = tmp_path / "report.json"
        render("--audio", sound, "--out", tmp_path / f"{seconds}.mp4", "--report", report)
        peaks.append(json.loads(report.read_text())["peak_mb"])
    assert 20 < peaks[1] < peaks[0] + 10, peaks


# ---- lists ----


@pytest.fixture(scope="module")
def list_place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    for name, seconds in [("a", 2), ("b", 3)]:
        (folder / f"{name}.wav").write_bytes(sounds.speech(seconds))
    (folder / "letter.wav").write_text("this is no sound " * 50)
    lines = [
        {"audio": str(folder / "a.wav")},
        {"audio": str(folder / "letter.wav")},
        {"text": "Hello"},
        {"audio": str(folder / "b.wav"), "avatar": "leo", "out": "other/leo.mp4", "clip": "nod"},
    ]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nnot JSON\n")
    return folder


@pytest.fixture(scope="module")
def ran(list_place):
    """The list, run once."""
    return render("--jobs", list_place / "list.jsonl", "--out", list_place / "out", "--parallel", 2, code=1)


def results(folder, name="results.jsonl"):
    return [json.loads(line) for line in (folder / "out" / name).read_text().splitlines()]


def test_a_list_is_rendered_and_its_failures_are_named(list_place, ran):
    out, err = ran
    assert decodes(list_place / "out/a.mp4")[0] == 50
    assert decodes(list_place / "out/other/leo.mp4")[0] == 75
    assert "2 rendered" in out and "3 failed" in out, out
    for named in ("line 2", "line 3", "line 5"):
        assert named in err, err
    assert "\r" not in err and "\x1b[" not in err
    done = {r["line"]: r for r in results(list_place) if r["status"] == "done"}
    assert set(done) == {1, 4}
    for result, seconds in ((done[1], 2), (done[4], 3)):
        assert result["seconds"] == pytest.approx(seconds, abs=0.05)
        assert result["real_time_factor"] > 0 and result["peak_mb"] > 20
        assert abs(result["delta_mb"]) < 10, "the memory of a render ends with it"
    failed = {r["line"]: r["error"] for r in results(list_place, "failed.jsonl")}
    assert set(failed) == {2, 3, 5}
    assert "not a sound file" in failed[2] and "synthesis" in failed[3]


def test_run_again_it_renders_only_what_is_missing(list_place, ran):
    whole = list_place / "out/other/leo.mp4"
    before = whole.stat().st_mtime_ns
    (list_place / "out/a.mp4").unlink()
    (list_place / "letter.wav").write_bytes(sounds.speech(1))
    lines = (list_place / "list.jsonl").read_text().splitlines()
    (list_place / "again.jsonl").write_text("\n".join([lines[0], lines[1], "", lines[3]]))
    out, _ = render("--jobs", list_place / "again.jsonl", "--out", list_place / "out")
    assert "2 rendered, 1 done before, 0 failed" in out
    assert whole.stat().st_mtime_ns == before
    assert decodes(list_place / "out/a.mp4")[0] == 50
    assert not (list_place / "out/failed.jsonl").exists()


def test_ctrl_c_ends_the_children_and_what_they_made_goes_on(place, tmp_path):
    (tmp_path / "list.jsonl").write_text(json.dumps({"audio": str(place / "sound.wav"), "out": "film.mp4"}))
    process = start("--jobs", tmp_path / "list.jsonl", "--out", tmp_path, process_group=0)
    film = tmp_path / "film.mp4"
    eventually(lambda: film.exists() and film.stat().st_size > 300_000, within=120)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1 and "run the same again" in err, err
    size = film.stat().st_size
    time.sleep(0.5)
    assert film.stat().st_size == size, "a child goes on"
    began = film.read_bytes()[:200_000]
    render("--jobs", tmp_path / "list.jsonl", "--out", tmp_path)
    assert film.read_bytes()[10_000:200_000] == began[10_000:], "it was resumed, and not begun anew"
    assert decodes(film)[0] == decodes(place / "whole.mp4")[0]


def test_more_at_once_than_memory_has_room_for_is_lowered(place, tmp_path):
    short = tmp_path / "short.wav"
    short.write_bytes(sounds.speech(1))
    (tmp_path / "list.jsonl").write_text(json.dumps({"audio": str(short)}))
    _, err = render("--jobs", tmp_path / "list.jsonl", "--out", tmp_path, "--parallel", 8,
                    "--set", "memory.budget_mb=256")
    assert "--parallel 8 is lowered to 1" in err, err


def test_a_list_without_a_job_says_so(tmp_path):
    (tmp_path / "list.jsonl").write_text("\n\n")
    _, said = refused("render", "--jobs", tmp_path / "list.jsonl", "--out", tmp_path)
    assert "no job" in said
