"""Pushed speech: what is taken, in which order it is said, and how it is silenced."""

import time

import pytest

import sounds
from player import Viewer, activity, loudness
from server import eventually


def multipart(sound, name="file"):
    edge = b"an-edge-that-no-sound-contains"
    head = f'Content-Disposition: form-data; name="{name}"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'.encode()
    return b"--" + edge + b"\r\n" + head + sound + b"\r\n--" + edge + b"--\r\n", f"multipart/form-data; boundary={edge.decode()}"


def test_speech_is_taken_as_a_body_and_as_multipart(quiet):
    taken = quiet.speak(sounds.speech(1))
    assert taken.status == 202
    assert taken.json["duration_s"] == pytest.approx(1, abs=0.05)
    assert taken.json["utterance"]
    body, content_type = multipart(sounds.speech(1.5))
    taken = quiet.speak(body, content_type)
    assert taken.status == 202
    assert taken.json["duration_s"] == pytest.approx(1.5, abs=0.05)
    assert quiet.session()["queue_s"] > 0.5


@pytest.mark.parametrize(
    "name, content_type, make",
    [
        ("flac", "audio/flac", lambda: sounds.coded(2, "flac")),
        ("mp3", "audio/mpeg", lambda: sounds.coded(2, "mp3")),
        ("ogg", "audio/ogg", lambda: sounds.coded(2, "ogg", "-c:a", "libvorbis")),
        ("m4a", "audio/mp4", lambda: sounds.coded(2, "m4a")),
        ("8 kHz", "audio/wav", lambda: sounds.speech(2, rate=8_000)),
        ("192 kHz", "audio/wav", lambda: sounds.speech(2, rate=192_000)),
        ("6 channels", "audio/wav", lambda: sounds.speech(2, channels=6)),
        ("no content type", "application/octet-stream", lambda: sounds.speech(2)),
    ],
)
def test_every_usual_kind_of_sound_is_spoken(quiet, name, content_type, make):
    taken = quiet.speak(make(), content_type)
    assert taken.status == 202, taken.body
    assert taken.json["duration_s"] == pytest.approx(2, abs=0.15)
    with Viewer(quiet.url) as viewer:
        eventually(lambda: loudness(viewer.heard[-20:]) > 0.02, within=4)


def test_an_interruption_silences_at_once_and_says_how_much_was_played(quiet):
    with Viewer(quiet.url) as viewer:
        viewer.wait_for_picture()
        rest, _ = viewer.watch(1)
        spoken, waiting = (quiet.speak(sounds.speech(10)).json["utterance"] for _ in range(2))
        viewer.watch(2.5)
        asked = time.monotonic()
        answer = quiet.interrupt()
        assert answer.status == 200
        assert answer.json["interrupted"] is True
        assert 1_500 < answer.json["played_ms"] < 3_000
        assert answer.json["utterance"] == spoken
        assert answer.json["dropped"] == [waiting]
        viewer.watch(1.2)
        _, sound = viewer.between(asked + 0.4, asked + 1.2)
        assert loudness(sound) < 0.01, "what was on the way has arrived by then"
        after, _ = viewer.watch(1.5)
        assert activity(after) < 1.5 * activity(rest)
    assert quiet.session()["queue_s"] == 0, "the second one is not spoken either"


def test_an_interruption_of_nothing_is_no_error(quiet):
    eventually(lambda: quiet.session()["state"] == "idle")
    answer = quiet.interrupt()
    assert answer.status == 200
    assert answer.json["interrupted"] is False


def test_a_full_queue_pushes_back_and_drops_nothing(quiet):
    taken = []
    for _ in range(200):
        answer = quiet.speak(sounds.speech(18, rate=16_000))
        if answer.status != 202:
            break
        taken.append(answer.json["duration_s"])
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 0
    answer.problem
    assert quiet.session()["queue_s"] == pytest.approx(sum(taken), abs=5)


def test_speech_takes_precedence_over_the_source(serve):
    server = serve({"audio.source": "file"})
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        eventually(lambda: server.session()["state"] == "talking", within=5)
        server.speak(sounds.silence(6))
        # The avatar's own loop has pauses, but none of two seconds.
        viewer.watch(1)
        _, sound = viewer.watch(3)
        assert loudness(sound) < 0.01, "pushed silence is silence, whatever the file says"


def test_the_welcome_speech_plays_in_a_loop_where_there_is_no_microphone(serve, tmp_path):
    nothing = tmp_path / "alsa.conf"
    nothing.write_text("")
    server = serve({"audio.source": "auto"}, env={"ALSA_CONFIG_PATH": str(nothing)})
    with Viewer(server.url) as viewer:
        rest = viewer.wait_for_picture()
        assert rest
        pictures, sound = viewer.watch(4)
    assert loudness(sound) > 0.03
    assert activity(pictures) > 2
