"""The page docs/errors_sql.md, made from the table of core/failure_families.py: what follows from which failure."""

from __future__ import annotations

from syncline.core.failure_families import EXCEPTIONS, OWN, STATES, UNKNOWN, Family, Rule

PAGE = """\
# Families of failures

<!-- Made by `syncline generate` from plugins/syncline/core/failure_families.py; change that, not this page. -->

Every failure of a database is sorted by its SQLSTATE, the whole state before its class (the first two signs). The
family decides what happens:

| family | retried | what happens | runbook |
|---|---|---|---|
{families}

`ManifestInvalid`, `Fenced`, `TenantRefused` and `BatchHeld` are terminal too; Syncline raises them itself.

**What nobody sorted.** An exception of Python that is not in these tables is retried like a transient one: every step
may be repeated without harm, so the only cost of a wrong guess is time. A SQLSTATE that is not in them is terminal when
its class belongs to the standard, and a row's when it belongs to nobody: then a trigger or function of the target made
it up, and trying row by row shows whether a row is to blame.

**Two that cannot be told apart.** A missing grant and a row that a row-level policy refuses have one state, 42501.
Messages are not read, so it is always the environment's fault: a tenant boundary is not worked around row by row.

**System** marks what says that the whole system behind a connection is down: three of them in a row, of different
attempts, open its circuit breaker ([system-down](runbooks/system-down.md)).

## SQLSTATE

| state | means | family | dead letter | system |
|---|---|---|---|---|
{states}

## Without a SQLSTATE

| exception | family | dead letter | system |
|---|---|---|---|
{exceptions}

## Which rows are blamed

A row failure rolls the load's transaction back. Then the staged rows are written once more, in one transaction, in the
order of their key, part by part under savepoints. A part that passes stays; a part that is refused is quartered, down
to single rows.

1. A row that is refused alone is only set aside. Once all others stand, the rows set aside are tried again, all that
   are left at first and then in parts, backwards every other time, for as long as any of them passes. A row may need
   another one of the batch: its parent, or a unique value that another row gives up.
2. Rows that pass only together are tried together: those that one constraint refuses, then pairs (of all, if they are
   at most 32; else of those that one constraint refuses, if these are). Constraints that are DEFERRABLE are looked at
   after each part, not after each row, so two rows that swap a unique value pass.
3. What is left is refused by itself: in the company of everything else that the batch holds, while the batch stands
   without it. It becomes a dead letter and is counted as rejected. The batch goes on, unless more rows are rejected
   than `errors.rejected_ratio_max` allows: then it is held, and nothing was written.
4. A kind of statement that is refused even without a row, by a trigger of the statement, is no row's fault: the task
   fails as terminal.

So of two new rows that exclude each other, the one with the smaller key stays, whatever the order of arrival; what
stands in the target already stays before both. Two rows that swap a value under a unique key that is *not* deferrable
can be written in no order: both are refused, until the key is made DEFERRABLE. Rows of a cycle of three and more that
share a constraint with a row that is really bad may be refused with it.

A dead letter of this kind has the code of the table above, the column where one alone is to blame, and in `by` the name
of the constraint, or the SQLSTATE where there is none; never the server's text. More than 1,000 refused rows are no
dirt: the batch is held, and nothing was written. A row that was refused because of what the target holds (a parent that
came later) is not read again by itself: run the job in mode full, or for that tenant.

A load that nobody refuses has no savepoints, and costs what it always did. A **dry run** writes too, and takes it back:
what the target refuses, only the target can say. Sequences of the target advance, and rows stay locked while it lasts.
"""
FAMILIES = {
    Family.TRANSIENT: (
        "3 times, after 30, 60 and 120 s, each with up to half as much jitter", "the same call may succeed later",
        ("task-failed",),
    ),
    Family.ENVIRONMENT: (
        "no", "the task fails at once and alerts; the batch stays resumable; no row becomes a dead letter",
        ("task-failed", "system-down"),
    ),
    Family.ROW: (
        "no", "the load finds the rows that are refused; they become dead letters and the batch goes on",
        ("rows-rejected",),
    ),
    Family.DRIFT: (
        "no", "terminal: source or target are not what the mapping was written for", ("task-failed",)
    ),
    Family.TERMINAL: ("no", "a person must act", ("task-failed",)),
}  # fmt: skip


def families_page() -> str:
    """docs/errors_sql.md."""
    return PAGE.format(
        families="\n".join(
            f"| {family} | {retried} | {then} | {', '.join(f'[{name}](runbooks/{name}.md)' for name in runbooks)} |"
            for family, (retried, then, runbooks) in FAMILIES.items()
        ),
        states="\n".join(
            [
                *(f"| {state} | {rule.condition} | {_cells(rule)}" for state, rule in STATES.items()),
                f"| other classes from 5 to 9 and I to Z | {OWN.condition} | {_cells(OWN)}",
                f"| others | {UNKNOWN.condition} | {_cells(UNKNOWN)}",
            ]
        ),
        exceptions="\n".join(
            [
                *(f"| {rule.condition} | {_cells(rule)}" for rule in EXCEPTIONS),
                "| every other exception of Python | not sorted: retried | | |",
            ]
        ),
    )


def _cells(rule: Rule) -> str:
    code = f"`{rule.code}`" if rule.family is Family.ROW else ""
    return f"{rule.family} | {code} | {'system' if rule.is_system else ''} |"
