"""The first draft of a job: a manifest and a mapping made from two tables, for a person to finish.

What follows from the catalogs is written; what only people know (who answers, what is promised, whose rows they are)
is left empty where it belongs, so that `syncline check` stops at that line. Every `# DECIDE:` says what to choose from.
The same catalogs and samples give the same text. No value of a row is written, but what bridging.py lets out: codes
of columns that hold codes and are about no person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import yaml
from pydantic import ValidationError

from syncline.core.catalogs.bridging import why_none
from syncline.core.catalogs.naming import english, name_likeness
from syncline.core.catalogs.pairing import Pair, Sample, propose, suggested
from syncline.core.catalogs.tables import Column, Table
from syncline.core.files.open_decisions import DECIDE
from syncline.core.mapping import PII, RESERVED, FieldMap
from syncline.core.mapping import Mapping as MappingDocument
from syncline.core.models import NAME
from syncline.core.references import References
from syncline.core.sensitive import SPECIAL, personal_class
from syncline.core.types import PgType

MODELINE = "# yaml-language-server: $schema=../schemas/{kind}.schema.json"
WORDS_OF_YAML = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
CURSORS = ("updated_at", "modified_at", "changed_at", "last_modified", "last_update", "updated_on")
FLAGS = ("is_deleted", "deleted", "is_removed", "is_gone", "is_active_deleted")
VERSIONS = ("source_event_at", "source_updated_at", "source_version_at")
BATCHES, LOADED = ("sync_batch_id", "sync_batch", "batch_id"), ("loaded_at", "load_time", "synced_at")
TENANTS = ("tenant_id", "tenant", "org_id", "organisation_id", "company_id", "client_id", "account_id")
NAMES_WHOLE = frozenset({"full_name", "name", "display_name", "fullname"})
GIVEN = ("given_name", "first_name", "forename", "vorname", "prenom", "nombre")
FAMILY = ("family_name", "last_name", "surname", "nachname", "nom", "apellido", "apellidos")
KEY_ALIKE_MIN = 0.75  # from here on two key columns are taken for the same, and the last one of each side is left
STORED = ("table", "partitioned table")


@dataclass(frozen=True)
class Side:
    """One end of the job: where it is, what its catalog says, and a sample."""

    connection: str
    table: Table
    sample: Sample = field(default_factory=Sample)


@dataclass(frozen=True)
class Draft:
    """Both files, and what they leave to a person, as `file:line: question`."""

    job_id: str
    manifest: str
    mapping: str

    @property
    def files(self) -> dict[str, str]:
        """Path below the project's root -> text."""
        return {
            f"include/manifests/{self.job_id}.yaml": self.manifest,
            f"include/mappings/{self.job_id}.yaml": self.mapping,
        }

    @property
    def decisions(self) -> list[str]:
        return [
            f"{path}:{number}: {line.partition(DECIDE)[2].strip()}"
            for path, text in self.files.items()
            for number, line in enumerate(text.splitlines(), start=1)
            if DECIDE in line
        ]


@dataclass(frozen=True)
class _Duties:
    """Columns that have a duty beside being copied."""

    source_key: tuple[str, ...]
    target_key: tuple[str, ...]
    cursor: str | None
    flag: str | None  # of deleted rows, in the source
    version: str | None
    batch: str | None
    loaded_at: str | None
    gone: str | None  # of deleted rows, in the target
    tenant: str | None  # a column of the target's key that looks like one

    @property
    def by_loader(self) -> set[str | None]:
        return {self.batch, self.loaded_at, self.gone}


@dataclass(frozen=True)
class Surroundings:
    """What the project offers to a mapping.

    Attributes:
        references: Where words find code lists and calendars; None: nowhere.
        lists: Code lists without periods -> their codes and counterparts.
    """

    references: References | None = None
    lists: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def draft(job_id: str, source: Side, target: Side, around: Surroundings | None = None) -> Draft:
    """Draft a job from one table to another."""
    duties = _duties(source.table, target.table)
    mapping = _MappingText(source, target, duties, around or Surroundings())
    return Draft(job_id, _Manifest(job_id, source, target, duties, mapping.pairs).text(), mapping.text())


def _duties(source: Table, target: Table) -> _Duties:
    cursor = _called(source, CURSORS, "timestamptz") if source.kind in STORED else None
    flag, gone = _called(source, FLAGS, "boolean"), _called(target, FLAGS, "boolean")
    source_key, target_key = _plain_key(source), _plain_key(target, is_written=True)
    version = _called(target, VERSIONS, "timestamptz") if cursor else None
    return _Duties(
        source_key=source_key,
        target_key=target_key,
        cursor=cursor,
        flag=flag,
        version=version,
        batch=_called(target, BATCHES, "bigint"),
        loaded_at=_called(target, LOADED, "timestamptz"),
        gone=gone if flag else None,
        tenant=_tenant(target_key),
    )


def _tenant(key: tuple[str, ...]) -> str | None:
    """The column of a key that looks like the tenant's. A client in the last place is the row itself."""
    owning = [name for name in TENANTS if name in key[:-1]]
    plain = [name for name in key if "tenant" in english(name)] if len(key) > 1 else []
    return next(iter([*plain, *owning]), None)


def _called(table: Table, names: Iterable[str], kind: str) -> str | None:
    return next(
        (name for name in names if name in table.columns and table.columns[name].type == PgType(kind)),
        None,
    )


def _plain_key(table: Table, *, is_written: bool = False) -> tuple[str, ...]:
    """The primary key, or else the smallest key of columns that are never NULL; () where no key can be named.

    Args:
        is_written: Of a target: PostgreSQL must let us fill each of its columns.
    """
    keys = [key for key in table.keys if all(NAME.fullmatch(name) for name in key)]
    whole = [key for key in keys if not any(table.columns[name].is_nullable for name in key)]
    if is_written:
        whole = [key for key in whole if not any(_is_never_ours(table.columns[name]) for name in key)]
    known = [key for key in whole if all(table.columns[name].type is not None for name in key)]
    if table.primary_key in (known or whole):
        return table.primary_key
    return min(known or whole, key=lambda key: (len(key), key), default=())


def _is_never_ours(column: Column) -> bool:
    """Whether PostgreSQL fills the column and refuses what anybody else gives."""
    return column.is_generated or column.identity == "always"


def _word(name: str) -> str:
    """A column's name as a YAML value."""
    return f'"{name}"' if name in WORDS_OF_YAML else name


def _list(names: Iterable[str]) -> str:
    return f"[{', '.join(map(_word, names))}]"


class _Manifest:
    """The text of the manifest."""

    def __init__(self, job_id: str, source: Side, target: Side, duties: _Duties, pairs: dict[str, Pair]) -> None:
        self.job_id, self.source, self.target, self.duties = job_id, source, target, duties
        self.pairs = pairs

    def text(self) -> str:
        entity = self.job_id.split("__")[2].replace("_", " ")
        said = f"{entity} of {self.source.connection} as {self.target.table.name} of {self.target.connection}"
        lines = [
            MODELINE.format(kind="manifest"),
            f"# A draft from {self.source.table.name} and {self.target.table.name}; see docs/adding_a_sync.md.",
            "version: 1.0.0",
            f"description: {said}",
            f"domain: {_domain(self.source)}  {DECIDE} the domain of the business, as your other manifests name it",
            f"criticality:  {DECIDE} critical, high, medium or low",
            f"owner:  {DECIDE} a team, the person on call, the one whose data it is; a mail address or a role",
            "  team:",
            "  oncall:",
            "  business:",
            *self._tenancy(),
            f'schedule: {{cron: "15 3 * * *", timezone: UTC}}  {DECIDE} when is the source quiet, and the target too?',
            f"sla:  {DECIDE} seconds from a change in the source to its publication, promised to readers",
            "  latency_p50_s_max:",
            "  latency_p99_s_max:",
            *self._source(),
            *self._target(),
            f"mapping: {self.job_id}",
            "reconcile: {mismatch_ratio_max: 0.001, on_breach: hold}",
            "errors: {rejected_ratio_max: 0.01, severity: ticket}",
        ]
        return "\n".join(lines) + "\n"

    def _tenancy(self) -> Iterator[str]:
        tenant = self.duties.tenant
        column = f"{{column: {tenant}}}" if tenant else "{column: <a column of target.key>}"
        yield f'tenancy:  {DECIDE} {column}, or {{none: "<why no tenant owns these rows>"}}'

    def _source(self) -> Iterator[str]:
        table, duties = self.source.table, self.duties
        yield "source:"
        yield f"  connection: {self.source.connection}"
        yield f"  table: {table.name}"
        yield from _key_lines(duties.source_key, table)
        yield from _unknown_keys(duties.source_key, table)
        if duties.cursor:
            yield f"  cursor: {duties.cursor}"
            if table.columns[duties.cursor].is_nullable or not table.is_indexed(duties.cursor):
                yield f"  {DECIDE} {duties.cursor} may be NULL or has no index: see `syncline check --connect`"
        else:
            yield self._cursor_asked()
        if duties.tenant:
            pair = self.pairs.get(duties.tenant)
            which = _word(pair.source) if pair else "<a column of source.key>"
            yield f"  # tenant: {which}  {DECIDE} with tenancy {{column: {duties.tenant}}}, say this too"
        if duties.flag:
            yield f"  deleted: {duties.flag}"

    def _cursor_asked(self) -> str:
        """A column that may be the cursor is proposed and not taken: one that some change leaves alone loses rows."""
        table = self.source.table
        instants = [
            column.name
            for column in table.columns.values()
            if column.type is not None
            and column.type.name == "timestamptz"
            and not column.is_nullable
            and NAME.fullmatch(column.name)
        ]
        if not instants or table.kind not in STORED:
            return f"  {DECIDE} no timestamptz column says when a row changed: every batch reads the whole table"
        first, *others = sorted(instants, key=lambda name: "updated" not in english(name))
        asked = "is it set by every change" + (f", or is {' or '.join(others)}" if others else "")
        return f"  # cursor: {_word(first)}  {DECIDE} {asked}? Without a cursor every batch reads the whole table"

    def _target(self) -> Iterator[str]:
        table, duties = self.target.table, self.duties
        yield "target:"
        yield f"  connection: {self.target.connection}"
        yield f"  table: {table.name}"
        yield from _key_lines(duties.target_key, table)
        yield from _unknown_keys(duties.target_key, table)
        yield from _identity_keys(duties.target_key, table)
        if duties.source_key and duties.target_key and len(duties.source_key) != len(duties.target_key):
            keys = f"{_list(duties.source_key)} is read, {_list(duties.target_key)} kept"
            yield f"  {DECIDE} both keys must carry the same: {keys}"
        yield "  write: upsert"
        if duties.flag and duties.gone:
            yield "  on_delete: soft"
            yield f"  deleted: {duties.gone}"
        elif duties.flag:
            yield f"  on_delete: ignore  {DECIDE} what becomes of deleted rows? hard removes them, ignore keeps them"
        if duties.version:
            yield f"  version: {duties.version}"
        stamps = {"batch": duties.batch, "loaded_at": duties.loaded_at}
        if said := ", ".join(f"{name}: {column}" for name, column in stamps.items() if column):
            yield f"  stamps: {{{said}}}"


def _domain(source: Side) -> str:
    return _word(source.connection)


def _key_lines(key: tuple[str, ...], table: Table) -> Iterator[str]:
    if key:
        yield f"  key: {_list(key)}"
    else:
        yield "  key: []"
        yield f"  {DECIDE} {table.name} has no primary key and no unique index of NOT NULL columns{_of_ours(table)}"


def _of_ours(table: Table) -> str:
    """The end of that sentence; where PostgreSQL fills the key itself, that has been said."""
    return " that may be filled" if any(map(_is_never_ours, _key_columns(table))) else "; what is its key?"


def _key_columns(table: Table) -> list[Column]:
    return [table.columns[name] for name in dict.fromkeys(name for key in table.keys for name in key)]


def _unknown_keys(key: tuple[str, ...], table: Table) -> Iterator[str]:
    for column in (table.columns[name] for name in key):
        if column.type is None:
            said = f"key column {column.name} is {column.spelling}, a type that mappings do not know; decide a key"
            yield f"  {DECIDE} {said}: another one, or a view that has it as text"


def _identity_keys(key: tuple[str, ...], table: Table) -> Iterator[str]:
    """Columns of a target's keys that PostgreSQL fills by itself."""
    for column in _key_columns(table):
        how = "generated always as identity" if column.identity == "always" else "a generated column"
        if _is_never_ours(column):
            instead = (
                f"the business key {_list(key)} is proposed" if key else "have the owner add one of the business key"
            )
            said = f"{column.name} is {how}: PostgreSQL refuses our values, so it cannot be a sync key"
            yield f"  {DECIDE} {said}; {instead}"
        elif column.identity == "by default" and column.name in key:
            said = f"{column.name} is generated by default as identity: it may be filled from the source's key"
            yield f"  {DECIDE} {said}, if nobody else inserts rows (its sequence would give the same numbers)?"


class _MappingText:
    """The text of the mapping."""

    def __init__(self, source: Side, target: Side, duties: _Duties, around: Surroundings) -> None:
        self.source, self.target, self.duties, self.around = source, target, duties, around
        self.readable = [c for c in source.table.columns.values() if NAME.fullmatch(c.name) and c.type is not None]
        self.read: set[str] = set()
        self.suggested: set[str] = set()  # for columns without a pair
        self.pairs = self._pairs()

    def text(self) -> str:
        fields = [line for column in self.target.table.columns.values() for line in self._field(column)]
        declared = [
            f"  {'' if column.name in self.read else '# '}{_word(column.name)}: {_declared(column)}"
            for column in self.readable
            if column.name in self.read | self.suggested
        ]
        lines = [
            MODELINE.format(kind="mapping"),
            "# Above each field: how sure the draft is, and why. Take a line away once a person has looked.",
            "version: 1.0.0",
            f"description: {self.source.table.name} as {self.target.table.name}",
            *self._samples(),
            "source:",
            *declared,
            "fields:",
            *fields,
            *self._left_over(),
        ]
        return "\n".join(lines) + "\n"

    def _pairs(self) -> dict[str, Pair]:
        wanted = [column for column in self.target.table.columns.values() if self._is_ours(column)]
        duties = self.duties
        fixed: dict[str, tuple[str, str]] = {}
        if duties.version and duties.cursor:
            fixed[duties.version] = (duties.cursor, "the cursor orders versions")
        if not duties.source_key or not duties.target_key:
            return propose(
                self.readable, wanted, self.source.sample, self.target.sample, fixed=fixed, lists=self.around.lists
            )
        keys = propose(
            [column for column in self.readable if column.name in duties.source_key],
            [column for column in wanted if column.name in duties.target_key],
            self.source.sample, self.target.sample, fixed=self._last_of_key(),
        )  # fmt: skip
        fixed |= {name: (pair.source, "key to key") for name, pair in keys.items() if not pair.bridge.steps}
        free = [column for column in wanted if column.name not in duties.target_key or column.name in fixed]
        return propose(
            self.readable, free, self.source.sample, self.target.sample, fixed=fixed, lists=self.around.lists
        )

    def _last_of_key(self) -> dict[str, tuple[str, str]]:
        """Where the keys agree but for one column each, these two are the same, whatever they are called."""
        readable = {column.name for column in self.readable}
        source, target = list(self.duties.source_key), list(self.duties.target_key)
        if not readable.issuperset(source):
            return {}
        alike = [(name_likeness(one, other)[0], one, other) for one in source for other in target]
        for likeness, one, other in sorted(alike, reverse=True):
            if likeness >= KEY_ALIKE_MIN and one in source and other in target:
                source.remove(one)
                target.remove(other)
        return {target[0]: (source[0], "key to key")} if len(source) == len(target) == 1 else {}

    def _is_ours(self, column: Column) -> bool:
        """Whether a field may fill the column."""
        is_key = column.name in self.duties.target_key
        is_writable = column.type is not None and not (column.is_generated or (column.identity and not is_key))
        return is_writable and not _impossible(column) and column.name not in self.duties.by_loader

    def _samples(self) -> Iterator[str]:
        for name, side in (("source", self.source), ("target", self.target)):
            if side.sample.why_none:
                yield f"# No values of the {name} were compared: {side.sample.why_none}."

    def _field(self, column: Column) -> Iterator[str]:
        if column.name in self.duties.by_loader:
            return
        is_owed = not (column.is_nullable or column.has_default or column.is_generated or column.identity)
        if said := _impossible(column):
            yield f"  # impossible: {said}" if not is_owed else _impossible_and_owed(said)
        elif not self._is_ours(column):
            return
        elif written := self._written(column):
            yield from written
        elif is_owed or column.name in self.duties.target_key:
            yield from self._owed(column)
        elif said := self._dropped(column):
            yield f"  {DECIDE} {column.name} is on both sides and not drafted: {said}"

    def _written(self, column: Column) -> list[str]:
        """Its comments and its line; [] where nothing is proposed, or where the proposal would not pass the check."""
        proposed = self._proposed(column)
        if proposed is None:
            return []
        kind = _declared(column)
        required = [] if column.is_nullable else ["required"]
        parts = [proposed.begins, f"type: {_type(kind)}"]
        parts += [f"steps: [{', '.join(proposed.steps)}]"] if proposed.steps else []
        parts += [f"checks: [{', '.join([*required, *proposed.checks])}]"] if required or proposed.checks else []
        decide = list(proposed.decide)
        if personal := self._personal(column, proposed.reads):
            parts.append(f"pii: {personal}")
            decide.append(_pii_asked(personal))
        line = f"{{{', '.join(parts)}}}"
        if refused := self._refused(column.name, line, proposed.reads):
            return [f"  {DECIDE} {column.name}: {line} would be refused: {refused}"] if refused != UNSAID else []
        self.read |= set(proposed.reads)
        questions = [f"{DECIDE} {question}" for question in decide]
        return [f"  {said}" for said in (proposed.comment, *questions, f"{_word(column.name)}: {line}")]

    def _proposed(self, column: Column) -> _Proposed | None:
        pair, whole = self.pairs.get(column.name), self._whole_name(column)
        if whole and (pair is None or not pair.is_trusted):
            asked = ("given name first, one space between?", *self._too_long(whole, column))
            begins = f"concat: {{columns: {_list(whole)}}}"
            return _Proposed(whole, begins, ("trim",), (), "# 0.80: parts of a name", asked)
        if pair is None:
            return None
        decide = pair.bridge.decide
        if not pair.is_trusted:
            others = [name for name in self._candidates(column) if name != pair.source]
            decide = (f"is {pair.source} meant, or {' or '.join(others) or 'nothing'}?", *decide)
        return _Proposed(
            [pair.source, *pair.bridge.reads], f"from: {_word(pair.source)}", pair.bridge.steps, pair.bridge.checks,
            f"# {pair.confidence:.2f}: {pair.reason}", decide,
        )  # fmt: skip

    def _too_long(self, parts: list[str], column: Column) -> list[str]:
        """What the sample says of parts of a name that are joined."""
        rows = list(zip(*(self.source.sample.values.get(name, ()) for name in parts), strict=False))
        limit = column.type.length if column.type is not None else None
        joined = [" ".join(part for part in row if part) for row in rows]
        long = sum(limit is not None and len(name) > limit for name in joined)
        return [f"{long} of {len(joined)} sampled names do not fit {column.type} and would be rejected"] if long else []

    def _refused(self, name: str, line: str, reads: list[str]) -> str:
        """Why the check of a mapping would not take the line, '' where it would: the language has the last word."""
        types = {column.name: _declared(column) for column in self.readable}
        try:
            trial_field = FieldMap.model_validate(yaml.safe_load(line), context=self.around.references)
        except ValidationError as error:
            missing = [told["msg"] for told in error.errors(include_input=False) if told["type"] == "M17"]
            return missing[0] if missing else UNSAID
        trial = MappingDocument(version="1.0.0", source={one: types[one] for one in reads}, fields={name: trial_field})
        return UNSAID if trial.faults() else ""

    def _whole_name(self, column: Column) -> list[str]:
        """The columns of a given and a family name, for a column that holds a whole one."""
        names = {one.name for one in self.readable}
        given, family = (next((n for n in parts if n in names), None) for parts in (GIVEN, FAMILY))
        is_whole = column.name in NAMES_WHOLE or column.name.endswith("_account_name")
        return [given, family] if is_whole and given and family and column.type and column.type.family == "text" else []

    def _personal(self, column: Column, reads: list[str]) -> str:
        """The class of personal data that the names say, SPECIAL too; '' for none."""
        names = [said for name in (column.name, *reads) for said in (name, "_".join(english(name)))]
        classes = [kind for name in names if (kind := personal_class(name))]
        words = {word for name in names for word in name.split("_")}
        is_pay = column.type is not None and column.type.family == "number" and bool(words & {"salary", "wage"})
        if SPECIAL in classes:
            return SPECIAL
        if column.name in NAMES_WHOLE - {"name"} or (classes and column.name.endswith("name")):
            return "name"
        return classes[0] if classes else "financial" if is_pay else ""

    def _dropped(self, column: Column) -> str:
        """Why a source column of the same name is not read."""
        source = self.source.table.columns.get(column.name)
        is_paired = column.name in self.pairs or any(pair.source == column.name for pair in self.pairs.values())
        if source is None or is_paired or source.name in (self.duties.cursor, self.duties.flag):
            return ""
        return why_none(source, column)

    def _owed(self, column: Column) -> Iterator[str]:
        """A column that must have a value, and for which nothing can be proposed."""
        name, kind = _word(column.name), _type(_declared(column))
        near = self._candidates(column)
        self.suggested |= set(near)
        owed = f"{column.name} ({column.shown}) is NOT NULL without a default"
        if dropped := self._dropped(column):
            owed += f"; the source's {column.name} is not drafted: {dropped}"
        if near:
            yield f"  {DECIDE} {owed}. From one of: {', '.join(near)}?"
        else:
            yield f"  {DECIDE} {owed}, and nothing in the source fits it. A constant, or a view that has it?"
        yield f"  # {name}: {{from: ..., type: {kind}, checks: [required]}}"

    def _candidates(self, column: Column) -> list[str]:
        """The source columns that a person should look at first; for a key's column those of the key alone."""
        key = self.duties.source_key if column.name in self.duties.target_key else ()
        taken = {pair.source for name, pair in self.pairs.items() if key and name != column.name}
        sources = [one for one in self.readable if not key or (one.name in key and one.name not in taken)]
        return suggested(sources, column, self.source.sample)

    def _left_over(self) -> Iterator[str]:
        """What the draft leaves out, so that nobody has to look for it."""
        columns = self.source.table.columns.values()
        known = self.read | {self.duties.flag}
        unread = [column.name for column in self.readable if column.name not in known]
        filled = {*self.pairs, *self.duties.by_loader}
        unfilled = [
            column.name
            for column in self.target.table.columns.values()
            if column.name not in filled and not _impossible(column) and (column.is_nullable or column.has_default)
            and not self._dropped(column)
            and not column.is_generated and not column.identity
        ]  # fmt: skip
        if unread:
            yield f"# Not read: {', '.join(unread)}"
        if unfilled:
            yield f"# Not filled, and it need not be: {', '.join(unfilled)}"
        for column in columns:
            if said := _impossible(column):
                yield f"# Cannot be read: {said}"


UNSAID = "the check would refuse it"


@dataclass(frozen=True)
class _Proposed:
    """What the draft says of one field, before the check has seen it."""

    reads: list[str]
    begins: str
    steps: tuple[str, ...]
    checks: tuple[str, ...]
    comment: str
    decide: tuple[str, ...]


def _pii_asked(personal: str) -> str:
    if personal == SPECIAL:
        return "looks like a special category of personal data: may it be copied at all?"
    return f"pii: {', '.join(PII)}?"


def _impossible_and_owed(said: str) -> str:
    return f"  {DECIDE} impossible: {said}. It is NOT NULL without a default: every new row would be refused"


def _impossible(column: Column) -> str:
    """Why no mapping can name the column; '' where one can."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in column.name)
    if not NAME.fullmatch(column.name):
        return f'column "{shown}": mappings name columns in a-z, 0-9 and _; have a view or the table rename it'
    if column.name in RESERVED:
        return f"column {column.name}: the name is taken by Syncline; have a view or the table rename it"
    if column.type is None:
        return f"column {column.name} is {column.spelling}, a type that mappings do not know"
    return ""


def _declared(column: Column) -> str:
    """The type as the mapping declares it."""
    return "text" if column.values is not None or column.ignores_case or column.type is None else str(column.type)


def _type(kind: str) -> str:
    """A type inside braces: a comma would end it."""
    return f'"{kind}"' if "," in kind or "[" in kind else kind
