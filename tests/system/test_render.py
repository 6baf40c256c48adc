"""`mouthpiece render`: the same stages into a file."""

import json
import subprocess

import av
import numpy as np
import pytest

import mouth
import sounds
from server import PROGRAM, ROOT, refused

SPOKEN, SILENT = 4.0, 3.0


def render(*arguments, within=90):
    return subprocess.run(
        [str(PROGRAM), "render", *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within,
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Four seconds of speech and three of silence, rendered."""
    folder = tmp_path_factory.mktemp("render")
    voice = sounds.welcome()[: int(SPOKEN * 48_000)]
    sound = folder / "sound.wav"
    sound.write_bytes(sounds.wav(np.concatenate([voice, np.zeros(int(SILENT * 48_000))])))
    run = render("--audio", sound, "--avatar", "ava", "--out", folder / "film.mp4", "--report", folder / "report.json")
    assert run.returncode == 0, run.stderr
    return folder / "film.mp4", folder / "report.json", run


def test_the_file_is_h264_and_opus_of_the_sounds_length(film):
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-count_frames", "-of", "json", str(film[0])],
        capture_output=True, text=True, check=True,
    )
    assert not probe.stderr, probe.stderr
    streams = {s["codec_type"]: s for s in json.loads(probe.stdout)["streams"]}
    video, audio = streams["video"], streams["audio"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", *mouth.SIZE)
    assert video["r_frame_rate"] == "25/1"
    assert int(video["nb_read_frames"]) == pytest.approx((SPOKEN + SILENT) * 25, abs=3)
    assert audio["codec_name"] == "opus"
    for stream in (video, audio):
        assert float(stream["duration"]) == pytest.approx(SPOKEN + SILENT, abs=0.12)


def test_the_mouth_speaks_with_the_voice_and_rests_with_the_silence(film):
    with av.open(str(film[0])) as file:
        seen = [(frame.time, mouth.change(mouth.small(frame))) for frame in file.decode(video=0)]
    with av.open(str(film[0])) as file:
        heard = [(f.time, float(np.sqrt((f.to_ndarray().astype(np.float32) ** 2).mean()))) for f in file.decode(audio=0)]
    talk = [change for at, change in seen if 0.5 < at < SPOKEN - 0.3]
    rest = [change for at, change in seen if at > SPOKEN + 1]
    assert np.percentile(talk, 90) > 3 * np.percentile(rest, 90)
    loud = [level for at, level in heard if at < SPOKEN - 0.3]
    silent = [level for at, level in heard if at > SPOKEN + 0.3]
    assert np.percentile(loud, 90) > 10 * (np.percentile(silent, 90) + 1e-6)


def test_the_sound_is_neither_early_nor_late(film):
    with av.open(str(film[0])) as file:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48_000)
        parts = [piece for frame in file.decode(audio=0) for piece in resampler.resample(frame)]
        start = parts[0].time or 0.0
        rendered = np.concatenate([piece.to_ndarray()[0] for piece in parts])
    given = sounds.welcome()[: len(rendered)]
    size = 1 << 20
    with_given = np.fft.irfft(np.fft.rfft(rendered, size) * np.conj(np.fft.rfft(given, size)))
    lag = int(np.argmax(with_given))
    lag = (lag - size if lag > size // 2 else lag) / 48_000 + start
    assert abs(lag) < 0.045, f"the sound is {lag * 1000:.0f} ms late"


def test_the_report_says_what_was_made(film):
    report = json.loads(film[1].read_text())
    assert report["frames"] == pytest.approx((SPOKEN + SILENT) * 25, abs=3)


def test_without_a_terminal_progress_is_plain_lines(film):
    run = film[2]
    assert "\r" not in run.stderr + run.stdout
    assert "\x1b[" not in run.stderr + run.stdout


def test_a_sound_that_is_none_leaves_no_file_behind(tmp_path):
    letter = tmp_path / "letter.wav"
    letter.write_text("this is no sound " * 50)
    _, said = refused("render", "--audio", letter, "--avatar", "ava", "--out", tmp_path / "film.mp4")
    assert "letter.wav" in said
    assert not (tmp_path / "film.mp4").exists()


def test_an_avatar_that_is_not_there_is_named(tmp_path):
    sound = tmp_path / "sound.wav"
    sound.write_bytes(sounds.speech(1))
    _, said = refused("render", "--audio", sound, "--avatar", "nobody", "--out", tmp_path / "film.mp4")
    assert "nobody" in said


def test_a_folder_that_is_not_there_is_named(tmp_path):
    sound = tmp_path / "sound.wav"
    sound.write_bytes(sounds.speech(1))
    _, said = refused("render", "--audio", sound, "--avatar", "ava", "--out", tmp_path / "nowhere" / "film.mp4")
    assert "nowhere" in said
