"""What an operator and a control's owner read in Airflow's UI about comparisons. Texts only.

As in guide.py: what a task does, where the truth is afterwards, what its colour means and what to do when it is red.
"""

from __future__ import annotations

CONTROL_GUIDE = """\
**Control SYNC-008**: once a month every record of the hub is compared with the copies of the five most critical
consumers, field by field, and the control's owner signs the report. A consumer is a target connection; how
critical it is, the manifests of its jobs say.

### The story of a run
`choose` → `compare` (one task for each job) → `judge` → `sign_off` → `keep` → `proven`. Only ids and counts pass
through Airflow; what differs, and why, stands in the ledger, and the report in the folder that `judge` names.

### How a run ends
- **Green**: the control is `matched`, and the owner signed. Nothing less is green. A line of `compare` may be red
  in it: less differs than the control allows.
- **Red at `judge`, and `sign_off` waits**: copies differ, or could not be compared. The work is done and the
  report is written; red says that somebody must act. The owner signs nevertheless, with a note, and confirms by
  that to have seen it. `proven` is orange then (`upstream_failed`), and the run stays red: that month's evidence
  is that copies differed.
- **Red at `keep`**: the owner rejected the report, and wrote why.
- **Running for days**: `sign_off` (*awaiting input*) waits for the owner. It takes no worker slot, it never
  answers by itself, and other runs do not wait for it.

### When something is red
1. One red line in `compare` is one job: its log counts what differs, by the names of classes; `syncline diff JOB`
   shows more. The other jobs were compared and judged nevertheless.
2. Once the copies are mended, trigger this DAG again: a run is evidence of its own day. As long as nobody has
   signed, a run in which a comparison failed for another reason (a system that was down) may be cleared from the
   red `compare` line on: it is judged anew, and the owner is asked again. A report that is signed or rejected
   stays as it is.
3. A manifest with mistakes has no line, and its consumer has no rank. The others are judged and signed, and the
   run is red (`ControlIncomplete`): `syncline check` names the mistakes.

### By hand
**Trigger** with the form: other jobs or consumers, more of them, some tenants, a sample. The report says what it
did not look at. Comparing reads, and changes nothing at either side. Closed hours of a system (`avoid`) are
waited for."""

DAILY_GUIDE = """\
Every job's source and copy are counted and compared by checksums, once a day and after the nightly runs: drift is
found before a reader finds it. A copy that differs is compared once more, with its fields: which of them differ
decides who is told. The full comparison of the most critical consumers is `sync_008`.

`compare` has one task for each job; they wait in the pool of the job's source, behind its batches, and for the
end of closed hours (`avoid`). Results stand in the ledger, in `pub_reconciliation` and in each task's log.

- **Green**: both sides have the same rows, apart from what is expected (in flight, held, dead letters) and told
  elsewhere.
- **Red with `CopyDiffers`**: they differ, or the comparison proved nothing, and an alert is out: a critical field
  pages, a medium one is a ticket, a low one is logged. The log names counts and the next step. Mend it, then clear
  the line: the job is compared anew.
- **Turquoise**: a system is closed or down; the log says until when.

A manifest with mistakes has no line here; Airflow shows its mistakes as an import error.

**Trigger** it by hand for some jobs only. `tell` updates the asset `sync://comparisons`, so that the published
tables about reconciliation are built anew."""

COMPARISON_TASKS = {
    "choose": """\
**Chooses the jobs**: those that the form names, or all jobs of the most critical consumers, by the manifests. It
asks no database. Jobs that are not chosen are pink (`skipped`) in `compare`.

*Red*: the run asks for something that does not exist or makes no sense together. Nothing was compared; trigger it
again.""",
    "compare": """\
**Compares one job**: every record of the source, through the job's mapping, with its copy. It reads both sides
and writes to neither; the counts, and the keys that differ, go to the ledger.

*Pink (`skipped`)*: this run does not ask for the job.

*Turquoise (`up_for_reschedule`)*: closed hours (`avoid`), or a system that is down; the log says until when.

*Red with `CopyDiffers`*: the comparison is done, and the copy is not `matched`; the log counts what differs. An
alert is out. `syncline diff JOB` shows more. *Red otherwise*: nothing was found out; mend what the log names and
clear it: what was compared already is not compared again.""",
    "judge": """\
**Judges the control**: at least 99.9 % of records match, no critical difference is without an explanation,
nothing is `unverified`. It writes the report and records the run in the ledger and in the audit trail, also when
comparisons failed.

*Red with `ControlNotMatched`, `ControlIncomplete`*: it is judged, and no proof; `sign_off` asks the owner
nevertheless. *Red with `NothingProven`*: `choose` chose nothing. *Red otherwise*: nothing is recorded; mend what
the log names and clear it.""",
    "sign_off": """\
**Asks the control's owner** under Required Actions: **Sign** confirms to have seen the report, whatever it says;
what is not `matched` is signed with a note. **Reject** says that it is no evidence, and needs a note too.

*Awaiting input*: it waits, as long as it takes. Who may answer, `SYNCLINE_SYNC_008_OWNER` says; without it
everybody who may edit the DAG.

*Pink (`skipped`)*: there is nothing to sign, `judge` did not come to a verdict.

*Red*: the note is missing. Clear it, and the owner is asked again.""",
    "keep": """\
**Keeps the decision**: in the ledger, in the audit trail and beside the report.

*Red with `ReportRejected`*: the owner rejected the report; the note says why. It is kept. Mend it and trigger a
new run.

*Red otherwise*: clear it. If it says that the run is signed already, the decision is kept: there is nothing to
do.""",
    "proven": """\
**Green only where the control is `matched` and the owner signed.** It only looks at what was handed on.

*Orange (`upstream_failed`)*: see the red task before it. *Red*: a task before it was marked success by hand, and
that proves nothing.""",
    "tell": """\
**Updates the asset** `sync://comparisons`, whatever the comparisons found: published tables about reconciliation
are built anew.

*Red*: clear it.""",
}
