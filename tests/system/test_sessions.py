"""Many sessions: made, watched, changed and closed by the API."""

import json
import re
import shutil
import sys
import time

import av
import numpy as np
import pytest

import sounds
from player import Refused, Viewer, activity, loudness
from server import ASSETS, ROOT, Server, eventually, refused
from speaker import events, speaker
from test_models import run

sys.path.insert(0, str(ROOT / "tests/models"))

import standins  # noqa: E402

SHAPE = {
    "id", "avatar", "model", "state", "viewers", "size", "bitrate_kbps", "source", "idle_timeout_s", "whep",
    "published", "whip",
}
HALF = {"width": 288, "height": 360}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Assets with an avatar of half the size, a broken one, and a model of another family's making."""
    folder = tmp_path_factory.mktemp("sessions")
    assets = folder / "assets"
    shutil.copytree(ASSETS, assets)
    half(assets / "avatars/ava", assets / "avatars/small")
    shutil.copytree(assets / "avatars/ava", assets / "avatars/broken")
    (assets / "avatars/broken/idle.mp4").write_bytes(b"no film")
    standins.wav2lip(folder / "w.onnx", 96, faithful="reference-masked")
    run(assets, folder / "w.onnx", "--id", "mine-96")
    return assets


def half(source, target):
    """The avatar at half its size: 100 frames of its idle clip."""
    target.mkdir()
    faces = json.loads((source / "idle.faces.json").read_text())[:100]
    faces = [{key: [n / 2 for n in place] for key, place in face.items()} for face in faces]
    (target / "idle.faces.json").write_text(json.dumps(faces))
    with av.open(str(source / "idle.mp4")) as film, av.open(str(target / "idle.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"profile": "baseline", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = HALF["width"], HALF["height"], "yuv420p"
        for n, frame in enumerate(film.decode(video=0)):
            if n == 100:
                break
            small = frame.reformat(HALF["width"], HALF["height"], "yuv420p")
            small.pts = n
            out.mux(stream.encode(small))
        out.mux(stream.encode(None))
    (target / "avatar.toml").write_text(
        f'name = "Small"\nwidth = {HALF["width"]}\nheight = {HALF["height"]}\nfps = 25\n'
        '[clips.idle]\nvideo = "idle.mp4"\nfaces = "idle.faces.json"\n'
    )


@pytest.fixture(scope="module")
def house(own, tmp_path_factory):
    """A server that the tests of this file share."""
    server = Server(tmp_path_factory.mktemp("house"), {"assets": own, "sessions.max": 4, "memory.budget_mb": 1024}).start()
    yield server
    server.stop()
    assert server.exit_code == 0, server.log
    assert "panicked" not in server.log


@pytest.fixture
def made(house):
    """Makes sessions that are gone afterwards: `made("id", avatar="leo")`."""
    ids = []

    def make(id, **fields):
        answer = house.ask("POST", "/v1/sessions", id=id, **fields)
        assert answer.status == 201, answer.body
        ids.append(id)
        return answer

    yield make
    for id in ids:
        house.request("DELETE", f"/v1/sessions/{id}")


def test_a_session_is_made_seen_and_closed_and_its_viewers_hear_goodbye(house, made):
    answer = made("desk", avatar="leo", bitrate_kbps=700, idle_timeout_s=0)
    assert answer.headers["location"] == "/v1/sessions/desk"
    session = answer.json
    assert set(session) == SHAPE
    assert (session["id"], session["avatar"], session["model"]) == ("desk", "leo", "mouthpiece-256")
    assert (session["state"], session["viewers"], session["source"]) == ("idle", 0, "none")
    assert (session["bitrate_kbps"], session["idle_timeout_s"], session["whep"]) == (700, 0, "/whep/desk")
    assert (session["published"], session["whip"]) == (False, "/whip/desk")
    assert house.get("/v1/sessions/desk").json == session
    assert [s["id"] for s in house.get("/v1/sessions").json["sessions"]] == ["desk", "live"]
    with Viewer(house.url, session="desk") as viewer:
        viewer.wait_for_picture()
        assert house.get("/v1/sessions/desk").json["viewers"] == 1
        assert b'session="desk"' in house.get("/metrics").body
        assert house.request("DELETE", "/v1/sessions/desk").status == 204
        eventually(lambda: viewer.state in ("closed", "failed"), within=5)
    assert house.get("/v1/sessions/desk").status == 404
    assert house.request("DELETE", "/v1/sessions/desk").status == 404
    assert b'session="desk"' not in house.get("/metrics").body
    assert [s["id"] for s in house.get("/v1/status").json["sessions"]] == ["live"]


def test_a_size_holds_a_sessions_pictures_whoever_is_shown(house, made):
    within = {"width": 600, "height": 360}
    answer = made("little", avatar="leo", size=within)
    assert answer.json["size"] == HALF, "of the avatar's shape"
    with Viewer(house.url, session="little") as viewer:
        viewer.wait_for_picture()
        assert viewer.seen[0].size == (HALF["width"], HALF["height"])
        assert house.speak(sounds.speech(4), session="little").status == 202
        eventually(lambda: house.get("/v1/sessions/little").json["state"] == "talking")
        changed = house.ask("PATCH", "/v1/sessions/little", avatar="ava")
        assert (changed.status, changed.json["size"]) == (200, HALF)
        time.sleep(1)
        assert {seen.size for seen in viewer.seen} == {(HALF["width"], HALF["height"])}
    assert house.get("/v1/status").json["sessions"][0]["failed_mouths"] == 0
    for size, why in [({"width": 8, "height": 360}, "size.width"), ({"width": 360}, "height"), ("360p", "size")]:
        refusal = house.ask("POST", "/v1/sessions", id="none", size=size)
        assert refusal.status == 422 and why in refusal.problem["detail"], refusal.body


def test_two_sessions_are_watched_at_once_and_each_says_its_own(house, made):
    made("other")
    with Viewer(house.url) as live, Viewer(house.url, session="other") as other:
        live.wait_for_picture()
        other.wait_for_picture()
        assert house.speak(sounds.speech(12), session="other").status == 202
        eventually(lambda: loudness(other.heard[-50:]) > 0.02, within=15)
        pictures, _ = other.watch(3)
        assert loudness(live.heard) < 0.002
        assert activity(pictures[-40:]) > activity(live.seen[-40:]) + 1
        states = {s["id"]: s["state"] for s in house.get("/v1/sessions").json["sessions"]}
        assert states["live"] == "idle"


def test_each_session_tells_its_own(house, made):
    made("told")
    with events(house, session="told") as told, events(house) as live:
        with Viewer(house.url, session="told") as viewer, speaker(house, 24_000, session="told") as say:
            viewer.wait_for_picture()
            say.send(sounds.speech(0.5, 24_000)[44:])
            say.send({"type": "end"})
            assert say.wait_for("finished")["interrupted"] is False
            assert house.ask("PATCH", "/v1/sessions/told", avatar="small", model="mine-96").status == 200
            assert house.ask("PATCH", "/v1/sessions/told", avatar="leo").status == 200
            eventually(lambda: {"type": "avatar", "avatar": "leo"} in [event for _, event in told])
            assert house.request("DELETE", "/v1/sessions/told").status == 204
            assert say.closed.wait(5) and say.close_code == 1001
        eventually(lambda: told[-1][1] == {"type": "ended"})
        changes = [event for _, event in told if event["type"] in ("avatar", "model")]
        assert changes[:2] == [{"type": "model", "model": "mine-96"}, {"type": "avatar", "avatar": "small"}]
        assert changes[2:] == [{"type": "avatar", "avatar": "leo"}]
        kinds = {event["type"] for _, event in told}
        assert {"viewers", "speech_started", "speech_finished", "state", "ended"} <= kinds
        assert not live


def test_what_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(house, made):
    made("taken")
    for status, word, fields in (
        (409, "taken", {"id": "taken"}),
        (409, "live", {"id": "live"}),
        (422, "can't name", {"id": "../x"}),
        (422, "can't name", {"id": "Upper"}),
        (422, "nobody", {"avatar": "nobody"}),
        (422, "letters", {"avatar": "/etc/passwd"}),
        (422, "idle.mp4", {"avatar": "broken"}),
        (422, "nobody", {"model": "nobody"}),
        (422, "letters", {"model": "../models/mine-96"}),
        (422, "audio.source", {"source": "microphone"}),
        (422, "source", {"source": "/etc/passwd"}),
        (422, "video_kbps", {"bitrate_kbps": 1}),
        (422, "idle_timeout_s", {"idle_timeout_s": 10**12}),
        (422, "file", {"file": "/etc/passwd"}),
    ):
        answer = house.ask("POST", "/v1/sessions", **fields)
        assert answer.status == status and word in answer.problem["detail"], (fields, answer.body)
    for status, fields in ((422, {"avatar": "nobody"}), (422, {"avatar": "broken"}), (422, {"model": "nobody"}), (409, {"source": "microphone"})):
        answer = house.ask("PATCH", "/v1/sessions/taken", **fields)
        assert answer.status == status and answer.problem, (fields, answer.body)
    assert house.get("/v1/sessions/taken").json["avatar"] == "ava"
    assert house.request("DELETE", "/v1/sessions/live").status == 409
    for method in ("GET", "PATCH", "DELETE"):
        assert house.ask(method, "/v1/sessions/nobody").status == 404
    with pytest.raises(Refused, match="404"):
        Viewer(house.url, session="nobody").__enter__()
    assert [s["id"] for s in house.get("/v1/sessions").json["sessions"]] == ["live", "taken"]


def test_more_than_there_may_be_are_told_to_come_again(house, made):
    for n in range(3):
        made(f"n{n}")
    answer = house.ask("POST", "/v1/sessions")
    assert answer.status == 503 and "sessions.max" in answer.problem["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert house.request("DELETE", "/v1/sessions/n0").status == 204
    answer = house.ask("POST", "/v1/sessions")
    assert answer.status == 201
    assert house.request("DELETE", f"/v1/sessions/{answer.json['id']}").status == 204


def test_memory_that_is_short_refuses_a_session_and_what_streams_goes_on(serve):
    # What one session with one viewer may need is admitted, and not much more fits.
    settings = {"memory.clip_cache_mb": 0, "media.max_viewers": 1}
    told = [f"--set={key}={value}" for key, value in {**settings, "memory.budget_mb": 64}.items()]
    _, said = refused("serve", *told)
    least = int(re.search(r"set it to (\d+)", said)[1])
    server = serve({**settings, "memory.budget_mb": least})
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        for made in range(6):
            answer = server.ask("POST", "/v1/sessions")
            if answer.status != 201:
                break
        assert answer.status == 503 and "memory.budget_mb" in answer.problem["detail"], answer.body
        assert int(answer.headers["retry-after"]) > 0
        assert len(server.get("/v1/sessions").json["sessions"]) == 1 + made
        pictures, _ = viewer.watch(1)
        assert len(pictures) > 10


def test_a_session_that_nobody_uses_closes_and_one_that_is_watched_or_fed_stays(house, made):
    made("idle", idle_timeout_s=1)
    made("fed", idle_timeout_s=1)
    made("watched", idle_timeout_s=1)
    house.speak(sounds.speech(6), session="fed")
    with Viewer(house.url, session="watched") as viewer:
        viewer.wait_for_picture()
        names = lambda: {s["id"] for s in house.get("/v1/status").json["sessions"]}
        eventually(lambda: "idle" not in names(), within=8)
        assert {"live", "watched", "fed"} <= names()
        viewer.watch(1.5)
        assert "watched" in names()
    eventually(lambda: names() == {"live"}, within=20)


def test_fifty_sessions_made_and_closed_leave_no_thread_and_no_descriptor(house):
    def come_and_go(n):
        source = "file" if n % 5 == 0 else "none"
        answer = house.ask("POST", "/v1/sessions", avatar=("ava", "small")[n % 2], source=source)
        assert answer.status == 201, answer.body
        assert house.request("DELETE", f"/v1/sessions/{answer.json['id']}").status == 204

    for n in range(5):
        come_and_go(n)
    time.sleep(1)
    threads, descriptors, memory = house.threads(), house.descriptors(), house.rss_mb()
    for n in range(50):
        come_and_go(n)
    eventually(lambda: house.threads() <= threads, within=15)
    eventually(lambda: house.descriptors() <= descriptors, within=15)
    # One that stayed would be 5 MB and more.
    assert house.rss_mb() < memory + 40
    assert house.get("/v1/memory").json["owners"]["clips"] > 0


def test_an_avatar_of_another_size_takes_over_while_it_speaks_to_who_watches(house, made):
    made("swap")
    with Viewer(house.url, session="swap") as viewer, Viewer(house.url, codec="VP8", session="swap") as vp8:
        viewer.wait_for_picture()
        vp8.wait_for_picture()
        house.speak(sounds.speech(20), session="swap")
        time.sleep(1)
        for avatar, size in (("small", (288, 360)), ("ava", (576, 720)), ("leo", (576, 720))):
            began = time.monotonic()
            answer = house.ask("PATCH", "/v1/sessions/swap", avatar=avatar)
            assert (answer.status, answer.json["avatar"]) == (200, avatar), answer.body
            assert tuple(answer.json["size"].values()) == size
            time.sleep(2)
            for watching in (viewer, vp8):
                pictures, sound = watching.between(began, time.monotonic())
                assert watching.state == "connected"
                assert pictures[-1].size == size, avatar
                # The timeline goes on: no picture is older than the one before.
                assert all(np.diff([p.rtp for p in pictures]) > 0)
                assert loudness(sound) > 0.02
        session = [s for s in house.get("/v1/status").json["sessions"] if s["id"] == "swap"][0]
        assert (session["width"], session["height"], session["failed_mouths"]) == (576, 720, 0)


def test_a_model_of_one_session_leaves_the_others_alone(house, made):
    made("lips")
    with Viewer(house.url, session="lips") as viewer:
        viewer.wait_for_picture()
        house.speak(sounds.speech(8), session="lips")
        answer = house.ask("PATCH", "/v1/sessions/lips", model="mine-96", source="file", video_kbps=800)
        assert answer.status == 200, answer.body
        assert (answer.json["model"], answer.json["source"], answer.json["bitrate_kbps"]) == ("mine-96", "file", 800)
        assert house.get("/v1/sessions/live").json["model"] == "mouthpiece-256"
        assert viewer.watch(2)[0], "it goes on"
        both = made("both", model="mine-96").json
        assert both["model"] == "mine-96"
        assert b"mouthpiece_models_loaded 2" in house.get("/metrics").body
        answer = house.ask("PATCH", "/v1/sessions/lips", model="mouthpiece-256", source="none")
        assert (answer.json["model"], answer.json["source"]) == ("mouthpiece-256", "none")
        assert house.get("/v1/sessions/both").json["model"] == "mine-96"
        status = {s["id"]: s for s in house.get("/v1/status").json["sessions"]}
        assert status["lips"]["failed_mouths"] == 0
