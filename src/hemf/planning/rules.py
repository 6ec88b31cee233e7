"""The rules of ``--recipe auto``; docs/how-to/few-images.md lists them with their reasons."""

from dataclasses import replace

from hemf.config.run_config import RunConfig, read_recipe
from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data.preprocessing import InputSpec
from hemf.planning.choices import Choices
from hemf.planning.facts import Facts
from hemf.tasks import TASKS
from hemf.training.network import build_model
from hemf.training.probe.fit import last_layer

FEWEST_TO_TUNE = 400
"""Training images below which the probe is all: on fewer, fine-tuning has not been measured against it."""
FEWEST_TO_JUDGE = 50
"""Validation images below which nothing can be said of two models' difference."""
MANY = 2000
IMBALANCED = 3.0
OBLONG = 2.0
SMALLER = (160, 128, 96, 64)
"""What is tried where the budget is too short for larger images; weights of other sizes go down to 128."""
ENOUGH_FOR_PAPER = 5000
AUGMENTATION = ("crop_scale", "crop_ratio", "hflip", "rotate", "color_jitter", "random_erasing", "mixup")
OPTIMISATION = (
    *("optimizer", "lr", "weight_decay", "layer_decay", "freeze_epochs", "freeze_norm", "warmup_epochs"),
    *("warmup_factor", "min_lr_factor", "label_smoothing", "clip_grad", "ema"),
)


def choose_input(choices: Choices, facts: Facts, pretrained: bool) -> None:
    """Choose how images are brought to size."""
    if not pretrained:
        side = min(facts.width, facts.height)
        largest = 160 if facts.cpu else 224
        size = min(largest, max(64, -(-side // 32) * 32))
        why = f"at most {largest} here" if size == largest else "no larger than the images"
        choices.choose("image size", why, image_size=size)
        colour = "grey" if facts.grey else "coloured"
        choices.choose("channels", f"the images are {colour}", in_chans=1 if facts.grey else 3)
    mode = "squash" if facts.oblong <= OBLONG else "border"
    why = "the whole image is seen: what matters may lie at its edge"
    if mode == "border":
        why += f"; some are {facts.oblong:.1f} times as long as wide, and keep their shape"
    choices.choose("crop", why, ["crop_mode"], crop_mode=mode, crop_pct=1.0)


def choose_balance(choices: Choices, facts: Facts) -> None:
    """Choose loss, sampling and the metric that chooses the epoch."""
    uneven = facts.imbalance > IMBALANCED
    why = f"the largest class has {facts.imbalance:.1f} times as many training images as the smallest"
    choices.choose(
        "loss",
        f"{why}, {'more than' if uneven else 'at most'} {IMBALANCED:g}",
        ["loss", "class_weights"] if uneven else ["loss"],
        loss="cross_entropy",
        class_weights="balanced" if uneven else None,
        sampling="natural",
    )
    if not TASKS.find(choices.config.task).exclusive:
        return
    ranks = all(facts.val.values())
    metric = "balanced_accuracy" if uneven else "roc_auc" if ranks else "loss"
    why = {
        "balanced_accuracy": "every class counts the same",
        "roc_auc": "on few validation images accuracy moves in large steps",
        "loss": "a class has no validation images",
    }[metric]
    choices.choose("monitor", why, monitor=metric)


def choose_recipe(choices: Choices, facts: Facts, pretrained: bool) -> None:
    """Choose augmentation and optimisation, those of a recipe of the package."""
    name = "finetune" if pretrained else "small-data" if facts.images < ENOUGH_FOR_PAPER else "paper"
    values = read_recipe(name)
    about = {
        "finetune": "light, as the weights know images",
        "small-data": f"fewer than {ENOUGH_FOR_PAPER} training images",
        "paper": f"{ENOUGH_FOR_PAPER} training images or more",
    }[name]
    augmented = {option: values[option] for option in AUGMENTATION if option in values}
    choices.choose("augmentation", f"recipe {name}: {about}", ["crop_scale"], **augmented)
    many = facts.images >= MANY
    why = f"{MANY} training images or more" if many else f"fewer than {MANY} training images: more steps"
    choices.choose("batch size", why, batch_size=32 if many else 16)
    rest = {option: values[option] for option in OPTIMISATION if option in values}
    why = f"recipe {name}"
    if choices.config.probe_first:
        rest |= {"lr": 5e-4, "freeze_epochs": 0}
        why += ", slower: the probe's head knows the classes"
    choices.choose("optimisation", why, ["lr"], **rest)


def why_no_tuning(facts: Facts) -> str:
    """Say why the probe is not to be followed by fine-tuning; empty where it may be."""
    judges = sum(facts.val.values())
    if facts.images < FEWEST_TO_TUNE:
        return (
            f"{facts.images} training images, fewer than {FEWEST_TO_TUNE}: that fine-tuning does better than "
            "the probe is measured on more (COVID-CT)"
        )
    if judges < FEWEST_TO_JUDGE or not all(facts.val.values()):
        return f"{counted(judges, 'validation image')}, too few to tell whether fine-tuning is better"
    return ""


def can_be_probed(config: RunConfig, classes: int) -> bool:
    """Return whether a linear probe can be fitted to the model."""
    task = TASKS.find(config.task)
    if not task.exclusive:
        return False
    try:
        model = build_model(replace(config, pretrained=False), task.outputs(classes))
        last_layer(model, InputSpec.from_config(config))
    except HemfError:
        return False
    return True


def sizes_to_try(choices: Choices, pretrained: bool) -> list[int | tuple[int, int]]:
    """Return the image sizes from the wanted one down, as far as the budget may make them smaller."""
    wanted = choices.config.image_size
    if "image_size" in choices.given or not isinstance(wanted, int):
        return [wanted]
    return [wanted, *(size for size in SMALLER if size < wanted and (size >= 128 or not pretrained))]
