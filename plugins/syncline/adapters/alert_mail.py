"""The channel `mail`: an alert as a plain-text e-mail over SMTP, encrypted wherever the server can.

    SYNCLINE_ALERT_SMTP           smtps://user@host:465 (TLS from the start) or smtp://user@host:587 (STARTTLS)
    SYNCLINE_ALERT_SMTP_PASSWORD  of that user; never a part of the URL
    SYNCLINE_ALERT_MAIL_FROM      the sender's address
    SYNCLINE_ALERT_MAIL_TO        recipients, comma separated, of alerts whose `oncall` is no address

Certificates are verified against the system's authorities; SSL_CERT_FILE names others. A login is never sent
unencrypted to another machine: who strips STARTTLS from the answer gets no password. Without a user, a relay that
offers no encryption is used as it is: an alert holds ids and counts.

As with every sink, nothing here raises: a server that is down is SINK_DOWN, an address it does not know REFUSED.
"""

from __future__ import annotations

import logging
import os
import re
import smtplib
import ssl
import textwrap
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit

from syncline.core.alerts import Alert, Outcome, on_one_line

TIMEOUT_S = 5.0  # for each answer of the server
SUBJECT_LENGTH_MAX = 150
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")  # nothing a header obeys
PORTS = {"smtps": 465, "smtp": 587}
POLICY = SMTP.clone(cte_type="7bit", max_line_length=200)  # no server needs 8BITMIME, no subject is folded
log = logging.getLogger(__name__)


class _Refused(Exception):
    """What is wrong with the settings or the server, in words that hold no secret."""


@dataclass(frozen=True)
class Mail:
    """A mail server's door."""

    url: str = field(repr=False)
    sender: str
    fallback: tuple[str, ...] = ()
    password: str = field(default="", repr=False)

    def send(self, alert: Alert) -> Outcome:
        recipients = self._recipients(alert)
        if not recipients:
            because = "oncall is no address, and SYNCLINE_ALERT_MAIL_TO names none"
            return self._told(alert, Outcome.REFUSED, because)
        try:
            parts = self._checked()
            with closing(self._connected(parts)) as server:
                self._log_in(server, parts)
                refused = server.send_message(self._message(alert, recipients), self.sender, recipients)
                with suppress(smtplib.SMTPException, OSError):  # it has arrived, however the good-bye ends
                    server.quit()
        except _Refused as fault:
            return self._told(alert, Outcome.SINK_DOWN, str(fault))
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            return self._told(alert, Outcome.REFUSED, f"recipients refused, SMTP {', '.join(map(str, codes))}")
        except smtplib.SMTPResponseException as error:  # its text may quote what we sent
            is_about_alert = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
            outcome = Outcome.REFUSED if is_about_alert else Outcome.SINK_DOWN
            return self._told(alert, outcome, f"{type(error).__name__} {error.smtp_code}")
        except (smtplib.SMTPException, OSError, ValueError) as error:
            return self._told(alert, Outcome.SINK_DOWN, type(error).__name__)
        if refused:
            log.warning("alert not delivered to all sink=mail refused=%d of=%d", len(refused), len(recipients))
        return Outcome.DELIVERED

    def _recipients(self, alert: Alert) -> list[str]:
        return [alert.oncall] if ADDRESS.fullmatch(alert.oncall) else list(self.fallback)

    def _checked(self) -> SplitResult:
        """The server's URL, if all settings can be used together."""
        try:
            parts = urlsplit(self.url)
            is_smtp = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_smtp = False
        if not is_smtp or parts.path.strip("/") or parts.query or parts.fragment:
            raise _Refused("SYNCLINE_ALERT_SMTP is not smtps://user@host:465 or smtp://user@host:587")
        if parts.password is not None:
            raise _Refused("SYNCLINE_ALERT_SMTP holds a password; put it into SYNCLINE_ALERT_SMTP_PASSWORD")
        if bool(parts.username) != bool(self.password):
            raise _Refused("a login needs the user in SYNCLINE_ALERT_SMTP and SYNCLINE_ALERT_SMTP_PASSWORD, both")
        if not ADDRESS.fullmatch(self.sender):
            raise _Refused("SYNCLINE_ALERT_MAIL_FROM is not an address")
        return parts

    def _connected(self, parts: SplitResult) -> smtplib.SMTP:
        """A session, encrypted if the server can; its name in the greeting is the sender's domain: no look-up."""
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        domain = self.sender.rpartition("@")[2]
        trust = ssl.create_default_context()
        if parts.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, domain, timeout=TIMEOUT_S, context=trust)
        server = smtplib.SMTP(host, port, domain, timeout=TIMEOUT_S)
        try:
            server.ehlo_or_helo_if_needed()
            if server.has_extn("starttls"):
                server.starttls(context=trust)
        except BaseException:
            server.close()
            raise
        return server

    def _log_in(self, server: smtplib.SMTP, parts: SplitResult) -> None:
        if not parts.username:
            return
        wire = server.sock
        if wire is None or not (isinstance(wire, ssl.SSLSocket) or ip_address(wire.getpeername()[0]).is_loopback):
            raise _Refused(
                "the server offers no encryption, and the login would travel in the clear; use smtps://, or a server "
                "with STARTTLS, or no login"
            )
        server.login(unquote(parts.username), self.password)

    def _message(self, alert: Alert, recipients: list[str]) -> EmailMessage:
        told = {name: on_one_line(str(value)) for name, value in alert.payload().items()}
        summary = told.pop("summary")
        message = EmailMessage(policy=POLICY)
        message["Subject"] = f"[{told['severity']}] {summary}"[:SUBJECT_LENGTH_MAX]
        message["From"], message["To"] = self.sender, ", ".join(recipients)
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # no out-of-office note answers it
        if alert.severity == "page":
            message["Importance"] = "high"
        lines = [*textwrap.wrap(summary, 76, break_long_words=False, break_on_hyphens=False), ""]
        lines += [f"{name}: {value}" for name, value in told.items()]
        if alert.alert_id is not None:
            lines += ["", f"Whoever takes it up says: syncline ack {alert.alert_id} --note '...'"]
        message.set_content("\n".join(lines) + "\n")
        return message

    def _told(self, alert: Alert, outcome: Outcome, because: str) -> Outcome:
        log.warning("alert not delivered sink=mail outcome=%s because=%s %s",
                    outcome.name.lower(), because, alert.line())  # fmt: skip
        return outcome


def from_environment() -> Mail | None:
    """The mail server where one is configured."""
    url = os.environ.get("SYNCLINE_ALERT_SMTP", "").strip()
    if not url:
        return None
    named = [name.strip() for name in os.environ.get("SYNCLINE_ALERT_MAIL_TO", "").split(",")]
    fallback = tuple(name for name in named if ADDRESS.fullmatch(name))
    if len(fallback) < len([name for name in named if name]):
        log.error("SYNCLINE_ALERT_MAIL_TO names something that is not an address; it is left out")
    return Mail(
        url,
        os.environ.get("SYNCLINE_ALERT_MAIL_FROM", "").strip(),
        fallback,
        os.environ.get("SYNCLINE_ALERT_SMTP_PASSWORD", "").rstrip("\r\n"),
    )
