"""Recordings and snapshots: what is sent, in files that play whole whatever ends them."""

import io
import resource
import shutil
import signal
import time

import av
import numpy as np
import pytest

import sounds
from player import Viewer
from server import ASSETS, Server, eventually
from speaker import events
from test_sessions import HALF, half


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings") / "made"


@pytest.fixture(scope="module")
def house(folder, tmp_path_factory):
    """A server with an avatar of another size, which records into `folder`."""
    place = tmp_path_factory.mktemp("house")
    shutil.copytree(ASSETS, place / "assets")
    half(ASSETS / "avatars/ava", place / "assets/avatars/small")
    settings = {"assets": place / "assets", "recordings.folder": folder}
    server = Server(place, settings).start()
    yield server
    if server.process is not None:
        server.stop()
        assert server.exit_code == 0, server.log


def order(server, action, session="live"):
    return server.ask("POST", f"/v1/sessions/{session}/recording", action=action)


def listed(server, recording):
    """The recording in the list; None if it isn't there."""
    found = [one for one in server.get("/v1/recordings").json["recordings"] if one["id"] == recording]
    assert len(found) <= 1
    return found[0] if found else None


def begin(server, session="live", seconds=0.0):
    """Starts a recording and waits until it has that many seconds in its file: its id."""
    answer = order(server, "start", session)
    assert answer.status == 201, answer.body
    assert answer.headers["location"] == f"/v1/recordings/{answer.json['id']}"
    assert answer.json["running"] and answer.json["session"] == session
    recording = answer.json["id"]
    # A fragment is two seconds long.
    eventually(lambda: (one := listed(server, recording))["seconds"] > seconds and (seconds == 0 or one["bytes"] > 4_000), 20)
    return recording


def play(path):
    """Everything in the file: the pictures' times and sizes, the sound, and the length that it claims."""
    with av.open(str(path)) as film:
        claimed = film.duration / av.time_base if film.duration else None
        times, shapes, samples, heard = [], set(), [], []
        for packet in film.demux():
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    times.append(frame.time)
                    shapes.add((frame.width, frame.height))
                else:
                    heard.append(frame.time)
                    samples.append(frame.to_ndarray().ravel())
    return times, shapes, np.concatenate(samples), heard, claimed


def whole(path, size):
    """Plays it: pictures and sound from 0 on, none twice, of the same length. Its sound and length."""
    times, shapes, samples, heard, claimed = play(path)
    assert shapes == {(size["width"], size["height"])}
    assert times[0] == 0 and abs(heard[0]) < 0.02, (times[0], heard[0])
    steps = np.diff(times)
    # One that there was no time to draw leaves its time to the one before it.
    assert (steps > 0.03).all() and np.allclose(steps / 0.04, np.round(steps / 0.04), atol=0.02), steps
    length = times[-1] + 0.04
    assert len(samples) / 48_000 == pytest.approx(length, abs=0.25)
    return samples, length, claimed


def reasons(told, recording):
    return [e["reason"] for _, e in told if e["type"] == "recording" and e["recording"] == recording and e["state"] == "ended"]


def test_a_talking_session_that_nobody_watches_is_recorded_whole(house, folder):
    with events(house) as told:
        recording = begin(house)
        assert house.session()["viewers"] == 0
        assert house.speak(sounds.speech(2.0)).status in (200, 202)
        eventually(lambda: any(event["type"] == "speech_finished" for _, event in told), 20)
        eventually(lambda: house.get("/v1/memory").json["owners"]["recordings"] > 0)
        running = listed(house, recording)
        assert running["running"] and running["seconds"] >= 2

        again, deleted = order(house, "start"), house.request("DELETE", f"/v1/recordings/{recording}")
        assert (again.status, deleted.status) == (409, 409) and again.problem and deleted.problem

        done = order(house, "stop")
        assert done.status == 200, done.body
        eventually(lambda: reasons(told, recording) == ["stopped"])
        started = [event for _, event in told if event["type"] == "recording" and event["state"] == "started"]
        assert [event["recording"] for event in started] == [recording] and "reason" not in started[0]
    path = folder / f"{recording}.mp4"
    samples, length, claimed = whole(path, {"width": 576, "height": 720})
    assert claimed == pytest.approx(length, abs=0.25)
    loud = np.abs(samples[: len(samples) // 480 * 480]).reshape(-1, 480).max(axis=1) > 0.05
    assert 0.5 < loud.sum() * 0.01 < 3
    kept = listed(house, recording)
    assert kept == done.json and not kept["running"] and kept["bytes"] == path.stat().st_size
    assert kept["seconds"] == pytest.approx(length, abs=0.25)
    assert house.get("/v1/memory").json["owners"]["recordings"] == 0
    assert order(house, "stop").status == 409
    # Nobody watches any more: nothing is drawn.
    eventually(lambda: house.session()["fps"] == 0, 5)


def test_orders_that_make_no_sense_are_refused(house):
    assert order(house, "start", "nobody").status == 404
    assert order(house, "stop", "nobody").status == 404
    for body in (b"{}", b'{"action":"pause"}', b'{"action":"start","to":"/etc/passwd"}', b'{"start":true}'):
        answer = house.request("POST", "/v1/sessions/live/recording", body, Content_Type="application/json")
        assert answer.status == 422 and answer.problem, body


def test_a_recording_is_downloaded_in_parts_and_deleted(house, folder):
    recording = begin(house)
    assert order(house, "stop").status == 200
    address, data = f"/v1/recordings/{recording}", (folder / f"{recording}.mp4").read_bytes()
    answer = house.get(address)
    assert answer.body == data and answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    last = len(data) - 1
    for asked, got in (("bytes=0-99", (0, 99)), ("bytes=100-", (100, last)), ("bytes=-50", (last - 49, last))):
        part = house.get(address, Range=asked)
        assert part.status == 206 and part.body == data[got[0] : got[1] + 1]
        assert part.headers["content-range"] == f"bytes {got[0]}-{got[1]}/{len(data)}"
    beyond = house.get(address, Range=f"bytes={len(data)}-")
    assert beyond.status == 416 and beyond.headers["content-range"] == f"bytes */{len(data)}" and beyond.problem
    head = house.request("HEAD", address)
    assert head.status == 200 and head.headers["content-length"] == str(len(data)) and head.body == b""

    for wrong in ("live", "..%2f..%2fetc%2fpasswd", f"..%2fmade%2f{recording}", f"{recording}.mp4"):
        assert house.get(f"/v1/recordings/{wrong}").status == 404
        assert house.request("DELETE", f"/v1/recordings/{wrong}").status == 404
    assert house.request("DELETE", address).status == 204
    assert house.get(address).status == house.request("DELETE", address).status == 404
    assert not (folder / f"{recording}.mp4").exists() and listed(house, recording) is None


def test_pictures_of_another_size_begin_the_next_file(house, folder):
    assert house.ask("POST", "/v1/sessions", id="desk", idle_timeout_s=0).status == 201
    with events(house, session="desk") as told:
        first = begin(house, "desk")
        assert house.ask("PATCH", "/v1/sessions/desk", avatar="small").status == 200
        eventually(lambda: reasons(told, first) == ["changed"], 10)
        (second,) = [one["id"] for one in house.get("/v1/recordings").json["recordings"] if one["running"]]
        assert second != first and second.startswith("desk-")
        eventually(lambda: listed(house, second)["seconds"] > 1, 10)
    # A session that ends takes its recording along, and the file is whole.
    assert house.request("DELETE", "/v1/sessions/desk").status == 204
    eventually(lambda: not listed(house, second)["running"])
    whole(folder / f"{first}.mp4", {"width": 576, "height": 720})
    _, length, claimed = whole(folder / f"{second}.mp4", HALF)
    assert claimed == pytest.approx(length, abs=0.25)


def test_a_file_that_may_not_grow_ends_the_recording_and_not_the_stream(house, folder):
    limits = resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE)
    with Viewer(house.url) as viewer, events(house) as told:
        viewer.wait_for_picture()
        recording = begin(house, seconds=2)
        # Like a disk that is full from now on.
        now = (folder / f"{recording}.mp4").stat().st_size
        resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, (now + 1_000, limits[1]))
        try:
            eventually(lambda: reasons(told, recording) == ["full"], 10)
        finally:
            resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, limits)
        began = time.monotonic()
        viewer.watch(1.0)
        pictures, sound = viewer.between(began, time.monotonic())
        assert len(pictures) > 10 and len(sound) > 30
        assert order(house, "stop").status == 409
        kept = listed(house, recording)
        assert not kept["running"] and kept["seconds"] >= 1.9 and kept["bytes"] <= now + 1_000
        _, length, _ = whole(folder / f"{recording}.mp4", {"width": 576, "height": 720})
        assert kept["seconds"] == pytest.approx(length, abs=0.25)
        # There is room again.
        again = begin(house)
        assert order(house, "stop").json["id"] == again


def test_the_folder_is_bounded(serve, tmp_path):
    folder = tmp_path / "full"
    server = serve({"recordings.folder": folder, "recordings.max_mb": 1})
    with events(server) as told:
        recording = begin(server)
        before = folder / "live-20200101T000000Z.mp4"
        before.write_bytes(bytes(1 << 20))
        eventually(lambda: reasons(told, recording) == ["full"], 10)
    whole(folder / f"{recording}.mp4", {"width": 576, "height": 720})
    refused = order(server, "start")
    assert refused.status == 507 and "recordings.max_mb" in refused.problem["detail"]
    assert server.request("DELETE", f"/v1/recordings/{before.stem}").status == 204
    begin(server)


def test_what_was_recorded_plays_however_the_program_ends(serve, tmp_path):
    server = serve({"recordings.folder": tmp_path / "made"})
    killed = begin(server, seconds=2)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.process = None
    _, length, claimed = whole(tmp_path / "made" / f"{killed}.mp4", {"width": 576, "height": 720})
    assert length >= 1.9
    server.start()
    kept = listed(server, killed)
    assert not kept["running"] and kept["seconds"] == pytest.approx(length, abs=0.25)

    ended = begin(server, seconds=0.5)
    server.stop()
    assert server.exit_code == 0, server.log
    _, length, claimed = whole(tmp_path / "made" / f"{ended}.mp4", {"width": 576, "height": 720})
    assert claimed == pytest.approx(length, abs=0.25)


def test_a_snapshot_shows_the_avatar_though_nobody_watches(house):
    answer = house.request("POST", "/v1/sessions/live/snapshot")
    assert answer.status == 200 and answer.headers["content-type"] == "image/jpeg"
    with av.open(io.BytesIO(answer.body), format="jpeg_pipe") as film:
        (picture,) = film.decode(video=0)
    seen = picture.to_ndarray(format="rgb24").astype(int)
    assert seen.shape == (720, 576, 3)

    def differs(frame):
        frame = frame.reformat(format="rgb24", src_colorspace="ITU709")
        return np.abs(frame.to_ndarray().astype(int) - seen).mean()

    with av.open(str(ASSETS / "avatars/ava/idle.mp4")) as film:
        # The same colours, and of some frame the same picture.
        assert min(differs(frame) for n, frame in enumerate(film.decode(video=0)) if n % 5 == 0) < 3
    eventually(lambda: house.session()["fps"] == 0, 5)
    assert house.request("POST", "/v1/sessions/nobody/snapshot").status == 404
