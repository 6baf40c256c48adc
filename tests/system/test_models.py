"""Models of the user's own: imported, used, and changed under a session that streams."""

import json
import shutil
import subprocess
import sys

import av
import pytest

import sounds
from player import Viewer, rate
from server import ASSETS, PROGRAM, ROOT, Server, eventually, refused

sys.path.insert(0, str(ROOT / "tests/models"))

import standins  # noqa: E402


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Assets with models that were imported: one of each family."""
    folder = tmp_path_factory.mktemp("own")
    assets, onnx = folder / "assets", folder / "onnx"
    shutil.copytree(ASSETS, assets)
    onnx.mkdir()
    standins.wav2lip(onnx / "w.onnx", 96, faithful="reference-masked")
    standins.ultralight(onnx / "u.onnx", "hubert")
    standins.ultralight(onnx / "n.onnx", "wenet")
    standins.hubert(onnx / "hubert.onnx")
    standins.wenet(onnx / "wenet.onnx")
    standins.wav2lip(onnx / "nan.onnx", 96, end="nan")
    imported = {
        "mine-96": run(assets, onnx / "w.onnx", "--id", "mine-96"),
        "mine-hubert": run(assets, onnx / "u.onnx", "--audio", onnx / "hubert.onnx", "--id", "mine-hubert"),
        "mine-wenet": run(assets, onnx / "n.onnx", "--audio", onnx / "wenet.onnx", "--id", "mine-wenet"),
    }
    return assets, onnx, imported


def run(assets, *arguments):
    command = [str(PROGRAM), "model", "import", *map(str, arguments), "--set", f"assets={assets}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_import_says_what_it_found_and_for_how_many_it_is_enough(own):
    said = own[2]["mine-96"]
    for words in ("wav2lip, 96 pixels", "face = reference-masked, told", "ms a frame", "25 frames a second", "--set model=mine-96"):
        assert words in said, said
    assert "ultralight-wenet, 160 pixels, hears 515 ms ahead" in own[2]["mine-wenet"]


def test_an_import_that_fails_leaves_nothing_where_models_lie(own):
    assets, onnx, _ = own
    before = sorted(path.name for path in (assets / "models").iterdir())
    code, said = refused("model", "import", onnx / "nan.onnx", "--id", "bad", "--set", f"assets={assets}")
    assert code == 1 and "not a number" in said and "nan.onnx" in said, said
    assert len(said.splitlines()) == 1, said
    refused("model", "import", onnx / "w.onnx", "--id", "../bad", "--set", f"assets={assets}")
    refused("model", "import", onnx / "w.onnx", "--id", "mine-96", "--set", f"assets={assets}")
    assert sorted(path.name for path in (assets / "models").iterdir()) == before


@pytest.mark.parametrize("model", ["mine-96", "mine-hubert", "mine-wenet"])
def test_what_was_imported_renders(own, model, tmp_path):
    sound, film, report = tmp_path / "a.wav", tmp_path / "a.mp4", tmp_path / "a.json"
    sound.write_bytes(sounds.speech(2))
    command = [str(PROGRAM), "render", "--audio", str(sound), "--out", str(film), "--report", str(report)]
    subprocess.run([*command, "--set", f"assets={own[0]}", "--set", f"model={model}"], cwd=ROOT, check=True, timeout=120)
    found = json.loads(report.read_text())
    assert found["frames"] >= 48 and found["failed_mouths"] == 0, found
    with av.open(str(film)) as file:
        assert sum(1 for _ in file.decode(video=0)) >= 48


def change(server, model):
    return server.request("PATCH", "/v1/sessions/live", json.dumps({"model": model}).encode(), Content_Type="application/json")


def test_a_model_is_changed_under_a_session_that_streams(own, tmp_path):
    server = Server(tmp_path, {"assets": own[0]}).start()
    try:
        with Viewer(server.url) as viewer:
            viewer.wait_for_picture()
            server.speak(sounds.speech(20))
            for model in ("mine-96", "mine-hubert", "mine-wenet", "mouthpiece-256"):
                answer = change(server, model)
                assert (answer.status, answer.json["model"]) == (200, model)
                pictures, _ = viewer.watch(1.5)
                # Who else uses the machine may take a few.
                assert rate(pictures) > 10, model
            for model, word in (("nobody", "nobody"), ("../x", "letters"), ("", "letters")):
                answer = change(server, model)
                assert answer.status == 422 and word in answer.problem["detail"]
            assert change(server, "mouthpiece-256").json["model"] == "mouthpiece-256"
            session = server.session()
            assert session["failed_mouths"] == 0
            assert session["model"] == "Mouthpiece 256"
    finally:
        server.stop()
    assert server.exit_code == 0
    assert "panicked" not in server.log


def test_a_model_that_nobody_wants_is_unloaded_and_comes_back(own, tmp_path):
    server = Server(tmp_path, {"models.idle_unload_s": 1}).start()
    loaded = lambda: b"mouthpiece_models_loaded 1" in server.get("/metrics").body
    try:
        eventually(lambda: not loaded(), within=10)
        with Viewer(server.url) as viewer:
            viewer.wait_for_picture()
            server.speak(sounds.speech(3))
            eventually(loaded, within=10)
            eventually(lambda: not loaded(), within=15)
        assert server.session()["failed_mouths"] == 0
    finally:
        server.stop()
    assert server.exit_code == 0


def test_a_budget_without_room_is_told_with_one_that_has(own):
    code, said = refused("serve", "--set", "memory.budget_mb=32", "--set", "http.listen=127.0.0.1:0", "--set", "media.udp_port=0")
    assert code == 1 and "memory.budget_mb is 32" in said and "set it to" in said, said


def test_a_provider_that_is_not_there_is_refused_or_done_without(own):
    code, said = refused("serve", "--set", "models.provider=cuda", "--set", "http.listen=127.0.0.1:0", "--set", "media.udp_port=0")
    assert code == 1 and "onnxruntime-gpu" in said and "provider_fallback" in said, said
    command = [str(PROGRAM), "model", "check", "mouthpiece-256", "--set", "models.provider=cuda", "--set", "models.provider_fallback=true"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "run on the CPU" in done.stderr, done.stderr
