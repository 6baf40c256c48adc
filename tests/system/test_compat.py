"""Clients of other programs, as their pages and documents call them: LiveTalking's and DH-LIVE's."""

import base64
import time

import pytest

import sounds
from player import Viewer, loudness
from server import Server, eventually
from speaker import events
from test_chat import model

EDGE = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compat")
    server = Server(folder, {"http.compat": '["livetalking", "dh-live"]', "recordings.folder": folder / "recordings"}).start()
    yield server
    if server.process is not None:
        server.stop()
        assert server.exit_code == 0, server.log


class Page(Viewer):
    """LiveTalking's page: it offers as JSON, names its session afterwards, and says no goodbye."""

    avatar = None

    async def _offer(self, http, sdp):
        body = {"sdp": sdp, "type": "offer", **({"avatar": self.avatar} if self.avatar else {})}
        async with http.post(f"{self.url}/offer", json=body) as answer:
            assert answer.status == 200, await answer.text()
            said = await answer.json()
        assert set(said) == {"sdp", "type", "sessionid"} and said["type"] == "answer"
        self.number = said["sessionid"]
        return said["sdp"]


def post(server, path, **fields):
    """As their `fetch` does; what is answered."""
    answer = server.ask("POST", path, **fields)
    assert answer.headers["content-type"] == "application/json"
    return answer.json


def form(*fields):
    """The body of a form: (name, file name or None, content)."""
    body = b""
    for name, file, content in fields:
        of_file = f'; filename="{file}"\r\nContent-Type: audio/wav' if file else ""
        head = f'--{EDGE}\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n\r\n'
        body += head.encode() + (content if isinstance(content, bytes) else content.encode()) + b"\r\n"
    return body + f"--{EDGE}--\r\n".encode()


def send(server, path, *fields):
    return server.request("POST", path, form(*fields), Content_Type=f"multipart/form-data; boundary={EDGE}")


def test_a_page_of_livetalkings_offers_speaks_interrupts_and_records(house):
    with Page(house.url) as page:
        page.wait_for_picture()
        session = house.get(f"/v1/sessions/{page.number}").json
        assert (session["viewers"], session["avatar"], session["idle_timeout_s"]) == (1, "ava", 15)
        name = str(page.number)
        assert post(house, "/is_speaking", sessionid=name) == {"code": 0, "msg": "ok", "data": False}
        assert post(house, "/record", type="start_record", sessionid=name) == {"code": 0, "msg": "ok"}

        with events(house, path=f"/sse?sessionid={name}") as told:
            began = time.monotonic()
            ok = post(house, "/human", text="Hello there.", type="echo", interrupt=True, sessionid=name)
            assert ok == {"code": 0, "msg": "ok"}
            assert post(house, "/is_speaking", sessionid=page.number)["data"] is True
            eventually(lambda: post(house, "/is_speaking", sessionid=name)["data"] is False, 15)
            assert loudness(page.between(began, time.monotonic())[1]) > 0.02, "the page hears it"
            eventually(lambda: [said["status"] for _, said in told] == ["start", "end"])
            assert not told[1][1]["interrupted"]

            # The page puts the file before the session.
            answer = send(house, "/humanaudio", ("file", "long.wav", sounds.speech(20.0)), ("sessionid", None, name))
            assert answer.json == {"code": 0, "msg": "ok"}
            eventually(lambda: [said["status"] for _, said in told][2:] == ["start"])
            assert post(house, "/interrupt_talk", sessionid=name) == {"code": 0, "msg": "ok"}
            eventually(lambda: post(house, "/is_speaking", sessionid=name)["data"] is False)
            eventually(lambda: len(told) == 4)
            assert told[3][1] == {"status": "end", "utterance": told[2][1]["utterance"], "interrupted": True}

        assert post(house, "/record", type="end_record", sessionid=name) == {"code": 0, "msg": "ok"}
        film = house.get(f"/record/{name}")
        assert film.headers["content-type"] == "video/mp4" and film.body[4:8] == b"ftyp"
        assert len(film.body) == house.get("/v1/recordings").json["recordings"][-1]["bytes"]
        assert house.session()["state"] == "idle", "nobody else spoke"


def test_each_page_has_a_face_of_its_own_and_nought_is_the_configured_session(house):
    with Page(house.url) as one:
        other = Page(house.url)
        other.avatar = "leo"
        with other:
            assert one.number != other.number
            assert house.get(f"/v1/sessions/{other.number}").json["avatar"] == "leo"
            assert post(house, "/human", text="Only I.", type="echo", sessionid=other.number)["code"] == 0
            assert post(house, "/is_speaking", sessionid=other.number)["data"] is True
            assert post(house, "/is_speaking", sessionid=one.number)["data"] is False
    for number in (0, "0"):
        assert post(house, "/human", text="To all.", type="echo", sessionid=number)["code"] == 0
    assert post(house, "/is_speaking", sessionid=0)["data"] is True
    assert post(house, "/interrupt_talk", sessionid=0)["code"] == 0


def test_a_page_asks_a_question_and_has_a_clip_played(serve):
    with model() as llm:
        llm.words = ["I am ", "Ava."]
        server = serve({"http.compat": '["livetalking"]', "chat.url": llm.url})
        with events(server) as told:
            assert post(server, "/human", text="Who are you?", type="chat", interrupt=True, sessionid=0)["code"] == 0
            assert llm.messages() == [("user", "Who are you?")]
            assert post(server, "/is_speaking", sessionid=0)["data"] is True
            assert post(server, "/set_audiotype", audiotype=2, reinit=False, sessionid="0") == {"code": 0, "msg": "ok"}
            eventually(lambda: [e["clip"] for _, e in told if e["type"] == "action" and e["state"] == "started"] == ["nod"])
            assert post(server, "/set_audiotype", audiotype=1, sessionid="0")["code"] == 0
            eventually(lambda: [e["interrupted"] for _, e in told if e["type"] == "action" and e["state"] == "finished"] == [True])


def test_livetalkings_clients_are_refused_in_their_words(house):
    before = len(house.get("/v1/sessions").json["sessions"])
    for path, body, status, word in [
        ("/human", {"text": "one", "type": "echo", "sessionid": 7}, 404, "no session"),
        ("/human", {"text": " ", "type": "echo"}, 422, "nothing to say"),
        ("/human", {"type": "echo"}, 422, "text"),
        ("/human", {"text": "one", "type": "chat"}, 422, "chat.url"),
        ("/set_audiotype", {"audiotype": 9, "sessionid": "0"}, 404, "no clip"),
        ("/offer", {"sdp": "v=1", "type": "offer"}, 422, "offer"),
        ("/offer", {"sdp": "v=0", "type": "offer", "avatar": "../ava"}, 422, "avatar"),
        ("/is_speaking", {"sessionid": "7"}, 404, "no session"),
        ("/record", {"type": "end_record"}, 409, "isn't being recorded"),
        ("/record", {"type": "pause"}, 422, "start_record"),
    ]:
        answer = house.ask("POST", path, **body)
        said = answer.json
        assert (answer.status, set(said), said["code"]) == (status, {"code", "msg"}, -1), (path, said)
        assert word in said["msg"], (path, said)
    answer = send(house, "/humanaudio", ("file", "a.wav", b"no sound"), ("sessionid", None, "0"))
    assert answer.status == 422 and answer.json["code"] == -1
    answer = house.get("/record/7")
    assert answer.status == 404 and answer.json["code"] == -1
    assert house.get("/human").json["code"] == -1, "another method"
    assert len(house.get("/v1/sessions").json["sessions"]) == before, "a bad offer leaves no session"
    assert house.get("/v1/sessions/7").problem["status"] == 404, "our own words elsewhere"


def test_dh_lives_clients_send_sound_and_ask_how_it_goes(house):
    status = house.get("/status").json
    assert status["status"] == "running" and status["running"] is True and status["virtual_camera"] is False
    assert (status["character"], status["audio_queue_size"], status["max_queue_size"]) == ("ava", 0, 256)
    assert set(status["performance"]) == {
        "fps", "memory_mb", "cpu_percent", "avg_processing_time_ms", "total_frames_processed",
    }
    assert status["performance"]["memory_mb"] > 5

    sound = sounds.speech(3.5, rate=16_000)
    info = {"sample_rate": 16_000, "duration": 3.5, "samples": 56_000}
    answer = send(house, "/receive_audio", ("audio_file", "test_audio.wav", sound))
    message = "Audio received and queued for processing"
    assert answer.json == {"status": "success", "message": message, "audio_info": info}
    encoded = base64.b64encode(sound).decode()
    answer = house.ask("POST", "/receive_audio_base64", audio_data=encoded, sample_rate=16_000)
    assert answer.json["status"] == "success" and answer.json["audio_info"] == info
    assert house.get("/status").json["audio_queue_size"] == 2
    eventually(lambda: house.session()["state"] == "talking")
    house.interrupt()
    assert house.get("/status").json["audio_queue_size"] == 0

    freed = house.request("POST", "/cleanup_memory", b"").json
    assert freed["status"] == "success" and freed["memory_before_mb"] > 5
    assert freed["memory_freed_mb"] == pytest.approx(max(freed["memory_before_mb"] - freed["memory_after_mb"], 0), abs=0.2)


def test_dh_lives_clients_are_refused_in_their_words(house):
    for answer, status, word in [
        (send(house, "/receive_audio", ("audio_file", "a.wav", b"no sound")), 422, "not a sound file"),
        (send(house, "/receive_audio", ("other", None, "words")), 422, "no file"),
        (house.ask("POST", "/receive_audio_base64", sample_rate=16_000), 400, "required"),
        (house.ask("POST", "/receive_audio_base64", audio_data="%%%"), 422, "base64"),
        (house.ask("POST", "/receive_audio_base64", audio_data="bm8gc291bmQ="), 422, "not a sound file"),
        (house.ask("POST", "/receive_audio_base64", audio_data="A" * (5 << 20)), 413, "/receive_audio"),
        (house.get("/cleanup_memory"), 405, "methods"),
    ]:
        assert answer.status == status and set(answer.json) == {"detail"}, answer
        assert word in answer.json["detail"], answer


def test_they_are_off_unless_wanted_and_behind_the_token(serve):
    server = serve({"http.compat": '["dh-live"]', "http.token": "secret"})
    assert server.get("/status").status == 200
    answer = server.get("/status", Authorization="Bearer wrong")
    assert answer.status == 401 and set(answer.json) == {"detail"}
    assert server.ask("POST", "/human", text="one", type="echo").problem["status"] == 404
