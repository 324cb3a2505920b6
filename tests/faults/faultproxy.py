"""A TCP proxy on loopback that breaks connections on demand, for tests of what a network does to a session.

    with FaultProxy("127.0.0.1", 5432) as proxy:
        psycopg.connect(host="127.0.0.1", port=proxy.port, sslmode="disable", gssencmode="disable")
        proxy.blackhole()

It forwards bytes and, for the two faults around COMMIT, reads the frames of PostgreSQL's protocol on the way; so the
connection must not be encrypted. A fault holds for the connections that stand and for new ones, until `heal`.

What a proxy cannot do: the kernel on its side goes on acknowledging. A link that swallows packets is made of a network
namespace (tests/faults/test_network.py).
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

Direction = Literal["up", "down"]  # to the server, to the client
PIECE_BYTES = 64 * 1024
POLL_S = 0.02
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close sends RST
REQUESTS_WITHOUT_TYPE = {80877102, 80877103, 80877104}  # cancel, SSL, GSS: not the start of a session
UNENCRYPTED = "sslmode=disable&gssencmode=disable"


class FaultProxy:
    """Accepts on a port of its own and forwards to one server.

    Attributes:
        accepted: Connections taken so far.
        swallowed_commits: COMMITs whose reply, or which themselves, never arrived.
    """

    def __init__(self, host: str, port: int, *, listen: str = "127.0.0.1") -> None:
        self.accepted = self.swallowed_commits = 0
        self._upstream = (host, port)
        self._lock = threading.Lock()
        self._links: list[_Link] = []
        self._is_open = True
        self.is_silent = False
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        self.cut_after: dict[Direction, int] = {}
        self.commit_fault: Literal["", "request", "reply"] = ""
        self._listener = socket.create_server((listen, 0))
        self.host, self.port = self._listener.getsockname()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @classmethod
    def before(cls, uri: str, *, listen: str = "127.0.0.1") -> FaultProxy:
        """A proxy before the server of a URI."""
        parts = urlsplit(uri)
        return cls(parts.hostname or "127.0.0.1", parts.port or 5432, listen=listen)

    def uri(self, uri: str) -> str:
        """The same URI by way of the proxy."""
        parts = urlsplit(uri)
        login = parts.netloc.rpartition("@")[0]
        query = "&".join(filter(None, (parts.query, UNENCRYPTED)))
        return urlunsplit((parts.scheme, f"{login}@{self.host}:{self.port}", parts.path, query, ""))

    # -- faults ---------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Cut what stands, with RST to both sides."""
        for link in self._taken():
            link.reset()

    def blackhole(self) -> None:
        """Forward nothing any more and say nothing; new connections are taken and never answered."""
        self.is_silent = True

    def cut_after_bytes(self, number: int, direction: Direction) -> None:
        """Reset a connection once that many further bytes have gone that way in it."""
        for link in self._taken():
            link.sent[direction] = 0
        self.cut_after[direction] = number

    def delay(self, seconds: float) -> None:
        """Hold back each piece for a while."""
        self.delay_s = seconds

    def bandwidth(self, bytes_per_s: float) -> None:
        """Let through no more than that, each way."""
        self.bytes_per_s = bytes_per_s

    def drop_reply_to_commit(self) -> None:
        """Let the next COMMIT happen, swallow what the server answers, and cut: its outcome is unknown."""
        self.commit_fault = "reply"

    def drop_commit(self) -> None:
        """Swallow the next COMMIT itself, and cut: to the client it looks the same."""
        self.commit_fault = "request"

    def heal(self) -> None:
        """Behave from here on; what was disturbed meanwhile is cut, as its bytes are gone."""
        self.delay_s = self.bytes_per_s = 0.0
        self.cut_after.clear()
        self.commit_fault = ""
        if self.is_silent:
            self.is_silent = False
            self.reset()

    # -- running --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._is_open = False
        self._listener.close()
        self.reset()
        self._thread.join(5)

    def take_commit_fault(self) -> Literal["", "request", "reply"]:
        """The fault that the COMMIT just seen is to suffer: the first one takes it."""
        with self._lock:
            fault, self.commit_fault = self.commit_fault, ""
            self.swallowed_commits += bool(fault)
            return fault

    def _taken(self) -> list[_Link]:
        with self._lock:
            self._links = [link for link in self._links if link.is_open]
            return list(self._links)

    def _accept(self) -> None:
        self._listener.settimeout(POLL_S)
        while self._is_open:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.accepted += 1
            link = _Link(self, client, self._upstream)
            with self._lock:
                self._links.append(link)
            threading.Thread(target=link.run, daemon=True).start()


class _Link:
    """One client and its server: bytes both ways, by one thread."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, upstream: tuple[str, int]) -> None:
        self.proxy, self.client, self._upstream = proxy, client, upstream
        self.server: socket.socket | None = None
        self.is_open = True
        self.sent: dict[Direction, int] = {"up": 0, "down": 0}
        self._frames = {"up": Frames(has_start=True), "down": Frames(has_start=False)}
        self._is_swallowing = False

    def run(self) -> None:
        try:
            self.server = socket.create_connection(self._upstream)
            with selectors.DefaultSelector() as selector:
                selector.register(self.client, selectors.EVENT_READ, ("up", self.client, self.server))
                selector.register(self.server, selectors.EVENT_READ, ("down", self.server, self.client))
                while self.is_open:
                    if self.proxy.is_silent:  # nothing is read either: the senders' buffers fill
                        time.sleep(POLL_S)
                        continue
                    for key, _ in selector.select(POLL_S):
                        if not self._forward(*key.data):
                            return
        except (OSError, ValueError):  # ValueError: a socket that `reset` has closed
            pass
        finally:
            self._close()

    def reset(self) -> None:
        """Cut with RST, now."""
        self.is_open = False
        for end in (self.client, self.server):
            if end is not None:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._close()

    def _forward(self, direction: Direction, source: socket.socket, sink: socket.socket) -> bool:
        """Take one piece on; False when the connection is over."""
        piece = source.recv(PIECE_BYTES)
        if not piece:
            return False
        if self.proxy.delay_s:
            time.sleep(self.proxy.delay_s)
        if self.proxy.bytes_per_s:
            time.sleep(len(piece) / self.proxy.bytes_per_s)
        messages = self._frames[direction].feed(piece)
        if direction == "up" and any(map(is_commit, messages)):
            match self.proxy.take_commit_fault():
                case "request":
                    self.reset()
                    return False
                case "reply":
                    self._is_swallowing = True
        if direction == "down" and self._is_swallowing:
            if any(kind == b"Z" for kind, _ in messages):  # ready for the next query: the commit is done
                self.reset()
                return False
            return True
        limit = self.proxy.cut_after.get(direction)
        if limit is not None and self.sent[direction] + len(piece) >= limit:
            sink.sendall(piece[: max(limit - self.sent[direction], 0)])
            self.reset()
            return False
        sink.sendall(piece)
        self.sent[direction] += len(piece)
        return True

    def _close(self) -> None:
        self.is_open = False
        for end in (self.client, self.server):
            if end is not None:
                with suppress(OSError):
                    end.close()


class Frames:
    """Cuts a stream of PostgreSQL's protocol into messages; long ones are passed over without being kept."""

    KEPT_BYTES = 1024

    def __init__(self, *, has_start: bool) -> None:
        self._rest = bytearray()
        self._skip = 0
        self._has_start = has_start  # the client's first message bears no type

    def feed(self, piece: bytes) -> list[tuple[bytes, bytes]]:
        """Type and beginning of each message that ends, or becomes too long to keep, in this piece."""
        skipped = min(self._skip, len(piece))
        self._skip -= skipped
        self._rest += piece[skipped:]
        found = []
        while (head := 0 if self._has_start else 1) + 4 <= len(self._rest):
            (length,) = struct.unpack_from("!i", self._rest, head)
            if len(self._rest) < head + length and length <= self.KEPT_BYTES:
                break
            kind = bytes(self._rest[:head])
            body = bytes(self._rest[head + 4 : head + min(length, self.KEPT_BYTES)])
            if self._has_start:
                (code,) = struct.unpack_from("!i", body.ljust(4, b"\0"))
                self._has_start = code in REQUESTS_WITHOUT_TYPE
            found.append((kind, body))
            self._skip = max(head + length - len(self._rest), 0)
            del self._rest[: head + length]
        return found


def is_commit(message: tuple[bytes, bytes]) -> bool:
    """Whether a client's message is a COMMIT: a simple query, or one to be parsed under a name."""
    kind, body = message
    if kind == b"Q":
        statement = body
    elif kind == b"P":
        statement = body.partition(b"\0")[2]
    else:
        return False
    words = statement.partition(b"\0")[0].strip(b" ;\n").upper()
    return words in (b"COMMIT", b"END") or words.startswith(b"COMMIT PREPARED")
