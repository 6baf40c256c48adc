"""Text that is spoken: by espeak-ng, a program, a server; in order, cut off, and refused with a reason."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from server import eventually
from speaker import events

RATE = 24_000
#: Bytes of a tenth of a second.
PART = RATE // 10 * 2


def say(server, text, query="", **more):
    return server.ask("POST", f"/v1/sessions/live/speech{query}", text=text, **more)


def of(told, kind):
    return [event for _, event in list(told) if event["type"] == kind]


def finished(told, utterance, within=20):
    """The event that tells that `utterance` is over."""
    return eventually(lambda: [e for e in of(told, "speech_finished") if e["utterance"] == utterance], within)[0]


class Fake:
    """A server with OpenAI's speech route, which sends a tone in parts of 100 ms."""

    def __init__(self, port):
        self.asked, self.sent, self.broken = [], 0, threading.Event()
        self.lead, self.parts, self.pause, self.status, self.kind, self.body = 0.0, 10, 0.0, 200, "audio/pcm", None
        self.url = f"http://127.0.0.1:{port}/v1"


@contextmanager
def fake():
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.asked.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(state.status)
            self.send_header("Content-Type", state.kind)
            self.end_headers()
            if state.body is not None:
                self.wfile.write(state.body)
                return
            time.sleep(state.lead)
            tone = (8_000 * np.sin(np.arange(PART // 2) * 0.1)).astype("<i2").tobytes()
            try:
                for _ in range(state.parts):
                    self.wfile.write(tone)
                    self.wfile.flush()
                    state.sent += 1
                    time.sleep(state.pause)
            except OSError:
                state.broken.set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Fake(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def test_texts_are_spoken_in_order_out_of_the_box(quiet):
    with events(quiet) as told:
        first = say(quiet, "Hello there. This is the second sentence.")
        second = say(quiet, "And another text.", voice="en-us", speed=1.5)
        assert (first.status, second.status) == (202, 202), (first.body, second.body)
        first, second = first.json["utterance"], second.json["utterance"]
        assert second == first + 1
        for utterance, least, most in [(first, 1_500, 6_000), (second, 400, 3_000)]:
            over = finished(told, utterance)
            assert least < over["played_ms"] < most and not over["interrupted"]
        kinds = [(e["type"], e["utterance"]) for _, e in told if e["type"].startswith("speech")]
        assert kinds == [(kind, n) for n in (first, second) for kind in ("speech_started", "speech_finished")]


def test_a_text_interrupts_and_is_interrupted(quiet):
    with events(quiet) as told:
        long = say(quiet, "This goes on and on. " * 20).json["utterance"]
        eventually(lambda: of(told, "speech_started"))
        answer = say(quiet, "Now listen to this.", "?interrupt=true")
        assert answer.status == 202, answer.body
        cut = answer.json["cut"]
        assert (cut["interrupted"], cut["utterance"]) == (True, long)
        assert finished(told, long)["interrupted"]
        eventually(lambda: of(told, "speech_started")[-1]["utterance"] == answer.json["utterance"])
        assert quiet.interrupt().json["utterance"] == answer.json["utterance"]
        time.sleep(0.5)
        assert quiet.session()["queue_s"] == 0, "nothing of either comes after"
        assert of(told, "speech_started")[-1]["utterance"] == answer.json["utterance"]


def test_what_is_no_text_is_refused(quiet):
    for body, status, word in [
        ({"text": " ... "}, 422, "nothing to say"),
        ({"text": "a " * 6_000}, 422, "12000 characters"),
        ({"text": "a" * 200_000}, 413, "characters at most"),
        ({"text": "one", "voice": "../en"}, 422, "voice"),
        ({"text": "one", "speed": 40}, 422, "speed is 40"),
        ({"text": "one", "url": "http://127.0.0.1"}, 422, "url"),
        ({"text": "one", "voice": "nobody"}, 502, "voice does not exist"),
        ([], 422, "text"),
    ]:
        answer = quiet.request(
            "POST", "/v1/sessions/live/speech", json.dumps(body).encode(), Content_Type="application/json"
        )
        assert answer.status == status and word in answer.problem["detail"], (body, answer.body)
    assert quiet.session()["queue_s"] == 0


def test_a_server_is_heard_while_it_speaks_and_left_when_interrupted(serve):
    with fake() as tts:
        server = serve({
            "tts.provider": "openai", "tts.url": tts.url, "tts.key": "secret", "tts.model": "m", "tts.voice": "v",
            "tts.extra": '{"mood":"calm"}',
        })
        with events(server) as told:
            utterance = say(server, "One sentence. And one more.", speed=1.5).json["utterance"]
            assert finished(told, utterance)["played_ms"] == 2_000, "two of ten parts, whole"
        assert [ask[:2] for ask in tts.asked] == [("/v1/audio/speech", "Bearer secret")] * 2
        wanted = {"model": "m", "voice": "v", "response_format": "pcm", "speed": 1.5, "mood": "calm"}
        assert [ask[2] for ask in tts.asked] == [{**wanted, "input": s} for s in ("One sentence.", "And one more.")]

        tts.asked.clear()
        tts.parts, tts.pause, tts.sent = 600, 0.1, 0
        with events(server) as told:
            utterance = say(server, "Slowly. Never reached.").json["utterance"]
            eventually(lambda: of(told, "speech_started"))
            assert 0 < tts.sent < 300, "talk begins long before the sound is there"
            assert server.interrupt().json["utterance"] == utterance
            assert tts.broken.wait(10), "the connection is closed"
            assert len(tts.asked) == 1, "and no other sentence wanted"


def test_texts_keep_their_order_and_one_without_a_sound_yet_is_silenced_too(serve):
    with fake() as tts, ThreadPoolExecutor() as aside:
        server = serve({"tts.provider": "openai", "tts.url": tts.url})
        tts.lead = 1.0
        first = aside.submit(say, server, "One.")
        eventually(lambda: len(tts.asked) == 1)
        tts.lead = 0.0
        second = say(server, "Two.")
        assert second.json["utterance"] == first.result(10).json["utterance"] + 1, "although it was quicker"
        tts.lead, tts.parts = 2.0, 100
        late = aside.submit(say, server, "Never heard.")
        eventually(lambda: len(tts.asked) == 3)
        server.interrupt()
        answer = late.result(1)
        assert answer.status == 409 and "silenced" in answer.problem["detail"]
        assert tts.broken.wait(10), "the connection is closed"
        assert server.session()["queue_s"] == 0


def test_a_server_in_trouble_is_told(serve):
    with fake() as tts:
        server = serve({"tts.provider": "openai", "tts.url": tts.url})
        tts.status, tts.kind, tts.body = 500, "application/json", b'{"error": "no voice left"}'
        answer = say(server, "one")
        assert answer.status == 502 and "500" in answer.problem["detail"] and "no voice left" in answer.problem["detail"]
        tts.status = 200
        answer = say(server, "one")
        assert answer.status == 502 and "application/json" in answer.problem["detail"]
        tts.kind, tts.body = "audio/mpeg", b"ID3\x04\0\0\0\0\0\0"
        answer = say(server, "one")
        assert answer.status == 502 and "MP3" in answer.problem["detail"]
        tts.status, tts.body = 302, b""
        assert say(server, "one").status == 502, "no redirect is followed"
    answer = say(server, "one")
    assert answer.status == 502 and "can't be reached" in answer.problem["detail"]
    assert server.session()["queue_s"] == 0


def test_a_program_speaks_and_what_is_missing_is_told(serve, tmp_path):
    server = serve({"tts.provider": "command", "tts.command": '["espeak-ng", "--stdin", "--stdout", "-v", "{voice}"]', "tts.voice": "en"})
    with events(server) as told:
        utterance = say(server, "By a program.").json["utterance"]
        assert finished(told, utterance)["played_ms"] > 500
    answer = say(serve({"tts.provider": "none"}), "one")
    assert answer.status == 415 and "text-to-speech" in answer.problem["detail"]
    answer = say(serve(env={"PATH": str(tmp_path)}), "one")
    assert answer.status == 503 and "apt-get install espeak-ng" in answer.problem["detail"]
