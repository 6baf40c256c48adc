"""A second player, aiortc, at /whep/live."""

import time

import pytest

import mouth
import sounds
from player import Refused, Viewer, activity, gaps, loudness, rate
from server import eventually

pytestmark = pytest.mark.alone


def test_a_player_sees_25_pictures_a_second_and_no_long_gap(quiet):
    with Viewer(quiet.url) as viewer:
        viewer.wait_for_picture()
        viewer.watch(1)
        pictures, _ = viewer.watch(8)
    assert rate(pictures) == pytest.approx(25, abs=0.6)
    # Loose, for a machine that tests other things too; benches/measure.py holds the strict figure.
    assert gaps(pictures).max() < 0.2
    assert pictures[0].size == mouth.SIZE


def test_both_tracks_come_and_the_silence_is_silent(quiet):
    with Viewer(quiet.url) as viewer:
        viewer.wait_for_picture()
        pictures, sound = viewer.watch(2)
    assert len(pictures) > 40
    assert len(sound) > 80, "sound comes in pieces of 20 ms"
    assert loudness(sound) < 0.01


def test_the_answer_is_what_a_whep_player_expects(quiet):
    with Viewer(quiet.url) as viewer:
        assert "/whep/live/" in viewer.headers["location"]
        assert viewer.headers["etag"]
        assert viewer.headers["content-type"] == "application/sdp"
        assert viewer.answer.count("a=sendonly") == 2
        assert "a=candidate:" in viewer.answer
        assert f" {quiet.udp_port} typ host" in viewer.answer, "all media goes over the one port"
        viewer.wait_for_picture()
    assert viewer.deleted == 200


def test_the_first_picture_comes_within_a_second_and_a_half(quiet):
    with Viewer(quiet.url) as viewer:
        assert viewer.wait_for_picture() < 1.5


def test_pushed_speech_is_heard_moves_the_mouth_and_the_mouth_rests_after_it(quiet):
    with Viewer(quiet.url) as viewer:
        viewer.wait_for_picture()
        rest, _ = viewer.watch(2)
        assert quiet.speak(sounds.speech(3)).status == 202
        viewer.watch(0.6)
        talk, voice = viewer.watch(2)
        eventually(lambda: quiet.session()["state"] == "idle", within=6)
        viewer.watch(1)
        again, silence = viewer.watch(2)
    assert loudness(voice) > 0.03
    assert loudness(silence) < 0.01
    assert activity(talk) > 3 * activity(rest)
    assert activity(again) < 1.5 * activity(rest)


def test_sender_reports_put_sound_and_picture_on_one_clock(quiet):
    with Viewer(quiet.url) as viewer:
        viewer.wait_for_picture()
        viewer.watch(3.5)
        kinds = {kind for kind, *_ in viewer.reports}
        assert kinds == {"audio", "video"}, "the reports must be such that a strict player can read them"
        pictures, sound = viewer.watch(1)
        assert abs(viewer.skew(pictures, sound)) < 0.1


def test_two_viewers_see_and_hear_the_same(quiet):
    with Viewer(quiet.url) as one, Viewer(quiet.url) as two:
        one.wait_for_picture()
        two.wait_for_picture()
        assert quiet.session()["viewers"] == 2
        quiet.speak(sounds.speech(4))
        one.watch(0.6)
        first = one.watch(3)
        second = two.between(first[0][0].at, first[0][-1].at)
        for pictures, sound in (first, second):
            assert rate(pictures) == pytest.approx(25, abs=1)
            assert loudness(sound) > 0.03
        assert activity(first[0]) == pytest.approx(activity(second[0]), rel=0.3)
    eventually(lambda: quiet.session()["viewers"] == 0)


def test_a_viewer_without_h264_gets_vp8(quiet):
    with Viewer(quiet.url, codec="VP8") as viewer:
        viewer.wait_for_picture()
        assert "VP8/90000" in viewer.answer and "H264" not in viewer.answer
        # The player catches up with what came while it made its decoder.
        viewer.watch(1)
        pictures, _ = viewer.watch(5)
    assert rate(pictures) == pytest.approx(25, abs=1)


def test_nothing_is_drawn_while_nobody_watches(quiet):
    eventually(lambda: quiet.session()["viewers"] == 0)
    before = quiet.cpu_ms()
    time.sleep(4)
    assert quiet.cpu_ms() - before < 4 * 60, "a server that nobody watches should do next to nothing"


def test_a_full_server_says_when_to_come_back(serve):
    server = serve({"media.max_viewers": 1})
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        with pytest.raises(Refused) as refused:
            Viewer(server.url).__enter__()
        assert refused.value.status == 503
        assert int(refused.value.headers["Retry-After"]) > 0
        assert len(viewer.watch(1)[0]) > 15, "the one who was there first goes on watching"
    eventually(lambda: server.session()["viewers"] == 0)
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()


def test_with_a_token_only_its_bearer_watches(serve):
    server = serve({"http.token": "a-long-enough-secret"})
    for path in ("/v1/status", "/metrics", "/v1/memory"):
        assert server.get(path, Authorization="").status == 401
    with pytest.raises(Refused) as refused:
        Viewer(server.url, token="something-else").__enter__()
    assert refused.value.status == 401
    with Viewer(server.url, token="a-long-enough-secret") as viewer:
        viewer.wait_for_picture()
    assert viewer.deleted == 200, "the secret address is credential enough to leave"
