"""Seal the payloads of dead letters, so that a rejected row is kept without being readable where it lies.

A dead letter must keep the row it is about, or nobody could mend and replay it; but names, birth dates and
bank accounts must not lie open in the ledger, its backups and its dumps. A payload is sealed with AES-256-GCM
and bound to its tenant, job and key: moved to another tenant's letter it does not open.

Keys come from the environment, never from a file of the repository:

    SYNCLINE_PAYLOAD_KEY        32 random bytes as base64url; or
    SYNCLINE_PAYLOAD_KEY_FILE   a file that holds them
    SYNCLINE_PAYLOAD_KEYS_OLD   former keys, comma separated: they open, they no longer seal

To rotate: move the present key to the old ones and set a new one. An old key may go when no open dead letter
names its id (`payload_key_id`).

It stores nothing and logs nothing; errors name tenant, job and key id, never what was sealed or a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from syncline.core.errors import EnvironmentFailure, TerminalError

KEY_BYTES = 32
NONCE_BYTES = 12  # what GCM is made for; random ones are safe for 2**32 payloads per key (NIST SP 800-38D)
DISTINCT_BYTES_MIN = 16  # 32 random bytes hold about 30 distinct ones; fewer than 16 is no accident
FORMAT = "syncline dead letter 1"

MAKE_A_KEY = (
    'make one with `python -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"`'
    " and keep it in your secret store"
)
HOW_TO_MAKE_A_KEY = f"{MAKE_A_KEY}: without it no dead letter can be read again"

# The row's key as the ledger stores it: jsonb does not keep the order of an object's names, so neither do we.
RowKey: TypeAlias = str | Sequence[str | None] | Mapping[str, str | None]


class SealBroken(TerminalError):
    """The payload does not open for this tenant, job and row key."""

    def __init__(self, tenant_id: str, job_id: str, key_id: str) -> None:
        super().__init__(
            f"{job_id}: a dead letter of tenant {tenant_id!r} does not open with key {key_id}: it was sealed "
            f"for another tenant, job or row, or was changed since. Nothing was read. Compare its tenant_id, "
            f"job_id and source_key with the audit trail, and leave it out of the replay."
        )
        self.tenant_id, self.job_id, self.key_id = tenant_id, job_id, key_id


class Vault:
    """Seals with one key, opens with that and the former ones. Holds no state: share it freely."""

    def __init__(self, key: bytes, *, old_keys: Sequence[bytes] = ()) -> None:
        """Keys are 32 bytes; the caller vouches that they are random."""
        self._key_id = _key_id(key)
        self._ciphers = {_key_id(each): AESGCM(each) for each in (*old_keys, key)}

    @classmethod
    def from_environment(cls) -> Vault:
        """Read the keys from the environment.

        Raises:
            EnvironmentFailure: No key, two of them, or one that is short, unreadable or not random.
        """
        key = read_key(
            "SYNCLINE_PAYLOAD_KEY",
            without_it="rejected rows cannot be kept protected, so no batch may start",
            advice=HOW_TO_MAKE_A_KEY,
        )
        return cls(key, old_keys=_old_keys())

    def seal(self, payload: bytes, *, tenant_id: str, job_id: str, key: RowKey) -> tuple[bytes, str]:
        """Encrypt a payload for one dead letter; returns nonce + ciphertext + tag, and the key's id.

        Sealing the same payload twice gives different bytes: equal rows cannot be told from their letters.
        """
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._key_id].encrypt(nonce, payload, _bound_to(tenant_id, job_id, key))
        return nonce + sealed, self._key_id

    def open(self, sealed: bytes, key_id: str, *, tenant_id: str, job_id: str, key: RowKey) -> bytes:
        """Give back the payload that was sealed for exactly this tenant, job and row key.

        Raises:
            SealBroken: It was sealed for another tenant, job or row, or was changed.
            EnvironmentFailure: It was sealed with a key that this environment does not have.
        """
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise EnvironmentFailure(
                f"{job_id}: a dead letter is sealed with key {key_id}, this environment has "
                f"{sorted(self._ciphers)}. Nothing was read. Add the former key to SYNCLINE_PAYLOAD_KEYS_OLD."
            )
        nonce, ciphertext = bytes(sealed[:NONCE_BYTES]), bytes(sealed[NONCE_BYTES:])
        try:
            return cipher.decrypt(nonce, ciphertext, _bound_to(tenant_id, job_id, key))
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise SealBroken(tenant_id, job_id, key_id) from None

    def __repr__(self) -> str:
        return f"Vault(key_id={self._key_id!r}, opens={sorted(self._ciphers)})"


def _bound_to(tenant_id: str, job_id: str, key: RowKey) -> bytes:
    """What the seal covers beside the payload. JSON keeps ("a", "bc") apart from ("ab", "c")."""
    plain_key = key if isinstance(key, str) else dict(key) if isinstance(key, Mapping) else list(key)
    return json.dumps([FORMAT, tenant_id, job_id, plain_key], sort_keys=True).encode("ascii")


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"syncline payload key id" + key).hexdigest()[:16]


def read_key(variable: str, *, without_it: str, advice: str) -> bytes:
    """The 32 random bytes that a variable holds as base64url, or the file that `<variable>_FILE` names.

    Args:
        without_it: What does not work without the key, for the error.
        advice: How to make one, for the error.

    Raises:
        EnvironmentFailure: No key, two of them, or one that is short, unreadable or not random.
    """
    name, text = _present_key(variable, without_it, advice)
    key = _decoded(text, name, advice)
    if not _looks_random(key):
        raise EnvironmentFailure(f"{name} is a text or a pattern, not 32 random bytes; {advice}.")
    return key


def _present_key(variable: str, without_it: str, advice: str) -> tuple[str, str]:
    """Where the key's text stands, as an operator would look for it, and the text."""
    text, file = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    if text and file:
        raise EnvironmentFailure(f"{variable} and {variable}_FILE are both set: unset one of them.")
    if text:
        return variable, text
    if not file:
        raise EnvironmentFailure(f"{variable} is not set (nor {variable}_FILE): {without_it}; {advice}.")
    try:
        return f"{variable}_FILE ({file})", Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFailure(
            f"{variable}_FILE ({file}) cannot be read: {type(error).__name__}; {advice}."
        ) from None


def _old_keys() -> list[bytes]:
    texts = os.environ.get("SYNCLINE_PAYLOAD_KEYS_OLD", "").split(",")
    named = [(f"SYNCLINE_PAYLOAD_KEYS_OLD, key {place},", text) for place, text in enumerate(texts, start=1)]
    return [_decoded(text, name, HOW_TO_MAKE_A_KEY) for name, text in named if text.strip()]


def _decoded(text: str, name: str, advice: str) -> bytes:
    """The key's bytes; a wrong one is described by its length, never quoted."""
    compact = text.strip().rstrip("=")
    try:
        key = base64.b64decode(compact + "=" * (-len(compact) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise EnvironmentFailure(f"{name} is not base64url; {advice}.") from None
    if len(key) != KEY_BYTES:
        raise EnvironmentFailure(f"{name} holds {len(key)} bytes, {KEY_BYTES} are needed; {advice}.")
    return key


def _looks_random(key: bytes) -> bool:
    """Refuse what stands in for a key until someone forgets it: zeros, counting, a text, a repeated word."""
    return len(set(key)) >= DISTINCT_BYTES_MIN and not key.isascii()
