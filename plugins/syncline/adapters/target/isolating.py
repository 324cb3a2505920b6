"""Find the rows that a target refuses, and load all others: when a load was refused because of a row's value.

A server names the constraint, not the row, and a row must not be blamed for the company it came in. So the staged rows
are written part by part under savepoints, quartered where a part is refused, and a row that is refused alone gets
another try once all others stand. The rule stands in docs/errors_sql.md, "Which rows are blamed".

Nothing of this runs in a load that nobody refuses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import combinations

import psycopg
from psycopg import sql

from syncline.adapters.failpoints import failpoint
from syncline.adapters.failures import classify
from syncline.adapters.target.loading import Loading
from syncline.adapters.target.session import listed, s
from syncline.adapters.target.staging import Staging
from syncline.core.compile import REJECT
from syncline.core.errors import RowRefused, TerminalError, TooManyRefused
from syncline.core.values import Balance

REFUSED_MAX = 1_000  # single rows; more of them are no dirt, and each costs some 25 statements
TRIES_MAX = 60_000  # parts: some minutes; rows that need each other in a long chain
PARTS = 4  # as many tries for each row as with 2, and half as many in which large parts are written in vain
PAIRS_OF = 32  # rows set aside of which all pairs are tried: 496; of more, those that one constraint refuses
# Constraints and unique indexes of one column: which column is to blame.
COLUMNS = """
    select named.name, min(a.attname)
    from (
        select conname, conrelid, conkey from pg_constraint where conrelid = to_regclass(%(table)s)
        union all
        select relname, indrelid, indkey::smallint[] from pg_index join pg_class on pg_class.oid = indexrelid
        where indrelid = to_regclass(%(table)s)
    ) as named (name, relation, columns)
    join pg_attribute as a on a.attrelid = named.relation and a.attnum = any(named.columns)
    where cardinality(named.columns) = 1
    group by 1
"""
PLACE = "0place"  # of a staged row, in a part of the staging table
log = logging.getLogger(__name__)


@dataclass
class _Sorting:
    """How far the sorting has come: what the accepted rows became, and the rows set aside with the reason."""

    loaded_at: datetime
    accepted: Balance = field(default_factory=Balance)
    refused: dict[int, RowRefused] = field(default_factory=dict)
    tries: int = 0


class Isolating(Staging, Loading):
    """Load all rows but those that are refused by themselves."""

    def load_apart(
        self,
        tenants: Iterable[str],
        *,
        loaded_at: datetime,
        before_commit: Callable[[Balance], None],
    ) -> Balance:
        """Load the staging table but for the rows that the target refuses, which become rejects in it.

        Args:
            before_commit: Sees the outcomes, and the rejects in the staging table, before COMMIT; may raise.

        Raises:
            TooManyRefused: More rows than can be told one by one; nothing was written.
            TerminalError: The statements are refused even without a row; nothing was written.
        """
        tenants = list(tenants)
        try:
            return self._load_apart(tenants, loaded_at, before_commit, in_parts=False)
        except RowRefused:  # what is left passes only in the order in which its parts were found to pass
            return self._load_apart(tenants, loaded_at, before_commit, in_parts=True)

    def _load_apart(
        self, tenants: list[str], loaded_at: datetime, before_commit: Callable[[Balance], None], *, in_parts: bool
    ) -> Balance:
        """Find the refused rows, then write the others at once; or keep them as they were written part by part.

        At once is better: rows that are written under a savepoint bear its own transaction id, by which a later batch
        does not know them as written by this job (`_is_by_another`).
        """
        is_kept = in_parts and not self.batch.is_dry_run
        with self._transaction("loading what is not refused"):
            if (earlier := self._begin(tenants)) is not None:
                return earlier
            rows = self._number_rows()
            self._act_as_tenant()
            sorting = _Sorting(loaded_at)
            with self._session.transaction(force_rollback=not is_kept):
                self._remove_first(sorting)
                self._sort_out(rows, sorting)
                self._require_rows_to_blame(sorting)
            columns: dict[str, str] = dict(self._session.execute(COLUMNS, {"table": self.job.target.table}).fetchall())
            self._session.execute("reset role")
            self._reject(sorting.refused, columns)
            if not is_kept and not self.batch.is_dry_run:
                self._write_at_once(sorting)
            if not self.batch.is_dry_run:
                self._agree()
                self._mark(sorting.accepted)
            failpoint("load.before_commit")
            before_commit(sorting.accepted)
        return sorting.accepted

    def _remove_first(self, sorting: _Sorting) -> None:
        """Rows that the source no longer has are in no staging table: one that is refused cannot become a reject."""
        removed = self._tried(lambda: self._remove_absent(sorting.loaded_at))
        if isinstance(removed, RowRefused):
            raise TerminalError(f"{removed}. Rows that the source no longer has cannot be removed: ask who needs them")
        sorting.accepted = removed

    def _written(self, judged: Balance, sorting: _Sorting) -> Balance:
        self._write(judged, sorting.loaded_at)
        return judged

    def _write_at_once(self, sorting: _Sorting) -> None:
        """Write what is not rejected as a load does."""
        self._become_tenant()
        self._session.execute("set constraints all deferred")
        judged = self._judge()
        sorting.accepted = self._remove_absent(sorting.loaded_at).merged(judged)
        self._write(judged, sorting.loaded_at)
        self._session.execute("set constraints all immediate")
        self._session.execute("reset role")

    def _number_rows(self) -> range:
        """Number the rows that are to be loaded by their key: what is blamed must not hang on the order of arrival."""
        self._session.execute("create temp table apart (n integer, place tid, said text) on commit drop")
        numbered = self._session.execute(
            sql.SQL(
                "insert into apart select row_number() over (order by {key}), s.ctid from {staged} as s"
                " where {reject} is null"
            ).format(key=listed(s(name) for name in self.job.target.key), staged=self._staged, reject=s(REJECT))
        ).rowcount
        self._session.execute("alter table apart add primary key (n)")
        self._session.execute("analyze apart")
        self._session.execute(sql.SQL("grant select on apart to {}").format(sql.Identifier(self.job.target.role)))
        return range(1, numbered + 1)

    def _sort_out(self, rows: range, sorting: _Sorting) -> None:
        """Write all rows that can be written, in whatever order and company they need."""
        self._split(rows, sorting)
        has_moved = bool(sorting.refused)
        while has_moved:
            # Backwards every other time: in a chain each row may need the next one.
            waiting = list(sorting.refused)[::-1]
            sorting.refused = {}
            self._split(waiting, sorting)
            has_moved = len(sorting.refused) < len(waiting) or any(
                self._accepts(company, sorting) for company in _companies(sorting.refused)
            )

    def _split(self, rows: Sequence[int], sorting: _Sorting) -> None:
        """Write the rows in as large parts as are taken; a row that is refused alone is set aside."""
        if not rows:
            return
        refused = self._write_part(rows, sorting)
        if refused is None:
            return
        if len(rows) > 1:
            part = -(-len(rows) // PARTS)
            for start in range(0, len(rows), part):
                self._split(rows[start : start + part], sorting)
            return
        sorting.refused[rows[0]] = refused
        if len(sorting.refused) > REFUSED_MAX or sorting.tries > TRIES_MAX:
            raise TooManyRefused(self.job.id, self.batch.batch_id, len(sorting.refused), refused.by)

    def _accepts(self, rows: Sequence[int], sorting: _Sorting) -> bool:
        """Whether rows that were set aside pass in this company."""
        if self._write_part(rows, sorting) is not None:
            return False
        for n in rows:
            del sorting.refused[n]
        return True

    def _write_part(self, rows: Sequence[int], sorting: _Sorting) -> RowRefused | None:
        """Write some rows upon what is written already; None where they are taken, else why not."""

        sorting.tries += 1
        with self._only(rows):
            done = self._tried(lambda: self._written(self._judge(), sorting))
        if isinstance(done, RowRefused):
            return done
        sorting.accepted = sorting.accepted.merged(done)
        return None

    def _tried(self, write: Callable[[], Balance]) -> Balance | RowRefused:
        """Do it under a savepoint. Constraints that can be put off are looked at once, after all of it."""
        try:
            with self._session.transaction():
                self._session.execute("set constraints all deferred")
                done = write()
                self._session.execute("set constraints all immediate")
            return done
        except psycopg.Error as error:
            refused = classify(error, self._doing("loading"))
            if not isinstance(refused, RowRefused):
                raise
            return refused

    @contextmanager
    def _only(self, rows: Sequence[int]) -> Iterator[None]:
        """Let the statements of a load see these rows of the staging table and no others."""
        numbers = (
            sql.SQL("between {} and {}").format(sql.Literal(rows[0]), sql.Literal(rows[-1]))
            if isinstance(rows, range) and rows
            else sql.SQL("= any({}::integer[])").format(sql.Literal(list(rows)))
        )
        whole, place = self._staged, self._place
        self._place = sql.Identifier("s", PLACE)
        self._staged = sql.SQL(
            "(select s.*, s.ctid as {} from {} as s join apart on apart.place = s.ctid where apart.n {})"
        ).format(sql.Identifier(PLACE), whole, numbers)
        try:
            yield
        finally:
            self._staged, self._place = whole, place

    def _require_rows_to_blame(self, sorting: _Sorting) -> None:
        """A kind of statement that is refused even without a row, by a trigger of the statement, is no row's fault."""
        with self._only(list(sorting.refused)):
            owed = self._tried(self._judge)
        if isinstance(owed, RowRefused):  # its value cannot even be compared
            return
        by = {refused.by for refused in sorting.refused.values()}
        written = sorting.accepted.total
        kinds = (
            (self._delete, owed.total.deleted_rows, written.deleted_rows),
            (self._update, owed.total.updated_rows, written.updated_rows),
            (self._insert, owed.total.inserted_rows, written.inserted_rows),
        )
        with self._only(()):
            for compose, refused_rows, written_rows in kinds:
                if written_rows or not refused_rows:
                    continue
                refused = self._tried(partial(self._write_nothing, compose(sorting.loaded_at)))
                if isinstance(refused, RowRefused) and refused.by in by:
                    raise TerminalError(f"{refused}. It is refused even without a row, so no row is to blame")

    def _write_nothing(self, statement: sql.Composed) -> Balance:
        self._session.execute(statement)
        return Balance()

    def _reject(self, refused: dict[int, RowRefused], columns: dict[str, str]) -> None:
        """Make rejects of the refused rows in the staging table."""
        said = [f"{why.column or columns.get(why.by, '')}:{why.code}:{why.by}" for why in refused.values()]
        self._session.execute(
            "update apart set said = refused.said from unnest(%s::integer[], %s::text[]) as refused (n, said)"
            " where apart.n = refused.n",
            [list(refused), said],
        )
        self._session.execute(
            sql.SQL(
                "update {staged} as s set {rejects} = {rejected} from apart"
                " where apart.place = s.ctid and apart.said is not null"
            ).format(
                staged=self._staged,
                rejects=sql.Identifier(REJECT),
                rejected=self._rejected(sql.Identifier("apart", "said")),
            )
        )
        log.warning(
            "rows refused by the target job=%s batch=%d refused_rows=%d reasons=%s",
            self.job.id,
            self.batch.batch_id,
            len(refused),
            ", ".join(sorted(set(said))[:5]),
        )


def _companies(refused: dict[int, RowRefused]) -> Iterator[Sequence[int]]:
    """Rows that may pass only together: those that one constraint refuses, then pairs, where they are few."""
    groups: dict[str, list[int]] = {}
    for n, why in refused.items():
        groups.setdefault(why.by, []).append(n)
    yield from (group for group in groups.values() if 1 < len(group) < len(refused))
    for group in [[*refused]] if len(refused) <= PAIRS_OF else groups.values():
        yield from combinations(group, 2) if 2 < len(group) <= PAIRS_OF else ()
