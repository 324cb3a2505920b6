"""An alert reaches the people on call, or stays owed (SYNC-007, F16). The receivers are real ones, on loopback."""

import ipaddress
import json
import logging
import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from syncline.adapters import alert_mail, alerts, project
from syncline.adapters.alert_mail import Mail
from syncline.adapters.alerts import Channels, Journal, Webhook, deliver, deliver_pending
from syncline.core.alerts import Alert, Outcome
from tests.smtp_server import PASSWORD, USER, MailServer, certificate

SECRET_PATH = "/services/T0SECRET"


def alert(batch_id: int | None = 7, **changes) -> Alert:
    told = {
        "job_id": "mdm__payroll__worker",
        "batch_id": batch_id,
        "control": "SYNC-005",
        "severity": "page",
        "oncall": "payroll-oncall@example.org",
        "summary": f"batch {batch_id} held: 12 of 40000 rows differ. See docs/runbooks/batch-held.md",
    }
    return Alert(**{**told, **changes})


class Receiver(ThreadingHTTPServer):
    """A paging service that answers as told: by `status`, or per batch by `status_of`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.url = f"http://127.0.0.1:{self.server_port}{SECRET_PATH}"
        self.status = 200
        self.status_of: dict[int, int] = {}
        self.location: str | None = None
        self.silence_s = 0.0
        self.bodies: list[dict] = []
        self.headers: list[dict] = []
        self.paths: list[str] = []

    def handle_error(self, *_: object) -> None:
        """A client that hung up is what some tests are about."""


class _Door(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        self.server.headers.append(dict(self.headers))
        self.server.paths.append(self.path)
        time.sleep(self.server.silence_s)
        self.send_response(self.server.status_of.get(body["batch_id"], self.server.status))
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(b"answers are not read")

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def receiver(monkeypatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def configured(receiver, monkeypatch) -> Receiver:
    """The receiver as an operator configures it: by environment."""
    monkeypatch.setenv("SYNCLINE_ALERT_WEBHOOK", receiver.url)
    monkeypatch.delenv("SYNCLINE_ALERT_TOKEN", raising=False)
    return receiver


def closed_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_alert_arrives_whole_as_one_json_object(configured):
    assert deliver(alert())

    assert configured.bodies == [
        {
            "job_id": "mdm__payroll__worker",
            "batch_id": 7,
            "control": "SYNC-005",
            "severity": "page",
            "oncall": "payroll-oncall@example.org",
            "summary": "batch 7 held: 12 of 40000 rows differ. See docs/runbooks/batch-held.md",
        }
    ]
    assert "Authorization" not in configured.headers[0]


def test_the_token_travels_in_its_header(configured, monkeypatch):
    monkeypatch.setenv("SYNCLINE_ALERT_TOKEN", "s3cret\n")

    assert deliver(alert())

    assert configured.headers[0]["Authorization"] == "Bearer s3cret"


def test_a_netrc_entry_does_not_take_the_tokens_place(configured, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("SYNCLINE_ALERT_TOKEN", "s3cret")

    assert deliver(alert())

    assert configured.headers[0]["Authorization"] == "Bearer s3cret"


def test_a_redirect_is_not_followed(configured):
    configured.status, configured.location = 307, configured.url + "/elsewhere"

    assert not deliver(alert())

    assert configured.paths == [SECRET_PATH]


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
def test_an_answer_that_is_no_success_leaves_the_alert_owed(configured, status):
    configured.status = status

    assert not deliver(alert())


def test_a_closed_port_leaves_the_alert_owed_and_raises_nothing(caplog):
    assert not deliver(alert(), Webhook(f"http://127.0.0.1:{closed_port()}{SECRET_PATH}"))

    assert "alert not delivered" in caplog.text
    assert "batch 7 held" in caplog.text  # the log is the last place where it can be seen


def test_a_silent_sink_is_given_up_after_the_timeout(receiver, monkeypatch):
    monkeypatch.setattr(alerts, "TIMEOUT_S", 0.2)
    receiver.silence_s = 1.0
    started = time.monotonic()

    assert not deliver(alert(), Webhook(receiver.url))

    assert time.monotonic() - started < 0.9


def test_a_sink_that_talks_nonsense_leaves_the_alert_owed():
    with closing(socket.create_server(("127.0.0.1", 0))) as door:

        def babble() -> None:
            with door.accept()[0] as guest:
                guest.recv(65536)
                guest.sendall(b"\x00\xff not HTTP at all\r\n\r\n")

        thread = Thread(target=babble)
        thread.start()
        assert not deliver(alert(), Webhook(f"http://127.0.0.1:{door.getsockname()[1]}/"))
        thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "127.0.0.1:8080",
        "http://",
        "http://[::1",
        "http://127.0.0.1:port/",
        "no url",
    ],
)
def test_a_url_that_is_none_leaves_the_alert_owed_and_is_not_quoted(url, caplog):
    assert not deliver(alert(), Webhook(url))

    assert "because=SYNCLINE_ALERT_WEBHOOK is not an http or https URL" in caplog.text
    assert url not in caplog.text


def test_a_host_that_no_name_server_could_know_leaves_the_alert_owed():
    assert not deliver(alert(), Webhook("http://" + "a" * 70 + ".example/"))


@pytest.mark.parametrize("token", ["two\nlines", "schlüssel"])
def test_a_token_that_no_header_can_carry_is_reported_without_being_shown(receiver, token, caplog):
    assert not deliver(alert(), Webhook(receiver.url, token))

    assert "SYNCLINE_ALERT_TOKEN" in caplog.text
    assert token not in caplog.text


def test_logs_and_prints_never_show_the_webhooks_path_or_token(configured, caplog):
    configured.status = 500
    sink = Webhook(configured.url, "s3cret")
    deliver(alert(), sink)
    deliver(alert(), Webhook(f"http://127.0.0.1:{closed_port()}{SECRET_PATH}", "s3cret"))

    assert len(caplog.records) == 2
    for secret in (SECRET_PATH, "s3cret"):
        assert secret not in caplog.text + repr(sink)


def test_all_pending_alerts_are_delivered_in_order_once_the_sink_is_back(configured):
    pending = [(31, alert(1)), (32, alert(2)), (33, alert(3))]
    configured.status = 503
    assert deliver_pending(pending) == []

    configured.bodies.clear()
    configured.status = 200

    assert deliver_pending(pending) == [31, 32, 33]
    assert [body["batch_id"] for body in configured.bodies] == [1, 2, 3]


def test_nothing_more_is_tried_after_the_first_sign_that_the_sink_is_down(configured):
    configured.status_of = {2: 503}

    assert deliver_pending([(31, alert(1)), (32, alert(2)), (33, alert(3))]) == [31]
    assert [body["batch_id"] for body in configured.bodies] == [1, 2]


def test_one_alert_that_the_receiver_refuses_does_not_hold_up_the_others(configured):
    configured.status_of = {2: 422}

    assert deliver_pending([(31, alert(1)), (32, alert(2)), (33, alert(3))]) == [31, 33]


def test_without_a_webhook_the_alert_is_a_line_in_a_file_and_one_in_the_log(monkeypatch, tmp_path, caplog):
    monkeypatch.delenv("SYNCLINE_ALERT_WEBHOOK", raising=False)
    monkeypatch.setenv("SYNCLINE_VAR", str(tmp_path / "var"))

    assert deliver(alert(1))
    assert deliver_pending([(32, alert(None, severity="ticket"))]) == [32]

    lines = [json.loads(line) for line in (tmp_path / "var" / "alerts.jsonl").read_text().splitlines()]
    assert [line["batch_id"] for line in lines] == [1, None]
    assert [line["summary"][:12] for line in lines] == ["batch 1 held", "batch None h"]
    assert all(line["at"] for line in lines)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


def test_the_journal_lies_below_the_checkout(monkeypatch):
    monkeypatch.delenv("SYNCLINE_VAR", raising=False)
    monkeypatch.delenv("SYNCLINE_HOME", raising=False)

    assert (project.var().parent / "plugins" / "syncline" / "adapters" / "alerts.py").is_file()


def test_a_journal_that_cannot_be_written_leaves_the_alert_owed_and_logged(tmp_path, caplog):
    (tmp_path / "var").write_text("a file where a folder should be")

    assert not deliver(alert(), Journal(tmp_path / "var" / "alerts.jsonl"))

    assert "batch 7 held" in caplog.text


def test_an_alert_cannot_break_the_line_that_logs_it(tmp_path, caplog):
    deliver(alert(summary="batch 7\nERROR forged line \x1b[31m"), Journal(tmp_path / "alerts.jsonl"))

    assert len((tmp_path / "alerts.jsonl").read_text().splitlines()) == 1
    assert "\n" not in caplog.records[0].getMessage()
    assert "\x1b" not in caplog.records[0].getMessage()


def test_lines_of_several_processes_do_not_run_into_each_other(tmp_path):
    path = tmp_path / "alerts.jsonl"
    writers = [
        multiprocessing.get_context("fork").Process(target=_write_many, args=(path, batch)) for batch in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    lines = [json.loads(line) for line in path.read_text().splitlines()]

    assert len(lines) == 4 * 50


def _write_many(path, batch_id: int) -> None:
    for _ in range(50):
        deliver(alert(batch_id, summary="x" * 900), Journal(path))


# --- mail -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture
def trusted(pem, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    return pem


def mail(server: MailServer, scheme: str = "smtp", *, user: str = USER, password: str = PASSWORD, **changes) -> Mail:
    login = f"{user}@" if user else ""
    told = {"sender": "syncline@example.org", "password": password, **changes}
    return Mail(f"{scheme}://{login}127.0.0.1:{server.port}", **told)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_an_alert_is_mailed_to_the_person_on_call_encrypted_and_with_login(trusted, scheme):
    with MailServer(trusted, is_tls_at_once=scheme == "smtps") as server:
        assert deliver(alert(alert_id=12), mail(server, scheme))

    ((recipients, message),) = server.mails
    assert recipients == ["payroll-oncall@example.org"]
    assert message["To"] == "payroll-oncall@example.org"
    assert message["Subject"] == "[page] batch 7 held: 12 of 40000 rows differ. See docs/runbooks/batch-held.md"
    assert message["Importance"] == "high"
    body = message.get_content()
    assert body.startswith(
        "batch 7 held: 12 of 40000 rows differ. See docs/runbooks/batch-held.md\r\n\r\njob_id: mdm__"
    )
    assert "syncline ack 12 --note" in body
    assert server.logins == [(f"\0{USER}\0{PASSWORD}", True)]
    assert server.greeted[0] == "example.org"
    assert server.verbs[-1] == "QUIT"


def test_an_alert_whose_on_call_is_no_address_goes_to_the_configured_ones(monkeypatch):
    with MailServer() as server:
        monkeypatch.setenv("SYNCLINE_ALERT_SMTP", f"smtp://127.0.0.1:{server.port}")
        monkeypatch.setenv("SYNCLINE_ALERT_MAIL_FROM", "syncline@example.org")
        monkeypatch.setenv("SYNCLINE_ALERT_MAIL_TO", "a@example.org, b@example.org")
        monkeypatch.delenv("SYNCLINE_ALERT_SMTP_PASSWORD", raising=False)
        monkeypatch.delenv("SYNCLINE_ALERT_WEBHOOK", raising=False)
        assert deliver(alert(oncall="payroll-oncall"))

    assert [recipients for recipients, _ in server.mails] == [["a@example.org", "b@example.org"]]
    assert server.logins == []


def test_without_any_address_the_alert_is_refused_and_the_next_one_is_tried():
    with MailServer() as server:
        sink = mail(server, user="", password="")
        assert deliver_pending([(1, alert(oncall="payroll-oncall")), (2, alert())], sink) == [2]


def test_a_login_is_not_sent_in_the_clear_to_another_machine(monkeypatch, caplog):
    monkeypatch.setattr(alert_mail, "ip_address", lambda _: ipaddress.ip_address("192.0.2.7"))  # where it would lead
    with MailServer() as server:
        assert not deliver(alert(), mail(server))
        assert deliver(alert(), mail(server, user="", password=""))

    assert server.logins == []
    assert "the login would travel in the clear" in caplog.text


def test_a_login_to_loopback_needs_no_encryption():
    with MailServer() as server:
        assert deliver(alert(), mail(server))

    assert server.logins == [(f"\0{USER}\0{PASSWORD}", False)]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_nobody_vouches_for_gets_neither_login_nor_alert(pem, monkeypatch, scheme, caplog):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with MailServer(pem, is_tls_at_once=scheme == "smtps") as server:
        assert not deliver(alert(), mail(server, scheme))

    assert (server.logins, server.mails) == ([], [])
    assert "SSLCertVerificationError" in caplog.text


@pytest.mark.parametrize(
    ("verb", "answer", "delivered"),
    [
        ("RCPT", "550 no such user", [2]),
        (".", "554 refused", [2]),
        ("RCPT", "450 greylisted", [2]),
        (".", "452 no space", []),
        ("MAIL", "451 try later", []),
        ("AUTH", "535 wrong", []),
        ("STARTTLS", "454 not now", []),
        ("EHLO", "421 closing", []),
    ],
)
def test_a_mail_server_that_refuses_one_alert_is_asked_for_the_next_and_one_that_is_down_is_not(
    trusted, verb, answer, delivered
):
    asked = 0
    with MailServer(trusted) as server:
        sink = mail(server)

        class First:
            def send(self, told: Alert) -> Outcome:
                nonlocal asked
                asked += 1
                server.answers = {verb: answer} if asked == 1 else {}
                return sink.send(told)

        assert deliver_pending([(1, alert()), (2, alert())], First()) == delivered

    assert len(server.mails) == len(delivered)


def test_a_server_that_hangs_up_instead_of_a_good_bye_has_taken_the_alert():
    with MailServer() as server:
        server.answers = {"QUIT": ""}
        assert deliver(alert(), mail(server))


def test_nothing_in_an_alert_becomes_a_header_or_a_recipient():
    forged = "x\r\nBcc: thief@example.net\r\n\r\nbody \x1b[31m"
    with MailServer() as server:
        sink = mail(server, user="", password="", fallback=("a@example.org",))
        told = alert(summary=forged, job_id=forged, control=forged)
        assert deliver(told, sink)
        for address in (
            "b@example.org\r\nBcc: thief@example.net",
            "b@example.org, thief@example.net",
            "<b@example.org>",
        ):
            assert deliver(alert(oncall=address, summary=forged), sink)

    assert [recipients for recipients, _ in server.mails] == [["payroll-oncall@example.org"], *[["a@example.org"]] * 3]
    for _, message in server.mails:
        assert sorted(message.keys()) == [
            "Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Importance", "MIME-Version",
            "Message-ID", "Subject", "To",
        ]  # fmt: skip
        assert "\x1b" not in message.get_content()


def test_a_line_with_a_lone_dot_and_letters_of_other_alphabets_arrive_whole():
    summary = ". " + "x" * 74 + " . Größe " + "語" * 100
    with MailServer() as server:
        assert deliver(alert(summary=summary), mail(server, user="", password=""))

    ((_, message),) = server.mails
    assert "".join(message.get_content().split("job_id")[0].split()) == "".join(summary.split())
    assert server.raw[0].isascii()


@pytest.mark.parametrize(
    ("url", "password", "said"),
    [
        ("smtp://alerts:hidden@mail.example.org", "", "holds a password"),
        ("https://mail.example.org", "", "is not smtps://"),
        ("mail.example.org:25", "", "is not smtps://"),
        ("smtp://", "", "is not smtps://"),
        ("smtp://mail.example.org:port", "", "is not smtps://"),
        ("smtp://alerts@mail.example.org", "", "a login needs"),
        ("smtp://mail.example.org", "hidden", "a login needs"),
    ],
)
def test_a_mail_setting_that_cannot_be_used_is_told_without_being_shown(url, password, said, caplog):
    sink = Mail(url, "syncline@example.org", (), password)

    assert not deliver(alert(), sink)

    assert said in caplog.text
    assert "hidden" not in caplog.text + repr(sink)


def test_logs_never_show_the_mail_servers_password_or_what_it_answers(caplog):
    with MailServer() as server:
        server.answers = {"AUTH": f"535 {PASSWORD} is wrong"}
        assert not deliver(alert(), mail(server))
        server.answers = {"RCPT": f"550 {PASSWORD}"}
        assert not deliver(alert(), mail(server))
    assert not deliver(alert(), mail(server))

    assert len(caplog.records) == 3
    assert PASSWORD not in caplog.text


def test_a_mail_server_that_is_silent_is_given_up_after_the_timeout(monkeypatch):
    monkeypatch.setattr(alert_mail, "TIMEOUT_S", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        started = time.monotonic()

        assert not deliver(alert(), Mail(f"smtp://127.0.0.1:{door.getsockname()[1]}", "syncline@example.org"))

        assert time.monotonic() - started < 2


# --- which channel takes what -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "asked", "taken"),
    [
        ("journal", {}, ("journal", "journal", "journal")),
        ("webhook journal", {}, ("webhook", "webhook", "journal")),
        ("mail journal", {}, ("mail", "mail", "journal")),
        ("webhook mail journal", {}, ("webhook mail", "webhook", "journal")),
        (
            "webhook mail journal",
            {"page": "webhook", "ticket": "mail, journal"},
            ("webhook", "mail journal", "journal"),
        ),
        ("webhook journal", {"page": "mail", "ticket": "fax"}, ("webhook", "webhook", "journal")),
    ],
)
def test_the_severity_decides_which_channels_take_an_alert(names, asked, taken, tmp_path):
    channels = Channels(dict.fromkeys(names.split(), Journal(tmp_path / "x")), asked)

    assert tuple(" ".join(channels.of(severity)) for severity in ("page", "ticket", "log")) == taken


def test_where_one_of_two_channels_is_down_the_other_one_tells(configured, monkeypatch):
    monkeypatch.setenv("SYNCLINE_ALERT_SMTP", f"smtp://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("SYNCLINE_ALERT_MAIL_FROM", "syncline@example.org")

    assert deliver(alert())

    assert len(configured.bodies) == 1
