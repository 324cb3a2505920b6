"""Become another program that ends when the program which started it ends, even by `kill -9`.

    python tether.py PARENT_PID SIGNAL UID GID -- COMMAND...

It stays the same process (exec), so the caller's process id and exit code are those of COMMAND. UID -1 keeps
the user; otherwise the rights of root are given up first (PostgreSQL refuses to run as root). The tether is
Linux's; elsewhere only the ordinary ends (Ctrl-C, SIGTERM, an error) stop what the demo started.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[5:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":  # after setuid, which would clear it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the program that asked for this one has ended already")
    os.execvp(command[0], command)  # noqa: S606  # no shell wanted


if __name__ == "__main__":
    main(sys.argv[1:])
