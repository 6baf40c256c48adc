"""A WHEP player that we didn't write: aiortc, on a thread of its own, noting what arrives and when.

By hand: `python tests/system/player.py http://127.0.0.1:8080 8` watches for eight seconds and says what came.
"""

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field

import aiohttp
import numpy as np
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

import mouth

CONNECT = 15.0


class Refused(Exception):
    """The server said no."""

    def __init__(self, status, headers, body):
        super().__init__(f"{status}: {body[:300]}")
        self.status, self.headers, self.body = status, headers, body


@dataclass
class Seen:
    """One picture: when it came (monotonic seconds), its RTP time since the first, and itself, small, if it has the
    size of the avatar that the tests know."""

    at: float
    rtp: int
    size: tuple
    picture: np.ndarray


@dataclass
class Heard:
    """Some 20 ms of sound: when it came, its RTP time since the first, and its level (0 to 1)."""

    at: float
    rtp: int
    level: float


@dataclass
class Viewer:
    """One viewer. `with Viewer(url) as viewer:` joins and leaves."""

    url: str
    codec: str = None
    token: str = None
    session: str = "live"
    seen: list = field(default_factory=list)
    heard: list = field(default_factory=list)
    #: (kind, NTP seconds of the sender, RTP time as in `Seen`, when it came) of each sender report.
    reports: list = field(default_factory=list)
    state: str = "new"
    offered_at: float = None
    answered_at: float = None
    connected_at: float = None

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="viewer", daemon=True)
        self.thread.start()
        try:
            self._run(self._join())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if not self.loop.is_closed():
            self._run(self._leave())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)
            self.loop.close()

    leave = __exit__

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CONNECT + 5)

    async def _join(self):
        self.pc, self.place, self.tasks = RTCPeerConnection(), None, []
        video = self.pc.addTransceiver("video", direction="recvonly")
        self.pc.addTransceiver("audio", direction="recvonly")
        if self.codec:
            known = RTCRtpReceiver.getCapabilities("video").codecs
            video.setCodecPreferences([c for c in known if c.mimeType.lower() in (f"video/{self.codec}".lower(), "video/rtx")])
        connected = asyncio.Event()

        @self.pc.on("connectionstatechange")
        def changed():
            self.state = self.pc.connectionState
            if self.state == "connected":
                self.connected_at = time.monotonic()
            if self.state in ("connected", "failed", "closed"):
                connected.set()

        @self.pc.on("track")
        def track(track):
            self.tasks.append(asyncio.ensure_future(self._receive(track)))

        await self.pc.setLocalDescription(await self.pc.createOffer())
        self.offered_at = time.monotonic()
        async with aiohttp.ClientSession() as http:
            self.answer = await self._offer(http, self.pc.localDescription.sdp)
        await self.pc.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        for transceiver in self.pc.getTransceivers():
            self._listen_for_reports(transceiver.receiver, transceiver.kind)
        await asyncio.wait_for(connected.wait(), CONNECT)
        assert self.state == "connected", f"the connection became {self.state}"

    async def _offer(self, http, sdp):
        """Sends the offer; gives the answer."""
        headers = {"Content-Type": "application/sdp"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        async with http.post(f"{self.url}/whep/{self.session}", data=sdp, headers=headers) as answer:
            body = await answer.text()
            self.answered_at = time.monotonic()
            if answer.status != 201:
                raise Refused(answer.status, dict(answer.headers), body)
            self.headers = {k.lower(): v for k, v in answer.headers.items()}
            self.place = str(answer.url.join(answer.url.__class__(answer.headers["Location"])))
        return body

    def _listen_for_reports(self, receiver, kind):
        """aiortc keeps little of a sender report; its clock pair is what tells sound and picture apart."""
        handle = receiver._handle_rtcp_packet

        async def note(packet):
            info = getattr(packet, "sender_info", None)
            if info is not None:
                # Its pictures and sound count from the first one that came; so does this.
                origin = receiver._RTCRtpReceiver__timestamp_mapper._origin or 0
                self.reports.append((kind, info.ntp_timestamp / 2**32, info.rtp_timestamp - origin, time.monotonic()))
            await handle(packet)

        receiver._handle_rtcp_packet = note

    async def _receive(self, track):
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            now = time.monotonic()
            if track.kind == "video":
                size = (frame.width, frame.height)
                self.seen.append(Seen(now, frame.pts, size, mouth.small(frame) if size == mouth.SIZE else None))
            else:
                samples = frame.to_ndarray().astype(np.float32) / 32_768
                self.heard.append(Heard(now, frame.pts, float(np.sqrt((samples**2).mean()))))

    async def _leave(self):
        if self.place:
            place, self.place = self.place, None
            async with aiohttp.ClientSession() as http:
                try:
                    async with http.delete(place, timeout=aiohttp.ClientTimeout(total=5)) as answer:
                        self.deleted = answer.status
                except (aiohttp.ClientError, asyncio.TimeoutError):
                    self.deleted = None
        await self.pc.close()
        for task in self.tasks:
            task.cancel()

    # ---- what came ----

    def wait_for_picture(self, within=10.0):
        """Waits for the first picture; gives the seconds it took since the offer."""
        end = time.monotonic() + within
        while not self.seen:
            assert time.monotonic() < end, f"no picture within {within} s (the connection is {self.state})"
            time.sleep(0.005)
        return self.seen[0].at - self.offered_at

    def watch(self, seconds):
        """Watches for so long; gives the pictures and the sound of that time."""
        began = time.monotonic()
        time.sleep(seconds)
        return self.between(began, time.monotonic())

    def between(self, begin, end):
        pictures = [s for s in list(self.seen) if begin <= s.at < end]
        sound = [h for h in list(self.heard) if begin <= h.at < end]
        return pictures, sound

    def skew(self, pictures, sound):
        """Seconds by which sound arrives later than picture, on the clock of the sender's reports."""
        return self._delay("audio", sound, 48_000) - self._delay("video", pictures, 90_000)

    def _delay(self, kind, arrived, clock):
        """The median arrival less its time on the sender's clock."""
        reports = [(ntp, rtp) for reported, ntp, rtp, _ in self.reports if reported == kind]
        assert reports, f"no sender report came for {kind}"
        ntp, rtp = reports[-1]
        # RTP time wraps at 32 bits.
        return float(np.median([p.at - ntp - ((p.rtp - rtp + 2**31) % 2**32 - 2**31) / clock for p in arrived]))


def activity(pictures):
    """mouth.activity of what a viewer saw."""
    assert pictures, "no picture came in that time"
    return mouth.activity([seen.picture for seen in pictures])


def gaps(pictures):
    """Seconds between one picture and the next."""
    return np.diff([seen.at for seen in pictures])


def rate(pictures):
    """Pictures a second."""
    if len(pictures) < 2:
        return 0.0
    return (len(pictures) - 1) / (pictures[-1].at - pictures[0].at)


def loudness(sound):
    """The level that one piece in ten exceeds."""
    return float(np.percentile([heard.level for heard in sound], 90)) if sound else 0.0


if __name__ == "__main__":
    import sys

    with Viewer(sys.argv[1]) as viewer:
        print(json.dumps({"joined": viewer.place}), flush=True)
        first = viewer.wait_for_picture()
        pictures, sound = viewer.watch(float(sys.argv[2]))
        print(f"first picture after {first * 1000:.0f} ms, {rate(pictures):.2f} fps, worst gap {gaps(pictures).max() * 1000:.0f} ms, "
              f"mouth {activity(pictures):.1f}, sound {loudness(sound):.3f}")
