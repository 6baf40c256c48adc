"""Which allocator holds the least after viewers came and went, in five minutes.

    sudo apt-get install libmimalloc2.0 libjemalloc2
    .venv/bin/python benches/allocators.py

The same program runs with glibc's malloc, as it is shipped, and with others preloaded, which then serve its native
libraries too. Each does the same work: viewers come and go, speech is pushed, the model is changed for another and
back, and memory is reclaimed by hand. What counts is resident memory after that; CPU a talking picture stands beside
it. glibc is told by the program to share two arenas, to give blocks of 128 kB and more back at once, and to trim when
memory is reclaimed; the others do as they do.

Two cores of a shared and busy virtual machine, `--rounds 6`:

| | at start | talking, one viewer | after the churn | after a hard reclaim | CPU a picture |
|---|---|---|---|---|---|
| glibc | 77 MB | 138 MB | 138 MB | 99 MB | 9.3 ms |
| jemalloc | 86 MB | 146 MB | 201 MB | 196 MB | 10.1 ms |
| jemalloc, giving back at once | 83 MB | 140 MB | 142 MB | 100 MB | 8.5 ms |
| mimalloc | 92 MB | 178 MB | 242 MB | 227 MB | 10.3 ms |
| mimalloc, giving back at once | 92 MB | 177 MB | 225 MB | 223 MB | 10.2 ms |

So it is glibc: nothing holds less, and nothing has to be installed or linked for it.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

import sounds  # noqa: E402
from player import Viewer  # noqa: E402
from server import Server, eventually  # noqa: E402

#: By name: the library that Debian and Ubuntu have, and what it is told by the environment.
ALLOCATORS = {
    "glibc": (None, {}),
    "jemalloc": ("libjemalloc.so.2", {}),
    "jemalloc, giving back at once": ("libjemalloc.so.2", {"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0,narenas:2"}),
    "mimalloc": ("libmimalloc.so.2.0", {}),
    "mimalloc, giving back at once": ("libmimalloc.so.2.0", {"MIMALLOC_PAGE_RESET": "1", "MIMALLOC_RESET_DELAY": "0",
                                                            "MIMALLOC_ABANDONED_PAGE_RESET": "1"}),
}


def find(name):
    return next((str(path) for path in pathlib.Path("/usr/lib").glob(f"*/{name}")), None)


def send(server, method, path, **body):
    answer = server.request(method, path, json.dumps(body).encode(), Content_Type="application/json")
    assert answer.status == 200, answer.body
    return answer.json


def churn(server, rounds):
    for n in range(rounds):
        with Viewer(server.url, codec="VP8" if n % 4 == 3 else None) as viewer:
            server.speak(sounds.speech(1.5))
            viewer.wait_for_picture()
            viewer.watch(1)
        send(server, "PATCH", "/v1/sessions/live", model="mouthpiece-256-fp32" if n % 2 == 0 else "mouthpiece-256")
    eventually(lambda: server.session()["viewers"] == 0, within=20)


def measure(folder, library, environment, options):
    env = {**environment, **({"LD_PRELOAD": library} if library else {})}
    server = Server(folder, {"memory.clip_cache_mb": 32}, env=env).start()
    try:
        started = server.rss_mb()
        with Viewer(server.url) as viewer:
            server.speak(sounds.speech(12))
            viewer.wait_for_picture()
            time.sleep(2)
            cpu, began = server.cpu_ms(), time.monotonic()
            viewer.watch(6)
            cpu = (server.cpu_ms() - cpu) / ((time.monotonic() - began) * 25)
            talking = server.rss_mb()
        server.interrupt()
        churn(server, options.rounds)
        time.sleep(3)
        churned = server.rss_mb()
        # Idle for a second, so that the model may go.
        send(server, "POST", "/v1/memory/reclaim", level="hard")
        time.sleep(1)
        reclaimed = server.rss_mb()
        return started, talking, churned, reclaimed, cpu
    finally:
        server.stop()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=20, help="viewers who come and go, each with another model")
    options = options.parse_args()
    print("| | at start | talking, one viewer | after the churn | after a hard reclaim | CPU a picture |\n|---|---|---|---|---|---|")
    for name, (library, environment) in ALLOCATORS.items():
        path = library and find(library)
        if library and not path:
            print(f"| {name} | {library} is not installed | | | | |")
            continue
        with tempfile.TemporaryDirectory() as folder:
            *memory, cpu = measure(pathlib.Path(folder), path, environment, options)
        print(f"| {name} |", " | ".join(f"{mb:.0f} MB" for mb in memory), f"| {cpu:.1f} ms |", flush=True)


if __name__ == "__main__":
    main()
