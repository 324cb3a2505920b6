"""Masks, keyed hashes and tokens on a real PostgreSQL, against Python's `hmac`; and that no key is ever seen."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import ValidationError

from syncline.adapters.hash_keys import HashKeys, from_environment
from syncline.core.compile import compile_mapping
from syncline.core.errors import EnvironmentFailure
from syncline.core.mapping import Mapping
from syncline.steps import looking
from tests.conftest import Postgres
from tests.integration.conftest import Lab
from tests.integration.mapping_engine import Engine

MANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
KEY = hashlib.sha256(b"a key of the tests, random enough to pass for one").digest()
OTHER_KEY = hashlib.sha256(KEY).digest()
SPELT_KEY = base64.urlsafe_b64encode(KEY).decode()


def hashed(engine: Engine, step: Any, texts: list[Any], keys: dict[str, bytes] | None = None) -> list[Any]:
    with engine.session.transaction():
        HashKeys(keys or {"people": KEY}).lend(engine.session, "lab")
        told = engine.values("text", {"type": "text", "steps": [step]}, texts)
    assert not [codes for _, codes in told if codes]
    return [value for value, _ in told]


def hmac_of(text: str, key: bytes = KEY) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


# -- masks ----------------------------------------------------------------------------------------------------


@MANY
@given(
    texts=st.lists(TEXT, max_size=20),
    first=st.integers(0, 6),
    last=st.integers(0, 6),
    least=st.integers(1, 6),
    sign=st.sampled_from("*x•\\"),
)
def test_a_mask_shows_the_ends_and_nothing_of_what_is_short(
    engine: Engine, texts: list[str], first: int, last: int, least: int, sign: str
) -> None:
    step = {"mask": {"keep_first": first, "keep_last": last, "hide_min": least, "with": sign}}

    def covered(text: str) -> str:
        hidden = len(text) - first - last
        return sign * len(text) if hidden < least else text[:first] + sign * hidden + text[len(text) - last :]

    told = engine.values("text", {"type": "text", "steps": [step]}, [*texts, None])

    assert told == [*((covered(text), []) for text in texts), (None, [])]


@pytest.mark.parametrize(
    ("step", "text", "shown"),
    [("mask", "Ada", "***"), ({"mask": {"keep_last": 4}}, "GB33BUKB20201555", "************1555"),
     ({"mask": {"keep_last": 4}}, "1234567", "*******"), ({"mask": {"keep_first": 1}}, "Lee", "***"), ({"mask": {"keep_first": 1}}, "Smith", "S****")],
)  # fmt: skip
def test_a_short_value_is_covered_whole(engine: Engine, step: Any, text: str, shown: str) -> None:
    assert engine.values("text", {"type": "text", "steps": [step]}, [text]) == [(shown, [])]


# -- hashes and tokens ----------------------------------------------------------------------------------------


@MANY
@given(texts=st.lists(TEXT, max_size=20))
def test_a_keyed_hash_is_the_hmac_of_python(engine: Engine, texts: list[str]) -> None:
    as_hex = hashed(engine, {"keyed_hash": {"key": "people"}}, [*texts, None])
    as_base64 = hashed(engine, {"keyed_hash": {"key": "people", "encoding": "base64url"}}, [*texts, None])

    assert as_hex == [*(hmac_of(text).hex() for text in texts), None]
    assert as_base64 == [*(base64.urlsafe_b64encode(hmac_of(text)).decode().rstrip("=") for text in texts), None]


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [(b"\x0b" * 20, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
     (b"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")],
)  # fmt: skip
def test_the_vectors_of_rfc_4231(engine: Engine, key: bytes, text: str, said: str) -> None:
    assert hashed(engine, {"keyed_hash": {"key": "people"}}, [text], {"people": key}) == [said]


@pytest.mark.parametrize("length", [20, 21, 26, 28, 35, 42, 49, 50, 51])
@settings(max_examples=8, deadline=None)
@given(texts=st.lists(TEXT, min_size=5, max_size=20))
def test_a_token_is_the_beginning_of_the_hmac_in_base32(engine: Engine, length: int, texts: list[str]) -> None:
    tokens = hashed(engine, {"tokenise": {"key": "people", "prefix": "w_", "length": length}}, [*texts, None])

    assert tokens == [*("w_" + base64.b32encode(hmac_of(text)).decode()[:length] for text in texts), None]


def test_two_keys_serve_one_statement(engine: Engine) -> None:
    fields = {
        name: {"from": "a", "type": "text", "steps": [{"keyed_hash": {"key": name}}]} for name in ("people", "accounts")
    }
    with engine.session.transaction():
        HashKeys({"people": KEY, "accounts": OTHER_KEY}).lend(engine.session, "lab")
        (row,) = engine.rows({"a": "text"}, fields, [{"a": "Ada"}])

    assert (row.values["people"], row.values["accounts"]) == (hmac_of("Ada").hex(), hmac_of("Ada", OTHER_KEY).hex())


@pytest.mark.parametrize("word", ["keyed_hash", "tokenise"])
def test_without_its_key_a_statement_fails_and_hashes_nothing(engine: Engine, word: str) -> None:
    step, key = {word: {"key": f"only_{word}"}}, f"only_{word}"
    with pytest.raises(psycopg.errors.UndefinedObject):
        engine.values("text", {"type": "text", "steps": [step]}, ["Ada"])

    hashed(engine, step, ["Ada"], {key: KEY})  # its transaction ends, and the key with it
    with pytest.raises(psycopg.errors.ArraySubscriptError):
        engine.values("text", {"type": "text", "steps": [step]}, ["Ada"])


def test_the_mapping_says_which_keys_it_needs() -> None:
    steps = [[{"keyed_hash": {"key": "people"}}], [{"tokenise": {"key": "accounts", "prefix": "a-"}}], ["trim"]]
    fields = {f"x{n}": {"from": "a", "type": "text", "steps": step} for n, step in enumerate(steps)}

    assert Mapping.model_validate({"version": "1.0.0", "source": {"a": "text"}, "fields": fields}).keys == {
        "people",
        "accounts",
    }


@pytest.mark.parametrize(
    "step",
    [{"keyed_hash": {"key": "Not a name"}}, {"keyed_hash": {"key": "people_file"}}, {"keyed_hash": {"key": "a" * 41}}, {"keyed_hash": {}},
     {"tokenise": {"key": "people", "length": 19}}, {"tokenise": {"key": "people", "prefix": "é"}}, {"mask": {"with": "**"}}],
    ids=str,
)  # fmt: skip
def test_what_would_not_protect_is_refused_when_the_file_is_read(step: Any) -> None:
    with pytest.raises(ValidationError):
        Mapping.model_validate(
            {
                "version": "1.0.0",
                "source": {"a": "text"},
                "fields": {"x": {"from": "a", "type": "text", "steps": [step]}},
            }
        )


# -- the key is never seen ------------------------------------------------------------------------------------


def test_the_key_is_in_no_statement_and_no_plan(engine: Engine) -> None:
    """Its halves are asked for once per statement, by name."""
    mapping = Mapping.model_validate({
        "version": "1.0.0", "source": {"a": "text"},
        "fields": {"x": {"from": "a", "type": "text", "steps": [{"keyed_hash": {"key": "people"}}]}},
    })  # fmt: skip
    select = compile_mapping(mapping, sql.SQL("(select n::text as a from generate_series(1, 3) as n)")).select
    with engine.session.transaction():
        HashKeys({"people": KEY}).lend(engine.session, "lab")
        plan = "\n".join(
            row[0] for row in engine.session.execute(sql.SQL("explain (analyze, verbose) {}").format(select))
        )
        shown = engine.session.execute("select query from pg_stat_activity where pid = pg_backend_pid()").fetchall()

    assert "current_setting('syncline.hash_people_inner'" in plan
    assert plan.count("InitPlan") >= 2
    for told in (plan, select.as_string(None), str(shown), repr(HashKeys({"people": KEY}))):
        assert not any(secret in told for secret in secrets())


def secrets() -> list[str]:
    padded = KEY.ljust(64, b"\0")
    halves = [bytes(byte ^ pad for byte in padded).hex() for pad in (0x36, 0x5C)]
    return [*halves, halves[0][:32], halves[1][:32], KEY.hex(), SPELT_KEY, repr(KEY)]


@pytest.fixture
def hashing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A job that hashes names; what a test sets for the reader is put back."""
    lab.mapping["fields"]["name"]["steps"] = ["trim", {"keyed_hash": {"key": "people"}}]
    monkeypatch.setenv("SYNCLINE_HASH_KEY_PEOPLE", SPELT_KEY)
    lab.hub({"person_id": "p1", "name": " Ada "}, {"person_id": "p2", "name": "Bob"})
    yield lab
    for setting in (*LOGGING, "log_parameter_max_length"):
        lab.sql("mdm", f"alter role syncline_reader reset {setting}")


def test_a_batch_hashes_with_the_key_of_the_environment(hashing: Lab) -> None:
    hashing.run()

    assert hashing.people() == {"t1/p1": hmac_of("Ada").hex(), "t1/p2": hmac_of("Bob").hex()}


def test_a_preview_shows_what_a_batch_would_write(hashing: Lab) -> None:
    shown = looking.preview(hashing.job, limit=5, unmask=True)

    assert [row.target["name"] for row in shown] == [hmac_of("Ada").hex(), hmac_of("Bob").hex()]
    assert "syncline.hash_people_inner" in looking.explain_sql(hashing.job)


def test_a_missing_key_stops_the_batch_before_the_first_row(hashing: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNCLINE_HASH_KEY_PEOPLE")

    with pytest.raises(
        EnvironmentFailure, match="SYNCLINE_HASH_KEY_PEOPLE is not set .* key 'people', so nothing was read"
    ):
        hashing.run()
    with pytest.raises(EnvironmentFailure, match="SYNCLINE_HASH_KEY_PEOPLE"):
        looking.preview(hashing.job, limit=5)
    assert hashing.people() == {}


@pytest.mark.parametrize(
    ("key", "said"), [("changeme", "holds 6 bytes"), ("A" * 43, "not 32 random bytes"), ("no key!", "is not base64url")]
)
def test_what_is_no_key_is_refused_and_not_quoted(monkeypatch: pytest.MonkeyPatch, key: str, said: str) -> None:
    monkeypatch.setenv("SYNCLINE_HASH_KEY_PEOPLE", key)

    with pytest.raises(EnvironmentFailure, match=said) as refused:
        from_environment({"people"})
    assert key not in str(refused.value)


def test_a_key_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SPELT_KEY + "\n")
    monkeypatch.delenv("SYNCLINE_HASH_KEY_PEOPLE", raising=False)
    monkeypatch.setenv("SYNCLINE_HASH_KEY_PEOPLE_FILE", str(tmp_path / "key"))

    assert from_environment(["people"]).keys == {"people": KEY}


LOGGING = {"log_statement": "all", "log_min_duration_statement": "0", "log_transaction_sample_rate": "1"}


@pytest.mark.parametrize("setting", LOGGING)
def test_a_server_that_would_log_the_key_is_not_given_it(hashing: Lab, setting: str) -> None:
    hashing.sql("mdm", f"alter role syncline_reader set {setting} = '{LOGGING[setting]}'")
    hashing.sql("mdm", "alter role syncline_reader set log_parameter_max_length = -1")

    with pytest.raises(
        EnvironmentFailure, match=rf"{setting}.*alter role syncline_reader set log_parameter_max_length = 0"
    ):
        hashing.run()
    assert hashing.people() == {}

    hashing.sql("mdm", "alter role syncline_reader set log_parameter_max_length = 0")
    hashing.run()
    assert hashing.people() == {"t1/p1": hmac_of("Ada").hex(), "t1/p2": hmac_of("Bob").hex()}


def test_the_servers_own_log_has_no_key(hashing: Lab, pg: Postgres) -> None:
    """A superuser may hush the log for a transaction: the statement is in it, the key is not."""
    log = Path(f"var/test/pg-{os.getpid()}.log")
    before = log.stat().st_size
    with psycopg.connect(make_conninfo(pg.admin_conninfo, dbname="mdm")) as session:
        session.execute("set log_statement = 'all'")
        session.execute("set log_min_duration_statement = 0")
        session.execute("set log_error_verbosity = 'default'")  # the demo's own settings would hide parameters anyway
        session.execute("set log_parameter_max_length = -1")
        HashKeys({"people": KEY}).lend(session, "mdm")
        session.execute("select 'the end of it'")
    written = log.read_text(errors="replace")[before:]

    assert "select set_config($1, $2, true)" in written
    assert "the end of it" in written
    assert not any(secret in written for secret in secrets())
