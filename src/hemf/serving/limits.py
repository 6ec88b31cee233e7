"""What a server takes at most: images, bytes, seconds."""

from dataclasses import dataclass, field

from hemf.core.errors import HemfError
from hemf.core.machine import MOST_READERS, usable_cores

MEBIBYTE = 2**20
HEAD_SECONDS = 10.0
"""In which the head of a request must have come."""
REFUSED_TIMES = 2
"""How often the bytes of a request are still read, and thrown away, of one that is refused."""


@dataclass(frozen=True)
class Limits:
    """Bounds on requests; all memory that they can take follows from them.

    Args:
        batch: images that go through a model at once.
        delay: seconds that an image waits, at most, for others that are being read.
        queue: images that are held at once, from the last byte of their request to its answer.
        body: bytes of one request.
        held: bytes of all requests at once.
        seconds: in which a request must have come whole, and be answered.
        readers: threads that read images; each holds one picture.
        explaining: heat maps that are asked for at once.

    Raises:
        HemfError: one is out of range.
    """

    batch: int = 32
    delay: float = 0.005
    queue: int = 256
    body: int = 64 * MEBIBYTE
    held: int = 512 * MEBIBYTE
    seconds: float = 60.0
    readers: int = field(default_factory=lambda: min(MOST_READERS, usable_cores()))
    explaining: int = 8

    def __post_init__(self) -> None:
        bad = [
            name for name in ("batch", "queue", "body", "readers", "explaining") if getattr(self, name) < 1
        ]
        if bad or self.delay < 0 or self.seconds <= 0:
            raise HemfError(
                "--batch-size, --queue, --max-megabytes and --workers must be at least 1, --max-delay at "
                "least 0, --timeout above 0; correct them"
            )
