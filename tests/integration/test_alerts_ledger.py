"""An alert is one thing: told once, counted while it is open, over when the thing is, escalated when nobody acts."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncline.adapters import ledger
from syncline.core.errors import BatchHeld
from syncline.core.values import Mode
from syncline.steps import alerting
from tests.integration.conftest import JOB, Lab
from tests.smtp_server import MailServer

BUSINESS, ONCALL = "head@example.org", "oncall@example.org"


@pytest.fixture
def house(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab with addresses, and alerts that wake somebody."""
    for name in ("SYNCLINE_ALERT_WEBHOOK", "SYNCLINE_ALERT_SMTP", "SYNCLINE_ALERT_ESCALATION"):
        monkeypatch.delenv(name, raising=False)
    lab.manifest["owner"] = {"team": "lab", "oncall": ONCALL, "business": BUSINESS}
    lab.manifest["errors"] = {"rejected_ratio_max": 0.1, "severity": "page"}
    return lab


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> MailServer:
    """A mail server that is configured, and not yet running."""
    server = MailServer()
    monkeypatch.setenv("SYNCLINE_ALERT_SMTP", f"smtp://127.0.0.1:{server.port}")
    monkeypatch.setenv("SYNCLINE_ALERT_MAIL_FROM", "syncline@example.org")
    return server


def told(lab: Lab) -> list[dict[str, Any]]:
    """What the journal holds."""
    path = Path(lab.folder) / "var" / "alerts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def hold(lab: Lab, *bad: str) -> None:
    """A batch that is held for rows that cannot be mapped."""
    lab.hub(*({"person_id": name, "born": "never"} for name in bad or ("bad",)))
    with pytest.raises(BatchHeld, match="rejected"):
        lab.run()


def rows(lab: Lab) -> list[dict[str, Any]]:
    return lab.ledger("select * from ledger.alert order by alert_id")


def wait(lab: Lab, minutes: int) -> None:
    """Time goes by for all alerts."""
    lab.ledger(
        "update ledger.alert set raised_at = raised_at - make_interval(mins => %s), delivered_at = delivered_at"
        " - make_interval(mins => %s), last_seen_at = last_seen_at - make_interval(mins => %s)",
        *[minutes] * 3,
    )


def messages(lab: Lab) -> list[tuple[str, str]]:
    return [(line["oncall"], line["summary"]) for line in told(lab)]


# --- the same thing ---------------------------------------------------------------------------------------


def test_the_same_finding_of_a_job_is_told_once_and_counted(house: Lab) -> None:
    hold(house)
    hold(house, "bad", "worse")
    hold(house)

    (row,) = rows(house)
    assert (row["seen_times"], row["batch_id"], row["last_batch_id"]) == (3, 1, 3)
    assert row["last_seen_at"] > row["raised_at"]
    assert (row["summary"], row["last_summary"]) == (told(house)[0]["summary"], row["last_summary"])
    assert "2 of 2 rows" in row["last_summary"]
    assert len(told(house)) == 1
    events = house.ledger("select event, batch_id from ledger.audit where event like 'alert%' order by audit_id")
    assert [(row["event"], row["batch_id"]) for row in events] == [
        ("alert_raised", 1), ("alert_repeated", 2), ("alert_repeated", 3),
    ]  # fmt: skip


def test_another_job_control_or_kind_is_another_thing(house: Lab) -> None:
    job = house.job
    for one in (job, replace(job, id="mdm__payroll__other")):
        for control, kind in (("SYNC-005", "mismatched"), ("SYNC-005", "unverified"), ("SYNC-008", "mismatched")):
            alerting.tell(alerting.alert(one, None, control, "it differs", kind=kind))
            alerting.tell(alerting.alert(one, None, control, "it differs more", kind=kind))

    assert [row["seen_times"] for row in rows(house)] == [2] * 6
    assert len(told(house)) == 6


def test_of_many_that_tell_the_same_at_one_moment_one_opens_the_alert(house: Lab) -> None:
    job, ready = house.job, threading.Barrier(8)

    def say() -> None:
        with ledger.opened("test") as book:
            ready.wait(30)
            book.queue_alert(alerting.alert(job, None, "SYNC-008", "it differs"))

    threads = [threading.Thread(target=say) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [row["seen_times"] for row in rows(house)] == [8]


def test_the_same_thing_told_more_loudly_is_told_again_and_more_quietly_is_not(house: Lab) -> None:
    job = house.job
    for severity in ("ticket", "log", "page", "ticket"):
        alerting.tell(alerting.alert(job, None, "SYNC-008", "it differs", severity=severity))

    assert [line["severity"] for line in told(house)] == ["ticket", "page"]
    assert [(row["seen_times"], row["closed_at"] is None) for row in rows(house)] == [(2, False), (2, True)]


def test_what_was_not_seen_for_a_week_is_told_anew(house: Lab) -> None:
    job = house.job
    for minutes in (0, 6 * 1440, 8 * 1440):
        wait(house, minutes)
        alerting.tell(alerting.alert(job, None, "SYNC-008", "it differs", severity="log"))

    assert [row["seen_times"] for row in rows(house)] == [2, 1]


# --- over -------------------------------------------------------------------------------------------------


def test_a_published_batch_closes_what_held_the_earlier_ones_and_the_next_hold_is_told_again(house: Lab) -> None:
    hold(house)
    alerting.task_failed(house.job, 1, "load", "TransientError")
    alerting.task_failed(house.job, None, "open", "WorkerLost")
    alerting.tell(alerting.alert(house.job, None, "SYNC-008", "it differs"))
    house.hub({"person_id": "bad"})
    house.run()

    assert [(row["control"], row["closed_at"] is None) for row in rows(house)] == [
        ("rejected-rows", False), ("SYNC-007", False), ("SYNC-007", False), ("SYNC-008", True),
    ]  # fmt: skip
    hold(house)
    assert [line["control"] for line in told(house)].count("rejected-rows") == 2


def test_a_backfilled_day_closes_nothing_that_it_does_not_cover(house: Lab) -> None:
    house.hub({"person_id": "p1"})
    house.run()
    hold(house, "bad", "worse")
    window = house.ledger("select now() - interval '10 years' as a, now() - interval '9 years' as b")[0]
    house.run(mode=Mode.WINDOW, window=(window["a"], window["b"]))

    assert [row["closed_at"] for row in rows(house)] == [None]
    house.hub({"person_id": "bad"}, {"person_id": "worse"})
    house.run()
    assert rows(house)[0]["closed_at"] is not None


def test_a_comparison_that_matched_closes_what_the_one_before_had_found(house: Lab) -> None:
    for kind in ("critical", "low"):
        alerting.tell(alerting.alert(house.job, None, "SYNC-008", "it differs", kind=kind))
    alerting.over(JOB, "SYNC-008", "low")
    assert [row["closed_at"] is None for row in rows(house)] == [True, False]

    alerting.over(JOB, "SYNC-008")
    assert [row["closed_at"] is None for row in rows(house)] == [False, False]
    events = house.ledger("select detail from ledger.audit where event = 'alert_closed' order by audit_id")
    assert [row["detail"]["alert"] for row in events] == [2, 1]


# --- nobody acts ------------------------------------------------------------------------------------------


def test_a_page_that_nobody_takes_up_goes_to_the_business_owner_twice_and_no_more(house: Lab) -> None:
    hold(house)
    hold(house, "bad", "worse")
    wait(house, 29)
    alerting.deliver_pending()
    assert len(messages(house)) == 1

    for _ in range(4):
        wait(house, 31)
        alerting.deliver_pending()
        alerting.deliver_pending()

    first, one, two = messages(house)
    assert (first[0], one[0], two[0]) == (ONCALL, BUSINESS, BUSINESS)
    assert one[1].startswith("ESCALATED (1 of 2): alert 1 is open for 60 min, acknowledged by nobody; seen 2 times")
    assert "`syncline ack 1 --note '...'`" in one[1]
    assert f"First told: {first[1]}" in one[1]
    assert f"Last told: {rows(house)[0]['last_summary']}" in one[1]
    assert two[1].startswith("ESCALATED (2 of 2): alert 1 is open for 91 min")
    assert [row["escalation_level"] for row in rows(house)] == [2, 0, 0]


def test_a_ticket_has_two_days_and_what_is_logged_all_the_time(house: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCLINE_ALERT_ESCALATION", "duty@example.org")
    for severity in ("ticket", "log"):
        alerting.tell(alerting.alert(house.job, None, severity, "it differs", severity=severity))
    wait(house, 47 * 60)
    assert alerting.deliver_pending() == 0
    wait(house, 2 * 60)
    assert alerting.deliver_pending() == 1

    assert messages(house)[-1][0] == "duty@example.org"
    assert [row["escalates"] for row in rows(house)] == [None, None, 1]


def test_an_acknowledged_alert_is_not_escalated_and_says_who_took_it_up(house: Lab) -> None:
    hold(house)
    done = house.shell("ack", "1", "--note", "asked the source's owner", "--by", "Kim")
    assert (done.returncode, done.stdout) == (0, f"alert 1 of {JOB} (rejected-rows) is taken up by Kim\n")
    wait(house, 600)
    alerting.deliver_pending()
    hold(house)

    assert len(told(house)) == 1
    (entry,) = house.ledger("select detail from ledger.audit where event = 'alert_acknowledged'")
    assert entry["detail"] == {"alert": 1, "by": "Kim", "note": "asked the source's owner"}
    assert house.ledger("select * from ledger.audit_broken") == []


def test_an_escalation_is_acknowledged_by_its_own_number_too(house: Lab) -> None:
    hold(house)
    wait(house, 31)
    alerting.deliver_pending()

    alerting.acknowledge(2, by="Kim", note="on it")

    assert rows(house)[0]["acknowledged_by"] == "Kim"


@pytest.mark.parametrize("arguments", [("9", "--note", "x"), ("1", "--note", " ")])
def test_an_acknowledgement_of_nothing_or_without_a_note_is_refused(house: Lab, arguments: tuple[str, ...]) -> None:
    hold(house)
    done = house.shell("ack", *arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("syncline: ")
    assert rows(house)[0]["acknowledged_at"] is None


def test_a_thing_that_is_over_is_neither_acknowledged_nor_escalated(house: Lab) -> None:
    hold(house)
    house.hub({"person_id": "bad"})
    house.run()
    wait(house, 600)
    alerting.deliver_pending()

    assert len(told(house)) == 1
    assert "is over since" in house.shell("ack", "1", "--note", "late").stderr


def test_many_that_deliver_at_one_moment_escalate_once(house: Lab) -> None:
    hold(house)
    wait(house, 31)
    ready = threading.Barrier(6)

    def look() -> None:
        with ledger.opened("test") as book:
            ready.wait(30)
            book.escalate_overdue({"page": 1800}, "")

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [row["escalates"] for row in rows(house)] == [None, 1]


# --- channels ---------------------------------------------------------------------------------------------


def test_F16_mail_that_is_down_owes_the_alert_and_is_not_escalated_twice_meanwhile(
    house: Lab, post: MailServer
) -> None:
    post.server_close()
    hold(house)
    for _ in range(4):
        wait(house, 31)
        alerting.deliver_pending()
    assert [(row["delivered_at"], row["delivery_attempts"] > 0) for row in rows(house)] == [(None, True)] * 2
    (status,) = json.loads(house.shell("status", JOB, "--json").stdout)
    assert status["pending_alerts"] == 2

    with MailServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCLINE_ALERT_SMTP", f"smtp://127.0.0.1:{server.port}")
        done = house.shell("deliver-alerts")

    assert done.stdout == "delivered 2 alerts\n"
    assert [recipients for recipients, _ in server.mails] == [[ONCALL], [BUSINESS]]
    assert all(row["delivered_at"] for row in rows(house))


def test_an_escalation_that_is_not_out_yet_is_withdrawn_once_somebody_acts(house: Lab, post: MailServer) -> None:
    with post:
        hold(house)
        post.answers = {"MAIL": "451 later"}
        wait(house, 31)
        alerting.deliver_pending()
        alerting.acknowledge(1, by="Kim", note="on it")
        post.answers = {}
        assert alerting.deliver_pending() == 0

    assert len(post.mails) == 1
    (status,) = json.loads(house.shell("status", JOB, "--json").stdout)
    assert status["pending_alerts"] == 0


def test_a_channel_that_took_an_alert_is_not_asked_again_for_the_other_ones_sake(
    house: Lab, post: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCLINE_ALERT_PAGE", "mail,journal")
    with post:
        post.answers = {"MAIL": "451 later"}
        hold(house)
        assert ([row["taken_by"] for row in rows(house)], rows(house)[0]["delivered_at"]) == ([["journal"]], None)
        post.answers = {}
        assert alerting.deliver_pending() == 1

    assert (len(told(house)), len(post.mails)) == (1, 1)
    assert rows(house)[0]["delivered_at"] is not None


# --- the list ---------------------------------------------------------------------------------------------


def test_the_weekly_list_has_what_is_open_and_what_was_only_logged(house: Lab) -> None:
    hold(house)
    hold(house)
    alerting.acknowledge(1, by="Kim", note="asked the owner")
    for control in ("old", "new"):
        alerting.tell(alerting.alert(house.job, None, control, "it differs", severity="log"))
        alerting.over(JOB, control)
    house.ledger("update ledger.alert set raised_at = raised_at - interval '8 days' where control = 'old'")

    listed = json.loads(house.shell("alerts", "--json").stdout)
    assert [(row["control"], row["seen_times"], row["acknowledged_by"]) for row in listed] == [
        ("rejected-rows", 2, "Kim"), ("new", 1, None),
    ]  # fmt: skip
    shown = house.shell("alerts").stdout
    assert "seen 2 times, last 0 min ago; taken up by Kim: asked the owner" in shown
    assert f"log    {JOB} new; over; taken up by nobody" in shown


def test_alerts_of_before_the_upgrade_silence_nothing(house: Lab) -> None:
    house.ledger("alter table ledger.alert alter column kind drop not null")
    for _ in range(2):
        house.ledger(
            "insert into ledger.alert (job_id, control, severity, oncall, summary) values (%s, 'rejected-rows',"
            " 'page', 'x', 'of before')",
            JOB,
        )
    ledger.install(Path(__file__).parents[2] / "include" / "ledger")
    hold(house)

    assert [row["closed_at"] is None for row in rows(house)] == [False, False, True]
    assert [line["summary"][:9] for line in told(house)] == ["of before", "of before", f"{JOB}"[:9]]
