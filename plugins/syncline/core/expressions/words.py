"""The words of expressions, and what to write instead of those that people try and are not among them."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PREDICATES = frozenset({"=", "<>", "!=", "<", "<=", ">", ">=", "~", "!~", "is", "in", "like", "ilike", "between"})
KEYWORDS = frozenset(
    {"and", "or", "not", "is", "null", "true", "false", "case", "when", "then", "else", "end", "in", "between", "like",
     "ilike", "distinct", "from", "as"}
)  # fmt: skip
LITERAL_TYPES = frozenset({"date", "timestamp", "timestamptz"})
CAST_TYPES = frozenset({"text", "numeric", "date"})
VALUES = frozenset({"", "null", "true", "false"})  # '' is what an author named
BEFORE_NOT = frozenset({"(", ",", "and", "or", "case", "when", "then", "else"})
# Operators of several words, the longest first. After the last word a value follows, unless it is one.
UNITS = (
    ("is", "not", "distinct", "from"), ("is", "distinct", "from"), ("at", "time", "zone"),
    *(("is", *negation, value) for negation in (("not",), ()) for value in ("null", "true", "false")),
    *(("not", word) for word in ("in", "like", "ilike", "between")),
)  # fmt: skip
INFIX = PREDICATES - {"is"} | {"+", "-", "*", "/", "%", "||", "and", "or", ",", "when", "then", "else", "from"}
SPECIAL = frozenset({"cast", "extract"})  # functions with a grammar of their own
# Names that every table has, whatever a mapping declares.
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"})
# Bare, PostgreSQL reads these as keywords or as functions of the session: a column of that name stands in quotes.
RESERVED = _words(
    """all analyse analyze any array asc asymmetric authorization binary both cast check collate collation column
    concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do except fetch for foreign freeze full grant group
    having initially inner intersect into isnull join lateral leading left limit localtime localtimestamp natural
    notnull offset on only order outer overlaps placing primary references returning right select session_user similar
    some symmetric system_user table tablesample to trailing union unique user using variadic verbose where window
    with"""
)
# Why a sign or word that people try is not here, and what to write instead.
REMEDIES = {
    ";": "one expression, no statements",
    "$": "no parameters and no dollar quotes; a text stands in single quotes",
    "{": "no templates; a text stands in single quotes",
    "[": "no arrays; the catalogue has steps for them",
    ".": "columns of this row stand by their name alone",
    ":": "no parameters; a cast is written x::text",
    "@": "see docs/expressions.md for the operators",
    "^": "see docs/expressions.md for the operators",
    "&": "see docs/expressions.md for the operators",
    "'": "the text does not end: a quote inside a text is doubled",
    '"': "the name does not end",
    "\\": "a text stands in single quotes, its backslashes are plain characters",
}
NO_CLOCK = "an expression gives the same value every time: no clock, no chance, no session"
ONE_ROW = "an expression sees one row; use `lookup` for other tables"
PARSE = "read text with a step of a field: parse_number, parse_date"
ELSEWHERE = {
    **dict.fromkeys(
        _words("""now current_date current_time current_timestamp localtime localtimestamp clock_timestamp age
        statement_timestamp transaction_timestamp timeofday random gen_random_uuid uuidv4 uuidv7 current_user user
        session_user system_user current_role current_schema current_setting set_config nextval currval lastval
        pg_sleep setval current_catalog"""),
        NO_CLOCK,
    ),
    **dict.fromkeys(
        _words("""select exists any all some over partition count sum avg min max array_agg string_agg json_agg
        jsonb_agg row_number rank lag lead first_value last_value generate_series unnest from where union lookup"""),
        ONE_ROW,
    ),
    **dict.fromkeys(["to_date", "to_number", "to_timestamp", "make_date", "make_timestamp"], PARSE),
    **dict.fromkeys(
        ["regexp_replace", "regexp_match", "regexp_matches", "regexp_substr", "translate", "initcap", "normalize"],
        "the catalogue has a step for it",
    ),
    **dict.fromkeys(["isnull", "notnull", "ifnull", "nvl", "isnotnull"], "write `is null`, `is not null` or coalesce"),
    **dict.fromkeys(["if", "iif", "decode"], "write `case when ... then ... else ... end`"),
    "escape": "a backslash escapes: like '50\\%'",
    "unknown": "write `is null`",
    "similar": "write `like` or `~` with a pattern",
    "regexp_like": "write `text ~ 'pattern'`",
    "xor": "write `<>` between two conditions",
    "collate": "texts are compared by code point everywhere",
    "interval": "days are added to a date as a number: date + 30",
    "array": "no arrays; the catalogue has steps for them",
    "row": "one value, no rows",
    "div": "write trunc(a / b)",
    "instr": "write strpos(text, part)",
    "position": "write strpos(text, part)",
    "len": "write length(text)",
    "char_length": "write length(text)",
    "ucase": "write upper(text)",
    "power": "see docs/expressions.md for the functions",
    "sqrt": "see docs/expressions.md for the functions",
}
