"""Failures that the person at the keyboard can mend: printed as one sentence, without a traceback."""

from __future__ import annotations

import socket


class DemoError(Exception):
    """One sentence: what is wrong, and what to do."""


def require_free_port(port: int, *, what: str, variable: str) -> None:
    """Refuse early, by name, what the server would otherwise report in its own log.

    Raises:
        DemoError: Something on this machine listens on that loopback port.
    """
    if not is_free(port):
        raise DemoError(
            f"port {port} for {what} is taken by another program: stop that one, "
            f"or choose another port with {variable}."
        )


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore what is only waiting to expire
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
