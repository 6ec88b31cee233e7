"""What a server counts, in Prometheus's form: numbers alone, nothing of an image or of who sent it."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "hemf_requests", "Requests answered", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "hemf_request_seconds",
            "Seconds from the head of a request to the end of its answer",
            ["path"],
            registry=self.registry,
            buckets=SECONDS,
        )
        self.images = Counter(
            "hemf_images", "Images by what became of them", ["model", "outcome"], registry=self.registry
        )
        self.held = Gauge("hemf_images_held", "Images that are read or wait", registry=self.registry)
        self.batch = Histogram(
            "hemf_batch_images", "Images of a batch", registry=self.registry, buckets=SIZES
        )
        self.waited = Histogram(
            "hemf_wait_seconds",
            "Seconds that an image waited, once read, for its batch to begin",
            registry=self.registry,
            buckets=SECONDS,
        )
        self.computed = Histogram(
            "hemf_batch_seconds", "Seconds that a batch took", registry=self.registry, buckets=SECONDS
        )
        self.reloads = Counter("hemf_reloads", "Reloads of the models", ["outcome"], registry=self.registry)

    @contextmanager
    def reloads_counted(self) -> Iterator[None]:
        """Count a reload by how the block ends."""
        try:
            yield
        except Exception:
            self.reloads.labels("failed").inc()
            raise
        self.reloads.labels("done").inc()

    def text(self) -> bytes:
        """Return all in Prometheus's text format."""
        return generate_latest(self.registry)
