"""A tight budget: three avatars and three models in 200 MB, with sessions that switch between them all the time.

    .venv/bin/python benches/tight.py                          twenty minutes
    .venv/bin/python benches/tight.py --minutes 2 --budget 180
    .venv/bin/python benches/tight.py --sessions 1

It starts target/release/mouthpiece on ports of its own, on a copy of the assets with one more avatar (imported from
../shared/data/people/portrait.mp4 where that is, else leo under another name) and one more model (the bundled one under
another name, which is a model of its own: models are told apart by their folders). Each session talks all the time to
one viewer, a process of its own. Every few seconds one of them is asked to show another avatar or to speak with
another model, in turn; what there is no room for is refused with 503, and counted.

How each figure is made:

resident    of the server's process, out of /proc ten times a second; how long in a row it was over the budget.
swaps       how many were made, and how many refused with a time to come again, by what was to change; any other answer
            is wrong. How long they took is the PATCH's own time.
gap         the longest time between two pictures at a viewer, from before the first swap to after the last; beside it
            the swap that was under way, and how many cores others (not the server, this program nor its viewers) had.
"""

import argparse
import contextlib
import itertools
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

import server as serving  # noqa: E402
from machine import Machine  # noqa: E402
from server import ASSETS, Server  # noqa: E402
from table import report  # noqa: E402
from watcher import Watcher  # noqa: E402

PORTRAIT = ROOT.parent / "shared/data/people/portrait.mp4"
MODELS = ("mouthpiece-256", "mouthpiece-256-fp32", "mouthpiece-again")
#: How often resident memory is read, in seconds.
GLANCE = 0.1


class Resident:
    """Resident memory of the server, read all the time on a thread, and what else the machine does."""

    def __init__(self, server, machine, budget_mb):
        self.server, self.machine, self.budget_mb = server, machine, budget_mb
        #: (when, megabytes), and (when, cores that others had since the one before).
        self.seen, self.others = [], []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        # A process that has ended has no memory: the loop that swaps says so.
        with contextlib.suppress(OSError, AssertionError):
            while not self.stop.wait(GLANCE):
                self.seen.append((time.monotonic(), self.server.rss_mb()))
                if len(self.seen) % 5 == 0:
                    self.others.append((time.monotonic(), self.machine.others()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def longest_over(self):
        """Seconds in a row that it was over the budget, at most; one look is as long as the time to the next."""
        longest, since = 0.0, None
        for at, megabytes in self.seen:
            if since is not None:
                longest = max(longest, at - since)
            since = (since or at) if megabytes > self.budget_mb else None
        return longest

    def others_at(self, begin, end):
        """Cores that others had from `begin` to `end`, at most."""
        after = 5 * GLANCE
        return max((cores for at, cores in self.others if begin <= at <= end + after), default=0.0)


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def furnish(folder):
    """The assets with a third avatar and a third model, and the avatars' names."""
    assets = pathlib.Path(shutil.copytree(ASSETS, folder / "assets"))
    shutil.copytree(assets / "models" / MODELS[0], assets / "models" / MODELS[2])
    if PORTRAIT.exists():
        note(f"imports {PORTRAIT.name}")
        run = subprocess.run(
            [str(serving.PROGRAM), "avatar", "import", str(PORTRAIT), "--id", "portrait", "--set", f"assets={assets}"],
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )
        assert run.returncode == 0, run.stderr
        return assets, ("ava", "leo", "portrait")
    shutil.copytree(assets / "avatars/leo", assets / "avatars/leo-again")
    return assets, ("ava", "leo", "leo-again")


def swaps(sessions, avatars):
    """Who is asked to change what to what, for ever: each session its avatar, then its model, to another one each."""
    chance = random.Random(7)
    shown = {session: {"avatar": "ava", "model": MODELS[0]} for session in sessions}
    for what in itertools.cycle(("avatar", "model")):
        for session in sessions:
            others = [one for one in (avatars if what == "avatar" else MODELS) if one != shown[session][what]]
            wanted = chance.choice(others)
            if (yield session, what, wanted):
                shown[session][what] = wanted


def longest_gap(viewer, since, until):
    """When the longest time without a picture began and ended."""
    _, times = viewer.ask(since, until)
    times = [since, *times, until]
    return max(zip(times, times[1:]), key=lambda gap: gap[1] - gap[0])


def measure(server, sessions, avatars, n):
    watched = []
    with contextlib.ExitStack() as viewers:
        for session in sessions[1:]:
            answer = server.ask("POST", "/v1/sessions", id=session, source="file", idle_timeout_s=0)
            assert answer.status == 201, f"there is no room for {session}: {answer.problem['detail']}"
        for session in sessions:
            watched.append(viewers.enter_context(Watcher(server.url, session=session)))
        machine = Machine(server.process.pid, *(viewer.process.pid for viewer in watched))
        time.sleep(3)
        began = time.monotonic()
        made, refused, wrong = {"avatar": 0, "model": 0}, {"avatar": 0, "model": 0}, []
        #: (session, to what, when it was asked, when it was answered).
        done = []
        with Resident(server, machine, n.budget) as resident:
            plan = swaps(sessions, avatars)
            next_one = next(plan)
            while time.monotonic() - began < n.minutes * 60 and server.process.poll() is None:
                session, what, wanted = next_one
                asked = time.monotonic()
                answer = server.ask("PATCH", f"/v1/sessions/{session}", **{what: wanted})
                done.append((session, wanted, asked, time.monotonic()))
                if answer.status == 200:
                    made[what] += 1
                elif answer.status == 503 and "retry-after" in answer.headers:
                    refused[what] += 1
                else:
                    wrong.append(f"{answer.status} {answer.body.decode()[:200]}")
                    note(wrong[-1])
                next_one = plan.send(answer.status == 200)
                if len(done) in (2, 10) or len(done) % 50 == 0:
                    note(f"{len(done)} asked, {sum(made.values())} made; {resident.seen[-1][1]:.0f} MB")
                time.sleep(max(0.0, n.every - (time.monotonic() - asked)))
            time.sleep(2)
            until = time.monotonic()
        alive = server.process.poll() is None
        assert alive, f"the server ended with {server.process.returncode}:\n{server.log[-2000:]}"
        states = [viewer.ask(until - 3, until) for viewer in watched]
        gaps = [longest_gap(viewer, began, until) for viewer in watched]
        reclaims = server.get("/v1/memory").json["reclaims"]
        late = {s["id"]: s["late_frames"] for s in server.get("/v1/status").json["sessions"]}
    seen, over = [megabytes for _, megabytes in resident.seen], resident.longest_over()
    took = [answered - asked for *_, asked, answered in done]
    said = lambda counts: ", ".join(f"{count} of the {what}" for what, count in counts.items())  # noqa: E731

    def explained(gap):
        begin, end = gap
        during = [f"{session} to {wanted}" for session, wanted, asked, answered in done if asked < end and answered > begin]
        others = resident.others_at(begin, end)
        return f"{(end - begin) * 1000:.0f} ms ({during[0] if during else 'no swap'}, {others:.1f} cores for others)"

    return [
        ("sessions, minutes, budget", f"{len(sessions)}, {(until - began) / 60:.1f}, {n.budget} MB", "", None),
        ("swaps made", said(made), "one of each and more", min(made.values()) > 0),
        ("swaps refused for want of memory (503)", said(refused), "", None),
        ("answers that are wrong", "; ".join(sorted(set(wrong))) or "0", "0", not wrong),
        ("a swap takes, p50 / p95 / max", " / ".join(f"{t * 1000:.0f}" for t in np.percentile(took, [50, 95, 100])) + " ms", "", None),
        ("resident memory, p50 / max", f"{np.median(seen):.0f} / {max(seen):.0f} MB", "", None),
        ("longest time over the budget", f"{over:.1f} s", "2 s", over <= 2),
        ("longest gap at each viewer", ", ".join(map(explained, gaps)), "1000 ms", all(end - begin <= 1 for begin, end in gaps)),
        ("viewers at the end", ", ".join(f"{state} with {len(times) / 3:.1f} pictures a second" for state, times in states), "connected, 25",
         all(state == "connected" and len(times) > 66 for state, times in states)),
        ("late frames, and cores that others had on the mean", f"{late}, {np.mean([cores for _, cores in resident.others]):.2f}", "", None),
        ("reclaims by level", ", ".join(f"{level} {count}" for level, count in reclaims.items()), "", None),
    ]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=20)
    options.add_argument("--budget", type=int, default=200, help="memory.budget_mb")
    options.add_argument("--sessions", type=int, default=2, help="each with one viewer")
    options.add_argument("--every", type=float, default=4, help="seconds from one swap to the next")
    options.add_argument("--program", type=pathlib.Path, default=serving.PROGRAM)
    n = options.parse_args()
    serving.PROGRAM = n.program
    sessions = ["live", *(f"desk-{number}" for number in range(1, n.sessions))]

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        assets, avatars = furnish(folder)
        settings = {"assets": assets, "audio.source": "file", "memory.budget_mb": n.budget, "media.max_viewers": n.sessions}
        server = Server(folder, settings)
        report(server, lambda: measure(server, sessions, avatars, n))


if __name__ == "__main__":
    main()
