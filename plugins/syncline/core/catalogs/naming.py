"""What column names say: which words mean the same in different houses and languages, and how near two names are."""

from __future__ import annotations

import difflib
import re
from functools import cache

# Words that mean the same in column names of different houses and languages; the first of a line stands for all.
SYNONYMS = (
    "id no nr num number key identifier ref nummer numero", "name title", "date day dt on datum fecha am",
    "at time ts timestamp datetime", "start begin starts hired hire joined since from onboarded von beginn eintritt",
    "end until ends left to leaving bis ende austritt", "person worker employee staff people mitarbeiter personal",
    "client customer account kunde kunden", "amount amt value sum total betrag montant importe",
    "salary pay wage gehalt", "currency ccy curr waehrung devise moneda", "country nation land pays pais",
    "email mail", "phone telephone mobile tel telefon", "given first fore forename",
    "family last surname sur lastname", "status state stat", "type kind class category", "birth dob born birthday",
    "postcode zip postal plz", "quantity qty count", "code cd", "price rate", "organisation org",
    "description descr desc beschreibung bezeichnung", "invoice bill billing rechnung", "created inserted",
    "updated modified changed upd geaendert", "deleted removed gone geloescht", "tenant mandant mandanten",
    "city town ort ville ciudad", "street strasse rue calle",
)  # fmt: skip
# Words that say in one what English says in two.
WHOLE = {
    "vorname": ("given", "name"), "prenom": ("given", "name"), "nombre": ("given", "name"),
    "nachname": ("family", "name"), "nom": ("family", "name"), "apellido": ("family", "name"),
    "apellidos": ("family", "name"), "geburtsdatum": ("birth", "date"), "geburtstag": ("birth", "date"),
}  # fmt: skip
TAILS, HEAD_MIN = ("nummer", "datum", "betrag", "name", "nr"), 3  # a German word may be two: rechnungs-datum
JOINTS = ("", "s", "n", "en")  # what joins them
MEANS = {word: line.split()[0] for line in SYNONYMS for word in line.split()}
WEAK, WEAK_WEIGHT = frozenset({"id", "code", "name", "date", "at", "type"}), 0.4
SAME, MEANT, ALIKE = 1.0, 0.95, 0.6  # of a name that is the same, means the same, looks alike
MEANT_MIN, ALIKE_MIN = 0.9, 0.5


def name_likeness(one: str, other: str) -> tuple[float, str]:
    """0 to 1, and in words."""
    if one == other:
        return SAME, "same name"
    a, b = _meanings(one), _meanings(other)
    shared = 2 * _weight(a & b) / (_weight(a) + _weight(b)) if a and b else 0.0
    if shared >= MEANT_MIN:
        return MEANT, "names mean the same"
    matcher = difflib.SequenceMatcher(None, _strong(one), _strong(other))
    looks = matcher.ratio() * ALIKE if matcher.real_quick_ratio() * ALIKE > shared * MEANT else 0.0
    likeness = max(shared * MEANT, looks)
    return likeness, "names are alike" if likeness >= ALIKE_MIN else "names differ"


@cache
def words_of(name: str) -> tuple[str, ...]:
    return tuple(part for word in re.split(r"[_\d]+", name.lower()) if word for part in _parts(word))


def _parts(word: str) -> tuple[str, ...]:
    """The words of which one is made: rechnungsdatum is an invoice's date."""
    if word in MEANS or word in WHOLE:
        return WHOLE.get(word, (word,))
    tail = next((tail for tail in TAILS if word.endswith(tail) and len(word) >= len(tail) + HEAD_MIN), "")
    if not tail:
        return (word,)
    head = word.removesuffix(tail)
    known = (head.removesuffix(joint) for joint in JOINTS if head.removesuffix(joint) in MEANS)
    return next(known, head), tail


@cache
def english(name: str) -> tuple[str, ...]:
    """The words of a name, each as the one that stands for all of its meaning."""
    return tuple(MEANS.get(word, word) for word in words_of(name))


@cache
def _meanings(name: str) -> frozenset[str]:
    return frozenset(english(name))


def _weight(words: frozenset[str]) -> float:
    """Half the columns of the world end in _code or _id: such a word says little."""
    return sum(WEAK_WEIGHT if word in WEAK else 1 for word in words)


@cache
def _strong(name: str) -> str:
    """The name without its weak words, where anything is left."""
    strong = [word for word in words_of(name) if MEANS.get(word, word) not in WEAK]
    return "_".join(strong or words_of(name))
