"""A viewer in a process of its own: what its user does meanwhile holds up none of its pictures. It keeps when they came."""

import contextlib
import multiprocessing
import time

import numpy as np
from aiortc.mediastreams import MediaStreamError

from player import Seen, Viewer

#: Longer than the system leaves a process without a turn, and than a decoder takes to begin.
PATIENCE = 30.0


class Times(Viewer):
    """A viewer that looks at no picture, so that an hour of them takes little memory."""

    async def _receive(self, track):
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    self.seen.append(Seen(time.monotonic(), frame.pts, (frame.width, frame.height), None))


class Watcher:
    """`with Watcher(url, session, token) as watcher:` watches from the first picture on."""

    def __init__(self, url, session="live", token=None):
        # A copy of this process would have its threads' locks and not its threads.
        fresh = multiprocessing.get_context("spawn")
        self.line, theirs = fresh.Pipe()
        self.process = fresh.Process(target=_watch, args=(url, session, token, theirs), daemon=True)

    def __enter__(self):
        self.process.start()
        try:
            self.answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.line.send(None)
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def answer(self):
        assert self.line.poll(PATIENCE), "the viewer's process says nothing"
        return self.line.recv()

    def ask(self, since, until):
        """The state of its connection, and when pictures came between the two (monotonic seconds)."""
        self.line.send((since, until))
        return self.answer()

    def gaps(self, since, until):
        """Seconds between one picture and the next, with the time before the first and after the last."""
        _, times = self.ask(since, until)
        return np.diff([since, *times, until])


def _watch(url, session, token, line):
    with Times(url, session=session, token=token) as viewer:
        viewer.wait_for_picture()
        line.send(viewer.seen[0].at)
        while asked := line.recv():
            line.send((viewer.state, [seen.at for seen in viewer.between(*asked)[0]]))
