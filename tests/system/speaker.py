"""A speech socket's client, by aiohttp, on a thread of its own: sends messages, notes what it is told and when."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager

import aiohttp

from server import eventually


class Speaker:
    """One socket. `with speaker(server) as say:` opens and closes it."""

    def __init__(self, url, rate=None, headers=None):
        self.url, self.rate, self.headers = url.replace("http", "ws", 1), rate, headers or {}
        #: (when it came, the message), in order.
        self.told = []
        self.close_code = None
        self.closed = threading.Event()

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._run(self._open())
        if self.rate:
            self.send({"type": "start", "sample_rate": self.rate})
        return self

    def __exit__(self, *_):
        self._run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def _run(self, work, within=20):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(within)

    async def _open(self):
        self.http = aiohttp.ClientSession()
        try:
            self.ws = await self.http.ws_connect(self.url, headers=self.headers, max_msg_size=0)
        except BaseException:
            await self.http.close()
            raise
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self):
        async for message in self.ws:
            if message.type == aiohttp.WSMsgType.TEXT:
                self.told.append((time.monotonic(), json.loads(message.data)))
        self.close_code = self.ws.close_code
        self.closed.set()

    async def _close(self):
        await self.ws.close()
        await self.reading
        await self.http.close()

    def send(self, message, within=20):
        """A dict as JSON, text, or bytes. Waits until the socket has taken it."""
        if isinstance(message, dict):
            message = json.dumps(message)
        self._run(self.ws.send_bytes(message) if isinstance(message, bytes) else self.ws.send_str(message), within)

    def send_frame(self, opcode, payload):
        """A frame that a well-behaved client wouldn't send."""
        self._run(self.ws.send_frame(payload, opcode))

    def begin_to_send(self, message):
        """Like `send`, without waiting: the future."""
        return asyncio.run_coroutine_threadsafe(self.ws.send_bytes(message), self.loop)

    def of(self, kind):
        """What was told of this type."""
        return [told for _, told in list(self.told) if told["type"] == kind]

    def wait_for(self, kind, count=1, within=10):
        """The `count`th message of this type."""
        return eventually(lambda: len(self.of(kind)) >= count and self.of(kind)[count - 1], within)

    def at(self, kind, count=1):
        """When it came."""
        return [at for at, told in list(self.told) if told["type"] == kind][count - 1]


def speaker(server, rate=None, session="live", query="", **headers):
    return Speaker(f"{server.url}/v1/sessions/{session}/speech/stream{query}", rate, headers)


@contextmanager
def events(server, last=None, session="live", query="", path=None):
    """The session's server-sent events, or those at `path`, as a list of (id, event) that grows."""
    path = path or f"/v1/sessions/{session}/events{query}"
    told, stop = [], threading.Event()
    opened = threading.Event()

    async def listen():
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        async with aiohttp.ClientSession() as http:
            async with http.get(server.url + path, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                assert answer.content_type == "text/event-stream"
                opened.set()
                number = None
                while not stop.is_set():
                    try:
                        line = (await asyncio.wait_for(answer.content.readline(), 0.2)).decode()
                    except asyncio.TimeoutError:
                        continue
                    if not line:
                        return
                    if line.startswith("id:"):
                        number = int(line[3:])
                    if line.startswith("data:"):
                        told.append((number, json.loads(line[5:])))

    thread = threading.Thread(target=lambda: asyncio.run(listen()), daemon=True)
    thread.start()
    assert opened.wait(10), "the events did not open"
    try:
        yield told
    finally:
        stop.set()
        thread.join(5)
