"""What sessions leave behind: fifty made and deleted, five hundred times over.

    .venv/bin/python benches/sessions.py                              25 000 sessions
    .venv/bin/python benches/sessions.py --sessions 50 --rounds 20    some minutes
    .venv/bin/python benches/sessions.py --speak 5 --every 10         five of each tenth round speak, too

It starts target/release/mouthpiece on ports of its own, with `sessions.max` and `memory.budget_mb` large enough: each
session is admitted when the budget has some 50 MB left beyond what is resident. Nobody watches: once a frame's cost is
known, the processors' time bounds the sessions too, and two cores have none for fifty that are watched. Four clients
hold a connection each, make the sessions of a round together, and delete them when all are there.

How each figure is made:

memory      what the server has written and is nobody else's, after the deletions of each round. The first tenth of the
            rounds warms up; of the others, the median of the first quarter against that of the last.
descriptors,    fifteen seconds after the warm-up and after the last round, when the threads that the network's runtime
threads     keeps for a while for what takes long are gone.
slope       of memory over those rounds, by least squares, for each thousand sessions.
time        of a POST and of a DELETE, with four at a time.
"""

import argparse
import http.client
import json
import pathlib
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

import server as serving  # noqa: E402
import sounds  # noqa: E402
from server import Server  # noqa: E402
from table import report  # noqa: E402

CLIENTS = 4
#: What a session is admitted for, and more than it takes.
SESSION_MB = 64
#: Longer than the network's runtime keeps a thread that has nothing to do, which is ten seconds.
CALM = 15


class Client:
    """One connection that stays, and how long its requests took by method."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.took = {"POST": [], "DELETE": []}

    def ask(self, method, path, body=None, kind="application/json"):
        began = time.monotonic()
        self.connection.request(method, path, body, {"Content-Type": kind} if body else {})
        answer = self.connection.getresponse()
        said = answer.read()
        if kind == "application/json":
            self.took[method].append(time.monotonic() - began)
        return answer.status, said

    def make(self, names):
        for name in names:
            status, said = self.ask("POST", "/v1/sessions", json.dumps({"id": name, "idle_timeout_s": 0}))
            assert status == 201, f"{name} is not made: {status} {said.decode()}"

    def speak(self, names, sound):
        for name in names:
            status, said = self.ask("POST", f"/v1/sessions/{name}/speech", sound, "audio/wav")
            assert status == 202, f"{name} doesn't speak: {status} {said.decode()}"

    def delete(self, names):
        for name in names:
            status, said = self.ask("DELETE", f"/v1/sessions/{name}")
            assert status == 204, f"{name} is not deleted: {status} {said.decode()}"


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def measure(server, n):
    clients = [Client(server.port) for _ in range(CLIENTS)]
    sound = sounds.speech(1)
    names = [f"s{number}" for number in range(n.sessions)]
    shares = [names[at::CLIENTS] for at in range(CLIENTS)]
    warm = n.rounds // 10
    looks, calm, most = [], [], 0.0
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for turn in range(n.rounds):
            list(pool.map(Client.make, clients, shares))
            if turn % n.every == 0:
                clients[0].speak(names[: n.speak], sound)
            if turn == 0:
                most = server.rss_mb()
            list(pool.map(Client.delete, clients, shares))
            looks.append(server.private_mb())
            if turn in (0, 1) or turn % max(1, n.rounds // 20) == 0:
                note(f"round {turn + 1}: {looks[-1]:.1f} MB, {time.monotonic() - began:.0f} s")
            if turn in (warm, n.rounds - 1):
                # The server ends a connection that asks nothing for ten seconds; they are opened anew.
                for client in clients:
                    client.connection.close()
                time.sleep(CALM)
                calm.append((server.descriptors(), server.threads()))
    took = {method: [t for client in clients for t in client.took[method]] for method in ("POST", "DELETE")}

    looks = looks[warm:]
    quarter = max(1, len(looks) // 4)
    first, last = statistics.median(looks[:quarter]), statistics.median(looks[-quarter:])
    (descriptors, threads), (descriptors_then, threads_then) = calm[0], calm[-1]
    slope = 0.0
    if len(looks) > 1:
        slope = np.polyfit(np.arange(len(looks)) * n.sessions / 1000, looks, 1)[0]
    spread = lambda seconds: " / ".join(f"{t * 1000:.0f}" for t in np.percentile(seconds, [50, 95, 100])) + " ms"  # noqa: E731
    return [
        ("sessions made and deleted", f"{n.sessions} x {n.rounds} in {(time.monotonic() - began) / 60:.1f} minutes", "", None),
        (f"resident memory with {n.sessions} sessions", f"{most:.0f} MB", "", None),
        ("private memory grown, first quarter to last", f"{last - first:+.1f} MB, from {first:.1f}", "5 MB", last - first <= 5),
        ("private memory for each 1000 sessions", f"{slope:+.3f} MB", "", None),
        ("descriptors grown", f"{descriptors_then - descriptors:+d}, from {descriptors}", "2", abs(descriptors_then - descriptors) <= 2),
        ("threads grown", f"{threads_then - threads:+d}, from {threads}", "1", abs(threads_then - threads) <= 1),
        ("a session is made in, p50 / p95 / max", spread(took["POST"]), "", None),
        ("and deleted in", spread(took["DELETE"]), "", None),
    ]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sessions", type=int, default=50, help="of a round")
    options.add_argument("--rounds", type=int, default=500)
    options.add_argument("--speak", type=int, default=0, help="how many of a round speak for a second before they are deleted")
    options.add_argument("--every", type=int, default=1, help="in each so manyth round")
    options.add_argument("--program", type=pathlib.Path, default=serving.PROGRAM)
    n = options.parse_args()
    serving.PROGRAM = n.program

    with tempfile.TemporaryDirectory() as folder:
        settings = {"sessions.max": n.sessions + 1, "memory.budget_mb": 512 + SESSION_MB * n.sessions}
        server = Server(pathlib.Path(folder), settings)
        report(server, lambda: measure(server, n))


if __name__ == "__main__":
    main()
