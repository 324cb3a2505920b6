"""Lend the secret keys of `keyed_hash` and `tokenise` to the session that reads a source, for one transaction.

A mapping names keys, the environment holds them:

    SYNCLINE_HASH_KEY_<NAME>        32 random bytes as base64url; or
    SYNCLINE_HASH_KEY_<NAME>_FILE   a file that holds them

The statement that hashes is shown by `explain`, by pg_stat_activity and by logs, so no key may stand in it. It asks
for two settings of the session, which are given here as bind parameters. A server may write those into its log too, so
it is asked first: where it would, and our role may not forbid it, nothing is sent and nothing is read.

Who is superuser of the source, or can read the memory of its backends, can read the keys: they are lent to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psycopg

from syncline.adapters.vault import MAKE_A_KEY, read_key
from syncline.core.errors import EnvironmentFailure
from syncline.core.transforms.protect import BLOCK_BYTES, INNER, OUTER, setting_of

LEND = "select set_config(%s, %s, true)"  # until the transaction ends; its text never holds the key
HUSH = """
    set local log_parameter_max_length_on_error = 0;
    do $$ begin
        perform set_config('log_parameter_max_length', '0', true);
    exception when insufficient_privilege then null;
    end $$
"""
# What would write the parameters of a statement into the server's log: its setting, or NULL.
TELLTALE = """
    select case
        when current_setting('log_parameter_max_length') = '0' then null
        when current_setting('log_statement') = 'all' then 'log_statement'
        when current_setting('log_min_duration_statement') <> '-1' then 'log_min_duration_statement'
        when current_setting('log_min_duration_sample') <> '-1' then 'log_min_duration_sample'
        when current_setting('log_transaction_sample_rate')::float8 > 0 then 'log_transaction_sample_rate' end,
    case
        when current_setting('auto_explain.log_min_duration', true) <> '-1'
            and current_setting('auto_explain.log_parameter_max_length', true) <> '0'
            then 'auto_explain.log_parameter_max_length'
        when current_setting('pgaudit.log_parameter', true) = 'on' then 'pgaudit.log_parameter' end
"""


@dataclass(frozen=True)
class HashKeys:
    """Keys by name, as they were in the environment. Shown without them."""

    keys: Mapping[str, bytes] = field(repr=False)

    def lend(self, session: psycopg.Connection, where: str) -> None:
        """Give the keys to the session's open transaction.

        Args:
            where: Connection id, for the error.

        Raises:
            EnvironmentFailure: The server would write them into its log.
        """
        if not self.keys:
            return
        _require_silence(session, where)
        for name, key in self.keys.items():
            session.execute(LEND, [setting_of(name, "inner"), _padded(key, INNER)])
            session.execute(LEND, [setting_of(name, "outer"), _padded(key, OUTER)])


def from_environment(names: Iterable[str]) -> HashKeys:
    """Read the keys that a mapping names.

    Raises:
        EnvironmentFailure: One is missing, short, unreadable or not random; names the variable.
    """
    return HashKeys({name: _key(name) for name in sorted(names)})


def _key(name: str) -> bytes:
    return read_key(
        f"SYNCLINE_HASH_KEY_{name.upper()}",
        without_it=f"the mapping hashes with key '{name}', so nothing was read",
        advice=f"{MAKE_A_KEY}: with another key every hash and token is another one",
    )


def _padded(key: bytes, pad: int) -> str:
    """The key over one block of SHA-256, combined with a pad byte (RFC 2104), as hex."""
    return bytes(byte ^ pad for byte in key.ljust(BLOCK_BYTES, b"\0")).hex()


def _require_silence(session: psycopg.Connection, where: str) -> None:
    session.execute(HUSH)
    found = session.execute(TELLTALE).fetchone() or (None, None)
    if not any(found):
        return
    by_role = f"for `alter role {session.info.user} set log_parameter_max_length = 0`"
    raise EnvironmentFailure(
        f"the server behind '{where}' writes the parameters of statements into its log ({found[0] or found[1]}), and"
        f" keys of hashes are parameters. None was sent and nothing was read. Ask its administrator"
        f" {by_role if found[0] else f'to switch {found[1]} off for this role'}; see docs/settings.md, hash keys"
    )
