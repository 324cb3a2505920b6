"""Notice a server that has gone silent though its connection still stands (fault F49).

TCP notices a host or a link that swallows packets: connections.KEEPALIVE. It does not notice a proxy, a load balancer
or a frozen process on the way that acknowledges everything and hands nothing on, and a COPY or a merge may rightly be
silent for minutes. So a session that waits and has heard nothing for QUIET_S is asked about from the side: a second
session on the same way asks the server what the first is doing. Twice without an answer, or twice the answer that the
server itself waits for us, and the connection is cut: to its owner that is a lost connection, transient as any other.

One thread per process looks at all sessions; it touches none of them but to cut it. Where the system does not tell
when a socket last heard something (it is Linux that does), nothing is watched.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import struct
import sys
import termios
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from time import monotonic
from weakref import ReferenceType, ref

import psycopg
from psycopg.pq import TransactionStatus

LOOK_S = 1.0
QUIET_S = 8.0  # with two questions of 8 s this stays below half a minute
ANSWER_S = 8.0
STRIKES = 2
TCP_INFO, LAST_DATA_SENT, LAST_DATA_RECEIVED = 11, 44, 52  # linux/tcp.h: offsets of milliseconds in struct tcp_info
DOING = """
    select activity.state, activity.wait_event_type, activity.wait_event
    from (values (%s::int, %s::timestamptz)) as asked (pid, started)
    left join pg_stat_activity as activity on activity.pid = asked.pid
    where asked.started = pg_postmaster_start_time()
"""

log = logging.getLogger(__name__)


class Said(Enum):
    """What the server's answer means for a session that waits."""

    WORKS = auto()
    WAITS_FOR_US = auto()  # so what was sent did not arrive, one way or the other
    NOTHING = auto()


@dataclass
class Watched:
    """One session and where its server is to be asked about it."""

    session: ReferenceType[psycopg.Connection]
    conninfo: str
    host: str
    port: int
    pid: int
    server_started: datetime
    strikes: int = 0
    quiet_until: float = field(default_factory=monotonic)  # no question before


_watched: list[Watched] = []
_lock = threading.Lock()
_thread_of: int | None = None  # the process whose thread runs: none is left after a fork


def watch(session: psycopg.Connection, conninfo: str) -> None:
    """Have a fresh session looked after until it is closed."""
    if sys.platform != "linux" or _silent_s(session) is None:
        return
    row = session.execute("select pg_backend_pid(), pg_postmaster_start_time()").fetchone()
    if row is not None:
        with _lock:
            _watched.append(Watched(ref(session), conninfo, session.info.host, session.info.port, row[0], row[1]))
            _start()


def _start() -> None:
    global _thread_of
    if _thread_of != os.getpid():
        _thread_of = os.getpid()
        threading.Thread(target=_look_after_all, name="syncline liveness", daemon=True).start()


def _look_after_all() -> None:
    pause = threading.Event()
    while not pause.wait(LOOK_S):
        with _lock:
            _watched[:] = [each for each in _watched if (session := each.session()) is not None and not session.closed]
            now = list(_watched)
        for each in now:
            with suppress(OSError, ValueError, psycopg.Error):  # closed just now
                _look_at(each)


def _look_at(watched: Watched) -> None:
    session = watched.session()
    if session is None or session.closed:
        return
    if not _waits(session):
        watched.strikes = 0
        return
    if monotonic() < watched.quiet_until:
        return
    said = _ask(watched, is_stuck=_unsent_bytes(session) > 0)
    if not _waits(session):  # it has heard something meanwhile
        watched.strikes = 0
    elif said is Said.WORKS:
        watched.strikes, watched.quiet_until = 0, monotonic() + QUIET_S
    else:
        watched.strikes += 1
        if watched.strikes >= STRIKES:
            log.warning("connection cut: silent host=%s said=%s", watched.host, said.name.lower())
            _cut(session)


def _waits(session: psycopg.Connection) -> bool:
    """Whether a call is under way and neither side has said anything for a while; unread bytes are our own delay."""
    if session.pgconn.transaction_status != TransactionStatus.ACTIVE or _unread_bytes(session) > 0:
        return False
    silent_s = _silent_s(session)
    return silent_s is not None and silent_s >= QUIET_S


def _ask(watched: Watched, *, is_stuck: bool) -> Said:
    """What the server says of the session; an answer of any kind proves that the way is open."""
    try:
        found = asyncio.run(asyncio.wait_for(_doing(watched), ANSWER_S))
    except (TimeoutError, OSError):
        return Said.NOTHING
    except psycopg.Error as error:
        no_answer = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
        return Said.NOTHING if no_answer else Said.WORKS
    if found is None:  # another server took the question
        return Said.WORKS
    state, wait_type, wait_event = found
    if state != "active":
        return Said.WAITS_FOR_US
    # A COPY that we feed waits for our next rows: nothing is wrong unless some are on their way.
    is_waiting = wait_type == "Client" and (wait_event == "ClientWrite" or is_stuck)
    return Said.WAITS_FOR_US if is_waiting else Said.WORKS


async def _doing(watched: Watched) -> tuple[str | None, str | None, str | None] | None:
    session = await psycopg.AsyncConnection.connect(
        watched.conninfo,
        host=watched.host,
        port=watched.port,
        autocommit=True,
        application_name="syncline asks for a silent session",
    )
    async with session:
        cursor = await session.execute(DOING, [watched.pid, watched.server_started])
        return await cursor.fetchone()


def _cut(session: psycopg.Connection) -> None:
    line = socket.socket(fileno=os.dup(session.fileno()))
    with line, suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _silent_s(session: psycopg.Connection) -> float | None:
    """Seconds since data went either way; None where the session is on no TCP connection."""
    line = socket.socket(fileno=os.dup(session.fileno()))
    with line:
        try:
            told = line.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104)
        except OSError:
            return None
    sent, received = (struct.unpack_from("I", told, at)[0] for at in (LAST_DATA_SENT, LAST_DATA_RECEIVED))
    return float(min(sent, received)) / 1000


def _unread_bytes(session: psycopg.Connection) -> int:
    return _count(session, termios.FIONREAD)


def _unsent_bytes(session: psycopg.Connection) -> int:
    return _count(session, termios.TIOCOUTQ)


def _count(session: psycopg.Connection, request: int) -> int:
    counted = struct.unpack("i", fcntl.ioctl(session.fileno(), request, b"\0\0\0\0"))
    return int(counted[0])
