"""What is counted, and that the dashboard shows it."""

import json
import re

from server import ROOT, eventually
from speaker import events


def samples(server):
    """Each sample of /metrics: its name, with the labels and the value of each that there is."""
    found = {}
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    lines = answer.body.decode().splitlines()
    assert lines[-1] == "# EOF"
    for line in lines:
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            labels = dict(re.findall(r'(\w+)="([^"]*)"', labels or ""))
            found.setdefault(name, []).append((labels, float(value)))
    return found


def value(server, name, **labels):
    """The value of the one sample of that name with these labels; 0 where there is none yet."""
    values = [value for found, value in samples(server).get(name, []) if labels.items() <= found.items()]
    assert len(values) <= 1, (name, values)
    return values[0] if values else 0


def test_speech_interrupts_and_requests_are_counted(quiet):
    def outcome(word):
        return value(quiet, "mouthpiece_utterances_total", session="live", outcome=word)

    def say(text):
        answer = quiet.ask("POST", "/v1/sessions/live/speech", text=text)
        assert answer.status == 202, answer.body

    assert [outcome(word) for word in ("finished", "interrupted", "dropped")] == [0, 0, 0]
    say("Short. And another.")
    eventually(lambda: outcome("finished") == 1, 15)
    assert value(quiet, "mouthpiece_tts_latency_seconds_count") == 2, "a sentence each"
    assert value(quiet, "mouthpiece_interrupts_total", session="live") == 0, "there was nothing to interrupt"
    with events(quiet) as told:
        say("This one goes on for quite a while, so that there is time to cut it off. " * 3)
        say("This one waits.")
        assert value(quiet, "mouthpiece_queue_seconds", session="live") > 0
        eventually(lambda: any(event["type"] == "speech_started" for _, event in told))
    assert quiet.interrupt().json["interrupted"]
    assert [outcome(word) for word in ("finished", "interrupted", "dropped")] == [1, 1, 1]
    assert value(quiet, "mouthpiece_interrupts_total", session="live") == 1
    assert value(quiet, "mouthpiece_queue_seconds", session="live") == 0

    speech = {"route": "/v1/sessions/{id}/speech"}
    assert value(quiet, "mouthpiece_requests_total", **speech, status="2xx") == 3
    for path in ("/v1/sessions/nobody/speech", "/v1/sessions/../speech"):
        assert quiet.ask("POST", path, text="one").status == 404
    assert value(quiet, "mouthpiece_requests_total", **speech, status="4xx") >= 1
    for n in range(20):
        quiet.get(f"/made/up/{n}")
    assert value(quiet, "mouthpiece_requests_total", route="none", status="4xx") >= 20
    routes = {labels["route"] for labels, _ in samples(quiet)["mouthpiece_requests_total"]}
    assert not any("made" in route or "nobody" in route for route in routes), "what is asked makes no label"


def test_the_dashboard_shows_what_is_exported_and_nothing_else(quiet):
    quiet.get("/made/up")
    exported = samples(quiet)
    board = json.loads((ROOT / "config/deploy/grafana.json").read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    named = set()
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"]
            names = set(re.findall(r"\bmouthpiece_\w+", expression))
            assert names and names <= set(exported), f"{panel['title']}: {names - set(exported)}"
            named |= names
            # `instance` and `job` are Prometheus's own, `le` a histogram's.
            grouped = re.findall(r"by \(([^)]*)\)", expression)
            labels = {label.strip() for group in grouped for label in group.split(",")}
            labels |= set(re.findall(r"(\w+)=~?\"", expression)) | set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            for name in names:
                there = {label for found, _ in exported[name] for label in found} | {"instance", "job"}
                # What is summed over has lost its others.
                assert labels - {"le"} <= there, f"{panel['title']}: {labels - there} of {name}"
    queries = [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    assert set(re.findall(r"mouthpiece_\w+", " ".join(queries))) <= set(exported)
    family = lambda name: re.sub(r"_(bucket|count|sum)$", "", name)
    assert {family(name) for name in exported} == {family(name) for name in named}, "and all of it is shown"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
