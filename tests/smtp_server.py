"""A mail server for tests: real SMTP over a real socket, with TLS by a certificate made on the spot."""

from __future__ import annotations

import base64
import ipaddress
import socketserver
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "alerts", "s3cret-of-the-mail-server"


def certificate(folder: Path) -> Path:
    """Key and self-signed certificate of 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "mail.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail on loopback. `answers` overrides what it says to a verb, as in {"RCPT": "550 no such user"}."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, pem: Path | None = None, *, is_tls_at_once: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.port = self.server_address[1]
        self.trust: ssl.SSLContext | None = None
        if pem is not None:
            self.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.trust.load_cert_chain(pem)
        self.is_tls_at_once = is_tls_at_once
        self.answers: dict[str, str] = {}
        self.greeted: list[str] = []
        self.verbs: list[str] = []
        self.logins: list[tuple[str, bool]] = []  # what was sent, and whether the wire was encrypted
        self.mails: list[tuple[list[str], EmailMessage]] = []  # recipients of the envelope, message
        self.raw: list[bytes] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that hung up is what some tests are about."""


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.is_encrypted = False
        if self.server.is_tls_at_once:
            self._encrypt()
        self.recipients: list[str] = []
        self._say("220 test")
        while line := self.rfile.readline().decode("ascii").rstrip("\r\n"):
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            self.server.verbs.append(verb)
            if self.server.answers.get(verb) == "":  # it hangs up
                return None
            if verb in self.server.answers:
                self._say(self.server.answers[verb])
            elif verb == "QUIT":
                return self._say("221 bye")
            else:
                getattr(self, f"_do_{verb.lower()}")(rest)
        return None

    def _do_ehlo(self, rest: str) -> None:
        self.server.greeted.append(rest)
        offered = ["test"]
        if self.server.trust and not self.is_encrypted:
            offered.append("STARTTLS")
        offered.append("AUTH PLAIN")
        for name in offered[:-1]:
            self._say(f"250-{name}")
        self._say(f"250 {offered[-1]}")

    def _do_starttls(self, _: str) -> None:
        self._say("220 go ahead")
        self._encrypt()

    def _do_auth(self, rest: str) -> None:
        said = base64.b64decode(rest.partition(" ")[2]).decode()
        self.server.logins.append((said, self.is_encrypted))
        self._say("235 ok" if said == f"\0{USER}\0{PASSWORD}" else "535 wrong")

    def _do_mail(self, _: str) -> None:
        self._say("250 ok")

    def _do_rset(self, _: str) -> None:
        self._say("250 ok")

    def _do_rcpt(self, rest: str) -> None:
        self.recipients.append(rest.partition("<")[2].partition(">")[0])
        self._say("250 ok")

    def _do_data(self, _: str) -> None:
        self._say("354 go on")
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        if refusal := self.server.answers.get("."):
            return self._say(refusal)
        raw = b"".join(lines)
        self.server.raw.append(raw)
        parsed: Any = message_from_bytes(raw, policy=policy.default)
        self.server.mails.append((self.recipients, parsed))
        return self._say("250 taken")

    def _encrypt(self) -> None:
        assert self.server.trust is not None
        self.request = self.server.trust.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
        self.is_encrypted = True

    def finish(self) -> None:
        super().finish()
        self.request.close()  # the encrypted one: the server knows only the bare one below it

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode("ascii"))
