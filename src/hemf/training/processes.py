"""Several processes that train as one: how they share a step's images, and what they agree on after it."""

from dataclasses import replace

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import Strategy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.text import counted


def shared_among(config: RunConfig, began: int, now: int) -> RunConfig:
    """Return the options under which other processes take the steps that a run began with.

    The images of a step stay the same, and so do learning rate and schedule. Their batches are the largest
    of at most the run's own size that divide them evenly: where more or fewer of these are accumulated
    instead, batch normalisation sees the same ones.

    Args:
        config: the run's options.
        began: processes that it began with.
        now: processes that go on with it.

    Raises:
        HemfError: they cannot share the images of a step evenly.
    """
    images = config.batch_size * config.accumulate * began
    if began == now:
        return config
    if images % now:
        able = [str(n) for n in range(1, 2 * max(began, now)) if images % n == 0]
        raise HemfError(
            f"the run began on {counted(began, 'device')} with {counted(images, 'image')} a step, which "
            f"{now} cannot share evenly; resume it on {' or '.join(able)}"
        )
    own = images // now
    times = next(n for n in range(1, own + 1) if own % n == 0 and own // n <= config.batch_size)
    return replace(config, batch_size=own // times, accumulate=times)


def lost_another(error: BaseException) -> bool:
    """Return whether an error says that another process can no longer be reached."""
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo/transport" in str(error)
    )


class RunningStatistics:
    """Keeps those of batch normalisation as one process would have them that takes the batches in turn.

    From r, by the statistics s_i of R batches and at momentum m, that is
    (1 - m)^R r + m sum_i (1 - m)^(R - 1 - i) s_i. Process i knows its m s_i = r_i - (1 - m) r. Without this
    those of the first process alone would count.

    Args:
        model: the network in training; layers over the batches of all processes need nothing.
        strategy: Lightning's, which knows the processes.
    """

    def __init__(self, model: nn.Module, strategy: Strategy) -> None:
        self.strategy = strategy
        self.kept: list[tuple[Tensor, float]] = [
            (statistic, layer.momentum)
            for layer in model.modules()
            if isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm) and layer.training
            for statistic in (layer.running_mean, layer.running_var)
            if statistic is not None and layer.momentum is not None
        ]
        self.before = [statistic.clone() for statistic, _ in self.kept]

    @torch.no_grad()
    def agree(self, rank: int, processes: int) -> None:
        """Bring those of this process, of number ``rank``, and of all others together."""
        if not self.kept:
            return
        own = [
            (1 - m) ** (processes - 1 - rank) * (now - (1 - m) * before)
            for (now, m), before in zip(self.kept, self.before, strict=True)
        ]
        total = self.strategy.reduce(torch.cat([one.flatten() for one in own]), reduce_op="sum")
        assert isinstance(total, Tensor), "the sum of tensors"
        parts = total.split([one.numel() for one in own])
        for (now, m), before, part in zip(self.kept, self.before, parts, strict=True):
            now.copy_((1 - m) ** processes * before + part.view_as(now))


class Threads(Callback):
    """Sets the number of threads, on which the weights depend, where Lightning sets its own for DDP."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        torch.set_num_threads(self.threads)
