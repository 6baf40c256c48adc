"""The memory budget: what fits in it, and what is given up when it runs out."""

import json
import re
import subprocess
import time

import pytest

import sounds
from player import Refused, Viewer
from server import PROGRAM, ROOT, eventually, refused

#: Threads of a server with one session that plays nothing but pushed speech.
OURS = {"mouthpiece", "network", "watchdog", "imports", "render", "encode", "clip", "speech"}


def memory(server):
    return server.get("/v1/memory").json


def reclaim(server, level):
    body = json.dumps({"level": level}).encode()
    return server.request("POST", "/v1/memory/reclaim", body, Content_Type="application/json")


def fixed(text):
    """The terms of a memory formula in `text`, in megabytes by name, and the sum that it says."""
    found = re.search(r"(program [\d.]+ \+ .*?) = ([\d.]+) MB are fixed", text)
    assert found, text
    terms = [re.fullmatch(r"(.*) ([\d.]+)", term).groups() for term in found[1].split(" + ")]
    return {name: float(megabytes) for name, megabytes in terms}, float(found[2])


@pytest.fixture(scope="module")
def ballast_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("ballast") / "ballast.so"
    source = ROOT / "tests/system/ballast.c"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-pthread", "-o", library, source], check=True)
    return library


class Ballast:
    """Native memory of the server's process, in megabytes."""

    def __init__(self, library, folder):
        self.file = folder / "ballast"
        self.env = {"LD_PRELOAD": str(library), "BALLAST": str(self.file)}
        self.megabytes = 0

    def take(self, megabytes):
        self.megabytes = max(0, int(megabytes))
        part = self.file.with_suffix(".part")
        part.write_text(f"{self.megabytes}\n")
        part.rename(self.file)

    def fill(self, server, budget_mb, percent):
        """Fills the budget to so many percent, and waits until it is."""
        wanted = budget_mb * percent / 100
        self.take(self.megabytes + wanted - server.rss_mb())
        eventually(lambda: server.rss_mb() > 0.9 * wanted, within=10)


class Late:
    """Frames that came late. A machine that others use too is late by itself: it is measured first for a while."""

    def __init__(self, server):
        self.server = server
        self.begun, before = time.monotonic(), self.frames()
        time.sleep(3)
        self.usual = (self.frames() - before) / (time.monotonic() - self.begun)
        self.begun, self.before = time.monotonic(), self.frames()

    def frames(self):
        session = self.server.session()
        assert session["failed_mouths"] == 0, session
        return session["late_frames"]

    def is_as_usual(self):
        """Whoever waited for a cache to be emptied would be late with dozens."""
        return self.frames() - self.before <= 5 + 3 * self.usual * (time.monotonic() - self.begun)


@pytest.fixture
def ballast(ballast_library, tmp_path):
    return Ballast(ballast_library, tmp_path)


def test_a_configuration_that_does_not_fit_is_refused_with_the_sum():
    code, said = refused("serve", "--set", "memory.budget_mb=64", "--set", "http.listen=127.0.0.1:0", "--set", "media.udp_port=0")
    terms, total = fixed(said)
    assert code == 1 and "memory.budget_mb is 64" in said and "set it to" in said, said
    for name in ("program", "ONNX Runtime", "model mouthpiece-256", "clips of ava", "session live"):
        assert terms[name] > 0, said
    assert abs(sum(terms.values()) - total) < 0.1 * len(terms)


def test_the_formula_of_the_doctor_holds_for_a_server_that_talks(serve):
    settings = {"memory.clip_cache_mb": 0, "media.max_viewers": 2}
    server = serve(settings)
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    run = subprocess.run([str(PROGRAM), "doctor", *sets, "--set", "http.listen=127.0.0.1:0", "--set", "media.udp_port=0"],
                         cwd=ROOT, capture_output=True, text=True, timeout=60)
    _, total = fixed(run.stdout)
    with Viewer(server.url) as one, Viewer(server.url, codec="VP8") as two:
        server.speak(sounds.speech(5))
        for viewer in (one, two):
            viewer.wait_for_picture()
        resident = []
        for _ in range(8):
            time.sleep(0.5)
            resident.append(server.rss_mb())
    assert max(resident) <= total <= 1.25 * max(resident), (resident, run.stdout)


def test_the_threads_are_ours_and_each_is_there_once(serve):
    server = serve()
    with Viewer(server.url) as viewer:
        server.speak(sounds.speech(3))
        viewer.wait_for_picture()
        threads = server.get("/v1/status").json["process"]["threads"]
    # The network's runtime starts more for what waits for the disk.
    threads.pop("network")
    assert set(threads) <= OURS and set(threads.values()) == {1}, threads


def test_the_runtime_keeps_no_record_of_its_use(serve, tmp_path):
    # Its telemetry, which is on unless it is told otherwise, begins with a database there.
    server = serve(env={"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "CI": ""})
    assert memory(server)["owners"]["models"] > 0
    assert not list(tmp_path.rglob("*.db")), list(tmp_path.rglob("*"))


def test_a_reclaim_by_hand_gives_back_what_owners_say(serve):
    server = serve({"memory.clip_cache_mb": 40})
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        eventually(lambda: memory(server)["clip_cache_bytes"] > 30 << 20, within=15)
        late = Late(server)
        before = memory(server)
        assert reclaim(server, "light").status == 200
        # What is in use stays.
        assert memory(server)["clip_cache_bytes"] >= before["clip_cache_bytes"]
        answer = reclaim(server, "hard")
        assert memory(server)["clip_cache_bytes"] == 0
        done = answer.json
        assert done["level"] == "hard" and done["reason"] == "asked for"
        assert done["freed_bytes"] == done["before_bytes"] - done["after_bytes"]
        assert done["owners"]["clips"] > 20 << 20, done
        # All of the model: how much that is depends on the model.
        assert done["owners"]["models"] == before["owners"]["models"] > 0, (before, done)
        assert done["freed_bytes"] >= 0.9 * sum(done["owners"].values()), done
        after = memory(server)
        assert after["last"][0] == done and after["reclaims"]["hard"] == 1
        # Nobody saw it, and the next word loads the model again.
        seen = len(viewer.seen)
        server.speak(sounds.speech(1))
        eventually(lambda: len(viewer.seen) > seen + 25)
        eventually(lambda: memory(server)["owners"]["models"] > 0)
        assert late.is_as_usual()
        eventually(lambda: memory(server)["clip_cache_bytes"] > 0, within=15)
    assert before["private_bytes"] <= before["rss_bytes"] + (8 << 20)
    assert before["allocator"]["allocated_bytes"] <= before["allocator"]["held_bytes"]
    assert {"frames", "clips", "models", "queues", "viewers"} <= set(before["owners"])
    assert sum(before["owners"].values()) < before["rss_bytes"]
    for wrong in ("over", "", 3):
        assert reclaim(server, wrong).status == 422
        assert "level" in reclaim(server, wrong).problem["detail"]


def test_what_is_watched_goes_on_at_every_step_of_the_ladder(serve, ballast):
    budget = 400
    server = serve({"memory.budget_mb": budget, "memory.clip_cache_mb": 40}, env=ballast.env)

    def reach(level, percent):
        ballast.fill(server, budget, percent)
        return eventually(lambda: (memory(server)["level"] == level and memory(server)), within=5)

    with Viewer(server.url) as viewer:
        server.speak(sounds.speech(20))
        viewer.wait_for_picture()
        eventually(lambda: memory(server)["clip_cache_bytes"] > 30 << 20, within=15)
        kept = memory(server)["clip_cache_bytes"]
        late = Late(server)

        light = reach("light", 78)
        assert kept <= light["clip_cache_bytes"] and light["reclaims"]["light"] >= 1
        hard = reach("hard", 94)
        assert hard["clip_cache_bytes"] == 0
        assert "MB are resident" in hard["last"][0]["reason"] and hard["last"][0]["owners"]["clips"] > 20 << 20
        over = reach("over", 115)
        assert over["reclaims"]["over"] >= 1
        assert server.get("/readyz").problem["status"] == 503
        with pytest.raises(Refused) as no:
            Viewer(server.url).__enter__()
        assert no.value.status == 503 and "Retry-After" in no.value.headers

        ballast.take(0)
        eventually(lambda: memory(server)["level"] == "normal", within=5)
        with Viewer(server.url) as another:
            another.wait_for_picture()
        # Who watched saw nothing of it.
        assert late.is_as_usual()
        assert viewer.state == "connected"
    for step in ("memory is light, was normal", "memory is hard, was light", "memory is over, was"):
        assert step in server.log, server.log


def test_a_process_that_stays_over_its_budget_ends_with_75(serve, ballast):
    server = serve({"memory.budget_mb": 300, "memory.over_s": 2}, env=ballast.env)
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        ballast.take(300)
        assert server.process.wait(15) == 75
        eventually(lambda: viewer.state in ("closed", "failed"), within=5)
    server.process = None
    assert "memory.budget_mb allows 300" in server.log and "stopping" in server.log and "panicked" not in server.log
