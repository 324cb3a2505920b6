"""Passwords and keys of one checkout: generated when first asked for, then kept for the owner alone."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path


class Vault:
    """A folder with one secret per file (folder 0700, files 0600)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def password(self, name: str) -> str:
        return self._kept(name, lambda: secrets.token_urlsafe(18))

    def key(self, name: str) -> str:
        """32 random bytes in URL-safe base64: what Fernet and the payload protection ask for."""
        return self._kept(name, lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii"))

    def write(self, name: str, text: str) -> Path:
        """Keep a text that was made elsewhere, replacing an older one at once or not at all."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, unfinished = self.folder / name, self.folder / f".{name}.new"
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
        unfinished.replace(path)
        return path

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        path = self.folder / name
        if not path.exists():
            self.write(name, make())
        return path.read_text()
