"""Where results go: another DICOM node by C-STORE, or a web server by STOW-RS (PS3.18)."""

import base64
import re
import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from hemf.core.errors import HemfError
from hemf.core.text import one_line, printable
from hemf.core.untrusted import check_regular

PEER = re.compile(r"(?P<title>[^@\\]{1,16})@(?P<host>\[[0-9a-fA-F:.]+\]|[^:@\[\]]+):(?P<port>\d{1,5})")
TAKEN = (0x0000, 0xB000, 0xB006, 0xB007, 0x0111)
"""Answers to C-STORE after which the object is there: success, success with changes, and a duplicate."""
DUPLICATE = 0x0111
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
LONGEST_LOGIN = 4096
FAILED, REASON = "00081198", "00081197"
"""FailedSOPSequence and FailureReason, as DICOM's JSON calls them."""


class Unreachable(Exception):  # noqa: N818 - it names what is the matter
    """The receiver cannot be reached now; all results wait."""


class NotTaken(Exception):  # noqa: N818 - it names what is the matter
    """The receiver does not take this object; others it may."""


Send = Callable[[Path], None]


class Destination(Protocol):
    """A receiver of results."""

    def __str__(self) -> str:
        """Return what status and messages call it."""
        ...

    def opened(self) -> Any:
        """Connect inside a ``with`` block; gives what sends a file, and raises where it is not taken.

        Raises:
            Unreachable: there is no connection, or it breaks.
        """
        ...


@dataclass(frozen=True)
class Peer:
    """A DICOM node that takes results by C-STORE.

    Args:
        title: its AE title.
        host: its address.
        port: its port.
        caller: our AE title.
        tls: what the connection is encrypted with; None for a plain one.
    """

    title: str
    host: str
    port: int
    caller: str
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, text: str, caller: str, tls: ssl.SSLContext | None = None) -> "Peer":
        """Read ``AET@host:port``.

        Raises:
            HemfError: it has another form.
        """
        found = PEER.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 2**16:
            raise HemfError(f"--reply is {text}; give AET@host:port, such as ORTHANC@localhost:4242")
        return cls(found["title"].strip(), found["host"].strip("[]"), int(found["port"]), caller, tls)

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"

    @contextmanager
    def opened(self) -> Iterator[Send]:
        """Open an association; gives what sends a file over it."""
        from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage
        from pynetdicom import AE

        ae = AE(self.caller)
        ae.connection_timeout, ae.dimse_timeout, ae.network_timeout = CONNECT_SECONDS, ANSWER_SECONDS, None
        for sop_class in (Comprehensive3DSRStorage, SecondaryCaptureImageStorage):
            ae.add_requested_context(sop_class)
        tls = {} if self.tls is None else {"tls_args": (self.tls, self.host)}
        try:
            association = ae.associate(self.host, self.port, ae_title=self.title, **tls)  # pyright: ignore[reportArgumentType]
        except OSError as error:  # as of a name that no address is known for
            raise Unreachable(one_line(error)) from None
        if not association.is_established:
            raise Unreachable(_no_association(association))
        try:
            yield lambda path: _store(association, path)
        finally:
            if association.is_established:
                association.release()
            else:
                association.abort()


def _no_association(association: Any) -> str:
    if association.is_rejected:
        primitive = association.acceptor.primitive
        return f"it refuses the association: {printable(primitive.reason_str).lower()}"
    if association.rejected_contexts:
        return "it takes neither reports (Comprehensive 3D SR) nor secondary captures"
    return "no answer, or none that is DICOM's"


def _store(association: Any, path: Path) -> None:
    from pydicom import dcmread

    made = dcmread(path)
    try:
        answer = association.send_c_store(made)
    except ValueError:
        raise NotTaken(f"it does not accept {made.SOPClassUID.name}") from None
    except RuntimeError:
        raise Unreachable("the connection broke") from None
    if "Status" not in answer:
        raise Unreachable("the connection broke, or the answer did not come in time")
    if answer.Status not in TAKEN:
        raise NotTaken(f"it answers with the status 0x{answer.Status:04X}")


@dataclass(frozen=True)
class WebServer:
    """A web server that takes results by STOW-RS.

    Args:
        url: its address, under which ``/studies`` lies.
        login: value of the header ``Authorization``; None for none.
        tls: what HTTPS is done with.
    """

    url: str
    login: str | None = None
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, text: str, login_file: str | None, tls: ssl.SSLContext | None) -> "WebServer":
        """Read an address, and the login in a file.

        Raises:
            HemfError: it is no address of HTTP, holds a login itself, or the file cannot be read.
        """
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise HemfError(
                "--dicomweb must be http(s)://host:port/path, under which /studies lies; correct it"
            )
        if parts.username or parts.password:
            raise HemfError("--dicomweb holds a login, which others on this machine see; give --login-file")
        login = None if login_file is None else read_login(login_file)
        return cls(text.rstrip("/"), login, tls)

    def __str__(self) -> str:
        return self.url

    @contextmanager
    def opened(self) -> Iterator[Send]:
        """Open a session; gives what posts a file over it."""
        import requests

        with requests.Session() as session:
            session.trust_env = False  # neither logins nor proxies from elsewhere
            if self.tls is not None:
                session.mount("https://", _adapter(self.tls))
            if self.login is not None:
                session.headers["Authorization"] = self.login
            yield lambda path: _post(session, f"{self.url}/studies", path)


def read_login(file: str) -> str:
    """Read what a web server asks for, and return the header ``Authorization``.

    Args:
        file: one line, ``user:password`` or a bearer token.

    Raises:
        HemfError: it cannot be read, or is another.
    """
    mend = "write user:password or a token into it, on one line"
    try:
        check_regular(Path(file), mend, LONGEST_LOGIN)
        line = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise HemfError(f"cannot read --login-file {file}: {one_line(error)}; {mend}") from error
    if not line or not line.isprintable():
        raise HemfError(f"--login-file {file} does not hold one line; {mend}")
    if ":" in line:
        return f"Basic {base64.b64encode(line.encode()).decode()}"
    if not line.isascii() or " " in line:
        raise HemfError(f"--login-file {file} holds no token; {mend}")
    return f"Bearer {line}"


def _adapter(tls: ssl.SSLContext) -> Any:
    from requests.adapters import HTTPAdapter

    class Trusting(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
            super().init_poolmanager(*arguments, ssl_context=tls, **named)

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            """Leave it to the context: requests would believe further authorities."""

    return Trusting()


def _post(session: Any, url: str, path: Path) -> None:
    import requests

    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    body = head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    seconds = (CONNECT_SECONDS, ANSWER_SECONDS)
    try:
        answer = session.post(url, data=body, headers=headers, timeout=seconds, allow_redirects=False)
    except requests.RequestException as error:
        raise Unreachable(f"no answer ({type(error).__name__})") from None
    if answer.status_code in (401, 403) or answer.status_code >= 500:
        raise Unreachable(f"it answers with the status {answer.status_code}")
    _check(answer)


def _check(answer: Any) -> None:
    """Look whether the one object was stored."""
    try:
        failed = answer.json().get(FAILED, {}).get("Value", [])
        reasons = [item.get(REASON, {}).get("Value", [None])[0] for item in failed]
    except (ValueError, AttributeError, TypeError, IndexError):
        reasons = []
    if reasons and all(reason == DUPLICATE for reason in reasons):
        return
    if reasons:
        numbers = ", ".join(f"0x{one:04X}" if isinstance(one, int) else "unknown" for one in reasons)
        raise NotTaken(f"it did not store it, for the reason {numbers}")
    if answer.status_code not in (200, 202):
        raise NotTaken(f"it answers with the status {answer.status_code}")
