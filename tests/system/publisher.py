"""Who publishes a voice by WHIP: aiortc, on a thread of its own."""

import asyncio
import fractions
import threading
import time

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

RATE = 48_000
PIECE = RATE // 50
CONNECT = 15.0


class Voice(MediaStreamTrack):
    """Floats at 48 kHz, 20 ms at a time, then silence for ever. `begun` is when its first loud piece was said."""

    kind = "audio"

    def __init__(self, samples):
        super().__init__()
        self.samples, self.at, self.start, self.begun = (np.clip(samples, -1, 1) * 32_767).astype(np.int16), 0, None, None

    async def recv(self):
        self.start = self.start or time.monotonic()
        await asyncio.sleep(max(0.0, self.start + (self.at + PIECE) / RATE - time.monotonic()))
        piece = np.zeros(PIECE, np.int16)
        said = self.samples[self.at : self.at + PIECE]
        piece[: len(said)] = said
        if self.begun is None and np.sqrt((piece.astype(np.float64) ** 2).mean()) > 1_500:
            self.begun = time.monotonic()
        frame = av.AudioFrame.from_ndarray(piece[None], layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.at, fractions.Fraction(1, RATE)
        self.at += PIECE
        return frame


class Publisher:
    """`with Publisher(url, samples) as voice:` publishes and ends it; `refused` has the status where it may not."""

    def __init__(self, url, samples, session="live", token=None):
        self.url, self.voice = f"{url}/whip/{session}", Voice(samples)
        self.headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self.refused = self.deleted = self.place = None
        self.state = "new"

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._run(self._join())
        return self

    def __exit__(self, *_):
        if self.thread.is_alive():
            self._run(self._leave())
            self.vanish()

    def vanish(self):
        """Not another packet, and not a word."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CONNECT + 5)

    async def offer(self):
        self.pc = RTCPeerConnection()
        self.pc.addTransceiver(self.voice, direction="sendonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def _join(self):
        sdp = await self.offer()
        connected = asyncio.Event()

        @self.pc.on("connectionstatechange")
        def changed():
            self.state = self.pc.connectionState
            if self.state in ("connected", "failed", "closed"):
                connected.set()

        async with aiohttp.ClientSession() as http:
            async with http.post(self.url, data=sdp, headers=self.headers) as answer:
                self.answer = await answer.text()
                if answer.status != 201:
                    self.refused = answer.status
                    return
                self.answer_headers = {k.lower(): v for k, v in answer.headers.items()}
                self.place = str(answer.url.join(answer.url.__class__(answer.headers["Location"])))
        await self.pc.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        await asyncio.wait_for(connected.wait(), CONNECT)
        assert self.state == "connected", f"the connection became {self.state}"

    async def _leave(self):
        if self.place:
            async with aiohttp.ClientSession() as http:
                async with http.delete(self.place) as answer:
                    self.deleted = answer.status
        await self.pc.close()


def an_offer():
    """A good offer behind which there is nobody."""

    async def make():
        publisher = Publisher("http://nowhere", np.zeros(0))
        sdp = await publisher.offer()
        await publisher.pc.close()
        return sdp

    return asyncio.run(make())
