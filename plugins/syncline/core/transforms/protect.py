"""Steps that hide personal data: masks for people to read, keyed hashes and tokens for systems to join on.

A hash without a key hides nothing: there are few birth dates and few account numbers, and whoever has the list has them
all. So the hash is HMAC-SHA-256, and its key is named here and lives elsewhere: the session that reads the source holds
it as two settings (adapters/hash_keys.py), and the statement only asks for them. No key is in a file, in the statement
or in its plan.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from psycopg import sql
from psycopg.sql import Composable
from pydantic import AfterValidator, Field, StrictInt
from pydantic_core import PydanticCustomError

from syncline.core.models import Name
from syncline.core.transforms.base import Cost, Transform, lit, template
from syncline.core.transforms.text import once, text_type
from syncline.core.types import PgType

BLOCK_BYTES = 64  # of SHA-256: the key is spread over one block, combined with these (RFC 2104)
INNER, OUTER = 0x36, 0x5C
AT_ONCE, CHUNK_BITS = 7, 35  # characters of base32 that one bigint holds, and their bits
HASH_CHARACTERS = {"hex": 64, "base64url": 43}
KEY_NAME_MAX = 40


def setting_of(key: str, half: Literal["inner", "outer"]) -> str:
    """The session's setting that holds one half of a key, as hex."""
    return f"syncline.hash_{key}_{half}"


def _key_name(value: str) -> str:
    if len(value) > KEY_NAME_MAX or value.endswith("_file"):
        raise PydanticCustomError(
            "M02", "'{value}' names no key: at most {n} characters, and not ending in _file",
            {"value": value, "n": KEY_NAME_MAX},
        )  # fmt: skip
    return value


KeyName = Annotated[Name, AfterValidator(_key_name)]


class Mask(Transform):
    """Most of the value is covered: with `{mask: {keep_last: 4}}` `GB33BUKB20201555` is `************1555`.

    The length stays, character by character. Where fewer than `hide_min` characters would be covered, all are: a short
    value is never shown whole. A mask is for people; it is no protection where few values are possible. NULL stays
    NULL; no value is an error.
    """

    word: Literal["mask"] = "mask"
    examples: ClassVar[tuple[str, ...]] = ("{mask: {keep_last: 4}}", '{mask: {keep_first: 1, with: "x"}}', "mask")
    keep_first: StrictInt = Field(0, ge=0, le=20, description="Characters shown at the start", examples=[2])
    keep_last: StrictInt = Field(0, ge=0, le=20, description="Characters shown at the end", examples=[4])
    hide_min: StrictInt = Field(4, ge=1, le=100, description="Characters covered at least, else the whole value is")
    with_: str = Field("*", alias="with", min_length=1, max_length=1, description="The character that covers")

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(given.length)

    def sql(self, value: Composable, given: PgType) -> Composable:
        shown = self.keep_first + self.keep_last
        return once(
            value,
            lambda v: template(
                "case when char_length({v}) < {least} then repeat({c}, char_length({v}))"
                " else left({v}, {first}) || repeat({c}, char_length({v}) - {shown}) || right({v}, {last}) end",
                v=v, c=lit(self.with_), first=lit(self.keep_first), last=lit(self.keep_last),
                shown=lit(shown), least=lit(shown + self.hide_min),
            ),
        )  # fmt: skip


class KeyedHash(Transform):
    """HMAC-SHA-256 of the text in UTF-8 under a secret key: `{keyed_hash: {key: people}}`.

    Equal values give equal hashes, so systems with the same key can join on them; without the key nobody can compute or
    try them. The key `people` is in SYNCLINE_HASH_KEY_PEOPLE or a file (docs/settings.md), never in a mapping; without
    it no row is read. Texts that only look equal differ: `normalise`, `trim` and `lower` come before. NULL stays NULL;
    no value is an error.
    Source: RFC 2104, FIPS 198-1; test vectors of RFC 4231.
    """

    word: Literal["keyed_hash"] = "keyed_hash"
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        "{keyed_hash: {key: people}}",
        "{keyed_hash: {key: people, encoding: base64url}}",
    )
    key: KeyName = Field(description="Name of the secret key, not the key", examples=["people"])
    encoding: Literal["hex", "base64url"] = Field(
        "hex", description="hex: 64 characters; base64url: 43, without padding"
    )

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(HASH_CHARACTERS[self.encoding])

    def sql(self, value: Composable, given: PgType) -> Composable:
        if self.encoding == "hex":
            return template("encode({h}, 'hex')", h=_hmac(value, self.key))
        return template("rtrim(translate(encode({h}, 'base64'), '+/', '-_'), '=')", h=_hmac(value, self.key))


class Tokenise(Transform):
    """An opaque token in place of the value: `{tokenise: {key: people, prefix: "w_"}}` gives `w_` and 26 signs.

    The token is the beginning of the HMAC-SHA-256 of `keyed_hash` in base32 (A to Z, 2 to 7). Each character holds 5
    bits, 26 of them 130: among a thousand million values (2**30) two share a token with a chance of 2**60 / 2**131, one
    in 10**21; with 20 characters, the fewest allowed, it is 2**60 / 2**101, one in 10**12. NULL stays NULL; no value is
    an error; without the key no row is read.
    Source: RFC 2104, RFC 4648.
    """

    word: Literal["tokenise"] = "tokenise"
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        '{tokenise: {key: people, prefix: "w_"}}',
        "{tokenise: {key: people, length: 20}}",
    )
    key: KeyName = Field(description="Name of the secret key, not the key", examples=["people"])
    prefix: str = Field(
        "", max_length=20, pattern="^[A-Za-z0-9_.:-]*$", description="Stands before the token", examples=["w_"]
    )
    length: StrictInt = Field(26, ge=20, le=51, description="Characters of the token, without the prefix")

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(len(self.prefix) + self.length)

    def sql(self, value: Composable, given: PgType) -> Composable:
        chunks = range(-(-self.length // AT_ONCE))
        return template(
            "(select {prefix} || convert_from(substr({letters}, 1, {n}), 'UTF8') from (select {spread} from"
            " (select ('x' || encode({h}, 'hex'))::bit(256) offset 0) as h (bits) offset 0) as c ({names}))",
            prefix=lit(self.prefix),
            letters=sql.SQL(" || ").join(map(_letters, chunks)),
            n=lit(self.length),
            spread=sql.SQL(", ").join(map(_spread, chunks)),
            h=_hmac(value, self.key),
            names=sql.SQL(", ").join(map(_chunk, chunks)),
        )


# Base32 seven characters at a time, each in its own byte of one bigint: a third of the price of one by one.
def _chunk(number: int) -> sql.Identifier:
    return sql.Identifier(f"c{number}")


def _spread(number: int) -> Composable:
    """35 bits of the hash as seven bytes of 5 bits; behind the last bit stand zeros."""
    bits = template(
        "substring(h.bits from {at} for {n})::bit(35)::bigint", at=lit(number * CHUNK_BITS + 1), n=lit(CHUNK_BITS)
    )
    parts = sql.SQL(" | ").join(
        template("(((b.n >> {r}) & 31) << {l})", r=lit(CHUNK_BITS - 5 * place), l=lit(8 * (AT_ONCE - place)))
        for place in range(1, AT_ONCE + 1)
    )
    return template("(select {parts} from (select {bits} offset 0) as b (n))", parts=parts, bits=bits)


def _letters(number: int) -> Composable:
    """0 to 25 become A to Z by adding; of the rest, marked by their highest bit, the way from [ back to 2 is taken."""
    return template(
        "substr(int8send({c} + {a} - (((({c} + {from_26}) & {highest}) >> 7) * {way})), 2)",
        c=_chunk(number), a=_bytes(ord("A")), from_26=_bytes(0x80 - 26), highest=_bytes(0x80),
        way=lit(ord("[") - ord("2")),
    )  # fmt: skip


def _bytes(value: int) -> Composable:
    return lit(int.from_bytes(bytes([value] * AT_ONCE)))


def _hmac(value: Composable, key: str) -> Composable:
    return template(
        "sha256({outer} || sha256({inner} || convert_to({v}, 'UTF8')))",
        outer=_half(key, "outer"), inner=_half(key, "inner"), v=value,
    )  # fmt: skip


def _half(key: str, half: Literal["inner", "outer"]) -> Composable:
    """One half of the key, asked for once per statement.

    A setting whose transaction has ended is an empty text: `set_byte` fails on it, where a hash without a key would be
    worse than none.
    """
    last = lit(BLOCK_BYTES - 1)
    return template(
        "(select set_byte(k.b, {last}, get_byte(k.b, {last}))"
        " from (select decode(current_setting({name}), 'hex')) as k (b))",
        last=last, name=lit(setting_of(key, half)),
    )  # fmt: skip
