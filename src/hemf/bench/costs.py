"""The counts of each model for ``hemf profile``, and the reports and tables made of them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import timm
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

import hemf.models  # noqa: F401  registers our models with timm
from hemf.bench.conventions import (
    OPERATIONS_TOLERANCE,
    PARAMS_TOLERANCE,
    operations_convention,
    params_convention,
)
from hemf.bench.counting import (
    Operations,
    Step,
    count_operations,
    on_paper,
    parameters_of,
    skeleton,
    training_step,
)
from hemf.bench.published import MODELS, SOURCE, TABLE_3_PARAMS, TABLE_6
from hemf.bench.speed import Setting, cuda_peak_bytes, machine, machine_line, measure_speed
from hemf.config.run_config import RunConfig
from hemf.core.device import pick_device
from hemf.core.errors import HemfError
from hemf.core.precision import Precision, resolve_precision
from hemf.core.tables import Column, Table
from hemf.core.text import counted, one_line
from hemf.models.blocks.mlp import IRMLP, SIRMLP
from hemf.models.pervit import PerViT
from hemf.training.network import check_size, model_args
from hemf.weights.input import at_its_place

MILLION, GIGA, MEBIBYTE = 1e6, 1e9, 2**20
IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Task:
    """What to measure; the fields are ``hemf profile``'s options."""

    num_classes: int = 7
    size: tuple[int, int] = (224, 224)
    batch_sizes: tuple[int, ...] = (32,)
    precisions: tuple[Precision, ...] = ("fp32",)
    device: str = "cpu"
    speed: bool = False
    rounds: int = 5

    @property
    def settings(self) -> list[Setting]:
        """Every batch size in every precision."""
        return [Setting(*pair) for pair in product(self.batch_sizes, self.precisions)]


@dataclass(frozen=True)
class Variant:
    """Another way of building or running a model, which published figures may mean."""

    name: str
    meaning: str
    model_args: dict[str, Any]
    cached: bool = False


CACHED = Variant(
    "cached", "position weights computed beforehand, as inference on images of one size may", {}, cached=True
)
DEPTHWISE = Variant(
    "depthwise",
    "IRMLP's 3x3 convolution depthwise, as HiFuse's paper says and its code does not",
    {"depthwise": True},
)
VARIANTS = {
    "pervit_medium": CACHED,
    "hifuse_tiny": DEPTHWISE,
    "hifuse_small": DEPTHWISE,
    "hifuse_base": DEPTHWISE,
}


@dataclass(frozen=True)
class Counts:
    """What a model costs.

    Attributes:
        params: all parameters.
        operations: multiply-adds for one image.
        steps: what training steps keep and reach, by setting.
    """

    params: int
    operations: Operations
    steps: dict[Setting, Step]


def count(name: str, task: Task, variant: Variant | None = None) -> Counts:
    """Count one model's cost on paper, without its weights and without running it.

    Args:
        name: timm's name of the model.
        task: classes, image size, and the settings of the training steps.
        variant: how to build and run it otherwise; training steps are then left out.

    Raises:
        HemfError: no such model, or it does not work on images of that size.
    """
    try:
        with on_paper(lambda: build(name, task, variant)) as model:
            if variant is not None and variant.cached:
                assert isinstance(model, PerViT), "no other model has position weights"
                model.eval().cache_position_weights(task.size)
            operations = count_operations(model, torch.zeros(1, 3, *task.size))
            steps = {}
            for setting in task.settings if variant is None else ():
                images = torch.zeros(setting.batch_size, 3, *task.size)
                steps[setting] = training_step(model, images, setting.precision)
            return Counts(parameters_of(model), operations, steps)
    except (ValueError, RuntimeError, AssertionError, TypeError) as error:
        if isinstance(error, HemfError):
            raise
        height, width = task.size
        line = one_line(error)
        raise HemfError(
            f"cannot profile {name} on images of {height} x {width}: {line}; change --image-size or the model"
        ) from error


def build(name: str, task: Task, variant: Variant | None = None) -> nn.Module:
    """Build the model by timm's name, untrained.

    Raises:
        HemfError: no such model.
    """
    own = {} if variant is None else variant.model_args
    config = at_its_place(RunConfig(model=name, image_size=task.size, model_args=own))
    arguments = model_args(config)
    check_size(config, task.num_classes, arguments)
    return timm.create_model(config.model, num_classes=task.num_classes, **arguments)


def profile_models(names: Sequence[str], task: Task) -> tuple[dict[str, Any], list[Table]]:
    """Count models, without names those of Table 6; time them if asked to.

    Returns:
        The report for JSON, and the tables that show it.

    Raises:
        HemfError: no such model or device, or a model does not work at that size.
    """
    if min(*task.batch_sizes, *task.size, task.num_classes, task.rounds) < 1:
        raise HemfError("--batch-sizes, --image-size, --num-classes and --rounds must be at least 1")
    device = pick_device(task.device)
    for precision in task.precisions:
        resolve_precision(precision, device.type)
    names = list(dict.fromkeys(names)) or list(MODELS)
    console = Console(stderr=True)
    watched = track(names, "counting", console=console, transient=True, disable=not console.is_terminal)
    entries = [entry for name in watched for entry in _entries(name, task)]
    if task.speed:
        _add_speed(entries, names, task, device)
    report = {
        "settings": asdict(task),
        "machine": machine(device) if task.speed else None,
        "published": SOURCE,
        "models": entries,
    }
    return report, _tables(report)


def _entries(name: str, task: Task) -> list[dict[str, Any]]:
    """Return a model's report, then that of its variant if it has one."""
    counts = {"": count(name, task)}
    if name in VARIANTS:
        counts[VARIANTS[name].name] = count(name, task, VARIANTS[name])
    entries = [_entry(name, variant, one) for variant, one in counts.items()]
    entries[0]["published"] = _published(name, task, counts)
    return entries


def _entry(name: str, variant: str, counts: Counts) -> dict[str, Any]:
    reached = [step.params_with_grad for step in counts.steps.values()]
    return {
        "model": name,
        "variant": variant or None,
        "params": counts.params,
        "params_with_grad": reached[0] if reached else None,
        "params_of_thop": counts.operations.thop_params,
        "multiply_adds_thop": counts.operations.thop,
        "multiply_adds_torch": counts.operations.torch,
        "training_steps": [
            {**setting._asdict(), "saved_bytes": step.saved_bytes} for setting, step in counts.steps.items()
        ],
    }


def _published(name: str, task: Task, counts: dict[str, Counts]) -> dict[str, Any] | None:
    """Return the paper's figures for a model, and which ways of counting it or its variant give them."""
    if name not in TABLE_6:
        return None
    params, operations = {}, {}
    more = _more_with_1000_classes(name, task, counts[""].params)
    for variant, one in counts.items():
        for how, value in (("all", one.params), ("thop", one.operations.thop_params)):
            for classes, total in ((task.num_classes, value), (IMAGENET_CLASSES, value + more)):
                what = ", ".join(filter(None, (counted(classes, "class", "classes"), variant)))
                params[how, what] = total / MILLION
        operations["thop", variant] = one.operations.thop / GIGA
        operations["torch", variant] = one.operations.torch / GIGA
    printed = TABLE_6[name]
    return {
        "params_M": printed.params,
        "params_follow": params_convention(printed.params, params),
        "multiply_adds_G": printed.flops,
        "multiply_adds_follow": operations_convention(printed.flops, operations),
    }


def _more_with_1000_classes(name: str, task: Task, params: int) -> int:
    """How many more parameters a model has with ImageNet's classes than its ``params`` with the task's."""
    of_imagenet = replace(task, num_classes=IMAGENET_CLASSES)
    return parameters_of(skeleton(lambda: build(name, of_imagenet))) - params


def _add_speed(entries: list[dict[str, Any]], names: list[str], task: Task, device: torch.device) -> None:
    """Time the models and add what came out to their training steps."""
    models = [build(name, task) for name in names]
    speeds = measure_speed(models, task.size, task.settings, device, task.rounds)
    whole = [entry for entry in entries if entry["variant"] is None]
    for index, (entry, model) in enumerate(zip(whole, models, strict=True)):
        for setting, step in zip(task.settings, entry["training_steps"], strict=True):
            speed = speeds[index, setting]
            step["images_per_second_inference"] = speed.inference
            step["images_per_second_training"] = speed.training
            if device.type == "cuda":
                step["cuda_peak_bytes"] = cuda_peak_bytes(model, task.size, setting, device)


def _tables(report: dict[str, Any]) -> list[Table]:
    rows = [_row(entry) for entry in report["models"]]
    return [_params_table(rows), _operations_table(rows), _steps_table(report)]


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    paper = entry.get("published") or {}
    reached = entry["params_with_grad"]
    return {
        "model": ", ".join(filter(None, (entry["model"], entry["variant"]))),
        "params": entry["params"] / MILLION,
        "with_grad": None if reached is None else reached / MILLION,
        "paper_params": paper.get("params_M"),
        "params_follow": paper.get("params_follow"),
        "thop": entry["multiply_adds_thop"] / GIGA,
        "torch": entry["multiply_adds_torch"] / GIGA,
        "paper_flops": paper.get("multiply_adds_G"),
        "flops_follow": paper.get("multiply_adds_follow"),
    }


FOLLOWS = "Paper's figures: its Table 6, with the ways of counting that give them (within {:.2%}), or none."


def _variant_notes(rows: list[dict[str, Any]]) -> list[str]:
    shown = {row["model"].partition(", ")[2] for row in rows}
    return [f"{one.name}: {one.meaning}." for one in (CACHED, DEPTHWISE) if one.name in shown]


def _params_table(rows: list[dict[str, Any]]) -> Table:
    columns = [
        Column("model", "model"),
        Column("params", "all", ".2f"),
        Column("with_grad", "with gradient", ".2f"),
        Column("paper_params", "paper", ".2f", missing=""),
        Column("params_follow", "paper follows", missing=""),
    ]
    return Table("Parameters (M)", columns, rows, [FOLLOWS.format(PARAMS_TOLERANCE), *_variant_notes(rows)])


def _operations_table(rows: list[dict[str, Any]]) -> Table:
    columns = [
        Column("model", "model"),
        Column("thop", "thop", ".2f"),
        Column("torch", "torch", ".2f"),
        Column("paper_flops", "paper", ".2f", missing=""),
        Column("flops_follow", "paper follows", missing=""),
    ]
    notes = [
        FOLLOWS.format(OPERATIONS_TOLERANCE),
        *_variant_notes(rows),
        "thop: its count of layers (convolutions, linear layers, norms and pooling that are modules of "
        "torch's own classes), without attention's products. torch: half of what torch.utils.flop_counter "
        "gives: convolutions and all matrix products, without norms.",
        "The authors' own code can give another count by thop (by 0.5% at most): there, softmax, pooling or "
        "norms are layers that are functions or timm's classes here, or the other way round.",
    ]
    return Table("Multiply-adds for one image (G)", columns, rows, notes)


def _steps_table(report: dict[str, Any]) -> Table:
    rows = [
        {
            "model": entry["model"],
            **step,
            "saved": step["saved_bytes"] / MEBIBYTE,
            "peak": step["cuda_peak_bytes"] / MEBIBYTE if "cuda_peak_bytes" in step else None,
        }
        for entry in report["models"]
        for step in entry["training_steps"]
    ]
    columns = [
        Column("model", "model"),
        Column("batch_size", "batch"),
        Column("precision", "precision"),
        Column("saved", "saved MiB", ".0f"),
    ]
    notes = [
        "Saved: what autograd keeps for the backward pass with a CPU's kernels, each storage once, without "
        "the weights but with their copies in bf16 or fp16."
    ]
    if any(row["peak"] is not None for row in rows):
        columns.append(Column("peak", "CUDA peak MiB", ".0f"))
        notes.append("CUDA peak: the most that tensors take on the GPU, weights and gradients included.")
    if report["machine"] is not None:
        columns.append(Column("images_per_second_inference", "inference images/s", ".1f"))
        columns.append(Column("images_per_second_training", "training images/s", ".1f"))
        notes.append(machine_line(report["machine"]))
    return Table("Training step", columns, rows, notes)


def profile_blocks(size: tuple[int, int]) -> tuple[dict[str, Any], list[Table]]:
    """Count SIRMLP and IRMLP, 3C channels to C, at HEMF's four stages, as Table 3 does.

    Args:
        size: height and width of the image whose maps they see; 224 x 224 in the paper.

    Returns:
        The report for JSON, and the table that shows it.

    Raises:
        HemfError: sides that 32 does not divide.
    """
    if any(side % 32 for side in size):
        raise HemfError(f"--image-size {size[0]},{size[1]}: HEMF's four stages need sides divisible by 32")
    blocks = {"SIRMLP": SIRMLP, "IRMLP": IRMLP}
    rows = [_count_block(name, block, layer, size) for name, block in blocks.items() for layer in range(1, 5)]
    columns = [
        Column("block", "block"),
        Column("layer", "layer"),
        Column("channels", "channels"),
        Column("map", "map"),
        Column("params_M", "params M", ".3f"),
        Column("paper_params_M", "paper", ".3f"),
        Column("thop_G", "thop G", ".3f"),
        Column("torch_G", "torch G", ".3f"),
    ]
    notes = [
        "Parameters M, multiply-adds G for one image. The 3x3 convolutions are dense: the paper's text says "
        "depthwise, but its parameters need dense ones."
    ]
    return {"published": SOURCE, "blocks": rows}, [Table("SIRMLP and IRMLP (Table 3)", columns, rows, notes)]


def _count_block(
    name: str, block: Callable[[int, int], nn.Module], layer: int, size: tuple[int, int]
) -> dict[str, Any]:
    dim, stride = 96 * 2 ** (layer - 1), 2 ** (layer + 1)
    height, width = (side // stride for side in size)
    with on_paper(lambda: block(3 * dim, dim)) as model:
        operations = count_operations(model, torch.zeros(1, 3 * dim, height, width))
        params = parameters_of(model)
    return {
        "block": name,
        "layer": layer,
        "channels": f"{3 * dim} to {dim}",
        "map": f"{height} x {width}",
        "params_M": params / MILLION,
        "paper_params_M": TABLE_3_PARAMS[name][layer - 1],
        "thop_G": operations.thop / GIGA,
        "torch_G": operations.torch / GIGA,
    }
