"""Answers of a chat server, spoken while they are written, cut off, remembered, and in trouble."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from server import eventually
from speaker import events
from test_text import fake, finished, of


class Model:
    """A server with OpenAI's chat route: it writes `words`, with `pause` between them."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/v1"
        self.asked, self.keys, self.broken, self.sent = [], [], threading.Event(), 0
        self.words, self.pause, self.status, self.kind, self.end = [], 0.0, 200, "text/event-stream", "data: [DONE]\n\n"
        #: Sent instead of words.
        self.body = None

    def messages(self):
        """What was asked last, without the system's part."""
        system, *rest = self.asked[-1]["messages"]
        assert system["role"] == "system"
        return [(message["role"], message["content"]) for message in rest]


@contextmanager
def model():
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            state.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            state.keys.append((self.path, self.headers["Authorization"]))
            self.send_response(state.status)
            self.send_header("Content-Type", state.kind)
            self.end_headers()
            if state.body is not None:
                self.wfile.write(state.body)
                return
            try:
                for word in list(state.words):
                    chunk = {"choices": [{"delta": {"content": word}, "finish_reason": None}]}
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                    self.wfile.flush()
                    state.sent += 1
                    time.sleep(state.pause)
                self.wfile.write(state.end.encode())
            except OSError:
                state.broken.set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Model(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def ask(server, text, query="", **more):
    return server.ask("POST", f"/v1/sessions/live/speech{query}", text=text, chat=True, **more)


@pytest.fixture
def talk(serve):
    """A server, the model that answers, and the voice that speaks: one second a sentence."""
    with model() as answers, fake() as voice:
        server = serve({
            "chat.url": answers.url, "chat.key": "secret", "chat.model": "m", "chat.system": "Be brief.", "chat.turns": 2,
            "chat.patience_s": 2, "tts.provider": "openai", "tts.url": voice.url,
        })
        yield server, answers, voice


def test_an_answer_is_spoken_while_it_is_written_and_remembered(talk):
    server, answers, voice = talk
    answers.words, answers.pause = ["It ", "is me", ". And", " you? ", "Tell me", "."], 0.2
    with events(server) as told:
        answer = ask(server, "Who is it?", voice="v", speed=1.5)
        assert answer.status == 202, answer.body
        assert answers.sent < len(answers.words), "the first sentence has its sound before the last is written"
        utterance = answer.json["utterance"]
        assert finished(told, utterance)["played_ms"] == 3_000
        assert [e["text"] for e in of(told, "reply")] == ["It is me.", "And you?", "Tell me."]
        assert {e["utterance"] for e in of(told, "reply")} == {utterance}
        assert of(told, "reply_ended") == [{"type": "reply_ended", "utterance": utterance, "whole": True}]
    assert [ask[2]["input"] for ask in voice.asked] == ["It is me.", "And you?", "Tell me."]
    assert {(ask[2]["voice"], ask[2]["speed"]) for ask in voice.asked} == {("v", 1.5)}
    assert answers.keys == [("/v1/chat/completions", "Bearer secret")]
    assert answers.asked == [{
        "model": "m", "stream": True,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who is it?"}],
    }]
    answers.pause = 0
    with events(server) as told:
        for question in ("Again?", "And now?"):
            answer = ask(server, question, "?interrupt=true")
            assert answer.status == 202, answer.body
            finished(told, answer.json["utterance"])
    said = "It is me. And you? Tell me."
    assert answers.messages() == [
        ("user", "Who is it?"), ("assistant", said), ("user", "Again?"), ("assistant", said), ("user", "And now?"),
    ]
    ask(server, "The third?")
    assert answers.messages()[0] == ("user", "Again?"), "two are remembered"
    assert server.request("DELETE", "/v1/sessions/live/chat").status == 204
    ask(server, "Who am I?")
    assert answers.messages() == [("user", "Who am I?")], "nothing is"


def test_an_interrupt_ends_the_answer_everywhere_and_what_nobody_heard_was_not_said(talk):
    server, answers, voice = talk
    answers.words, answers.pause = ["One. ", "Two. "] + ["More. "] * 200, 0.1
    voice.pause = 0.02
    with events(server) as told:
        utterance = ask(server, "Count.").json["utterance"]
        eventually(lambda: len(of(told, "reply")) > 3)
        eventually(lambda: server.session()["queue_s"] > 1)
        time.sleep(1.3)
        cut = server.interrupt().json
        assert cut["utterance"] == utterance and 1_000 <= cut["played_ms"] < 4_000, cut
        assert answers.broken.wait(10), "nobody reads on"
        (ended,) = eventually(lambda: of(told, "reply_ended"))
        assert ended["whole"] is False and "error" not in ended
        replies, asked = len(of(told, "reply")), len(voice.asked)
        time.sleep(1)
        assert (len(of(told, "reply")), len(voice.asked)) == (replies, asked), "nothing is made any more"
        assert server.session()["queue_s"] == 0
    answers.words, answers.pause = ["Yes."], 0
    assert ask(server, "Stop?").status == 202
    sentences = (["One.", "Two."] + ["More."] * 9)[: round(cut["played_ms"] / 1_000 - 0.46)]
    heard = " ".join([*sentences, "…"])
    assert answers.messages() == [("user", "Count."), ("assistant", heard), ("user", "Stop?")], cut


def test_a_question_that_is_silenced_before_its_answer_is_answered_so(talk):
    server, answers, _ = talk
    answers.words, answers.pause = ["Hm"] * 100, 0.05
    with ThreadPoolExecutor() as aside:
        late = aside.submit(ask, server, "Well?")
        eventually(lambda: answers.sent > 3)
        server.interrupt()
        answer = late.result(2)
    assert answer.status == 409 and "silenced" in answer.problem["detail"]
    assert answers.broken.wait(10), "the connection is closed"
    answers.words = ["Yes."]
    ask(server, "Now?")
    assert answers.messages() == [("user", "Now?")], "nothing was said to it"


def test_a_chat_server_in_trouble_is_told(talk):
    server, answers, _ = talk
    for status, kind, body, word in [
        (401, "application/json", b'{"error":"no such key"}', "no such key"),
        (200, "application/json", b"{}", "is no stream"),
        (200, "text/event-stream", b"data: words\n\n", "no piece of an answer"),
        (200, "text/event-stream", b'data: {"error":{"message":"too busy"}}\n\n', "too busy"),
        (200, "text/event-stream", b"", "without its end"),
        (200, "text/event-stream", b"data: [DONE]\n\n", "nothing that can be said"),
    ]:
        answers.status, answers.kind, answers.body = status, kind, body
        answer = ask(server, "Well?")
        assert answer.status == 502 and word in answer.problem["detail"], (body, answer.body)
    answers.status, answers.kind, answers.body = 200, "text/event-stream", None
    answers.words, answers.pause = ["Hm", "m"], 3
    answer = ask(server, "Well?")
    assert answer.status == 504 and "patience" in answer.problem["detail"]
    answers.words, answers.pause, answers.end = ["One. ", "And then"], 0, ""
    with events(server) as told:
        utterance = ask(server, "Well?").json["utterance"]
        (ended,) = eventually(lambda: of(told, "reply_ended"))
        assert ended["whole"] is False and "without its end" in ended["error"]
        assert finished(told, utterance)["played_ms"] == 1_000, "what came whole is said"
    assert server.session()["queue_s"] == 0


def test_who_has_no_chat_server_is_told_and_so_is_who_cannot_reach_it(serve):
    server = serve()
    answer = ask(server, "Well?")
    assert answer.status == 422 and "chat.url" in answer.problem["detail"]
    with model() as answers:
        url = answers.url
    server = serve({"chat.url": url})
    answer = ask(server, "Well?")
    assert answer.status == 502 and "can't be reached" in answer.problem["detail"]
    assert ask(server, " ... ").status == 422
    assert server.session()["queue_s"] == 0
