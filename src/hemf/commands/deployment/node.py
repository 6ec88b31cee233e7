"""``hemf node``: a trained model as a DICOM node."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hemf.config.options import TTA
from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.inference.classifier import Classifier
    from hemf.node.destinations import Destination
    from hemf.node.results.about import About

TlsFiles = tuple[str | None, str | None, str | None]
"""Certificate, key, authorities."""

MISSING = "hemf node needs {}, which is not installed; pip install 'hemf[node]'"


def node(
    runs: Sequence[str] = (),
    *,
    aet: str = "HEMF",
    host: str = "127.0.0.1",
    dicom_port: int = 11112,
    reply: str | None = None,
    dicomweb: str | None = None,
    login_file: str | None = None,
    spool: str = "spool",
    overlay: bool = False,
    modality: list[str] | None = None,
    body_part: list[str] | None = None,
    codes: str | None = None,
    aet_allowed: list[str] | None = None,
    any_aet: bool = False,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    tls_ca: str | None = None,
    reply_tls: bool = False,
    tta: TTA | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    device: str = "auto",
    status: bool = False,
) -> int:
    """Classify the images that a PACS sends, and send back structured reports.

    Takes images by C-STORE, acknowledges each once it is safe on disk, and sends what the model says of it as
    a structured report (template 1500), and with --overlay its heat map as a secondary capture, of the same
    study. A process that is killed goes on where it was: each image that was acknowledged has one result. An
    image sent twice has one result. SIGTERM and Ctrl-C finish what is at hand. Nothing of a header is logged.

    Args:
        runs: a run's folder, its model folder, or an export; for an ensemble a cross-validation's folder, or
            several runs. Reports call it as its folder is called, or NAME in NAME=PATH.
        aet: AE title of the node.
        host: address to listen on. One that other machines reach needs --aet-allowed or --any-aet.
        dicom_port: port to listen on; 0 takes one that is free.
        reply: where results go by C-STORE, as AET@host:port.
        dicomweb: where results go by STOW-RS instead: the address under which /studies lies.
        login_file: file with what --dicomweb asks for: user:password, or a bearer token.
        spool: folder of the queue, which belongs to one model. It holds images until their results are sent.
        overlay: send heat maps too; an export has none.
        modality: take only images of these, such as CR,DX.
        body_part: take only images of these, such as CHEST.
        codes: CSV file that gives classes standard concepts, with the columns class, value, scheme, meaning.
        aet_allowed: AE titles of those who may send.
        any_aet: let whoever reaches the node send, because something before it decides who may.
        tls_cert: PEM file with the node's certificate; connections to it must then be encrypted.
        tls_key: PEM file with the certificate's key, where that holds none.
        tls_ca: PEM file with the authorities of the certificates that senders must show, and of the receiver.
        reply_tls: encrypt the connection to --reply.
        tta: views of each image that probabilities are averaged over, as for predict.
        precision: format of the numbers, as for predict.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.
        status: tell what became of the images in --spool, with reasons, and end; needs no run.

    Returns:
        0 when it has ended.

    Raises:
        HemfError: no such run, an option that does not fit, an address that cannot be had, or a public one
            without a list of senders.
    """
    if status:
        from hemf.node.status import status_lines

        print(*status_lines(Path(spool)), sep="\n")
        return 0
    try:
        from hemf.node import receive  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hemf"):
            raise
        raise HemfError(MISSING.format(error.name)) from error
    from hemf.core.machine import is_loopback
    from hemf.node.queue import Queue
    from hemf.node.service import Listening, run
    from hemf.node.source import Filter
    from hemf.node.tls import server_context

    if not runs:
        raise HemfError("hemf node RUN needs a run; give the folder that hemf train has made, or an export")
    if not aet_allowed and not any_aet and not is_loopback(host):
        raise HemfError(
            f"--host {host} lets other machines in; name who may send with --aet-allowed, or say --any-aet"
        )
    tls = None if tls_cert is None else server_context(tls_cert, tls_key, tls_ca)
    titles = [_title("--aet-allowed", one) for one in aet_allowed or ()]
    here = Listening(_title("--aet", aet), host, dicom_port, titles, tls)
    wanted = Filter(*({one.strip().upper() for one in several or ()} for several in (modality, body_part)))
    destination = _destination(reply, dicomweb, login_file, aet, (tls_cert, tls_key, tls_ca), reply_tls)
    classifier, about = _model(list(runs), codes, overlay, tta, precision, device)
    queue = Queue(Path(spool), about.sha256)
    try:
        return run(queue, classifier, about, wanted, overlay, destination, here)
    finally:
        queue.close()


def _title(flag: str, text: str) -> str:
    """Return an AE title (PS3.5, 6.2) without what pads it."""
    title = text.strip()
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise HemfError(f"{flag} is {text!r}; give 1 to 16 letters, digits and signs")
    return title


def _destination(
    reply: str | None, dicomweb: str | None, login_file: str | None, aet: str, tls: TlsFiles, reply_tls: bool
) -> "Destination":
    """Return where results go."""
    from hemf.node.destinations import Peer, WebServer
    from hemf.node.tls import client_context

    if (reply is None) == (dicomweb is None):
        raise HemfError("give either --reply AET@host:port or --dicomweb URL, where results are to go")
    if reply is not None:
        if login_file is not None:
            raise HemfError("--login-file goes with --dicomweb; leave it out")
        return Peer.parse(reply, aet.strip(), client_context(*tls) if reply_tls else None)
    if reply_tls:
        raise HemfError("--reply-tls goes with --reply; for --dicomweb give an https:// address")
    assert dicomweb is not None, "one of them is given"
    encrypted = dicomweb.startswith("https:")
    return WebServer.parse(dicomweb, login_file, client_context(*tls) if encrypted else None)


def _model(
    runs: list[str],
    codes: str | None,
    overlay: bool,
    tta: TTA | None,
    precision: Literal["auto", "fp32", "bf16", "fp16"],
    device: str,
) -> "tuple[Classifier, About]":
    """Load the model, and say what results are to tell of it."""
    from hemf.inference.classifier import load
    from hemf.inference.identity import digest, named
    from hemf.node.results.about import About
    from hemf.node.results.concepts import read_codes

    (name, first), *_ = named(runs[0], []).items()
    place = first if len(runs) == 1 else [first, *runs[1:]]
    classifier = load(place, precision, device, tta)
    if not classifier.trained.task.exclusive:
        raise HemfError(f"{runs[0]} is of the task {classifier.trained.task.name}, which is not served yet")
    if overlay and not classifier.can_explain:
        raise HemfError(
            f"{runs[0]} is an export, which has no heat maps; give its run, or leave --overlay out"
        )
    concepts = {} if codes is None else read_codes(codes, classifier.classes)
    return classifier, About.of(classifier, name, digest(place), concepts)
