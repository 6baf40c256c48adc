"""Speech that is streamed: what is told of it, how it is silenced, how it pushes back, and what is refused."""

import json
import socket
import time
import urllib.parse
from collections import namedtuple

import aiohttp
import numpy as np
import pytest

import sounds
from player import Viewer, loudness
from server import eventually
from speaker import events, speaker

RATE = 24_000

#: A message as it lies on the wire (RFC 6455, 5.2).
Frame = namedtuple("Frame", "opcode payload")


def pcm(seconds, rate=RATE):
    """That many seconds of speech as bare samples."""
    return sounds.speech(seconds, rate)[44:]


def loud(viewer, begin, end, level=0.01):
    """Seconds of the viewer's sound that are louder than that."""
    _, sound = viewer.between(begin, end)
    return sum(heard.level > level for heard in sound) * 0.02


def test_segments_are_told_in_order_and_what_they_played_adds_up(quiet):
    with Viewer(quiet.url) as viewer, speaker(quiet, RATE) as say:
        viewer.wait_for_picture()
        began = time.monotonic()
        for seconds in (1.5, 0.7):
            sound = pcm(seconds)
            # In pieces that fit neither a chunk nor each other.
            for at in range(0, len(sound), 5_002):
                say.send(sound[at : at + 5_002])
            say.send({"type": "end"})
        first, second = say.wait_for("finished"), say.wait_for("finished", 2)
        viewer.watch(0.5)
        kinds = [told["type"] for _, told in say.told if told["type"] in ("started", "finished")]
        assert kinds == ["started", "finished"] * 2
        started = [told["utterance"] for told in say.of("started")]
        assert started == [first["utterance"], second["utterance"]] and started[1] == started[0] + 1
        assert first["interrupted"] is second["interrupted"] is False
        assert first["played_ms"] == pytest.approx(1_500, abs=40)
        assert second["played_ms"] == pytest.approx(700, abs=40)
        # One follows the other without a gap: it is one stretch of sound.
        assert loudness(viewer.between(began, time.monotonic())[1]) > 0.02


def test_talk_begins_before_the_segment_ends_and_late_sound_is_not_lost(quiet):
    with speaker(quiet, 16_000) as say:
        sound = pcm(1.2, 16_000)
        half = len(sound) // 4 * 2
        say.send(sound[:half])
        say.wait_for("started", within=5)
        time.sleep(1.2)
        assert not say.of("finished"), "it waits for the rest"
        say.send(sound[half:])
        say.send({"type": "end"})
        finished = say.wait_for("finished")
        assert finished["played_ms"] == pytest.approx(1_200, abs=40), "the pause does not count"
        assert len(say.of("started")) == 1


def test_a_clear_silences_the_viewer_and_says_how_much_was_played(quiet):
    with Viewer(quiet.url) as viewer, speaker(quiet, RATE) as say:
        viewer.wait_for_picture()
        say.send(pcm(6))
        say.send({"type": "end"})
        say.send(pcm(2))
        say.wait_for("started")
        viewer.watch(1.5)
        asked = time.monotonic()
        say.send({"type": "clear"})
        cleared = say.wait_for("cleared")
        assert cleared["utterance"] == say.of("started")[0]["utterance"]
        heard = (asked - say.at("started")) * 1_000
        assert heard - 400 < cleared["played_ms"] < heard + 400
        cut, dropped = say.of("finished")
        assert cut["interrupted"] is dropped["interrupted"] is True
        assert (cut["played_ms"], dropped["played_ms"]) == (cleared["played_ms"], 0)
        viewer.watch(1.5)
        assert loud(viewer, asked - 1, asked) > 0.3
        assert loud(viewer, asked + 0.5, asked + 1.5) == 0
        # What is sent now is spoken.
        say.send(pcm(0.5))
        say.send({"type": "end"})
        assert say.wait_for("finished", 3)["interrupted"] is False


def test_an_interrupt_from_outside_takes_what_is_still_on_its_way(quiet):
    with speaker(quiet, RATE) as say:
        sending = say.begin_to_send(pcm(20)[: 1 << 20])
        say.wait_for("started")
        for _ in range(4):
            say.begin_to_send(pcm(10))
        answer = quiet.interrupt().json
        assert answer["interrupted"] is True
        sending.result(10)
        # The socket is read again: what still came of the segment is thrown away.
        say.send({"type": "ping"})
        say.wait_for("pong")
        assert quiet.session()["queue_s"] == 0
        assert [finished["interrupted"] for finished in say.of("finished")] == [True]
        assert say.of("finished")[0]["played_ms"] == answer["played_ms"]
        say.send({"type": "end"})
        say.send(pcm(0.5))
        say.send({"type": "end"})
        assert say.wait_for("finished", 2)["interrupted"] is False


def test_who_sends_minutes_at_once_is_held(quiet):
    before = quiet.rss_mb()
    with speaker(quiet, 48_000) as say:
        # More than the system's own buffers hold of it, 23 MB.
        minutes = [pcm(5, 48_000)] * 48
        sending = [say.begin_to_send(part) for part in minutes]
        full = say.wait_for("level")
        assert full["state"] == "full" and 9_900 <= full["buffered_ms"] <= 10_000
        time.sleep(2)
        assert quiet.session()["queue_s"] < 12
        assert not all(sent.done() for sent in sending), "the socket is not read"
        assert quiet.rss_mb() - before < 20
        assert quiet.interrupt().json["interrupted"]
        for sent in sending:
            sent.result(20)
        assert say.wait_for("level", 2)["state"] == "low"


def test_a_clear_is_heard_behind_more_than_fits(quiet):
    with speaker(quiet, RATE) as say:
        sending = say.begin_to_send(pcm(30)[: 1 << 20])
        assert say.wait_for("level")["state"] == "full"
        sending.result(10)
        say.send({"type": "start", "sample_rate": 48_000})
        say.send(pcm(5, 48_000))
        asked = time.monotonic()
        say.send({"type": "clear"})
        say.wait_for("cleared")
        assert say.at("cleared") - asked < 2, "the buffer holds ten seconds"
        eventually(lambda: quiet.session()["queue_s"] == 0)
        assert [finished["interrupted"] for finished in say.of("finished")] == [True]
        # Nothing of what waited comes after all, and the rate is the last one.
        say.send(pcm(0.5, 48_000))
        say.send({"type": "end"})
        assert say.wait_for("finished", 2)["played_ms"] == pytest.approx(500, abs=40)


def test_what_waits_behind_a_full_buffer_is_spoken_in_order(quiet):
    with speaker(quiet, 16_000) as say:
        for _ in range(2):
            say.send(pcm(6, 16_000))
            say.send({"type": "end"})
        say.send({"type": "start", "sample_rate": 48_000})
        say.send(pcm(0.4, 48_000))
        say.send({"type": "end"})
        assert say.wait_for("level")["state"] == "full"
        say.wait_for("finished", 3, within=30)
        played = [told["played_ms"] for told in say.of("finished")]
        assert played == [pytest.approx(ms, abs=40) for ms in (6_000, 6_000, 400)]


def test_who_answers_no_ping_is_gone(quiet):
    address = urllib.parse.urlsplit(quiet.url)
    with socket.create_connection((address.hostname, address.port)) as mute:
        mute.sendall(
            b"GET /v1/sessions/live/speech/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        # A masked text frame, the mask all zeros.
        start = b'{"type":"start","sample_rate":16000}'
        mute.sendall(bytes([0x81, 0x80 | len(start), 0, 0, 0, 0]) + start)
        mute.settimeout(25)
        came = b""
        while part := mute.recv(4_096):
            came += part
        assert came.startswith(b"HTTP/1.1 101 ")
        assert came.endswith(b"\x89\x00"), "it was asked once"


def test_what_waits_behind_a_full_buffer_goes_on_without_its_socket_until_an_interrupt(quiet):
    with speaker(quiet, RATE) as say:
        say.send(pcm(20))
        assert say.wait_for("level")["state"] == "full"
    time.sleep(2)
    assert quiet.session()["queue_s"] > 9.5, "the buffer fills up again"
    assert quiet.interrupt().json["interrupted"]
    time.sleep(0.5)
    assert quiet.session()["queue_s"] == 0


def test_sockets_and_files_queue_behind_one_another(quiet):
    with speaker(quiet, RATE) as one, speaker(quiet, RATE) as other, events(quiet) as told:
        other.send(pcm(0.4))
        eventually(lambda: quiet.session()["queue_s"] > 0)
        pushed = quiet.speak(sounds.speech(0.4)).json["utterance"]
        one.send(pcm(0.4))
        one.send({"type": "end"})
        other.send(pcm(0.4))
        other.send({"type": "end"})
        last = one.wait_for("finished")["utterance"]
        first = other.wait_for("finished")
        assert (first["utterance"], last) == (pushed - 1, pushed + 1)
        assert first["played_ms"] == pytest.approx(800, abs=40)
        eventually(lambda: sum(event["type"] == "speech_finished" for _, event in told) == 3)
        order = [event["utterance"] for _, event in told if event["type"].startswith("speech_")]
        assert order == [n for n in (pushed - 1, pushed, pushed + 1) for _ in range(2)]
        assert not [event for _, event in other.told if event.get("utterance") not in (None, pushed - 1)]


def test_what_was_sent_is_spoken_although_the_socket_closes(quiet):
    with events(quiet) as told:
        with speaker(quiet, RATE) as say:
            say.send(pcm(0.8))
        assert say.ws.close_code == 1000, "a close is answered"
        finished = eventually(lambda: [e for _, e in told if e["type"] == "speech_finished"])
        assert finished[0]["interrupted"] is False
        assert finished[0]["played_ms"] == pytest.approx(800, abs=40)


@pytest.mark.parametrize(
    "messages, code",
    [
        (["hello"], 1007),
        (["[1]"], 1007),
        ([{}], 1007),
        ([{"type": "start"}], 1007),
        ([{"type": "start", "sample_rate": 11_025}], 1007),
        ([{"type": "start", "sample_rate": "24000"}], 1007),
        ([{"type": "start", "sample_rate": 24_000, "chanels": 1}], 1007),
        ([{"type": "speak"}], 1003),
        ([b"\0\0"], 1008),
        ([{"type": "end"}], 1008),
        ([{"type": "clear"}], 1008),
        ([{"sample_rate": 24_000}, b"\0\0\0"], 1007),
        ([{"sample_rate": 24_000}, bytes(3 << 20)], 1009),
        ([Frame(0x1, b"\xff\xfe")], 1007),
        ([Frame(0x3, b"what is this")], 1002),
    ],
)
def test_bad_messages_are_told_why_and_cost_nothing_else(quiet, messages, code):
    with speaker(quiet, 16_000) as good:
        good.send(pcm(0.5, 16_000))
        with speaker(quiet) as bad:
            for message in messages:
                if isinstance(message, Frame):
                    bad.send_frame(*message)
                elif isinstance(message, bytes):
                    bad.begin_to_send(message)
                else:
                    bad.send(message)
            assert bad.closed.wait(10)
            (error,) = bad.of("error")
            assert bad.close_code == error["code"] == code, error
            assert len(error["detail"]) > 20
        good.send({"type": "end"})
        assert good.wait_for("finished")["played_ms"] == pytest.approx(500, abs=40)


def test_an_address_that_is_no_sockets_says_so(quiet):
    assert quiet.get("/v1/sessions/live/speech/stream").status == 426
    quiet.get("/v1/sessions/live/speech/stream").problem
    assert quiet.get("/v1/sessions/nobody/events").status == 404
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused, speaker(quiet, Origin="https://evil.example"):
        pass
    assert refused.value.status == 403


def test_places_are_few_and_given_back(quiet):
    taken = [speaker(quiet, RATE).__enter__() for _ in range(8)]
    try:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused, speaker(quiet, RATE):
            pass
        assert refused.value.status == 503
    finally:
        for say in taken:
            say.__exit__()

    def free():
        try:
            with speaker(quiet, RATE):
                return True
        except aiohttp.WSServerHandshakeError:
            return False

    eventually(free)


def test_the_token_may_stand_in_the_address(serve):
    server = serve({"http.token": "se cret"})
    bearer = {"Authorization": "Bearer se cret"}
    with speaker(server, RATE, **bearer), speaker(server, RATE, query="?access_token=se%20cret"):
        pass
    with events(server, query="?access_token=se%20cret"):
        pass
    for query in ("", "?access_token=wrong"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused, speaker(server, RATE, query=query):
            pass
        assert refused.value.status == 401
    assert server.request("POST", "/v1/sessions/live/interrupt?access_token=se%20cret", b"", Authorization="").status == 401


def test_events_are_numbered_and_told_again(quiet):
    with events(quiet) as told:
        with Viewer(quiet.url) as viewer:
            viewer.wait_for_picture()
            quiet.speak(sounds.speech(0.5))
            eventually(lambda: [e for _, e in told if e["type"] == "speech_finished"])
        eventually(lambda: told[-1][1] == {"type": "viewers", "viewers": 0} or told[-2][1] == {"type": "viewers", "viewers": 0})
        eventually(lambda: [e for _, e in told if e == {"type": "state", "state": "idle"}])
        time.sleep(0.5)
    kinds = [event["type"] for _, event in told]
    assert kinds[0] == "viewers" and told[0][1]["viewers"] == 1
    assert {"speech_started", "speech_finished", "state", "viewers"} <= set(kinds)
    numbers = [number for number, _ in told]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    with events(quiet, last=numbers[2]) as again:
        eventually(lambda: len(again) >= len(told) - 3)
        assert again[: len(told) - 3] == told[3:]
    with events(quiet, last=0) as everything:
        eventually(lambda: len(everything) >= len(told))
        assert len(everything) <= 100
    with events(quiet, last=10**9) as another_run:
        eventually(lambda: another_run)


def test_a_file_may_interrupt(quiet):
    quiet.speak(sounds.speech(10))
    waiting = quiet.speak(sounds.speech(10)).json["utterance"]
    eventually(lambda: quiet.session()["state"] == "talking")
    path = "/v1/sessions/live/speech?interrupt=true"
    refused = quiet.request("POST", path, b"no sound", Content_Type="audio/wav")
    assert refused.status == 422
    assert quiet.session()["queue_s"] > 15, "what can't be spoken interrupts nothing"
    answer = quiet.request("POST", path, sounds.speech(1), Content_Type="audio/wav")
    assert answer.status == 202
    assert answer.json["utterance"] == waiting + 1 and answer.json["queued_s"] == 0
    cut = answer.json["cut"]
    assert (cut["interrupted"], cut["utterance"], cut["dropped"]) == (True, waiting - 1, [waiting])
    assert quiet.session()["queue_s"] <= 1.1


def test_the_end_is_told(serve):
    server = serve()
    with speaker(server, RATE) as say, events(server) as told:
        say.send(np.zeros(RATE, "<i2").tobytes())
        assert server.stop() < 3
        assert say.closed.wait(5) and say.close_code == 1001
        eventually(lambda: told and told[-1][1] == {"type": "ended"})
