"""A microphone without a sound card: a private PulseAudio whose null sink's monitor is ALSA's default.

It may be killed and started again, which is how a microphone is unplugged and plugged in.
"""

import os
import pathlib
import subprocess
import time


class Pulse:
    """`env` is for the program that is to hear it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / "pulse.sock"
        config = self.folder / "alsa.conf"
        config.write_text(
            "</usr/share/alsa/alsa.conf>\n"
            f'pcm.!default {{ type pulse server "unix:{self.socket}" device "feed.monitor" '
            'hint { show on description "feed" } }\n'
            f'ctl.!default {{ type pulse server "unix:{self.socket}" }}\n'
        )
        self.env = {"ALSA_CONFIG_PATH": str(config), "PULSE_SERVER": f"unix:{self.socket}", "PULSE_LATENCY_MSEC": "20"}
        self.own = {**os.environ, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder), "PULSE_RUNTIME_PATH": str(self.folder)}
        self.process = None

    def start(self):
        self.socket.unlink(missing_ok=True)
        (self.folder / "pid").unlink(missing_ok=True)
        with open(self.folder / "pulse.log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    "pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes",
                    "-L", f"module-native-protocol-unix socket={self.socket} auth-anonymous=1",
                    "-L", "module-null-sink sink_name=feed rate=48000 channels=2",
                ],
                env=self.own, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        end = time.monotonic() + 10
        while not (self.socket.exists() and self._answers()):
            assert time.monotonic() < end and self.process.poll() is None, (self.folder / "pulse.log").read_text()
            time.sleep(0.05)
        return self

    def _answers(self):
        ask = ["pactl", "--server", f"unix:{self.socket}", "info"]
        return subprocess.run(ask, env=self.own, capture_output=True).returncode == 0

    def unplug(self):
        """The microphone is gone, at once."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def say(self, sound):
        """Begins to speak a WAV file into the microphone; gives the process, which ends when it is said."""
        path = self.folder / "say.wav"
        path.write_bytes(sound)
        return subprocess.Popen(
            ["paplay", f"--server=unix:{self.socket}", "--device=feed", str(path)],
            env={**self.own, "PULSE_LATENCY_MSEC": "20"}, stdin=subprocess.DEVNULL,
        )
