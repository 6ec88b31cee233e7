"""Says where a run's first weights come from, for those who get the model without the run."""

from pathlib import Path

import timm

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.weights.registry import WEIGHTS


def origin_of(config: RunConfig) -> str | None:
    """Describe a run's first weights and their licence as far as it is known, without places on this machine.

    Returns:
        None where there were none.
    """
    if config.init in WEIGHTS:
        try:
            return WEIGHTS[config.init]().origin
        except HemfError:  # not installed any more
            return config.init
    if config.init is not None:
        named = ":" in config.init or not Path(config.init).exists()
        return config.init if named else f"{Path(config.init).resolve().name}, a file or run"
    if not config.pretrained:
        return None
    about = timm.get_pretrained_cfg(config.model)
    licence = f", {about.license}" if about is not None and about.license else ""
    return f"{config.model} (timm{licence})"
