"""Texts as they are compared: one form for all spellings of a text, as SQL that gives the same on every server.

No locale is asked: `lower` knows the letters that a database's locale knows, and two databases seldom have the same.
Letters beyond ASCII are folded by a table of our own, words are what stands between signs of a fixed list. A database
whose encoding is not UTF-8 cannot normalise, and folds ASCII alone: its texts differ more often, never less.

The same forms of the codes that a mapping names are computed here in Python; nothing else is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Literal

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.transforms import template
from syncline.core.transforms.text import BLANKS, once

Ignored = Literal["case", "whitespace", "padding", "normalization", "compatibility"]
# Blocks with letters of two cases that names are written in: Latin, Greek, Cyrillic, Armenian, Georgian, full width.
# All of Unicode's would make a statement five times as long, for Deseret.
CASED_BLOCKS = ((0x80, 0x590), (0x10A0, 0x1100), (0x1C90, 0x1CC0), (0x1E00, 0x2000), (0xFF21, 0xFF3B))
# One letter for one, as Unicode's CaseFolding.txt has it; of what becomes several letters, the German sharp s.
FOLDED = {
    letter: folded
    for first, end in CASED_BLOCKS
    for letter in map(chr, range(first, end))
    if len(folded := letter.casefold()) == 1 and folded != letter
}
SHARP_S = r"[\u00df\u1e9e]"
# What no word has: signs and spaces, of ASCII, of Latin-1, of general punctuation and of CJK.
SIGNS = (
    r"[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    r"\u1680\u2000-\u206f\u3000-\u303f]+"
)
# With a collation, `once` takes nothing for a plain column: behind its OFFSET 0 the planner tries no guarded cast.
IN_C = '({v})::text collate "C"'
IS_UTF8 = "getdatabaseencoding() = 'UTF8'"
IS_ASCII = "octet_length({v}) = char_length({v})"

# JSON is recognised by taking it apart: strings and other scalars become one sign each, then arrays and objects that
# hold nothing but such signs do, from the inside outwards. (Only PostgreSQL 16 can ask whether a text is valid.)
JSON_CHARACTERS_MAX, JSON_DEPTH_MAX = 1_000_000, 64
JSON_STRING = r'"(?:[^"\\\u0009\u000a\u000d]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
JSON_SCALAR = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null"
JSON_NESTED = (
    r"\[(?:[\u0001\u0002](?:,[\u0001\u0002])*)?\]"
    r"|\{(?:\u0001:[\u0001\u0002](?:,\u0001:[\u0001\u0002])*)?\}"
)
JSON_CONTROLS = r"[\u0001-\u0008\u000b\u000c\u000e-\u001f]"
# Valid JSON that jsonb does not take, or may not: U+0000, surrogates, numbers of hundreds of digits.
NOT_FOR_JSONB = r"\\u(?:0000|[dD][89a-fA-F])|[eE][+-]?[0-9]{4}|[0-9]{250}"


def text_form(value: Composable, ignored: Collection[Ignored]) -> Composable:
    """SQL of a text without the differences that do not count. The value's own collation is left behind."""
    form = template(IN_C, v=value)
    if "normalization" in ignored or "compatibility" in ignored:
        form = _normalised(form, "NFKC" if "compatibility" in ignored else "NFC")
    if "whitespace" in ignored:
        runs = sql.Literal(f"[ {BLANKS}]+")
        form = template("btrim(regexp_replace({v}, {runs}, ' ', 'g'), ' ')", v=form, runs=runs)
    if "padding" in ignored:
        form = template("rtrim({v}, ' ')", v=form)
    return _case_folded(form) if "case" in ignored else form


def text_formed(text: str, ignored: Collection[Ignored]) -> str:
    """The same form of a text that a mapping names."""
    if "normalization" in ignored or "compatibility" in ignored:
        text = unicodedata.normalize("NFKC" if "compatibility" in ignored else "NFC", text)
    if "whitespace" in ignored:
        text = re.sub(f"[ {BLANKS}]+", " ", text).strip(" ")
    if "padding" in ignored:
        text = text.rstrip(" ")
    if "case" in ignored:
        folded = "".join(FOLDED.get(letter, letter) for letter in re.sub("[A-Z]+", lambda s: s[0].lower(), text))
        text = re.sub(SHARP_S, "ss", folded)
    return text


def words_form(value: Composable) -> Composable:
    """SQL of a text's words, in order, one space between two: neither case nor signs count."""
    form = text_form(value, ("normalization", "case"))
    return template("btrim(regexp_replace({v}, {signs}, ' ', 'g'), ' ')", v=form, signs=sql.Literal(SIGNS))


def similarity(here: Composable, there: Composable) -> Composable:
    """SQL of how alike two texts of `words_form` are, 0 to 1: the trigrams that both have, of all that one has.

    Source: PostgreSQL's pg_trgm, which is an extension and not everywhere; each word has two spaces before it and one
    behind.
    """
    trigrams = (
        "select distinct {n} as side, substr(w.padded, i, 3) as trigram"
        " from (select '  ' || word || ' ' as padded from regexp_split_to_table({v}, ' ') as r (word)"
        " where word <> '') as w, generate_series(1, char_length(w.padded) - 2) as i"
    )
    return template(
        "(select coalesce(count(*) filter (where sides = 2)::numeric / nullif(count(*), 0), 0) from"
        ' (select count(*) as sides from ({a} union all {b}) as g group by trigram collate "C") as g)',
        a=template(trigrams, n=sql.Literal(1), v=here),
        b=template(trigrams, n=sql.Literal(2), v=there),
    )


def json_form(value: Composable) -> Composable:
    """SQL of a text or json as jsonb: what is JSON by its value, inside an array; anything else as a JSON string.

    Never fails. What jsonb cannot hold, is nested deeper than 64 or longer than a million signs is compared as text.
    """
    return once(
        template(IN_C, v=value),
        lambda t: template(
            "case when {t} is not null then case when char_length({t}) <= {long} and {t} !~ {refused}"
            " and ({t} !~ {escape} or {utf8}) then case when {valid} then jsonb_build_array(({t})::jsonb)"
            " else to_jsonb({t}) end else to_jsonb({t}) end end",
            t=t,
            long=sql.Literal(JSON_CHARACTERS_MAX),
            refused=sql.Literal(f"{JSON_CONTROLS}|{NOT_FOR_JSONB}"),
            escape=sql.Literal(r"\\u"),
            utf8=sql.SQL(IS_UTF8),
            valid=_is_json(t),
        ),
    )


def _is_json(text: Composable) -> Composable:
    reduced = template(
        "regexp_replace(regexp_replace(regexp_replace({t}, {string}, chr(1), 'g'), {scalar}, chr(2), 'g'),"
        " {blank}, '', 'g')",
        t=text, string=sql.Literal(JSON_STRING), scalar=sql.Literal(JSON_SCALAR), blank=sql.Literal(r"[ \t\n\r]+"),
    )  # fmt: skip
    return template(
        "(with recursive r (t, n) as (select {reduced}, 0 union all"
        " select regexp_replace(t, {nested}, chr(2), 'g'), n + 1 from r where n < {depth} and t ~ {nested})"
        " select t in (chr(1), chr(2)) from r order by n desc limit 1)",
        reduced=reduced, nested=sql.Literal(JSON_NESTED), depth=sql.Literal(JSON_DEPTH_MAX),
    )  # fmt: skip


def _normalised(value: Composable, form: Literal["NFC", "NFKC"]) -> Composable:
    """Servers know Unicode of different years: a letter of last year costs a second look."""
    told = f"case when {IS_ASCII} or not ({IS_UTF8}) then {{v}} else normalize({{v}}, {form}) end"
    return once(value, lambda v: template(told, v=v))


def _case_folded(value: Composable) -> Composable:
    told = (
        f"case when {IS_ASCII} or not ({IS_UTF8}) then lower({{v}})"
        " else regexp_replace(translate(lower({v}), {letters}, {folded}), {sharp_s}, 'ss', 'g') end"
    )
    parts: dict[str, Composable] = {
        "letters": _letters("".join(FOLDED)), "folded": _letters("".join(FOLDED.values())),
        "sharp_s": sql.Literal(SHARP_S),
    }  # fmt: skip
    return once(value, lambda v: template(told, v=v, **parts))


def _letters(letters: str) -> Composable:
    """Letters that only a database of UTF-8 has to know: computed once per statement, when first asked for."""
    return template(
        "(select convert_from(decode(h, 'hex'), 'UTF8') from (select {h}::text offset 0) as l (h))",
        h=sql.Literal(letters.encode().hex()),
    )
