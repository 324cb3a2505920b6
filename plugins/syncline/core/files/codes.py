"""What every code of a mistake means, why it is refused, and how it is mended.

The codes are the M rows of the fault list, and D01: stable names that people search for. This table is the one place
that explains them; docs/errors.md is made from it (`syncline generate`), and a test runs
every example through the checker. A code that is missing here, or that nothing tells any more, fails a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Example:
    """A mistake as it is written, and the same lines mended.

    The line that is told ends in `# <- CODE`. `kind` says which file the lines are from. Lines of kind `files` are
    names of files, with a size where that is the mistake; what only a database can tell has statements. `instead_of`
    is what the lines stand for in a good file, where that is not `mended` itself.
    """

    kind: Literal["manifest", "mapping", "files", "database"]
    bad: str
    mended: str
    instead_of: str = ""


@dataclass(frozen=True)
class Code:
    """One code: `remedy` is shown where a mistake has none of its own."""

    title: str
    why: str
    remedy: str
    example: Example


CODES: dict[str, Code] = {
    "M01": Code(
        "A key or a word that is not known",
        "A misspelt key that is ignored is a setting that nobody has. So every key and every word of a mapping must be"
        " known.",
        "use the nearest right name, or one of those that are listed",
        Example(
            "manifest",
            "errors: {rejected_ratio_max: 0.05, severty: page}   # <- M01",
            "errors: {rejected_ratio_max: 0.05, severity: page}",
        ),
    ),
    "M02": Code(
        "A value of the wrong type, out of range, or missing",
        "What is found here in a second would otherwise be found by the batch at night.",
        "write what is allowed at this place",
        Example(
            "manifest",
            "  write: update   # <- M02",
            "  write: upsert",
        ),
    ),
    "M03": Code(
        "The same key twice",
        "Most readers of YAML keep the last one and say nothing. The author meant one of the two, and only the author"
        " knows which.",
        "keep one of them",
        Example(
            "manifest",
            "domain: workforce\ndomain: payroll   # <- M03",
            "domain: workforce",
        ),
    ),
    "M04": Code(
        "Two files with one name",
        "The file's name is the job's name. Of two jobs with one name, one would hide the other; also where only the"
        " letter case differs, because some file systems do not tell them apart. Neither is loaded.",
        "rename or remove one of the files",
        Example(
            "files",
            "include/manifests/mdm__payroll__worker.yaml   # <- M04\n"
            "include/manifests/mdm__payroll__worker.yml   # <- M04",
            "include/manifests/mdm__payroll__worker.yaml",
        ),
    ),
    "M06": Code(
        "A plain value that can be read in two ways",
        "Readers of YAML turn `NO` into false, `010` into 8, `12:30:45` into 45045 and `1.10` into 1.1. A reviewer"
        " reads what stands there. In quotes both read the same.",
        "quote the value",
        Example(
            "manifest",
            "  filter: {country_code: [NO]}   # <- M06",
            '  filter: {country_code: ["NO"]}',
            instead_of="  filter: {country_code: [GB]}",
        ),
    ),
    "M07": Code(
        "A cron expression without quotes",
        "To YAML a plain `*` begins the name of an alias.",
        'quote it: cron: "*/15 * * * *"',
        Example(
            "manifest",
            "  cron: * 4 * * *   # <- M07",
            '  cron: "15 4 * * *"',
            instead_of='  cron: "15 3 * * *"',
        ),
    ),
    "M08": Code(
        "A schedule that never runs, or not when it says",
        "Refused are expressions without exactly five fields, dates that never come, unknown time zones, runs inside"
        " an avoided range, and times of day that the zone skips in spring: that run would have an empty interval."
        " A range of `schedule.avoid` is about a run's beginning; one of `source.avoid` or `target.avoid` about all of"
        " its `run_minutes`, in every season, and it holds for every job that uses that system, whichever manifest says"
        " it. `syncline check` also notes what meets in the coming week: more runs on a system than its connections,"
        " and two jobs that write one table. `syncline check <manifest>` prints the next three runs.",
        "write five fields and a zone of the IANA database; choose an hour that every day has",
        Example(
            "manifest",
            '  cron: "61 3 * * *"   # <- M08',
            '  cron: "15 3 * * *"',
        ),
    ),
    "M09": Code(
        "A YAML tag",
        "Tags tell a reader to make something else of a value, up to running code.",
        "remove the tag; quote a value that begins with `!`",
        Example(
            "manifest",
            "domain: !!str workforce   # <- M09",
            "domain: workforce",
        ),
    ),
    "M10": Code(
        "An anchor, an alias, or a tower of brackets",
        "Nine lines of aliases unfold to a billion values, and a reviewer cannot see what an alias stands for. Nesting"
        " is limited for the same reason.",
        "write the value out",
        Example(
            "manifest",
            "domain: &d workforce   # <- M10",
            "domain: workforce",
        ),
    ),
    "M12": Code(
        "A file that is no plain YAML text",
        "Refused are files that are empty, not UTF-8, not one mapping, or no YAML; tabs, and characters that a reviewer"
        " cannot see: control, zero-width and bidirectional ones.",
        "see the line, and the one above it",
        Example(
            "manifest",
            "description: UK workers: as payroll needs them   # <- M12",
            'description: "UK workers: as payroll needs them"',
            instead_of="description: UK workers as payroll needs them",
        ),
    ),
    "M13": Code(
        "A name that is no name",
        "Names of tables, columns and connections become parts of statements. Letters that only look like a-z, quotes"
        " and signs have no place in them. A table or column of the source that is spelt otherwise, such as"
        ' `"CustomerID"`, is read through a view of the source that gives it such a name. A view has no row versions'
        " of its own that say what has changed: the manifest names no `cursor`, and every run reads all of it.",
        "use a-z, 0-9 and _, at most 63 characters; a table is schema.table; a view of the source mends other names",
        Example(
            "manifest",
            "  table: worker   # <- M13",
            "  table: mdm.worker",
        ),
    ),
    "M15": Code(
        "An expression that is not allowed",
        "An expression sees the columns of its row and a list of harmless functions. Whatever could read other tables"
        " or files, change something, or give another result tomorrow is refused.",
        "use the functions that docs/expressions.md lists",
        Example(
            "mapping",
            "  start_date:\n    expression: \"date(pg_read_file('/etc/hostname'))\"   # <- M15\n    type: date",
            "  start_date: {from: hired_on, type: date, steps: [{parse_date: iso}]}",
            instead_of="  start_date: {from: hired_on, type: date, steps: [{parse_date: iso}],"
            " checks: [{range: {min: 1950-01-01}}]}",
        ),
    ),
    "M16": Code(
        "Jinja",
        "Manifests and mappings are not templates: what is read is what runs. A rendered one could print a connection's"
        " password.",
        "write the value itself",
        Example(
            "manifest",
            "description: Workers of {{ params.country }} as payroll needs them   # <- M16",
            "description: UK workers as payroll needs them",
        ),
    ),
    "M17": Code(
        "A file that is not there",
        "What a file names is the stem of a file in its own folder: `mapping` means include/mappings. Paths and links"
        " that lead elsewhere are refused.",
        "name a file that exists",
        Example(
            "manifest",
            "mapping: mdm__payroll__workers   # <- M17",
            "mapping: mdm__payroll__worker",
        ),
    ),
    "M18": Code(
        "The tenant is not safe",
        "The tenant column keeps one client's rows from another's. It is in the key of source and target, arrives"
        " unchanged, is never empty, and names no person: tenants are named in logs, alerts and reports. Data that"
        " belongs to no tenant says so, with the reason.",
        "name the tenant column in tenancy, source.tenant and both keys",
        Example(
            "manifest",
            "  key: [employee_no]   # <- M18",
            "  key: [tenant_id, employee_no]",
        ),
    ),
    "M19": Code(
        "A key or a cursor that could lose rows",
        "The target's key carries the source's whole key, unchanged and never empty; otherwise two rows become one. The"
        " cursor is a timestamptz, because a timestamp without zone names no instant; a source without one is read"
        " whole, with no `cursor`. The flag of deleted rows is a boolean; a view makes one of other flags.",
        "map the source's key as it is; mend the column's type",
        Example(
            "manifest",
            "  key: [tenant_id, worker_id, tenant_id]   # <- M19",
            "  key: [tenant_id, worker_id]",
        ),
    ),
    "M20": Code(
        "Columns or types that do not fit",
        "Refused are columns that nobody declares or fills, two values for one column, steps that do not take a type,"
        " and conversions that could lose something without saying so.",
        "name tables and columns that are there; say in steps how a value becomes one of another type",
        Example(
            "mapping",
            "  start_date: {from: hired_on, type: date}   # <- M20",
            "  start_date: {from: hired_on, type: date, steps: [{parse_date: iso}]}",
            instead_of="  start_date: {from: hired_on, type: date, steps: [{parse_date: iso}],"
            " checks: [{range: {min: 1950-01-01}}]}",
        ),
    ),
    "M21": Code(
        "A secret, or personal data without a class",
        "A secret in a file is in the repository's history for good. A column that looks personal must say its class,"
        " or previews and reports would show it. Neither value is ever shown in a message.",
        "remove a secret and change it where it is valid; say pii: none where somebody looked",
        Example(
            "manifest",
            "  connection: postgresql://loader:not-shown@db.example.org/mdm   # <- M21",
            "  connection: mdm",
        ),
    ),
    "M22": Code(
        "A name that is reserved, or a file that is not read",
        "A job's name stands in DAGs, tables and reports, so the manifest's file name has a form. A file in the wrong"
        " place, or with another ending, would be a job that nobody has.",
        "name a manifest <source>__<target>__<entity>.yaml, in a-z, 0-9 and _",
        Example(
            "files",
            "include/manifests/payroll-workers.yaml   # <- M22",
            "include/manifests/mdm__payroll__worker.yaml",
        ),
    ),
    "M23": Code(
        "Too much to read",
        "Airflow reads all manifests again and again. One huge file, or too many, would keep it from everything else.",
        "keep data out of manifests; split the project",
        Example(
            "files",
            "include/manifests/mdm__payroll__worker.yaml 300 KB   # <- M23",
            "include/manifests/mdm__payroll__worker.yaml 2 KB",
        ),
    ),
    "M24": Code(
        "A decision is still open",
        "`syncline new` writes `# DECIDE:` where only a person knows the answer. A job that runs on a guess nobody"
        " confirmed is worse than none, so each such comment keeps its job from becoming a DAG. In a quoted value the"
        " same words are just text.",
        "decide, then take the comment away",
        Example(
            "manifest",
            "  write: upsert  # DECIDE: may rows of the copy be changed?   # <- M24",
            "  write: upsert",
        ),
    ),
    "D01": Code(
        "A database that cannot be reached, or does not let the job work",
        "Told by `syncline check --connect` only: the connection does not answer, the server is too old, or a role"
        " lacks a right. Nothing is wrong with the line that is told; it names what the database refuses.",
        "run the statement that is shown, as the table's owner; then check again",
        Example(
            "database",
            "select has_table_privilege('syncline_reader', 'mdm.worker', 'select');   -- false",
            "grant select on mdm.worker to syncline_reader;",
        ),
    ),
}

HEAD = """\
# Mistakes in manifests and mappings

<!-- Made by `syncline generate` from plugins/syncline/core/files/codes.py; change that, not this page. -->

`syncline check` reads all files of a project and tells every mistake at once: its place, the line, what is allowed and
the nearest right name. `syncline check --json` tells the same to programs. The exit code is 0 without mistakes, 1 with
any. A job whose files have a mistake makes no DAG; other jobs keep theirs, and Airflow shows the mistake as an import
error. Below, each code has an example; an arrow marks the line that is told.

| code | mistake |
|---|---|
"""
TITLES = {
    "manifest": ("yaml", "In a manifest, refused", "Mended"),
    "mapping": ("yaml", "In a mapping, refused", "Mended"),
    "files": ("text", "As files, refused", "Mended"),
    "database": ("sql", "In the database", "Mended"),
}


def errors_page() -> str:
    """The text of docs/errors.md."""
    rows = "".join(f"| [{code}](#{code.lower()}) | {said.title} |\n" for code, said in CODES.items())
    return HEAD + rows + "".join(_section(code, said) for code, said in CODES.items())


def _section(code: str, said: Code) -> str:
    example = said.example
    language, refused, mended = TITLES[example.kind]
    return (
        f"\n## {code}\n\n**{said.title}.** {said.why}\n\nRemedy: {said.remedy}.\n\n"
        f"{refused}:\n\n```{language}\n{example.bad}\n```\n\n"
        f"{mended}:\n\n```{language}\n{example.mended}\n```\n"
    )
