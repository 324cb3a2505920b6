"""What a file must never hold, and which columns are about a person (row M21 of the fault list).

A secret written into a manifest is in the repository's history for good. What looks like one is refused and blotted
out of the text before anything else reads it, so no message can echo it. A column that looks personal must say its
class, or previews and reports would show it.

Patterns find accidents, not malice. They lean to the strict side where the way out is short: `pii: none` says that
somebody looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

SECRET_KEY = re.compile(r"(?i)(?:^|[_-])(?:password|passwd|pwd|secret|token|api[_-]?key|private[_-]?key)s?$")
# Each alternative has one group: the part that is secret.
SECRET = re.compile(
    r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://([^\s/@:'\"]*:[^\s/@'\"]+)@"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----((?s:.*?))(?:-----END|\Z)"
    r"|\b((?:AKIA|ASIA)[0-9A-Z]{16})\b"
    r"|\b((?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-)[A-Za-z0-9_-]{16,})"
    r"|\b(eyJ[\w-]{8,}\.eyJ[\w-]{4,}(?:\.[\w-]*)?)"
    r"|(?i:\b(?:password|passwd|pwd|secret|token|api[_-]?key|private[_-]?key)\s{0,9}[=:]\s{0,9}[\"']?)"
    r"((?!numeric\()(?=[^\s\"',}\]]*[0-9])[^\s\"',}\]{\[]{6,})"
)
# Without one of these in it a text holds none of the above: a tenth of the price.
TRIGGERS = (
    "://", "-----BEGIN", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk-",
    "eyJ",
)  # fmt: skip
ANNOUNCED = ("passw", "pwd", "secret", "token", "api_key", "api-key", "apikey", "private")
# Class -> words of column names that are about a person; the first that is met is the class. `special` are the
# categories of GDPR articles 9 and 10 and what is as delicate; a mapping has no class of that name.
SPECIAL = "special"
PERSONAL = {
    kind: re.compile(rf"(?:^|_)(?:{words})[0-9]*(?:_|$)")
    for kind, words in {
        SPECIAL: (
            "relig[a-z]+|faith|konfession|ethni[a-z]+|race|nationality|staatsangehoerigkeit|diagnos[a-z]+|icd"
            "|disabilit[a-z]+|handicap[a-z]*|behinderung[a-z]*|trade_?union|union|gewerkschaft[a-z]*|politic[a-z]*"
            "|politisch[a-z]*|sexual[a-z]*|sex|gender|geschlecht|marital|civil_status|familienstand|health[a-z]*"
            "|gesundheit[a-z]*|medic(?:al|ation)[a-z]*|illness|disease[a-z]*|sick[a-z]*|krank[a-z]*|pregnan[a-z]+"
            "|genetic[a-z]*|biometric[a-z]*|blood_?(?:type|group)|allerg[a-z]+|vaccin[a-z]+|criminal|convictions?"
        ),
        "birth": "birth[a-z]*|dob",
        "government_id": "tax|taxpayer|passport|ssn|nino|national_insurance|national_id",
        "contact": (
            "e?mails?|e?mailaddress|(?:tele)?phone(?:number)?|mobile|fax|address|street|post_?code|postal_?code|postal"
            "|zip|zip_?code|plz"
        ),
        "financial": "iban|bic",
        "name": "(?:given|family|first|last|maiden|middle)_?name|surname|forename",
    }.items()
}


def secrets_in(text: str) -> Iterator[tuple[int, int]]:
    """Where a text holds what looks like a secret: begin and end of each."""
    lowered = text.lower()
    if any(word in text for word in TRIGGERS) or any(word in lowered for word in ANNOUNCED):
        for found in SECRET.finditer(text):
            yield found.span(found.lastindex or 0)


def blotted(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with the given parts made illegible; lines stay where they are."""
    for begin, end in spans:
        text = text[:begin] + re.sub(r"\S", "x", text[begin:end]) + text[end:]
    return text


def is_secret_key(key: str) -> bool:
    """Whether a key announces a secret."""
    return bool(SECRET_KEY.search(key))


def looks_personal(column: str) -> bool:
    """Whether a column's name says that it is about a person."""
    return bool(personal_class(column))


def personal_class(column: str) -> str:
    """What a column's name says that it holds of a person: a class of mappings, or SPECIAL; '' for nothing."""
    return next((kind for kind, words in PERSONAL.items() if words.search(column.lower())), "")
