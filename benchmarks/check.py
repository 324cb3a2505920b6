"""Time what `syncline check` costs for a thousand manifests with a thousand mappings, good ones and spoilt ones.

    .venv/bin/python benchmarks/check.py [--manifests N] [--rounds N]

Copies of all real manifests and mappings under other ids go to private projects; in the spoilt one each file has three
mistakes. What is timed is the whole process, as a person waits for it. It is compared with what only reading the same
files takes: PyYAML's loader in C, which checks nothing and knows no places. The last line printed is one JSON object;
README.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "var" / "bench" / "check"
MANIFESTS_DEFAULT = 1_000
ROUNDS_DEFAULT = 3
# In every file of its kind; each makes one mistake with a nearest right name to look for.
SPOILT = {
    "manifests": [("domain:", "domian:"), ("timezone: ", "timezone: Mars/"), ("on_breach: hold", "on_breach: hodl")],
    "mappings": [("fields:", "fields:\n  x: {form: y, type: txt, steps: [trimm]}")],
}


def main() -> None:
    """Measure and print."""
    options = _options()
    good, spoilt = _project(options.manifests), _project(options.manifests, spoilt=True)
    files = sorted((good / "include").rglob("*.yaml"))
    _check(good, mistakes=False)  # compiles, fills caches
    measured: dict[str, list[float]] = {"plain": [], "good": [], "spoilt": []}
    for number in range(1, options.rounds + 1):
        measured["plain"].append(_plain_read(files))
        measured["good"].append(_check(good, mistakes=False))
        measured["spoilt"].append(_check(spoilt, mistakes=True))
        print(
            f"round {number}: plain {measured['plain'][-1]:.2f} s, check {measured['good'][-1]:.2f} s,"
            f" check of spoilt ones {measured['spoilt'][-1]:.2f} s",
            flush=True,
        )
    seconds = {name: median(rounds) for name, rounds in measured.items()}
    figures = {
        "check_seconds": round(seconds["good"], 2),
        "check_x": round(seconds["good"] / seconds["plain"], 2),
        "check_spoilt_seconds": round(seconds["spoilt"], 2),
        "check_spoilt_x": round(seconds["spoilt"] / seconds["plain"], 2),
    }
    print(json.dumps(figures))


def _project(manifests: int, *, spoilt: bool = False) -> Path:
    """A project with that many jobs, each with a mapping of its own, taken in turn from the real ones."""
    home = FOLDER / ("spoilt" if spoilt else "good")
    shutil.rmtree(home, ignore_errors=True)
    for kind in ("manifests", "mappings"):
        (home / "include" / kind).mkdir(parents=True)
    for kind in ("code_lists", "calendars"):
        if (ROOT / "include" / kind).is_dir():
            shutil.copytree(ROOT / "include" / kind, home / "include" / kind)
    models = sorted((ROOT / "include" / "manifests").glob("*.yaml"))
    for number in range(manifests):
        model = models[number % len(models)]
        name = yaml.safe_load(model.read_text())["mapping"]
        copy = f"{model.stem[:40]}{number:04d}"
        texts = {
            "manifests": model.read_text().replace(f"mapping: {name}\n", f"mapping: {copy}\n"),
            "mappings": (ROOT / "include" / "mappings" / f"{name}.yaml").read_text(),
        }
        for kind, text in texts.items():
            (home / "include" / kind / f"{copy}.yaml").write_text(_spoilt(text, kind) if spoilt else text)
    return home


def _spoilt(text: str, kind: str) -> str:
    for good, bad in SPOILT[kind]:
        text = text.replace(good, bad, 1)
    return text


def _plain_read(files: list[Path]) -> float:
    started = time.perf_counter()
    for path in files:
        yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    return time.perf_counter() - started


def _check(home: Path, *, mistakes: bool) -> float:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "syncline", "check", home], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode != int(mistakes):
        sys.exit(f"benchmarks/check.py: `syncline check` ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifests", type=int, default=MANIFESTS_DEFAULT, help=f"default {MANIFESTS_DEFAULT}")
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help=f"default {ROUNDS_DEFAULT}")
    options = parser.parse_args()
    if options.manifests < 1 or options.rounds < 1:
        parser.error("--manifests and --rounds are at least 1")
    return options


if __name__ == "__main__":
    main()
