"""Starting, stopping, and who comes and goes."""

import signal
import subprocess
import sys
import time

from player import Viewer, rate
from server import PROGRAM, ROOT, eventually, free_port


def test_sigterm_tells_the_viewers_and_ends_with_0(serve):
    server = serve()
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        took = server.stop()
        assert server.exit_code == 0
        assert took < 5
        eventually(lambda: viewer.state in ("closed", "failed"), within=3)
    assert "panicked" not in server.log


def test_ctrl_c_ends_it_too(serve):
    server = serve()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(5) == 0
    server.process = None


def test_a_server_that_nobody_watches_ends_too(serve):
    server = serve({"audio.source": "file"})
    time.sleep(1)
    assert server.stop() < 5
    assert server.exit_code == 0


def test_forty_joins_and_leaves_leave_no_descriptor_and_no_thread(serve):
    # Without the cache of decoded pictures, which fills as people watch.
    server = serve({"memory.clip_cache_mb": 0})

    def come_and_go():
        with Viewer(server.url):
            pass

    for _ in range(5):
        come_and_go()
    eventually(lambda: server.session()["viewers"] == 0)
    time.sleep(1)
    before = server.descriptors(), server.threads()

    def grown():
        """Megabytes that forty more joins and leaves cost."""
        memory = server.rss_mb()
        for _ in range(40):
            come_and_go()
        eventually(lambda: server.session()["viewers"] == 0)
        eventually(lambda: server.descriptors() <= before[0] + 1, within=15)
        eventually(lambda: server.threads() <= before[1] + 1, within=15)
        return server.rss_mb() - memory

    # The allocator takes a step now and then, for good; a leak grows every time.
    assert any(grown() < 2 for _ in range(3))


def test_a_viewer_that_vanishes_is_gone_within_15_seconds(serve):
    server = serve()
    player = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/system/player.py"), server.url, "60"], stdout=subprocess.PIPE, text=True
    )
    assert "joined" in player.stdout.readline()
    assert server.session()["viewers"] == 1
    player.kill()
    player.wait()
    eventually(lambda: server.session()["viewers"] == 0, within=16)


def test_two_servers_stand_side_by_side(serve):
    one, two = serve(), serve()
    with Viewer(one.url) as here, Viewer(two.url) as there:
        here.wait_for_picture()
        there.wait_for_picture()
        for viewer in (here, there):
            pictures, _ = viewer.watch(2)
            assert rate(pictures) > 22


def test_health_status_metrics_and_memory_answer(serve):
    server = serve()
    assert server.get("/healthz").status == 200
    status = server.get("/v1/status").json
    assert status["version"] and status["process"]["rss_mb"] > 5
    metrics = server.get("/metrics").body.decode()
    for name in (
        "mouthpiece_sessions", "mouthpiece_viewers", "mouthpiece_frames_total", "mouthpiece_late_frames_total",
        "mouthpiece_late_chunks_total", "mouthpiece_stage_seconds", "mouthpiece_av_skew_seconds",
        "mouthpiece_voice_latency_seconds", "mouthpiece_rss_bytes", "mouthpiece_memory_budget_bytes",
        "mouthpiece_reclaims_total", "mouthpiece_reclaimed_bytes_total", "mouthpiece_models_loaded",
    ):
        assert name in metrics, name
    assert server.get("/v1/memory").status == 200
    assert server.get("/v1/nothing").status == 404


def test_the_doctor_and_the_lists_say_what_is_here():
    ports = ["--set", f"http.listen=127.0.0.1:{free_port()}", "--set", f"media.udp_port={free_port()}"]
    for command in (["doctor", *ports], ["avatar", "list"], ["avatar", "check", "ava"], ["model", "list"], ["model", "check", "mouthpiece-256"]):
        run = subprocess.run([str(PROGRAM), *command], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, (command, run.stdout, run.stderr)
        assert run.stdout.strip(), command


def test_each_command_explains_itself_with_an_example():
    for command in ([], ["serve"], ["render"], ["avatar"], ["model"], ["soak"], ["doctor"]):
        run = subprocess.run([str(PROGRAM), *command, "--help"], capture_output=True, text=True, timeout=20)
        assert run.returncode == 0
        assert "mouthpiece" in run.stdout
