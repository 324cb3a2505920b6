"""Dead letters are kept readable for their own tenant alone (law 8, law 9)."""

import base64
import hashlib
import json
import re
import subprocess
import sys

import pytest

from syncline.adapters.vault import HOW_TO_MAKE_A_KEY, SealBroken, Vault
from syncline.core.errors import EnvironmentFailure

PAYLOAD = b'{"given_name": "Ada", "iban": "GB33BUKB20201555555555"}'
LETTER = {"tenant_id": "t0001", "job_id": "mdm__payroll__worker", "key": ["t0001", "w000007"]}
KEY = hashlib.sha256(b"a key of the tests, random enough to pass for one").digest()
OTHER_KEY = bytes(reversed(KEY))
# Sealed by the first version: a change of the format must still open it.
SEALED_BEFORE = (
    "5a34337dbd34dff451b4a14ab89b0b76c5ea1c00e4b2052270b6486ae1af7d2c3aa3d9856dbe495b225ab5fe273d94a7"
    "6ffbf78da1c9da3441ac76d295ba0e97902487ce880971e2a8e5c1b7cbf9390cb73a01",
    "e8d6bb8ef3a16b7d",
)


def text_of(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


@pytest.fixture
def environment(monkeypatch):
    """Set the vault's variables and nothing else of theirs."""

    def set_to(**variables: str) -> None:
        for name in ("SYNCLINE_PAYLOAD_KEY", "SYNCLINE_PAYLOAD_KEY_FILE", "SYNCLINE_PAYLOAD_KEYS_OLD"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    set_to()
    return set_to


def test_what_was_sealed_opens_for_its_own_letter():
    vault = Vault(KEY)
    sealed, key_id = vault.seal(PAYLOAD, **LETTER)

    assert vault.open(sealed, key_id, **LETTER) == PAYLOAD


def test_a_sealed_payload_shows_nothing_of_the_row():
    sealed, key_id = Vault(KEY).seal(PAYLOAD, **LETTER)

    assert b"Ada" not in sealed
    assert KEY.hex() not in key_id


def test_equal_rows_cannot_be_told_from_their_letters():
    vault = Vault(KEY)

    assert vault.seal(PAYLOAD, **LETTER)[0] != vault.seal(PAYLOAD, **LETTER)[0]


@pytest.mark.parametrize(
    "other",
    [
        {"tenant_id": "t0002"},
        {"job_id": "mdm__warehouse__worker"},
        {"key": ["t0001", "w000008"]},
        {"key": ["t0001w", "000007"]},  # the same letters, parted elsewhere
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_payload_does_not_open_in_another_letter(other):
    vault = Vault(KEY)
    sealed, key_id = vault.seal(PAYLOAD, **LETTER)

    with pytest.raises(SealBroken) as refused:
        vault.open(sealed, key_id, **{**LETTER, **other})

    assert "Ada" not in str(refused.value)
    assert "w00000" not in str(refused.value)


@pytest.mark.parametrize("position", [0, 12, -1], ids=["nonce", "text", "tag"])
def test_a_changed_payload_does_not_open(position):
    vault = Vault(KEY)
    sealed, key_id = vault.seal(PAYLOAD, **LETTER)
    changed = bytearray(sealed)
    changed[position] ^= 1

    with pytest.raises(SealBroken):
        vault.open(bytes(changed), key_id, **LETTER)


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_a_cut_payload_does_not_open(length):
    vault = Vault(KEY)
    sealed, key_id = vault.seal(PAYLOAD, **LETTER)

    with pytest.raises(SealBroken):
        vault.open(sealed[:length], key_id, **LETTER)


def test_a_key_that_went_through_jsonb_still_opens_its_letter():
    """jsonb sorts an object's names and turns a tuple into an array."""
    vault = Vault(KEY)
    sealed, key_id = vault.seal(PAYLOAD, tenant_id="t0001", job_id="j", key={"worker_id": "w1", "tenant_id": "t0001"})
    back = json.loads(json.dumps({"tenant_id": "t0001", "worker_id": "w1"}))
    assert vault.open(sealed, key_id, tenant_id="t0001", job_id="j", key=back) == PAYLOAD

    sealed, key_id = vault.seal(PAYLOAD, tenant_id="t0001", job_id="j", key=("t0001", "w1"))
    assert vault.open(sealed, key_id, tenant_id="t0001", job_id="j", key=["t0001", "w1"]) == PAYLOAD


def test_what_an_earlier_version_sealed_still_opens():
    sealed, key_id = SEALED_BEFORE

    assert Vault(KEY).open(bytes.fromhex(sealed), key_id, **LETTER) == PAYLOAD


def test_after_a_rotation_old_letters_open_and_new_ones_are_sealed_with_the_new_key(environment):
    environment(SYNCLINE_PAYLOAD_KEY=text_of(KEY))
    sealed, old_id = Vault.from_environment().seal(PAYLOAD, **LETTER)

    environment(SYNCLINE_PAYLOAD_KEY=text_of(OTHER_KEY), SYNCLINE_PAYLOAD_KEYS_OLD=f" {text_of(KEY)}, ")
    rotated = Vault.from_environment()

    assert rotated.open(sealed, old_id, **LETTER) == PAYLOAD
    assert rotated.seal(PAYLOAD, **LETTER)[1] != old_id


def test_a_letter_whose_key_is_gone_says_which_key_it_needs():
    sealed, key_id = Vault(KEY).seal(PAYLOAD, **LETTER)

    with pytest.raises(EnvironmentFailure, match=key_id) as refused:
        Vault(OTHER_KEY).open(sealed, key_id, **LETTER)

    assert "SYNCLINE_PAYLOAD_KEYS_OLD" in str(refused.value)


def test_a_key_may_stand_in_a_file(environment, tmp_path):
    file = tmp_path / "payload.key"
    file.write_text(text_of(KEY) + "\n")
    sealed, key_id = Vault(KEY).seal(PAYLOAD, **LETTER)

    environment(SYNCLINE_PAYLOAD_KEY_FILE=str(file))

    assert Vault.from_environment().open(sealed, key_id, **LETTER) == PAYLOAD


def test_a_key_may_come_without_padding(environment):
    environment(SYNCLINE_PAYLOAD_KEY=text_of(KEY).rstrip("="))

    assert repr(Vault.from_environment()) == repr(Vault(KEY))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "is not set"),
        ({"SYNCLINE_PAYLOAD_KEY": ""}, "is not set"),
        ({"SYNCLINE_PAYLOAD_KEY": "changeme"}, "holds 6 bytes"),
        ({"SYNCLINE_PAYLOAD_KEY": text_of(KEY[:31])}, "holds 31 bytes"),
        ({"SYNCLINE_PAYLOAD_KEY": text_of(KEY + b"x")}, "holds 33 bytes"),
        ({"SYNCLINE_PAYLOAD_KEY": "not base64 at all!"}, "is not base64url"),
        ({"SYNCLINE_PAYLOAD_KEY": text_of(bytes(32))}, "not 32 random bytes"),
        ({"SYNCLINE_PAYLOAD_KEY": text_of(b"\xff\x00" * 16)}, "not 32 random bytes"),
        ({"SYNCLINE_PAYLOAD_KEY": text_of(b"abcdefghijklmnopqrstuvwxyz012345")}, "not 32 random bytes"),
        ({"SYNCLINE_PAYLOAD_KEY_FILE": "/nowhere/payload.key"}, "cannot be read: FileNotFoundError"),
    ],
)
def test_without_a_proper_key_nothing_starts_and_one_sentence_says_how_to_make_one(environment, variables, said):
    environment(**variables)

    with pytest.raises(EnvironmentFailure, match=said) as refused:
        Vault.from_environment()

    assert "os.urandom(32)" in str(refused.value)
    assert not any(value in str(refused.value) for value in variables.values() if len(value) > 30)


def test_two_keys_at_once_are_refused(environment, tmp_path):
    environment(SYNCLINE_PAYLOAD_KEY=text_of(KEY), SYNCLINE_PAYLOAD_KEY_FILE=str(tmp_path / "key"))

    with pytest.raises(EnvironmentFailure, match="both set"):
        Vault.from_environment()


def test_a_broken_old_key_is_named_by_its_place(environment):
    environment(SYNCLINE_PAYLOAD_KEY=text_of(KEY), SYNCLINE_PAYLOAD_KEYS_OLD=f"{text_of(OTHER_KEY)},short")

    with pytest.raises(EnvironmentFailure, match="KEYS_OLD, key 2"):
        Vault.from_environment()


def test_a_vault_does_not_print_its_keys():
    told = repr(Vault(KEY, old_keys=[OTHER_KEY]))

    assert not any(text in told for key in (KEY, OTHER_KEY) for text in (key.hex(), text_of(key), repr(key)))


def test_the_sentence_that_tells_how_to_make_a_key_makes_one(environment):
    program = re.search(r'python -c "(.+?)"`', HOW_TO_MAKE_A_KEY).group(1)
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    environment(SYNCLINE_PAYLOAD_KEY=made)

    Vault.from_environment()
