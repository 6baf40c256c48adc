"""What strangers can do to a stream: a thousand hostile acts beside one that talks, and what they leave behind.

    .venv/bin/python benches/hostile.py                 a thousand, some four minutes
    .venv/bin/python benches/hostile.py --count 200     fewer
    .venv/bin/python benches/hostile.py --list          every kind, and what is the right answer to it

It starts target/release/mouthpiece on ports of its own, with tokens, on a copy of the assets. One session talks all the
time to one viewer, a process of its own, while each kind of act comes in turn: bodies, paths, methods, ids and tokens
that are wrong, broken offers and good ones behind which nobody is, WebSockets that keep no rule, sound files and forms
that are none, ranges, and connections that are slow, silent, cut or no HTTP at all. Slow ones run beside the others,
three of each at a time; the next waits for its turn.

How each figure is made:

answers     each kind says which answers are right: a status, those of several requests in a row (`201 422`), a
            WebSocket's close code (`101 1007`), or `closed` for a connection that is closed without a word. A refusal
            with a body must be a problem. A 503 that says when to come again is right everywhere, for what is full, and
            counted apart.
late        the session's `late_frames`, read twice a second. Those of a half second in which others (not the server, this
            program nor its viewer) had half a core and more are the machine's, and counted apart.
gap         the longest time between two pictures at the viewer.
memory,     what the server has written and is nobody else's, its descriptors and threads: the median of ten looks over
descriptors,    five seconds, after every kind has come once and all has become quiet, and after the last.
threads
left        what lies in the folder of assets that wasn't there before, sessions, viewers, and panics in the log.
"""

import argparse
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

import server as serving  # noqa: E402
from acts import KINDS, TOKEN, VIEWERS_TOKEN, Busy, House  # noqa: E402
from machine import Machine  # noqa: E402
from server import ASSETS, Server, eventually  # noqa: E402
from table import report  # noqa: E402
from watcher import Watcher  # noqa: E402

#: Of each slow kind at a time: with four uploads on their way there is no place for another.
SLOW_AT_ONCE = 3
#: How often the counters are read, in seconds.
GLANCE = 0.5
#: Cores that others had in one glance, from which on what was late then is the machine's.
OTHERS = 0.5


class Late:
    """Reads the session's counters all the time, on a thread: how many frames were late, and of those how many while
    others had the processors."""

    def __init__(self, server, machine):
        self.server, self.machine = server, machine
        self.late = self.excused = self.others_most = 0
        self.first = self.last = self.read()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def read(self):
        return self.server.session()["late_frames"]

    def run(self):
        while not self.stop.wait(GLANCE):
            now, others = self.read(), self.machine.others()
            came, self.last = now - self.last, now
            self.excused += came if others >= OTHERS else 0
            self.others_most = max(self.others_most, others)
            if came:
                note(f"{came} late frames while others had {others:.2f} cores")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.late = self.read() - self.first


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def cycle(house, kinds, count, first=0):
    """Does `count` acts, the kinds in turn; waits for the slow ones."""
    turns = {kind.name: threading.Semaphore(SLOW_AT_ONCE) for kind in kinds}
    counting, threads = threading.Lock(), []

    def act(kind, n):
        try:
            said = kind.act(house, n)
        except Busy:
            said = None
        except OSError as error:
            said = f"no connection: {type(error).__name__}"
        with counting:
            kind.busy += said is None
            if said is not None:
                kind.answers[said] += 1
                if said not in kind.right:
                    note(f"{kind.name}, number {n}: {said}, and right is {' or '.join(kind.right)}")

    def slowly(kind, n):
        with turns[kind.name]:
            act(kind, n)

    for at in range(count):
        kind, n = kinds[at % len(kinds)], first + at // len(kinds)
        if not kind.slow:
            act(kind, n)
            continue
        # Not before there is a turn: the others go along with the slow ones, not ahead of them.
        while not turns[kind.name].acquire(timeout=1):
            pass
        turns[kind.name].release()
        threads.append(threading.Thread(target=slowly, args=(kind, n), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join()


def quiet(server):
    """Waits until all who were let in and never came are gone."""
    eventually(lambda: server.session()["viewers"] == 1 and not server.session()["published"], within=60, every=1)
    time.sleep(12)


def look(server):
    """Private memory in MB, descriptors, threads."""
    looks = []
    for _ in range(10):
        time.sleep(GLANCE)
        looks.append((server.private_mb(), server.descriptors(), server.threads()))
    return [statistics.median(values) for values in zip(*looks)]


def lies(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=1000, help="acts, after one of each kind")
    options.add_argument("--only", default="", help="only kinds whose name has this in it")
    options.add_argument("--list", action="store_true", help="say the kinds and end")
    options.add_argument("--program", type=pathlib.Path, default=serving.PROGRAM)
    n = options.parse_args()
    kinds = [kind for kind in KINDS if n.only in kind.name]
    if n.list:
        print("\n".join(f"{kind.name}: {' or '.join(kind.right)}{' (slow)' if kind.slow else ''}" for kind in kinds))
        return
    serving.PROGRAM = n.program

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        assets = pathlib.Path(shutil.copytree(ASSETS, folder / "assets"))
        settings = {"assets": assets, "audio.source": "file", "recordings.folder": folder / "recordings",
                    "http.token": TOKEN, "http.viewer_token": VIEWERS_TOKEN, "imports.max_upload_mb": 8}
        server = Server(folder, settings)
        report(server, lambda: watched(server, kinds, n.count, assets))


def watched(server, kinds, count, assets):
    with Watcher(server.url, token=VIEWERS_TOKEN) as watcher:
        return measure(server, watcher, House(server), kinds, count, assets)


def measure(server, watcher, house, kinds, count, assets):
    lay = lies(assets)
    machine = Machine(server.process.pid, watcher.process.pid)
    note(f"one of each of {len(kinds)} kinds first")
    cycle(house, kinds, len(kinds))
    quiet(server)
    before = look(server)
    note("{:.1f} MB, {:.0f} descriptors, {:.0f} threads".format(*before))
    for kind in kinds:
        kind.answers.clear()
        kind.busy = 0
    machine.others()
    began = time.monotonic()
    with Late(server, machine) as late:
        cycle(house, kinds, count, first=1)
        took = time.monotonic() - began
        gaps = watcher.gaps(began, time.monotonic())
    quiet(server)
    after = look(server)
    note("{:.1f} MB, {:.0f} descriptors, {:.0f} threads".format(*after))
    grown = [b - a for a, b in zip(before, after)]
    state, pictures = watcher.ask(time.monotonic() - 3, time.monotonic())
    sessions = [session["id"] for session in server.get("/v1/sessions").json["sessions"]]
    left = sorted(set(lies(assets)) - set(lay)) + sorted(set(sessions) - {"live"})

    wrong = {kind.name: dict(bad) for kind in kinds if (bad := {said: n for said, n in kind.answers.items() if said not in kind.right})}
    answered, busy = sum(sum(kind.answers.values()) for kind in kinds), sum(kind.busy for kind in kinds)
    own = late.late - late.excused
    return [
        (f"hostile acts of {len(kinds)} kinds, in {took:.0f} s", f"{answered + busy}", "", None),
        ("answers that are wrong", f"{sum(sum(bad.values()) for bad in wrong.values())}" + (f": {wrong}" if wrong else ""), "0", not wrong),
        ("told to come again (503)", f"{busy}", "", None),
        ("late frames, beside those while others had the machine", f"{own}, {late.excused} (others: {late.others_most:.1f} cores at most)", "0", own == 0),
        ("longest gap at the viewer", f"{gaps.max() * 1000:.0f} ms", "1000 ms", gaps.max() <= 1),
        ("the viewer afterwards", f"{state}, {len(pictures) / 3:.1f} pictures a second", "connected, 25", state == "connected" and len(pictures) > 66),
        ("private memory grown", f"{grown[0]:+.1f} MB, from {before[0]:.1f}", "5 MB", grown[0] <= 5),
        ("descriptors grown", f"{grown[1]:+.0f}", "2", abs(grown[1]) <= 2),
        ("threads grown", f"{grown[2]:+.0f}", "1", abs(grown[2]) <= 1),
        ("files and sessions left", ", ".join(left) or "none", "none", not left),
    ]


if __name__ == "__main__":
    main()
