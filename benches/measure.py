"""What a viewer gets: the table "what it must reach", measured at an aiortc player.

    make bench                                    the stages, the frame, then this
    .venv/bin/python benches/measure.py           all of it, some eight minutes, with nothing else running
    .venv/bin/python benches/measure.py --quick   the same with fewer repetitions, some two minutes
    .venv/bin/python benches/measure.py --only rate,speech

It starts target/release/mouthpiece on ports of its own, joins as a viewer, and prints one table. CPU and memory are
those of the server's process alone, out of /proc; the player is another process on the same cores, so its own delays
are in every time that is measured at it.

How each figure is made:

rate        pictures over 60 s at the viewer, and the longest time between two.
first       from sending the offer to the first decoded picture, 20 joins one after another.
speech      from the first byte of the POST to the first picture whose mouth is clearly not at rest, 20 pushes. A mouth
            is compared with the avatar's own in the idle clip's picture of the same moment (tests/system/mouth.py);
            "clearly" is three times what exceeds 99 of 100 pictures of a recorded rest.
stream      the same from the first sample on the speech WebSocket, which sends the whole word at once. From `clear` to its
            acknowledgement, and to the last sound at the viewer's decoder that is louder than −40 dB.
microphone  from the sound entering a PulseAudio null sink to the changed mouth, likewise; less the model's look-ahead.
skew        by the sender reports' clock: how long sound takes to arrive less how long pictures take. Also by content:
            the lag at which the voice's level and the mouth's movement agree best, which tells a shift of whole
            pictures, not of milliseconds: lips begin before the voice.
cpu         milliseconds of CPU of the whole process for each picture: talking, idle, and with nobody watching.
memory      resident, with one viewer who has heard some speech.
churn       200 viewers who come and go: what memory, descriptors and threads have grown by.
stop        from SIGTERM to exit 0 with a viewer there.
"""

import argparse
import pathlib
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

import mouth  # noqa: E402
import sounds  # noqa: E402
from player import Viewer, gaps, rate  # noqa: E402
from pulse import Pulse  # noqa: E402
from server import Server, eventually  # noqa: E402
from speaker import speaker  # noqa: E402

ROWS = []


def row(what, figure, wanted, good=None):
    """Notes one line of the table; `good` None is a figure that nothing was promised of."""
    ROWS.append((what, figure, wanted, "" if good is None else "yes" if good else "NO"))
    print(f"  {what}: {figure}", file=sys.stderr, flush=True)


def spread(seconds):
    """p50 / p95 / max in milliseconds, and p95 in seconds."""
    p50, p95, most = np.percentile(seconds, [50, 95, 100])
    return f"{p50 * 1000:.0f} / {p95 * 1000:.0f} / {most * 1000:.0f} ms", p95


def settle(server):
    """Silence, with the mouth at rest."""
    server.interrupt()
    eventually(lambda: server.session()["state"] == "idle", within=10)
    time.sleep(0.8)


def threshold(viewer):
    """What a picture's mouth must exceed to be clearly not at rest."""
    rest, _ = viewer.watch(6.5)
    return 3 * float(np.percentile([mouth.change(s.picture) for s in rest], 99))


def first_change(viewer, since, above, within=3.0):
    """Seconds from `since` to the first picture whose mouth is over `above`."""
    looked = 0
    while time.monotonic() - since < within:
        while looked < len(viewer.seen):
            seen = viewer.seen[looked]
            looked += 1
            if seen.at > since and mouth.change(seen.picture) > above:
                return seen.at - since
        time.sleep(0.004)
    raise AssertionError(f"the mouth did not move within {within} s")


def measure_rate(server, n):
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        viewer.watch(1)
        server.speak(sounds.speech(20))
        pictures, _ = viewer.watch(n.seconds)
    fps, worst = rate(pictures), gaps(pictures).max() * 1000
    row(f"pictures a second over {n.seconds} s", f"{fps:.2f}", "25.0 ± 0.1", abs(fps - 25) <= 0.1)
    row("longest gap", f"{worst:.0f} ms", "100 ms", worst <= 100)


def measure_first(server, n):
    took = []
    for _ in range(n.joins):
        with Viewer(server.url) as viewer:
            took.append(viewer.wait_for_picture())
    said, p95 = spread(took)
    row(f"first picture after the offer, {n.joins} joins (p50/p95/max)", said, "p95 600 ms", p95 <= 0.6)


def measure_speech(server, n):
    word = sounds.speech(1.0)
    took = []
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        settle(server)
        above = threshold(viewer)
        for push in range(n.pushes):
            settle(server)
            # Not in step with the pictures.
            time.sleep((push * 0.0137) % 0.04)
            since = time.monotonic()
            assert server.speak(word).status == 202
            took.append(first_change(viewer, since, above))
    said, p95 = spread(took)
    row(f"pushed speech → changed mouth, {n.pushes} pushes (p50/p95/max)", said, "p95 300 ms", p95 <= 0.3)


def measure_stream(server, n):
    word, talk = sounds.speech(1.0, 24_000)[44:], sounds.speech(3, 24_000)[44:]
    mouths, acknowledged, silent = [], [], []
    with Viewer(server.url) as viewer, speaker(server, 24_000) as say:
        viewer.wait_for_picture()
        settle(server)
        above = threshold(viewer)
        for push in range(n.pushes):
            settle(server)
            # Not in step with the pictures.
            time.sleep((push * 0.0137) % 0.04)
            since = time.monotonic()
            say.send(word)
            say.send({"type": "end"})
            mouths.append(first_change(viewer, since, above))
        for clear in range(n.pushes):
            settle(server)
            say.send(talk)
            # In the middle of a word, at another moment of it each time.
            viewer.watch(1 + clear * 0.0137)
            since = time.monotonic()
            say.send({"type": "clear"})
            say.wait_for("cleared", clear + 1)
            acknowledged.append(say.at("cleared", clear + 1) - since)
            viewer.watch(0.6)
            _, sound = viewer.between(since, time.monotonic())
            silent.append(max([heard.at - since for heard in sound if heard.level > 0.01], default=0.0))
    said, p95 = spread(mouths)
    row(f"streamed speech → changed mouth, {n.pushes} times (p50/p95/max)", said, "p95 300 ms", p95 <= 0.3)
    said, p95 = spread(acknowledged)
    row("clear → acknowledged (p50/p95/max)", said, "80 ms", max(acknowledged) <= 0.08)
    said, p95 = spread(silent)
    row("clear → silence at the viewer's decoder (p50/p95/max)", said, "p95 150 ms", p95 <= 0.15)


def measure_microphone(_, n):
    import tomllib

    look_ahead = tomllib.loads((ROOT / "assets/models/mouthpiece-256/model.toml").read_text())["look_ahead_ms"] / 1000
    # Silence first, so that the onset is not paplay's own start: the sound's clock begins with the sink's.
    lead = 1.0
    voice = np.concatenate([np.zeros(int(lead * 48_000)), sounds.welcome()[int(0.06 * 48_000) : 48_000]])
    with tempfile.TemporaryDirectory() as folder:
        pulse = Pulse(folder).start()
        server = Server(pathlib.Path(folder), {"audio.source": "microphone"}, env=pulse.env).start()
        try:
            took = []
            with Viewer(server.url) as viewer:
                viewer.wait_for_picture()
                settle(server)
                above = threshold(viewer)
                for _ in range(n.pushes):
                    settle(server)
                    since = time.monotonic()
                    saying = pulse.say(sounds.wav(voice))
                    took.append(first_change(viewer, since + lead, above))
                    saying.wait(10)
        finally:
            server.stop()
            pulse.unplug()
    said, p95 = spread([t - look_ahead for t in took])
    row(f"microphone → changed mouth less look-ahead of {look_ahead * 1000:.0f} ms (p50/p95/max; with paplay's start)", said,
        "p95 150 ms", p95 <= 0.15)


def measure_skew(server, n):
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        server.speak(sounds.speech(16))
        viewer.watch(1.5)
        pictures, sound = viewer.watch(12)
    skew = viewer.skew(pictures, sound)
    row("sound later than picture, by sender reports", f"{skew * 1000:+.0f} ms", "−15 … +45 ms", -0.015 <= skew <= 0.045)
    # On a grid of 10 ms: the level of the voice, and how far the mouth is from rest.
    grid = np.arange(pictures[0].at + 0.2, pictures[-1].at - 0.2, 0.01)
    level = np.interp(grid, [h.at for h in sound], [h.level for h in sound])
    moved = np.interp(grid, [s.at for s in pictures], [mouth.change(s.picture) for s in pictures])
    normal = lambda x: (x - x.mean()) / x.std()  # noqa: E731
    lags = range(-30, 31)
    level, moved = normal(level), normal(moved)
    agree = [float(np.mean(level[30 + lag : len(level) - 30 + lag] * moved[30:-30])) for lag in lags]
    best = int(np.argmax(agree))
    row("voice later than lips, by content", f"{lags[best] * 10:+d} ms (r = {agree[best]:.2f})", "a few pictures")


def measure_cpu(server, n):
    def a_frame(seconds):
        before = server.cpu_ms()
        began = time.monotonic()
        time.sleep(seconds)
        return (server.cpu_ms() - before) / ((time.monotonic() - began) * 25)

    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        settle(server)
        idle = a_frame(n.cpu)
        for _ in range(2):
            server.speak(sounds.speech(n.cpu))
        time.sleep(1)
        talking = a_frame(n.cpu)
        rss = server.rss_mb()
        settle(server)
    eventually(lambda: server.session()["viewers"] == 0)
    time.sleep(2)
    alone = a_frame(n.cpu)
    row("CPU a picture, talking, one viewer", f"{talking:.2f} ms", "6 ms", talking <= 6)
    row("CPU a picture, idle, one viewer", f"{idle:.2f} ms", "3 ms", idle <= 3)
    row("CPU with nobody watching", f"{alone / 40:.2%} of a core", "1 %", alone / 40 <= 0.01)
    row("resident memory, one viewer, after speech", f"{rss:.0f} MB", "180 MB", rss <= 180)


def measure_churn(server, n):
    def come_and_go(times):
        for _ in range(times):
            with Viewer(server.url) as viewer:
                viewer.wait_for_picture()
        eventually(lambda: server.session()["viewers"] == 0, within=20)
        time.sleep(3)
        return server.rss_mb(), server.descriptors(), server.threads()

    before = come_and_go(20)
    after = come_and_go(n.churn)
    grown = [b - a for a, b in zip(before, after)]
    row(f"grown by {n.churn} viewers: memory, descriptors, threads", f"{grown[0]:+.1f} MB, {grown[1]:+d}, {grown[2]:+d}",
        "none", grown[0] < 3 and grown[1] <= 0 and grown[2] <= 0)


def measure_stop(server, n):
    with Viewer(server.url) as viewer:
        viewer.wait_for_picture()
        took = server.stop()
        told = eventually(lambda: viewer.state in ("closed", "failed"), within=5)
    row("SIGTERM → exit, viewers told", f"{took:.2f} s, code {server.exit_code}", "2 s, code 0",
        took <= 2 and server.exit_code == 0 and told)


# In this order: the last one ends the server.
MEASURES = {
    "rate": measure_rate,
    "first": measure_first,
    "speech": measure_speech,
    "stream": measure_stream,
    "microphone": measure_microphone,
    "skew": measure_skew,
    "cpu": measure_cpu,
    "churn": measure_churn,
    "stop": measure_stop,
}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="fewer repetitions")
    options.add_argument("--only", default=",".join(MEASURES), help="some of: " + ",".join(MEASURES))
    n = options.parse_args()
    n.seconds, n.joins, n.pushes, n.cpu, n.churn = (15, 6, 6, 8, 40) if n.quick else (60, 20, 20, 20, 200)
    wanted = n.only.split(",")
    unknown = set(wanted) - set(MEASURES)
    if unknown:
        options.error(f"no such measure: {', '.join(unknown)}; there are {', '.join(MEASURES)}")

    with tempfile.TemporaryDirectory() as folder:
        server = Server(pathlib.Path(folder)).start()
        try:
            for name in MEASURES:
                if name in wanted:
                    try:
                        MEASURES[name](server, n)
                    except AssertionError as failed:
                        row(name, f"failed: {str(failed).splitlines()[0][:80]}", "", False)
        finally:
            server.stop()

    print("\n| | measured | at most / at least | reached |\n|---|---|---|---|")
    for what, figure, limit, good in ROWS:
        print(f"| {what} | {figure} | {limit} | {good} |")
    sys.exit(any(good == "NO" for *_, good in ROWS))


if __name__ == "__main__":
    main()
