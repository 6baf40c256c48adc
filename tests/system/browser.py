"""The page in headless Chromium, as somebody sees and hears it."""

import base64
import os

import numpy as np
from playwright.sync_api import sync_playwright

import mouth

# Debian's, or Google's; without either, the build that Playwright fetched (see config/deploy/setup.sh).
INSTALLED = [path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if os.access(path, os.X_OK)]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A microphone that beeps, for who is permitted to listen to it.
    "--use-fake-device-for-media-stream",
]

# The page keeps its connection to itself; this lets a test see its statistics.
NOTE_CONNECTIONS = """
    window.connections = [];
    const Real = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
        constructor(...given) { super(...given); window.connections.push(this); }
    };
"""

INBOUND = """async (connection) => {
    const found = {};
    const pc = window.connections.at(connection);
    if (!pc || pc.connectionState !== 'connected') return found;
    for (const entry of (await pc.getStats()).values())
        if (entry.type === 'inbound-rtp') found[entry.kind] = entry;
    return found;
}"""

# The luma of each picture shown, 128 by 128 bytes in base64, for some seconds.
PICTURES = """async ([seconds, width, height]) => {
    const video = document.getElementById('video');
    const canvas = new OffscreenCanvas(width, height);
    const paint = canvas.getContext('2d', { willReadFrequently: true });
    const pictures = [];
    const end = performance.now() + seconds * 1000;
    await new Promise((done) => {
        const look = () => {
            if (performance.now() > end) return done();
            paint.drawImage(video, 0, 0, width, height);
            const { data } = paint.getImageData(0, 0, width, height);
            let luma = '';
            for (let n = 0; n < data.length; n += 4)
                luma += String.fromCharCode(0.299 * data[n] + 0.587 * data[n + 1] + 0.114 * data[n + 2]);
            pictures.push(btoa(luma));
            video.requestVideoFrameCallback(look);
        };
        video.requestVideoFrameCallback(look);
        setTimeout(done, seconds * 1000 + 2000);
    });
    return pictures;
}"""



def launch():
    """Playwright and a Chromium; close both with `.stop()` of the first."""
    driver = sync_playwright().start()
    where = {"executable_path": INSTALLED[0]} if INSTALLED else {}
    return driver, driver.chromium.launch(headless=True, args=ARGUMENTS, **where)


class Page:
    """One tab on the server's page."""

    def __init__(self, chromium, url, width=1280, height=800, **context):
        self.context = chromium.new_context(viewport={"width": width, "height": height}, **context)
        self.tab = self.context.new_page()
        self.errors = []
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.add_init_script(NOTE_CONNECTIONS)
        self.tab.goto(url)

    def close(self):
        """Closes the tab as a user does, so that the page may say goodbye."""
        if not self.tab.is_closed():
            self.tab.close(run_before_unload=False)
        self.context.close()

    @property
    def state(self):
        return self.tab.evaluate("document.documentElement.dataset.state")

    def wait_for(self, *states, within=10.0):
        wanted = ", ".join(f'html[data-state="{state}"]' for state in states)
        self.tab.wait_for_selector(wanted, timeout=within * 1000, state="attached")

    def wait_for_picture(self, within=10.0):
        self.wait_for("idle", "talking", within=within)
        self.tab.wait_for_function("document.getElementById('video').videoWidth > 0", timeout=within * 1000)

    def inbound(self, connection=-1):
        """What WebRTC's statistics say of the sound and the picture that come in, by the page's latest connection."""
        return self.tab.evaluate(INBOUND, connection)

    def frames_decoded(self):
        return self.inbound().get("video", {}).get("framesDecoded", 0)

    def sound_energy(self, connection=-1):
        return self.inbound(connection).get("audio", {}).get("totalAudioEnergy", 0.0)

    def mouth_activity(self, seconds):
        """mouth.activity of what is on the screen for so long."""
        pictures = self.tab.evaluate(PICTURES, [seconds, *mouth.SMALL])
        assert len(pictures) > 5 * seconds, f"the page showed only {len(pictures)} pictures in {seconds} s"
        # A screen's 0 to 255 are the stream's 16 to 235.
        luma = np.frombuffer(b"".join(map(base64.b64decode, pictures)), np.uint8).reshape(-1, mouth.SMALL[1], mouth.SMALL[0])
        luma = luma.astype(np.float32) * (219 / 255) + 16
        return mouth.activity(luma)

    def give(self, name, sound, mime="audio/wav"):
        """Chooses a file to be spoken."""
        self.tab.set_input_files("#file", {"name": name, "mimeType": mime, "buffer": sound})
