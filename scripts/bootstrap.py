"""Make `.venv` with the locked requirements, so that `make demo` and `make test` need Python and make only.

It runs before anything is installed: standard library only, and a syntax that Python 3.6 can still read,
so that an old interpreter answers with one sentence instead of a syntax error. Every failure is one
sentence that says what is wrong and what to do. A stamp in `.venv` holds the hash of the lock: the next
call is instant, and an interrupted installation is completed by calling again.
"""

import contextlib
import errno
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
LOCK = os.path.join(ROOT, "requirements.txt")
PROJECT = os.path.join(ROOT, "pyproject.toml")
STAMP = os.path.join(VENV, "syncline-bootstrap.stamp")
TEMPORARY = os.path.join(ROOT, "var", "tmp")  # nothing is written outside the checkout, not even for a moment

OLDEST = (3, 11)  # what Airflow 3.3, pandas 3 and this package ask for
NEWEST = (3, 13)  # the last that all locked wheels exist for
FREE_GB_MIN = 3  # .venv takes 1.5 GB, its download cache half of that, a demo world the rest


class Failed(Exception):
    """One sentence for the person who typed the command."""


def main():
    try:
        bootstrap()
    except Failed as failure:
        print("bootstrap: {}".format(failure), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bootstrap: interrupted; run the same command again and it continues.", file=sys.stderr)
        return 130
    except OSError as failure:
        print("bootstrap: {}".format(explain(failure)), file=sys.stderr)
        return 1
    return 0


def bootstrap():
    check_system(os.name)
    with one_at_a_time():
        bring_up_to_date()


def bring_up_to_date():
    os.makedirs(TEMPORARY, exist_ok=True)
    if read(STAMP) == fingerprint() and works(venv_python()):
        return
    python = find_python()
    check_disk(ROOT, FREE_GB_MIN)
    say("preparing .venv with Python {} (once; a few minutes without a cache)".format(version_text(python)))
    uv = create_venv(python)
    install_lock(uv)
    install_project(uv)
    write_stamp()
    say("ready")


@contextlib.contextmanager
def one_at_a_time():
    """`make demo` and `make test` in two windows must not build the same .venv at once."""
    import fcntl  # not on Windows, which check_system has answered

    with open(LOCK, encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is preparing .venv: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_system(name):
    if name != "posix":
        raise Failed("Syncline runs on Linux and macOS; on Windows, run this command inside WSL.")


def check_disk(path, free_gb_min):
    free_gb = shutil.disk_usage(path).free / 1e9
    if free_gb < free_gb_min:
        raise Failed(
            "the disk of {} has {:.1f} GB free and {} GB are needed; make room and run the same command again.".format(
                path, free_gb, free_gb_min
            )
        )


# --- which Python ---------------------------------------------------------------------------------------


def supported(version):
    return OLDEST <= tuple(version[:2]) <= NEWEST


def find_python():
    """This interpreter if it fits; otherwise the newest one on the PATH that does."""
    if supported(sys.version_info):
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which("python3.{}".format(minor))
        if found and supported(version_of(found) or (0, 0)):
            return found
    raise Failed(python_does_not_fit(sys.version_info))


def python_does_not_fit(version):
    return (
        "Python {}.{} is too {}: Syncline needs Python {}.{} to {}.{}; install one of them, or name it: "
        "make demo PYTHON=/path/to/python3.12".format(
            version[0], version[1], "old" if tuple(version[:2]) < OLDEST else "new", *(OLDEST + NEWEST)
        )
    )


def version_of(python):
    """(major, minor) of an interpreter, or None when it does not even start."""
    if python == sys.executable:
        return tuple(sys.version_info[:2])
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [python, "-I", "-c", asked],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    matched = re.match(r"(\d+)\.(\d+)$", answer.stdout.decode("ascii", "replace").strip())
    return (int(matched.group(1)), int(matched.group(2))) if matched else None


def version_text(python):
    return ".".join(str(part) for part in version_of(python) or ("?",))


# --- the environment ------------------------------------------------------------------------------------


def venv_python():
    return os.path.join(VENV, "bin", "python")


def works(python):
    return os.path.exists(python) and supported(version_of(python) or (0, 0))


def create_venv(python):
    """Make `.venv` or keep the usable one, and return the path of uv; None when only pip can install."""
    if works(venv_python()):
        uv = find_uv()
        if uv or has_pip() or run([venv_python(), "-m", "ensurepip"], quiet=True):
            return uv or install_uv()
        say("the environment in .venv can run neither pip nor uv: making it again")
    uv = shutil.which("uv")
    if uv and run([uv, "venv", "--quiet", "--clear", "--seed", "--python", python, VENV]):
        return uv
    if importlib.util.find_spec("ensurepip") is None and python == sys.executable:
        raise Failed(no_venv_module(version_text(python)))
    if not run([python, "-m", "venv", "--clear", VENV]):
        raise Failed(
            "making .venv failed (see above); on Debian and Ubuntu `apt-get install python{}-venv` usually "
            "mends it, then run the same command again.".format(version_text(python))
        )
    return install_uv()


def no_venv_module(version):
    return (
        "this Python has no `ensurepip`, so it cannot make a virtual environment; install it (Debian, "
        "Ubuntu: apt-get install python{}-venv) and run the same command again.".format(version)
    )


def find_uv():
    own = os.path.join(VENV, "bin", "uv")
    return own if os.path.exists(own) else shutil.which("uv")


def has_pip():
    return run([venv_python(), "-m", "pip", "--version"], quiet=True)


def install_uv():
    """Install the locked uv with pip: it then installs everything else several times faster than pip."""
    say("installing uv, the installer")
    with tempfile.TemporaryDirectory(dir=TEMPORARY) as folder:
        only_uv = os.path.join(folder, "uv.txt")
        with open(only_uv, "w", encoding="utf-8") as out:
            out.write(requirement(read(LOCK), "uv"))
        if run([venv_python(), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", only_uv]):
            return os.path.join(VENV, "bin", "uv")
    say("uv could not be installed: going on with pip, which takes a little longer")
    return None


def requirement(lock, name):
    """The lines of one package of the lock: its pin and its hashes."""
    found = re.search(r"^{}==.*\\\n(?:    --hash=.*\n?)+".format(re.escape(name)), lock, re.MULTILINE)
    if not found:
        raise Failed("requirements.txt does not pin {} with hashes; run `make lock`.".format(name))
    return found.group(0)


def install_lock(uv):
    say("installing the locked requirements, each checked against its hash")
    flags = ["install", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", LOCK]  # it is complete
    if uv and run([uv, "pip", flags[0], "--python", venv_python()] + flags[1:]):
        return
    if uv:
        say("uv did not manage (see above): trying pip, which also reads pip's own configuration")
    if not (has_pip() and run([venv_python(), "-m", "pip"] + flags)):
        raise Failed(installing_failed())


def install_project(uv):
    """An editable installation: `syncline` on the path of .venv, its code read from plugins/."""
    flags = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT]
    if uv and run([uv, "pip", flags[0], "--python", venv_python()] + flags[1:]):
        return
    if not (has_pip() and run([venv_python(), "-m", "pip"] + flags)):
        raise Failed(installing_failed())


def installing_failed():
    if shutil.disk_usage(ROOT).free < 100e6:
        return "the disk of {} is full; make room and run the same command again.".format(ROOT)
    return (
        "installing the requirements failed (see above); check the network, or the proxy and package index "
        "that pip is configured with, and run the same command again: it keeps what is already there."
    )


# --- the stamp ------------------------------------------------------------------------------------------


def fingerprint():
    """Changes whenever .venv has to be brought up to date: other requirements, other packaging, moved."""
    digest = hashlib.sha256()
    for part in (read(LOCK), read(PROJECT), ROOT):
        digest.update(part.encode("utf-8") + b"\0")
    return digest.hexdigest()


def write_stamp():
    unfinished = STAMP + ".new"
    with open(unfinished, "w", encoding="utf-8") as out:
        out.write(fingerprint())
    os.replace(unfinished, STAMP)


def read(path):
    try:
        with open(path, encoding="utf-8") as text:
            return text.read()
    except (IOError, UnicodeDecodeError):
        return ""


# --- small things ---------------------------------------------------------------------------------------


def run(command, quiet=False):
    """True when the command succeeded; its own output is the progress that the person sees."""
    hidden = subprocess.DEVNULL if quiet else None
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=hidden,
            stderr=hidden,
            cwd=ROOT,
            env=environment(),
        )
    except OSError as failure:
        say(explain(failure))
        return False
    return done.returncode == 0


def environment():
    """As the person set it; and uv trusts the certificates that the machine trusts (a proxy's, for instance)."""
    trusting = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}  # the same, by its new and its old name
    return dict(trusting, **dict(os.environ, TMPDIR=TEMPORARY))


def explain(failure):
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk of {} is full; make room and run the same command again.".format(ROOT)
    return "{}: {}; mend that and run the same command again.".format(
        failure.filename or "the system refused", failure.strerror or failure
    )


def say(text):
    print("bootstrap: {}".format(text), flush=True)


if __name__ == "__main__":
    sys.exit(main())
