"""A client that keeps no rules: bytes as they are to the server's port, and what comes back."""

import socket
import struct

#: Longer than anything the server waits for.
PATIENCE = 50.0


def request(method, path, body=b"", kind=None, token=None, lines=(), length=None):
    """A request's bytes. `length` is what it says of its body where that isn't so; `lines` are more of its head."""
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", *lines]
    if token:
        head.append(f"Authorization: Bearer {token}")
    if kind:
        head.append(f"Content-Type: {kind}")
    if body or length is not None or method in ("POST", "PATCH", "PUT"):
        head.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def frame(opcode, payload=b"", masked=True, length=None, flags=0x80):
    """A WebSocket's frame (RFC 6455, 5.2), which may lie about its length; its mask is zeros."""
    length = len(payload) if length is None else length
    size = bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length) if length < 1 << 16 else b"\x7f" + struct.pack(">Q", length)
    mask = b"\0\0\0\0" if masked else b""
    return bytes([flags | opcode, size[0] | (0x80 if masked else 0)]) + size[1:] + mask + payload


class Stranger:
    """One connection. `small` takes in little that it doesn't read."""

    def __init__(self, port, small=False):
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.come = b""
        self.retry_after = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends, as long as the server takes it; whether it took all."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def done(self):
        """Says that nothing more comes."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It is closed already.

    def reset(self):
        """Breaks the connection, without a goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self):
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        self.come += data
        return bool(data)

    def _take(self, count):
        while len(self.come) < count:
            if not self._more():
                raise EOFError
        taken, self.come = self.come[:count], self.come[count:]
        return taken

    def status(self):
        """What the next answer is: its status, `closed`, or `nothing` in time."""
        try:
            while b"\r\n\r\n" not in self.come:
                if not self._more():
                    # HTTP before 1.0 has no head, and nobody here speaks it.
                    return "closed" if not self.come else "no HTTP"
            head, _, self.come = self.come.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            status = first.split(" ")[1]
            headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self.retry_after = headers.get("retry-after")
            self.headers = headers
            self.body = self._take(int(headers.get("content-length", 0)))
        except TimeoutError:
            return "nothing"
        except EOFError:
            return "cut"
        if status[0] in "45" and self.body and not headers["content-type"].startswith("application/problem+json"):
            return f"{status} without a problem"
        return status

    def ask(self, data):
        """Sends, and says what is answered."""
        self.send(data)
        return self.status()

    def end(self):
        """Reads on until the server closes: `closed`, or `open` if it doesn't in time."""
        try:
            while self._more():
                self.come = b""
        except TimeoutError:
            return "open"
        return "closed"

    def close_code(self):
        """The code with which the server closes a WebSocket, or `closed` if it goes without one."""
        try:
            while True:
                opcode, size = self._take(2)
                size = size & 0x7F
                if size >= 126:
                    size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
                payload = self._take(size)
                if opcode & 0x0F == 8:
                    return str(int.from_bytes(payload[:2], "big"))
        except EOFError:
            return "closed"
        except TimeoutError:
            return "open"
