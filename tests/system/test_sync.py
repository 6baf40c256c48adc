"""`mouthpiece sync`: how late a video's sound is, found by the lips, or a sentence that says why it can't be told."""

import json
import subprocess

import pytest

import sounds
from server import ASSETS, PROGRAM, ROOT, refused

#: Who, and milliseconds of sound later than picture, put into renders and found again.
OFFSETS = [("ava", -120), ("ava", 0), ("ava", 150), ("leo", 0), ("leo", 150)]
TEXT = (
    "Every morning the people of the small town open their windows, and the baker brings bread to the market. "
    "Who would have thought that such a simple machine could speak so clearly to all of us?"
)


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def sync(video, *more):
    run = subprocess.run(
        [str(PROGRAM), "sync", str(video), "--json", *more],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Each avatar with a voice of its own, rendered: nothing is early or late in them."""
    folder = tmp_path_factory.mktemp("sync")
    subprocess.run(["espeak-ng", "-w", str(folder / "leo.wav"), TEXT], check=True)
    (folder / "ava.wav").write_bytes(sounds.speech(12))
    for person in ("ava", "leo"):
        subprocess.run(
            [str(PROGRAM), "render", "--avatar", person, "--audio", str(folder / f"{person}.wav"),
             "--out", str(folder / f"{person}.mp4")],
            cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
        )
    return folder


def shifted(film, offset_ms, ending="mp4"):
    """`film` with its sound so much later."""
    video = film.with_name(f"{film.stem}{offset_ms:+}.{ending}")
    ffmpeg("-i", film, "-itsoffset", offset_ms / 1000, "-i", film, "-map", "0:v", "-map", "1:a", "-c", "copy", video)
    return video


@pytest.mark.parametrize(("person", "offset_ms"), OFFSETS)
def test_an_offset_is_found_within_20_ms(films, person, offset_ms):
    film = films / f"{person}.mp4"
    found = sync(shifted(film, offset_ms) if offset_ms else film)
    assert found["offset_ms"] == pytest.approx(offset_ms, abs=20), found
    assert found["confidence"] > 0.2 and found["faces"] == 1.0, found


def test_another_container_tells_its_times_too(films):
    found = sync(shifted(films / "ava.mp4", 150, "mkv"))
    assert found["offset_ms"] == pytest.approx(150, abs=20), found


def test_sound_that_is_coded_anew_is_where_it_was(films):
    """AAC puts samples of its own before the sound, which an edit list takes off."""
    ffmpeg("-i", films / "leo.mp4", "-c:v", "copy", "-c:a", "aac", films / "aac.mp4")
    assert sync(films / "aac.mp4")["offset_ms"] == pytest.approx(0, abs=20)


def test_it_says_which_way_it_is(films):
    run = subprocess.run(
        [str(PROGRAM), "sync", str(shifted(films / "leo.mp4", 150))],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )
    assert run.returncode == 0 and "later than the lips" in run.stdout, run.stdout + run.stderr


def test_another_ones_voice_is_not_taken_for_late(films):
    ffmpeg("-i", films / "leo.mp4", "-i", films / "ava.wav", "-map", "0:v", "-map", "1:a", "-c:v", "copy",
           "-c:a", "aac", "-shortest", films / "dubbed.mp4")
    _, said = refused("sync", films / "dubbed.mp4", within=120)
    assert "confidence" in said


def test_a_video_without_sound_says_so(films):
    ffmpeg("-i", films / "leo.mp4", "-an", "-c", "copy", films / "mute.mp4")
    _, said = refused("sync", films / "mute.mp4")
    assert "mute.mp4" in said and "no sound track" in said


def test_silence_is_no_speech(films):
    ffmpeg("-t", 4, "-i", films / "leo.mp4", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-map", "0:v", "-map", "1:a",
           "-c:v", "copy", "-c:a", "aac", "-shortest", films / "silent.mp4")
    _, said = refused("sync", films / "silent.mp4", within=60)
    assert "speech" in said


def test_a_picture_without_a_face_says_so(films):
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=4", "-i", ASSETS / "speech/welcome.flac",
           "-t", 4, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", films / "bars.mp4")
    _, said = refused("sync", films / "bars.mp4", within=60)
    assert "face" in said


def test_text_that_is_called_a_video_says_so(tmp_path):
    letter = tmp_path / "letter.mp4"
    letter.write_text("this is no video " * 50)
    _, said = refused("sync", letter)
    assert "text" in said and "letter.mp4" in said


def test_a_file_that_is_not_there_is_named(tmp_path):
    _, said = refused("sync", tmp_path / "nowhere.mp4")
    assert "nowhere.mp4" in said
