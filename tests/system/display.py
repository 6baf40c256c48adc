"""A screen that nobody looks at: Xvfb, with keys pressed and pictures taken."""

import ctypes
import os
import subprocess
import time

import numpy as np

WIDTH, HEIGHT = 1024, 768


class Display:
    """`env` is for the program that is to show something on it."""

    def __init__(self):
        read, write = os.pipe()
        self.process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp", "-noreset"],
            pass_fds=[write], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as number:
            self.name = f":{number.readline().strip()}"
        assert self.name != ":", "Xvfb did not start"
        self.env = {"DISPLAY": self.name, "WAYLAND_DISPLAY": "", "QT_QPA_PLATFORM": "xcb", "GDK_BACKEND": "x11"}
        # Its number comes before it lets anybody in.
        end = time.monotonic() + 10
        while self._xdotool("getdisplaygeometry").returncode != 0:
            assert time.monotonic() < end, "Xvfb lets nobody in"
            time.sleep(0.05)

    def close(self):
        self.process.terminate()
        self.process.wait()

    def _xdotool(self, *arguments):
        return subprocess.run(["xdotool", *arguments], env={**os.environ, **self.env}, capture_output=True, text=True)

    def windows(self, title="Mouthpiece"):
        return self._xdotool("search", "--onlyvisible", "--name", title).stdout.split()

    def wait_for_window(self, within=10.0):
        end = time.monotonic() + within
        while not self.windows():
            assert time.monotonic() < end, f"no window within {within} s"
            time.sleep(0.1)
        return self.windows()[0]

    def press(self, key):
        """Presses a key in the window, as a hand does: without a window manager the window must be given the focus."""
        window = self.windows()[0]
        self._xdotool("mousemove", "--window", window, "60", "60")
        self._xdotool("windowfocus", "--sync", window)
        self._xdotool("key", "--clearmodifiers", key)

    def close_window(self):
        """Sends the window what its cross sends by way of a window manager: WM_DELETE_WINDOW."""
        x = ctypes.CDLL("libX11.so.6")
        x.XOpenDisplay.restype = ctypes.c_void_p
        x.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        x.XInternAtom.restype = ctypes.c_ulong
        x.XSendEvent.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
        x.XCloseDisplay.argtypes = [ctypes.c_void_p]
        display = x.XOpenDisplay(self.name.encode())
        window = int(self.windows()[0])
        protocols, delete = (x.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
        # An XClientMessageEvent: type 33, serial, send_event, display, window, message_type, format, the data; 24 longs.
        event = (ctypes.c_long * 24)(33, 0, 0, 0, window, protocols, 32, delete)
        x.XSendEvent(display, window, 0, 0, event)
        x.XCloseDisplay(display)

    def pictures(self, seconds, a_second=5):
        """What is on the screen, as luma, some times a second."""
        taken = subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "x11grab", "-framerate", str(a_second), "-video_size", f"{WIDTH}x{HEIGHT}",
             "-draw_mouse", "0", "-i", self.name, "-t", str(seconds), "-f", "rawvideo", "-pix_fmt", "gray", "-"],
            stdin=subprocess.DEVNULL, capture_output=True, check=True,
        )
        return np.frombuffer(taken.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH)
