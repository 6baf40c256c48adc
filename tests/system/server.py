"""The program under test: started as a user starts it, watched from outside."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/release/mouthpiece"
ASSETS = ROOT / "assets"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(what, within=5.0, every=0.05):
    """Waits until `what()` is true and gives it back; fails when it doesn't become so in time."""
    end = time.monotonic() + within
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"did not come true within {within} s: {what.__doc__ or what}"
        time.sleep(every)


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def problem(self):
        """The body of an error, which must be problem+json with a sentence."""
        assert self.headers.get("content-type", "").startswith("application/problem+json"), (self.headers, self.body)
        problem = self.json
        assert problem["status"] == self.status, problem
        assert len(problem.get("detail") or problem["title"]) > 10, problem
        return problem


@dataclass
class Server:
    """`mouthpiece serve` on ports of its own. Settings are `--set` keys."""

    folder: pathlib.Path
    settings: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    arguments: list = field(default_factory=list)
    #: As a shell starts it: with the process group that Ctrl-C goes to.
    own_group: bool = False
    port: int = field(default_factory=free_port)
    udp_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    process: subprocess.Popen = None
    exit_code: int = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def command(self):
        settings = {
            "http.listen": f"127.0.0.1:{self.port}",
            "media.udp_port": self.udp_port,
            "audio.source": "none",
            **self.settings,
        }
        sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        return [str(PROGRAM), "serve", *sets, *self.arguments]

    def start(self, ready_within=15.0):
        assert PROGRAM.exists(), f"{PROGRAM} is missing: build it with cargo build --release, or run make test"
        self.exit_code = None
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=ROOT, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                process_group=0 if self.own_group else None,
            )
        end = time.monotonic() + ready_within
        while not self.is_ready():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < end, f"the server was not ready within {ready_within} s:\n{self.log}"
            time.sleep(0.02)
        return self

    def is_ready(self):
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def stop(self):
        """SIGTERM, then the seconds until it has ended; its code is in `exit_code`."""
        if self.process is None:
            return 0.0
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.exit_code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.exit_code = self.process.wait()
            raise AssertionError(f"the server did not stop within 10 s of SIGTERM:\n{self.log}") from None
        finally:
            self.process = None
        return time.monotonic() - began

    # ---- HTTP ----

    def request(self, method, path, body=None, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if "http.token" in self.settings:
            names.setdefault("Authorization", f"Bearer {self.settings['http.token']}")
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=names)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, {k.lower(): v for k, v in refused.headers.items()}, refused.read())

    def get(self, path, **headers):
        return self.request("GET", path, **headers)

    def session(self):
        """The session `live` as /v1/status tells it."""
        (session,) = [s for s in self.get("/v1/status").json["sessions"] if s["id"] == "live"]
        return session

    def ask(self, method, path, **fields):
        """A request whose body is a JSON object of `fields`."""
        return self.request(method, path, json.dumps(fields).encode(), Content_Type="application/json")

    def speak(self, sound, content_type="audio/wav", session="live"):
        """Pushes a sound file: bytes, or the path of one."""
        if isinstance(sound, pathlib.Path):
            sound = sound.read_bytes()
        return self.request("POST", f"/v1/sessions/{session}/speech", sound, Content_Type=content_type)

    def interrupt(self):
        return self.request("POST", "/v1/sessions/live/interrupt", b"")

    # ---- the process, from outside ----

    def rss_mb(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")

    def private_mb(self):
        """What was written and is nobody else's: what a leak adds to. Code that no other process happens to run
        counts as private too, and would come and go with who else runs the program."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:")) / 1024

    def cpu_ms(self):
        """Milliseconds of CPU that all of its threads have used."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / TICKS

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


def refused(*arguments, env=None, within=20):
    """Runs the program, which must end by itself with an error: its exit code and what it said."""
    run = subprocess.run(
        [str(PROGRAM), *map(str, arguments)],
        cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within,
    )
    said = run.stderr.strip()
    assert run.returncode != 0, f"it should have refused:\n{run.stdout}{said}"
    assert "panicked" not in said, said
    assert said, "it refused without a word"
    return run.returncode, said
