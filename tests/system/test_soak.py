"""The soak in small: what it leaves behind, and that it can be ended."""

import csv
import json
import signal
import subprocess
import time

import pytest

from server import PROGRAM, ROOT, eventually

COLUMNS = ["timestamp", "elapsed_seconds", "process_name", "pid", "cpu_percent", "memory_rss_mb", "memory_percent",
           "private_mb", "threads", "descriptors"]
FILES = ["events.csv", "frames.csv", "report.html", "report.md", "resources.csv", "results.jsonl", "run.json", "server.log"]
PHASES = ["warm-up", "speech-short", "speech-long", "joins", "session", "avatars", "models", "reclaim-light",
          "reclaim-hard", "budget", "microphone", "steady", "end"]


def soak(out, *more):
    return [str(PROGRAM), "soak", "--minutes", "1", "--viewers", "2", "--churn", "4", "--out", str(out), *more]


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def phases(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.mark.timeout(420)
def test_a_short_soak_leaves_a_report_that_adds_up(tmp_path):
    # How fast a busy machine is isn't judged here, nor what it keeps back in so short a time.
    limits = tmp_path / "limits.toml"
    limits.write_text("[stream]\nlate_frames = 1000\ngap_ms = 5000\nlost_per_thousand = 100\nfirst_picture_ms = 10000\n"
                      + "".join(f"[phase.{name}]\ngap_ms = 5000\n" for name in ("reclaim-light", "reclaim-hard"))
                      + "".join(f"[phase.{name}]\nresident_mb = 8\n" for name in ("speech-short", "speech-long")))
    out = tmp_path / "soaked"
    run = subprocess.run(soak(out, "--limits", str(limits)), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, timeout=400)
    assert sorted(path.name for path in out.iterdir()) == FILES, run.stderr
    done = phases(out)
    assert [phase["phase"] for phase in done] == PHASES
    failed = [phase for phase in done if phase["outcome"] == "failed"]
    assert not failed, failed
    for phase in done:
        assert phase["outcome"] == "ran" or (phase["outcome"] == "skipped" and phase["why"]), phase
        if phase["outcome"] == "ran" and phase["phase"] not in ("warm-up", "end"):
            for key, delta in phase["delta"].items():
                assert abs(phase["after"][key] - phase["before"][key] - delta) < 1e-6, phase

    rows = table(out / "resources.csv")
    assert list(rows[0]) == COLUMNS
    server = [row for row in rows if row["process_name"] == "mouthpiece serve"]
    assert len({row["pid"] for row in server}) == 1
    times = [float(row["elapsed_seconds"]) for row in server]
    assert times == sorted(times) and len(times) > 60
    assert all(0 < float(row["private_mb"]) <= float(row["memory_rss_mb"]) for row in server)

    frames = table(out / "frames.csv")
    for column in ("viewer_frames", "packets", "lost_packets"):
        counts = [int(row[column]) for row in frames]
        assert counts == sorted(counts), column
    # Two viewers see what is drawn, most of the time; guests come on top.
    drawn = max(int(row["drawn_frames"]) for row in frames if row["drawn_frames"])
    assert int(frames[-1]["viewer_frames"]) > drawn
    by_phase = {phase["phase"]: phase for phase in done}
    assert by_phase["joins"]["joins"] >= 10
    assert by_phase["speech-long"]["sound_seconds"] > 16

    assert run.returncode == 0, run.stdout + run.stderr
    assert "Passed" in run.stdout and "**Passed" in (out / "report.md").read_text()
    assert "too short for a line" in (out / "report.md").read_text(), "so short a run tells no slope"

    page = (out / "report.html").read_text()
    again = subprocess.run([str(PROGRAM), "soak", "report", str(out)], capture_output=True, text=True, timeout=20)
    assert again.returncode == 0 and (out / "report.html").read_text() == page
    both = subprocess.run([str(PROGRAM), "soak", "report", str(out), str(out)], capture_output=True, text=True, timeout=20)
    assert both.returncode == 0 and "| first | second |" in both.stdout, both.stdout + both.stderr

    # The same files by a limit that nothing holds: it must be able to fail.
    run_json = json.loads((out / "run.json").read_text())
    run_json["limits"]["stream"]["first_picture_ms"] = 0.001
    (out / "run.json").write_text(json.dumps(run_json))
    broken = subprocess.run([str(PROGRAM), "soak", "report", str(out)], capture_output=True, text=True, timeout=20)
    assert broken.returncode == 1 and "FAILED" in broken.stdout, broken.stdout


def test_ctrl_c_ends_it_with_a_report_of_what_there_is(tmp_path):
    out = tmp_path / "soaked"
    process = subprocess.Popen(soak(out), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: (out / "results.jsonl").exists() and phases(out), within=60)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        said, log = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (0, 1), log
    done = phases(out)
    assert [phase["outcome"] for phase in done[:-2]] == ["ran"] * (len(done) - 2), done
    assert done[-2]["outcome"] == "interrupted" and done[-1]["phase"] == "end"
    assert done[-1]["outcome"] == "ran", done[-1]
    assert "ended by Ctrl-C" in (out / "report.md").read_text()
    assert "report.html" in said
    pid = int(table(out / "resources.csv")[0]["pid"])
    assert not (ROOT / f"/proc/{pid}").exists(), "the server has ended too"


def test_what_can_not_be_soaked_is_told(tmp_path):
    def refused(*arguments):
        run = subprocess.run([str(PROGRAM), "soak", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert run.returncode != 0
        return run.stderr

    assert "--out" in refused("--minutes", "1")
    assert "minutes from 0.5" in refused("--minutes", "0", "--out", str(tmp_path / "a"))
    assert "run.json" in refused("report", str(tmp_path))
    (tmp_path / "limits.toml").write_text("[slope]\nmb = 1\n")
    said = refused("--out", str(tmp_path / "b"), "--limits", str(tmp_path / "limits.toml"))
    assert "limits.toml" in said and "mb" in said
    assert "no-such" in refused("--out", str(tmp_path / "c"), "--set", "avatar=no-such")
