"""Avatars and models over the network: listed, uploaded, imported by jobs, deleted."""

import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from importing import FAST, clip, ffmpeg
from server import ASSETS, ROOT, Server, eventually
from speaker import events

sys.path.insert(0, str(ROOT / "tests/models"))

import standins  # noqa: E402

EDGE = "edge-of-the-form"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A server with assets of its own."""
    folder = tmp_path_factory.mktemp("library")
    shutil.copytree(ASSETS, folder / "assets")
    server = Server(folder, {"assets": folder / "assets", "imports.max_upload_mb": 8}).start()
    yield server
    if server.process is not None:
        server.stop()
        assert server.exit_code == 0, server.log


@pytest.fixture(scope="module")
def film(material):
    """Two seconds of a face."""
    source = material / "anna.mp4"
    ffmpeg("-i", clip("ava"), "-t", "2", "-vf", "scale=-2:360", *FAST, source)
    return source


def assets(server):
    return pathlib.Path(server.settings["assets"])


def here(server):
    """Everything in the folders of bundles, and what lies beside them."""
    place = assets(server)
    return sorted(f.name for f in place.iterdir()), *(sorted(f.name for f in (place / kind).iterdir()) for kind in ("avatars", "models"))


def form(*fields):
    """A form's body: each field a name and text, or a name, bytes and a file's name."""
    body = b""
    for name, value, *file in fields:
        called = f'; filename="{file[0]}"' if file else ""
        value = value if isinstance(value, bytes) else str(value).encode()
        body += f'--{EDGE}\r\nContent-Disposition: form-data; name="{name}"{called}\r\n\r\n'.encode() + value + b"\r\n"
    return body + f"--{EDGE}--\r\n".encode()


def send(server, kind, *fields, content_type=f"multipart/form-data; boundary={EDGE}"):
    return server.request("POST", f"/v1/{kind}", form(*fields), Content_Type=content_type)


def job(server, begun):
    assert begun.status == 202, begun.body
    assert begun.headers["location"] == begun.json["job"]
    return begun.json["job"]


def over(server, path, within=60):
    """The job when it is over."""
    return eventually(lambda: (one := server.get(path).json)["state"] != "running" and one, within, 0.1)


def test_what_is_there_is_listed_with_its_picture_and_who_uses_it(house):
    (ava, leo) = house.get("/v1/avatars").json["avatars"]
    assert (ava["id"], leo["id"]) == ("ava", "leo")
    assert ava["size"] == {"width": 576, "height": 720} and set(ava["clips"]) == {"idle", "nod", "smile"}
    assert ava["used_by"] == ["live"] and leo["used_by"] == [] and ava["verdict"] is None and ava["sheet"] is None
    assert house.get("/v1/avatars/ava").json == ava
    poster = house.get(ava["poster"])
    assert poster.headers["content-type"] == "image/jpeg" and poster.body[:2] == b"\xff\xd8"
    models = {model["id"]: model for model in house.get("/v1/models").json["models"]}
    used = models["mouthpiece-256"]
    assert (used["family"], used["size"], used["used_by"], used["loaded"]) == ("wav2lip", 256, ["live"], True)
    assert not models["mouthpiece-256-fp32"]["loaded"] and models["mouthpiece-256-fp32"]["bytes"] > 1_000_000
    for path in ("/v1/avatars/nobody", "/v1/avatars/..%2Fmodels", "/v1/models/nobody", "/v1/avatars/ava/sheet", "/v1/jobs/none"):
        assert house.get(path).status == 404 and house.get(path).problem, path


def test_an_upload_by_curl_becomes_an_avatar_that_talks_and_is_deleted(house, film):
    before = here(house)
    with events(house) as told:
        said = subprocess.run(
            ["curl", "-sS", "-F", "id=anna", "-F", f"file=@{film}", "-F", "name=Anna", f"{house.url}/v1/avatars"],
            capture_output=True, check=True, text=True,
        )
        begun = json.loads(said.stdout)
        assert begun["id"] == "anna", begun
        # Two at once: the id is taken while it is being made.
        twice = send(house, "avatars", ("id", "anna"), ("file", film.read_bytes(), "anna.mp4"))
        assert twice.status == 409 and "being imported" in twice.problem["detail"]
        done = over(house, begun["job"])
        assert done["state"] == "done" and done["progress"] == 1 and done["error"] is None, done
        assert done["verdict"]["grade"] in ("good", "fair", "poor") and done["makes"] == "/v1/avatars/anna"
        eventually(lambda: any(e["type"] == "job" and e["state"] == "done" for _, e in told))
    told = [event for _, event in told if event["type"] == "job"]
    assert {e["id"] for e in told} == {done["id"]} and {e["kind"] for e in told} == {"avatar"}
    steps = [event["progress"] for event in told]
    assert steps == sorted(steps) and 3 <= len(steps) <= 40 and len({e["phase"] for e in told}) >= 3, told

    anna = house.get("/v1/avatars/anna").json
    assert anna["name"] == "Anna" and anna["verdict"] == done["verdict"] and anna["size"]["height"] == 360
    for picture in (anna["poster"], anna["sheet"]):
        assert house.get(picture).body[:2] == b"\xff\xd8"
    # It can be shown at once, and not deleted meanwhile.
    assert house.ask("PATCH", "/v1/sessions/live", avatar="anna").status == 200
    used = house.request("DELETE", "/v1/avatars/anna")
    assert used.status == 409 and "live" in used.problem["detail"]
    assert house.get("/v1/avatars/anna").json["used_by"] == ["live"]
    assert house.ask("PATCH", "/v1/sessions/live", avatar="leo").status == 200
    configured = house.request("DELETE", "/v1/avatars/ava")
    assert configured.status == 409 and "configuration" in configured.problem["detail"]
    assert house.ask("PATCH", "/v1/sessions/live", avatar="ava").status == 200
    taken = send(house, "avatars", ("id", "anna"), ("file", b"x", "x.mp4"))
    assert taken.status == 409 and "already" in taken.problem["detail"]
    assert house.request("DELETE", "/v1/avatars/anna").status == 204
    assert house.request("DELETE", "/v1/avatars/anna").status == 404
    assert house.ask("PATCH", "/v1/sessions/live", avatar="anna").status == 422
    assert here(house) == before


def test_a_model_is_tried_before_it_lies_there_and_swapped_in(house, material):
    before = here(house)
    standins.wav2lip(material / "w.onnx", 96, faithful="reference-masked")
    standins.wav2lip(material / "nan.onnx", 96, end="nan")
    begun = send(house, "models", ("file", (material / "w.onnx").read_bytes(), "w.onnx"), ("id", "mine"))
    done = over(house, job(house, begun))
    assert done["state"] == "done" and "ms a frame" in done["verdict"]["says"], done
    mine = house.get("/v1/models/mine").json
    assert (mine["family"], mine["size"], mine["used_by"], mine["loaded"]) == ("wav2lip", 96, [], False)
    assert house.ask("PATCH", "/v1/sessions/live", model="mine").status == 200
    assert house.get("/v1/models/mine").json["loaded"]
    assert house.request("DELETE", "/v1/models/mine").status == 409
    assert house.ask("PATCH", "/v1/sessions/live", model="mouthpiece-256").status == 200
    assert house.request("DELETE", "/v1/models/mine").status == 204
    begun = send(house, "models", ("id", "bad"), ("file", (material / "nan.onnx").read_bytes(), "nan.onnx"))
    failed = over(house, job(house, begun))
    assert failed["state"] == "failed" and "not a number" in failed["error"] and str(assets(house)) not in failed["error"]
    assert here(house) == before


MP4 = b"\0\0\0\x20ftypisom" + bytes(100)


@pytest.mark.parametrize(
    "kind, fields, status, words",
    [
        ("avatars", [("id", "x"), ("file", b"Dear Sir or Madam", "x.mp4")], 422, "text"),
        ("avatars", [("id", "x"), ("file", "x.mp4")], 422, "-F file=@"),
        ("avatars", [("id", "x"), ("file", b"#EXTM3U\nhttp://192.0.2.1/\n", "x.mp4")], 422, "text"),
        ("avatars", [("id", "x"), ("file", b"PK\3\4" + bytes(100), "x.zip")], 422, "archive"),
        ("avatars", [("id", "x"), ("file", b"", "x.mp4")], 422, "empty"),
        ("avatars", [("id", "x"), ("file", bytes(9 << 20), "x.mp4")], 413, "imports.max_upload_mb"),
        ("avatars", [("id", "x")], 422, "no field `file`"),
        ("avatars", [("file", MP4, "x.mp4")], 422, "no field `id`"),
        ("avatars", [("id", "../x"), ("file", MP4, "x.mp4")], 422, "letters, digits"),
        ("avatars", [("id", "x"), ("id", "y"), ("file", MP4, "x.mp4")], 422, "twice"),
        ("avatars", [("id", "x"), ("path", "/etc/passwd"), ("file", MP4, "x.mp4")], 422, "nobody knows"),
        ("avatars", [("id", "x"), ("url", "http://192.0.2.1/"), ("file", MP4, "x.mp4")], 422, "nobody knows"),
        ("avatars", [("id", "x"), ("height", "9"), ("file", MP4, "x.mp4")], 422, "64 to 2160"),
        ("avatars", [("id", "x"), ("name", "n" * 2000), ("file", MP4, "x.mp4")], 422, "longer"),
        ("models", [("id", "x"), ("file", b"Dear Sir or Madam", "x.onnx")], 422, "text file"),
        ("models", [("id", "x"), ("file", b"PK\3\4" + bytes(100), "x.pth")], 422, "no ONNX"),
        ("models", [("id", "x"), ("height", "360"), ("file", b"x", "x")], 422, "nobody knows"),
        ("models", [("id", "mouthpiece-256"), ("file", b"x", "x")], 409, "already"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_a_sentence(house, kind, fields, status, words):
    before, known = here(house), house.get("/v1/jobs").json
    answer = send(house, kind, *fields)
    assert answer.status == status and words in answer.problem["detail"], answer.body
    eventually(lambda: here(house) == before)
    assert house.get("/v1/jobs").json == known


def test_what_is_no_form_is_told_how_to_be_one(house, film):
    for content_type in ("application/json", "video/mp4", "application/zip"):
        answer = house.request("POST", "/v1/avatars", film.read_bytes(), Content_Type=content_type)
        assert answer.status == 415 and "curl -F id=" in answer.problem["detail"]


def test_a_damaged_film_is_a_failed_job_that_leaves_nothing(house, film):
    before = here(house)
    begun = send(house, "avatars", ("id", "cut"), ("file", film.read_bytes()[:4_000], "cut.mp4"), ("start", ""))
    failed = over(house, job(house, begun))
    assert failed["state"] == "failed" and failed["verdict"] is None, failed
    assert failed["error"].startswith("cut: ") and str(assets(house)) not in failed["error"], failed
    assert house.request("DELETE", begun.json["job"]).status == 204
    assert house.get(begun.json["job"]).status == 404
    assert here(house) == before


def test_an_upload_that_breaks_off_or_fills_the_disk_leaves_nothing(house, film):
    before, descriptors = here(house), house.descriptors()
    with socket.create_connection(("127.0.0.1", house.port)) as stranger:
        body = form(("id", "cut"), ("file", film.read_bytes(), "cut.mp4"))
        head = f"POST /v1/avatars HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary={EDGE}\r\nContent-Length: {len(body)}\r\n\r\n"
        stranger.sendall(head.encode() + body[: len(body) // 2])
        eventually(lambda: here(house) != before)
    eventually(lambda: here(house) == before)
    limits = resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE)
    try:
        resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, (20_000, limits[1]))
        answer = send(house, "avatars", ("id", "full"), ("file", film.read_bytes(), "full.mp4"))
    finally:
        resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, limits)
    assert answer.status == 507 and "disk is full" in answer.problem["detail"]
    eventually(lambda: here(house) == before)
    eventually(lambda: house.descriptors() <= descriptors + 2)


def importer(server):
    """The process that imports, or None."""
    try:
        for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if "mouthpiece-import" in pathlib.Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
    except OSError:
        pass  # A thread or a process that has just ended.
    return None


def test_an_import_that_is_stopped_or_crashes_is_a_failed_job_and_the_next_one_runs(house):
    before = here(house)
    film = clip("ava").read_bytes()
    begin = lambda name: job(house, send(house, "avatars", ("id", name), ("file", film, "long.mp4")))
    first, second = begin("one"), begin("two")
    child = eventually(lambda: importer(house))
    # It stands back for the streams, and is the first to go where memory is short.
    eventually(lambda: pathlib.Path(f"/proc/{child}/oom_score_adj").read_text().strip() == "1000")
    assert os.sched_getscheduler(child) == os.SCHED_IDLE
    eventually(lambda: house.get(first).json["progress"] > 0, 30)
    waiting = house.get(second).json
    assert waiting["state"] == "running" and "turn" in waiting["phase"] and waiting["progress"] == 0
    assert house.request("DELETE", first).status == 204
    stopped = over(house, first)
    assert stopped["state"] == "failed" and "stopped" in stopped["error"]
    child = eventually(lambda: importer(house) not in (None, child) and importer(house))
    eventually(lambda: house.get(second).json["progress"] > 0, 30)
    # As the system does where memory is short.
    os.kill(child, signal.SIGKILL)
    crashed = over(house, second)
    assert crashed["state"] == "failed" and "no memory" in crashed["error"], crashed
    assert here(house) == before


def test_a_server_that_ends_takes_its_imports_with_it(tmp_path):
    shutil.copytree(ASSETS, tmp_path / "assets")
    server = Server(tmp_path, {"assets": tmp_path / "assets"}).start()
    try:
        before = here(server)
        begun = send(server, "avatars", ("id", "one"), ("file", clip("ava").read_bytes(), "long.mp4"))
        child = eventually(lambda: importer(server))
        eventually(lambda: server.get(job(server, begun)).json["progress"] > 0, 30)
    finally:
        server.stop()
    assert server.exit_code == 0 and "panicked" not in server.log
    assert not pathlib.Path(f"/proc/{child}").exists()
    assert here(server) == before
