"""`mouthpiece avatar import`: from a video or a photo to a bundle that talks."""

import json
import pathlib
import resource
import signal
import struct
import subprocess
import time

import av
import numpy as np
import pytest

from importing import FAST, bring, clip, ffmpeg, nothing_left, pictures, track
from server import ASSETS, PROGRAM, ROOT, eventually, refused

PEOPLE = {"ava": "idle", "leo": "look-aside"}


@pytest.fixture(scope="module")
def people(place):
    """Clips whose faces are known exactly, imported."""
    return {person: bring(place, clip(person, name), person) for person, name in PEOPLE.items()}


@pytest.mark.parametrize("person", PEOPLE)
def test_eyes_and_mouth_are_found_within_a_25th_of_their_distance(people, person):
    folder, report, _ = people[person]
    start, end = report["clip"]
    known = track(ASSETS / f"avatars/{person}", PEOPLE[person])[start : end + 1]
    found = track(folder)[: len(known)]
    unit = np.linalg.norm(known[:, 1] - known[:, 0], axis=1).mean()
    errors = np.linalg.norm(found - known[: len(found)], axis=2).mean(axis=0) / unit
    assert errors.max() < 0.04, f"eyes {errors[0]:.1%}, mouth {errors[1]:.1%}"
    # What jumps from one frame to the next shows more than what is off a little everywhere.
    jumps = np.linalg.norm(np.diff(found - known[: len(found)], axis=0), axis=2)
    assert np.percentile(jumps, 95) < 0.5, f"{np.percentile(jumps, 95):.2f} pixels"


@pytest.mark.parametrize("person", PEOPLE)
def test_the_clip_is_as_large_as_its_source_and_comes_round_without_a_seam(people, person):
    folder, report, _ = people[person]
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-count_frames", "-of", "json", folder / "idle.mp4"],
        capture_output=True, text=True, check=True,
    )
    assert not probe.stderr, probe.stderr
    (video,) = json.loads(probe.stdout)["streams"]
    assert (video["codec_name"], video["width"], video["height"], video["r_frame_rate"]) == ("h264", 576, 720, "25/1")
    assert int(video["nb_read_frames"]) == report["measured"]["frames"] == len(track(folder))
    shown = pictures(folder / "idle.mp4")
    steps = [np.abs(a - b).mean() for a, b in zip(shown, shown[1:])]
    assert np.abs(shown[-1] - shown[0]).mean() < 1.5 * np.percentile(steps, 90) + 0.3


def test_check_and_list_say_how_well_it_will_talk(people, place):
    def says(*arguments):
        run = subprocess.run(
            [str(PROGRAM), "avatar", *arguments, "--set", f"assets={place}"], capture_output=True, text=True, cwd=ROOT,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    verdict = people["ava"][1]["verdict"]
    assert verdict["grade"] == "good"
    assert verdict["says"] in people["ava"][2]
    assert verdict["says"] in says("check", "ava")
    assert "ava: ava, 576x720" in says("list")
    for name in ("poster.jpg", "faces.jpg", "report.txt"):
        assert (people["ava"][0] / name).stat().st_size > 100


@pytest.mark.parametrize(
    "name, how",
    [
        ("fast.webm", ["-r", "60", "-c:v", "libvpx", "-b:v", "1M", "-deadline", "realtime"]),
        ("slow.gif", ["-r", "10"]),
        ("film.mkv", ["-r", "24000/1001", "-c:v", "libx264", "-preset", "ultrafast"]),
        ("wide.mov", ["-vf", "scale=-2:360,pad=640:360:(ow-iw)/2:0", "-c:v", "libx264", "-preset", "ultrafast"]),
    ],
)
def test_any_container_and_rate_becomes_25_frames_a_second(place, material, name, how):
    source = material / name
    scale = [] if "-vf" in how else ["-vf", "scale=-2:480"]
    ffmpeg("-i", clip("ava"), "-t", "3", *scale, *how, source)
    folder, report, _ = bring(place, source, source.suffix[1:])
    assert report["frames_used"] == pytest.approx(75, abs=3)
    assert len(pictures(folder / "idle.mp4")) == report["measured"]["frames"]


def test_a_phone_held_upright_is_turned_by_its_metadata(place, material):
    lying, source = material / "lying.mp4", material / "phone.mp4"
    ffmpeg("-i", clip("ava"), "-t", "2", "-vf", "transpose=1", "-c:v", "libx264", "-preset", "ultrafast", lying)
    # What phones write: the matrix of the track's header (ISO/IEC 14496-12, 8.3.2), here a quarter turn to the left.
    film = bytearray(lying.read_bytes())
    matrix = film.index(b"tkhd") + 44
    one = 0x10000
    assert struct.unpack_from(">9i", film, matrix)[:5] == (one, 0, 0, 0, one)
    struct.pack_into(">5i", film, matrix, 0, one, 0, -one, 0)
    source.write_bytes(film)
    folder, report, _ = bring(place, source, "phone", "--height", "360")
    assert report["size"] == [288, 360]
    eyes, mouth = track(folder).mean(axis=0)
    assert mouth[1] - eyes[1] > 40 and abs(mouth[0] - eyes[0]) < 10


def test_a_picture_is_chosen_by_its_time(place, material):
    """Ava at rest for two seconds, then four times as fast: the clip must spend as long on each."""
    source = material / "uneven.mkv"
    ffmpeg("-t", "4", "-i", clip("ava"), "-vf", "setpts='if(lt(N,50),N/25,2+(N-50)/100)/TB',scale=-2:360",
           "-fps_mode", "vfr", "-enc_time_base", "1:1000", "-c:v", "libx264", "-preset", "ultrafast", source)
    _, report, _ = bring(place, source, "uneven")
    assert report["frames_used"] == pytest.approx(62, abs=3)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_a_photo_breathes_and_comes_round(place, material, kind):
    source = material / f"photo.{kind}"
    ffmpeg("-i", clip("ava"), "-frames:v", "1", "-vf", "scale=-2:480", source)
    folder, report, _ = bring(place, source, f"photo-{kind}")
    places = track(folder)
    assert len(places) == 200
    moved = places[:, 0] - places[0, 0]
    assert 0.5 < np.abs(moved).max() < 6
    assert np.linalg.norm(places[-1] - places[0], axis=1).max() < 0.5
    known = track(ASSETS / "avatars/ava")[0] * 480 / 720
    unit = np.linalg.norm(known[1] - known[0])
    assert np.linalg.norm(places.mean(axis=0) - known, axis=1).max() < 0.05 * unit + 1
    if kind == "jpg":
        shown = pictures(folder / "idle.mp4")
        assert np.abs(shown[0][:2] - shown[70][:2]).mean() < 2, "the border moves"
        assert np.abs(shown[-1] - shown[0]).mean() < 1


def test_of_two_faces_the_larger_one_talks_unless_told(place, material):
    source = material / "two.mp4"
    ffmpeg("-i", clip("ava"), "-i", clip("leo"), "-t", "2", "-filter_complex",
           "[1]scale=432:-2,pad=432:720:0:90[small];[0][small]hstack", "-c:v", "libx264", "-preset", "ultrafast", source)
    folder, report, said = bring(place, source, "first")
    assert report["faces"] == 2 and "2 faces" in said
    assert track(folder)[:, 1, 0].max() < 576
    folder, _, _ = bring(place, source, "second", "--face", "2")
    assert track(folder)[:, 1, 0].min() > 576


def test_single_frames_without_a_face_are_bridged_and_told(place, material):
    source = material / "gaps.mp4"
    ffmpeg("-i", clip("ava"), "-t", "4", "-vf", "drawbox=c=black:t=fill:enable='eq(n,30)+between(n,60,61)',scale=-2:360",
           "-c:v", "libx264", "-preset", "ultrafast", source)
    folder, report, said = bring(place, source, "gaps")
    assert report["lost"] == [[30, 30], [60, 61]], report["lost"]
    assert "30, 60-61" in said
    assert not np.isnan(track(folder)).any()


def test_too_many_frames_without_a_face_are_refused_with_pictures(place, material):
    source, evidence = material / "leaves.mp4", material / "evidence"
    ffmpeg("-i", clip("ava"), "-t", "4", "-vf", "scale=-2:360,drawbox=c=gray:t=fill:enable='gt(n,70)'",
           "-c:v", "libx264", "-preset", "ultrafast", source)
    _, said = refused("avatar", "import", source, "--id", "leaves", "--set", f"assets={place}", "--refused", evidence, within=60)
    assert "29 of 100 frames" in said and "71" in said and "--start" in said
    assert sorted(f.name for f in evidence.iterdir())[0] == "frame-71.jpg"
    assert not (place / "avatars/leaves").exists()


@pytest.mark.parametrize("name, word", [("../escape", "letters, digits"), ("", "letters, digits"), ("ava", "already")])
def test_an_id_that_is_none_or_taken_is_refused(people, place, name, word):
    before = sorted(f.name for f in place.rglob("*"))
    _, said = refused("avatar", "import", clip("ava"), "--id", name, "--set", f"assets={place}")
    assert word in said
    assert sorted(f.name for f in place.rglob("*")) == before


def test_a_source_that_is_not_there_is_named(place):
    _, said = refused("avatar", "import", "nowhere.mp4", "--id", "nobody", "--set", f"assets={place}")
    assert "nowhere.mp4" in said and "No such file" in said


def test_an_import_that_is_stopped_leaves_nothing(tmp_path):
    place = tmp_path / "assets"
    (place / "avatars").mkdir(parents=True)
    run = subprocess.Popen(
        [str(PROGRAM), "avatar", "import", str(clip("ava")), "--id", "stopped", "--set", f"assets={place}"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )
    eventually(lambda: list(place.glob(".import-*/stopped")), within=20, every=0.01)
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=20)[1]
    assert run.returncode == 1 and "stopped" in said, said
    assert nothing_left(place, "stopped")


def test_a_disk_without_room_leaves_nothing(tmp_path):
    place = tmp_path / "assets"
    (place / "avatars").mkdir(parents=True)

    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    run = subprocess.run(
        [str(PROGRAM), "avatar", "import", str(clip("ava", "nod")), "--id", "full", "--set", f"assets={place}"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, preexec_fn=no_room,
    )
    assert run.returncode == 1 and "cannot write" in run.stderr, run.stderr
    assert nothing_left(place, "full")


def test_a_preview_speaks_for_ten_seconds(tmp_path):
    film = tmp_path / "film.mp4"
    run = subprocess.run(
        [str(PROGRAM), "avatar", "preview", "leo", "--out", str(film)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )
    assert run.returncode == 0, run.stderr
    with av.open(str(film)) as file:
        assert float(file.duration / av.time_base) == pytest.approx(10, abs=0.1)


def test_a_detector_that_is_none_is_named(place, material):
    letter = material / "detector.onnx"
    letter.write_text("this is no network")
    for detector in (letter, ASSETS / "models/mouthpiece-256/model.onnx"):
        _, said = refused(
            "avatar", "import", clip("ava"), "--id", "nobody", "--detector", detector, "--set", f"assets={place}",
        )
        assert detector.name in said and "detector" in said
    assert not pathlib.Path(place / "avatars/nobody").exists()
