"""The microphone, through a PulseAudio that is ours."""

import time

import pytest

import sounds
from player import Viewer, activity, loudness, rate
from server import eventually

pytestmark = pytest.mark.alone


def test_what_is_said_into_the_microphone_is_heard_and_spoken(microphone, serve):
    server = serve({"audio.source": "microphone"}, env=microphone.env)
    assert server.session()["source"].startswith("microphone")
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        viewer.watch(1)
        rest, quiet = viewer.watch(2)
        voice = microphone.say(sounds.speech(5))
        viewer.watch(1.2)
        talk, sound = viewer.watch(3)
        voice.wait(10)
        viewer.watch(2)
        again, _ = viewer.watch(2)
    assert loudness(quiet) < 0.01 < 0.03 < loudness(sound)
    assert activity(talk) > 3 * activity(rest)
    assert activity(again) < 1.5 * activity(rest)
    assert rate(talk) == pytest.approx(25, abs=1)


def test_who_listens_waits_for_sound_and_does_not_keep_asking(microphone, serve):
    server = serve({"audio.source": "microphone"}, env=microphone.env)
    voice = microphone.say(sounds.speech(8))
    eventually(lambda: server.session()["state"] == "talking", within=6)
    # What comes after a voice that was cut comes in pieces of another length.
    voice.kill()
    voice.wait(5)
    eventually(lambda: server.session()["state"] == "idle", within=6)
    before, began = server.cpu_ms(), time.monotonic()
    time.sleep(4)
    busy = (server.cpu_ms() - before) / (time.monotonic() - began) / 1000
    assert busy < 0.5, f"nobody watches, and {busy:.2f} of a core is taken"


def test_auto_takes_the_microphone_that_is_there(microphone, serve):
    server = serve({"audio.source": "auto"}, env=microphone.env)
    assert server.session()["source"].startswith("microphone")


def test_a_microphone_that_is_lost_comes_back_and_the_show_goes_on(microphone, serve):
    server = serve({"audio.source": "microphone"}, env=microphone.env)
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        voice = microphone.say(sounds.speech(15))
        eventually(lambda: server.session()["state"] == "talking", within=4)

        before = len(server.log)
        microphone.unplug()
        voice.wait(5)
        viewer.watch(1.5)
        without, silence = viewer.watch(3)
        assert rate(without) == pytest.approx(25, abs=1), "the avatar idles meanwhile"
        assert loudness(silence) < 0.01
        assert server.session()["state"] == "idle"

        microphone.start()
        microphone.say(sounds.speech(8))
        back = time.monotonic()
        eventually(lambda: server.session()["state"] == "talking", within=4)
        # Two seconds are promised; the rest is for paplay, the words' beginning and a busy machine.
        assert time.monotonic() - back < 3
        talk, sound = viewer.watch(2)
        assert loudness(sound) > 0.03
        assert activity(talk) > 2
    lost = [line for line in server.log[before:].splitlines() if "WARN" in line and "microphone" in line]
    assert len(lost) == 1, f"it is logged once:\n{server.log}"


def test_a_microphone_that_is_not_there_is_said_in_a_sentence(serve, tmp_path):
    nothing = tmp_path / "alsa.conf"
    nothing.write_text("")
    server = serve({"audio.source": "microphone"}, env={"ALSA_CONFIG_PATH": str(nothing)})
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
    assert "microphone" in server.log.lower()
