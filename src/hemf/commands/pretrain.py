"""``hemf pretrain``: let a network learn from images without labels, or take that up where it stopped."""

import os
from pathlib import Path
from typing import Any

from hemf.config.names import check_method, check_names
from hemf.config.pretraining import PretrainConfig
from hemf.core.errors import HemfError
from hemf.runs.folder import Run
from hemf.runs.taking_up import options_to_resume


def pretrain(
    data: str = "",
    *,
    resume: str | None = None,
    device: str | None = None,
    trust: bool = False,
    **options: Any,
) -> Run:
    """Let a network learn from images without labels, for `hemf train --init` to begin with.

    A run is a new folder under `out`, as of `hemf train`: its options, its images, its checkpoints, the
    curves, a sheet of nearest neighbours, and in the end the network, without a head. It is taken up with
    `--resume` and ends with the same weights as one that was not stopped.

    Args:
        data: a folder with images anywhere in it, or whatever `hemf train` takes; labels play no part in
            learning.
        resume: folder of a run to take up; only what changes no weight may be given with it: --epochs,
            --workers, --cache and --cache-dir.
        device: train on this device: cpu, cuda, cuda:1 ..., mps or auto.
        trust: the run to resume is your own, so it may also fetch weights, compile, and say where to write;
            without it such a run is refused, as it may come from a stranger.
        options: any option of a pretraining, see `hemf.PretrainConfig`.

    Raises:
        HemfError: options, data or model do not fit together, the loss is not finite, or the disk is full.
    """
    if resume is not None:
        own = {"data": data and os.fspath(data), "device": device}
        given = options | {name: value for name, value in own.items() if value not in ("", None)}
        return _resume(Path(resume), given, trust)
    options |= {"data": os.fspath(data)} if data else {}
    config = PretrainConfig.given(device, **options)
    check_names(config)
    check_method(config.method)
    if not config.data:
        raise HemfError("no images to learn from; give --data, such as a folder of images")
    if not Path(config.data).exists():
        raise HemfError(f"no images at {config.data}; give a folder of images or a prepared data set")
    from hemf.core.device import check_accelerator

    check_accelerator(config.accelerator)
    if ":" in config.model:
        from hemf.weights.input import at_its_place

        config = at_its_place(config)
    if config.init is not None or config.pretrained:
        from hemf.weights.input import follow

        config = follow(config, options.keys())
    from hemf.pretraining.run import start

    return start(config)


def _resume(path: Path, given: dict[str, Any], trust: bool) -> Run:
    config = options_to_resume(path, given, trust, PretrainConfig)
    from hemf.pretraining.run import PRETRAINING
    from hemf.training.trainer import take_up

    return take_up(path, config, trust or "cache_dir" in given, PRETRAINING)
