"""``hemf serve``: trained models behind an interface for programs and a page for people."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hemf.config.options import TTA
from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.inference.classifier import Classifier

MISSING = "hemf serve needs {}, which is not installed; pip install 'hemf[serve]'"


def serve(
    run: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    model: list[str] | None = None,
    token_file: str | None = None,
    without_token: bool = False,
    tta: TTA | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    device: str = "auto",
    batch_size: int = 32,
    max_delay: float = 5.0,
    queue: int = 256,
    max_megabytes: int = 64,
    timeout: float = 60.0,
    workers: int | None = None,
) -> int:
    """Serve trained models over HTTP, and a page to try them in a browser.

    Answers are those of `hemf predict`. The page is at /, the interface is described at /docs. SIGHUP loads
    models and token again without losing a request; SIGTERM and Ctrl-C end it once all requests are answered.
    No image is written to disk, and nothing of a request is logged.

    Args:
        run: a run's folder, or its model folder; for an ensemble a cross-validation's folder, or several with
            commas between. It is called as its folder is, or NAME in NAME=PATH.
        host: address to listen on. One that other machines reach needs --token-file or --without-token.
        port: port to listen on; 0 takes one that is free.
        model: further models, each NAME=PATH, with commas between.
        token_file: file with the token that requests must bring, as in Authorization: Bearer TOKEN.
        without_token: let whoever reaches the server use it, because something before it decides who may.
        tta: views of each image that probabilities are averaged over, as for predict.
        precision: format of the numbers, as for predict.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.
        batch_size: images that go through a model at once.
        max_delay: milliseconds that an image waits, at most, for others to go with it.
        queue: images that are held at once; who sends more is told to come again.
        max_megabytes: size of a request in MiB.
        timeout: seconds in which a request must have come, and be answered.
        workers: threads that read images; by default one a core, at most 8.

    Returns:
        0 when it has ended.

    Raises:
        HemfError: no such run, an option out of range, an address that cannot be had, or a public one without
            a token.
    """
    from hemf.core.machine import is_loopback
    from hemf.inference.identity import named
    from hemf.serving.limits import MEBIBYTE, Limits

    try:
        from hemf.serving import app, guard, metrics, models, server
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hemf"):
            raise
        raise HemfError(MISSING.format(error.name)) from error
    size, readers = max_megabytes * MEBIBYTE, {} if workers is None else {"readers": workers}
    limits = Limits(batch_size, max_delay / 1000, queue, size, 8 * size, timeout, **readers)
    if token_file is None and not without_token and not is_loopback(host):
        raise HemfError(
            f"--host {host} lets other machines in; protect it with --token-file FILE, or say --without-token"
        )
    token = _Token(token_file)
    places = named(run, model or [])
    loaded = models.Models(places, lambda place: _load(place, precision, device, tta))
    counts = metrics.Metrics()
    guarded = guard.Guard(
        app.build(loaded, limits, counts, version("hemf")),
        limits,
        counts,
        lambda: token.digest,
        local=token_file is None and not without_token,
    )
    with server.listen(host, port) as opened:
        address = f"[{host}]" if ":" in host else host
        print(
            f"hemf serve: {models.ready_line(loaded)}; http://{address}:{opened.getsockname()[1]}", flush=True
        )

        def reload() -> str:
            with counts.reloads_counted():
                token.read()
                loaded.reload()
            return f"reloaded {models.ready_line(loaded)}"

        server.run(guarded, opened, limits, reload)
    return 0


class _Token:
    """What requests must bring, read again with the models."""

    def __init__(self, file: str | None) -> None:
        self.file, self.digest = file, None
        self.read()

    def read(self) -> None:
        from hemf.serving.guard import read_token

        self.digest = None if self.file is None else read_token(Path(self.file))


def _load(
    place: str, precision: Literal["auto", "fp32", "bf16", "fp16"], device: str, tta: TTA | None
) -> "Classifier":
    from hemf.inference.classifier import load

    return load(place, precision, device, tta)
