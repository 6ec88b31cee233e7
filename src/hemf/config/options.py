"""The options of a run, in the groups that ``hemf train --help`` shows, with the ranges of their numbers.

The defaults are the paper's recipe (He et al. 2025, Table 5 and the published code): ``recipes/paper.yaml``
and ``RunConfig()`` say the same, which a test checks.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Window = Literal["auto", "lung", "mediastinum", "bone", "brain", "abdomen", "liver"]
TTA = Literal["none", "flip", "flips", "dihedral"]
"""Views of an image over which probabilities are averaged; ``hemf.inference.tta`` makes them."""


@dataclass
class RunOptions:
    """Run

    Args:
        data: prepared data set, class-folder tree, train/val/test tree or CSV file.
        model: name of a registered model, ours or timm's.
        model_args: further arguments of the model's constructor, such as {drop_path_rate: 0.1}.
        task: name of a registered task, what the model is asked about an image.
        pretrained: start from timm's pretrained weights where the model has some (needs a network).
        init: weights to start from: a run, a model folder, a file of weights, timm's name of a model, a place
            such as hf-hub:..., or lite0, lite1 or lite2 (ImageNet, by the extra hemf[weights]). The input
            follows them where it is not given, and so does the model.
        out: folder that holds the runs.
        name: name of this run's folder under --out; by default data, model and time.
        probe: train only the last layer, as a logistic regression on the features of the pretrained network:
            minutes for thousands of images, and the baseline to beat.
        probe_first: begin with that regression, train all layers from there, and in the end keep the better
            of the two, by the log-loss of the validation images.
        seed: every random number comes from it, the epoch and the sample.
        fold: the fold to test on, for data prepared with k folds.
        val_split: images that choose the best checkpoint; `test` is the paper's Kvasir protocol and biased,
            `none` keeps the last epoch.
    """

    data: str = ""
    model: str = "hemf_base"
    model_args: dict[str, Any] = field(default_factory=dict)
    task: str = "multiclass"
    pretrained: bool = False
    init: str | None = None
    probe: bool = False
    probe_first: bool = False
    out: str = "runs"
    name: str | None = None
    seed: int = 0
    fold: int | None = None
    val_split: Literal["val", "test", "none"] = "val"


@dataclass
class InputOptions:
    """Input, as validation, test and prediction see it; it travels with the model

    Args:
        image_size: height and width in pixels, or one number for both.
        crop_pct: share of the resized image's side that the central crop keeps.
        crop_mode: how images are brought to size: `center` resizes the short side and crops, `border`
            resizes the long side and pads, `squash` resizes both sides.
        interpolation: how pixels are resampled.
        mean: mean of each channel, on a scale of 0 to 1.
        std: standard deviation of each channel, on a scale of 0 to 1.
        in_chans: channels of the input: 3 reads images as RGB, 1 as grey.
        window: window of DICOM images: `auto` is the file's own, the others are those of CT, in Hounsfield
            units (level/width): lung -600/1500, mediastinum 50/350, bone 400/1800, brain 40/80, abdomen
            50/400, liver 30/150.
    """

    image_size: int | tuple[int, int] = 224
    crop_pct: float = 0.875
    crop_mode: Literal["center", "border", "squash"] = "center"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    in_chans: Literal[1, 3] = 3
    window: Window = "auto"


@dataclass
class AugmentationOptions:
    """Augmentation of the training images

    Args:
        crop_scale: smallest and largest share of the image's area in a random resized crop; 1 and 1 crop as
            validation does.
        crop_ratio: smallest and largest aspect ratio of that crop.
        hflip: probability of a flip left to right.
        vflip: probability of a flip upside down.
        rotate: largest rotation in degrees, either way.
        color_jitter: strength of random brightness, contrast and saturation.
        auto_augment: a policy of torchvision instead of none: `randaugment` or `trivialaugment`.
        random_erasing: probability of erasing a rectangle.
        mixup: alpha of MixUp; 0 is off.
        cutmix: alpha of CutMix; 0 is off. With both, each batch draws one of the two.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    hflip: float = 0.5
    vflip: float = 0.0
    rotate: float = 0.0
    color_jitter: float = 0.0
    auto_augment: Literal["randaugment", "trivialaugment"] | None = None
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0


@dataclass
class OptimisationOptions:
    """Optimisation

    Args:
        epochs: passes over the training images.
        budget: time for the run, such as 90s, 30m or 1h30m: `--recipe auto` plans for it, and training stops
            at the end of an epoch if another one would go beyond it.
        batch_size: images in a batch, on each device.
        optimizer: name of one of timm's optimisers.
        lr: highest learning rate.
        weight_decay: decay of the weights, which are the tensors of more than one dimension that are no bias.
        layer_decay: each layer below the head learns this much slower than the one above it, such as 0.75.
        freeze_epochs: epochs at the beginning in which only the head learns.
        freeze_norm: batch normalisation keeps the means and variances of the weights to start from, which few
            images would only blur.
        warmup_epochs: epochs of linear warm-up.
        warmup_factor: share of --lr that the warm-up starts from.
        min_lr_factor: share of --lr that the cosine ends at.
        sampling: how often an image is drawn in an epoch: `natural` once; `balanced` so that all classes come
            equally often; `square-root` between the two, by the root of a class's share.
        loss: name of a registered loss.
        loss_args: numbers of the loss, such as {gamma: 1.5} of focal.
        teacher: a stronger network to learn from too: a run, a model folder, or a name as of --init; with
            --folds also a cross-validation of the same folds, each run of which teaches its own fold. One of
            the same classes shows its logits, any other its feature maps.
        teacher_weight: share of the loss that follows the teacher.
        teacher_temperature: what its logits are divided by, so that what it takes for unlikely counts too.
        label_smoothing: share of the target spread evenly over the classes.
        class_weights: weights of the classes in the loss: `balanced` is the inverse of their counts.
        accumulate: batches whose gradients are summed before a step.
        clip_grad: largest norm of the gradient.
        ema: decay of an exponential moving average of the weights, which is then what is validated and kept.
        monitor: validation metric that chooses the best checkpoint: accuracy, balanced_accuracy, f1, roc_auc
            or loss, for the task multiclass.
        patience: epochs without improvement after which training stops.
    """

    epochs: int = 150
    budget: str | None = None
    batch_size: int = 32
    optimizer: str = "adamw"
    lr: float = 1e-4
    weight_decay: float = 0.01
    layer_decay: float | None = None
    freeze_epochs: int = 0
    freeze_norm: bool = False
    warmup_epochs: float = 1.0
    warmup_factor: float = 1e-3
    min_lr_factor: float = 1e-2
    sampling: Literal["natural", "square-root", "balanced"] = "natural"
    loss: str = "cross_entropy"
    loss_args: dict[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    teacher_weight: float = 0.5
    teacher_temperature: float = 2.0
    label_smoothing: float = 0.0
    class_weights: Literal["balanced"] | None = None
    accumulate: int = 1
    clip_grad: float | None = None
    ema: float | None = None
    monitor: str = "accuracy"
    patience: int | None = None


@dataclass
class HardwareOptions:
    """Hardware

    Args:
        precision: format of the numbers: `auto` takes bf16 or fp16 autocast where the hardware is fast
            at it, else fp32.
        accelerator: Lightning's accelerator: auto, cpu, gpu, cuda, mps or tpu.
        devices: Lightning's devices: a number, or auto.
        num_nodes: machines, started by torchrun or SLURM.
        strategy: Lightning's strategy, such as ddp or fsdp.
        sync_batchnorm: batch normalisation over the batches of all devices (GPUs) together, not over each.
        workers: processes that read images; by default one a core, at most 8.
        cache: decode each image once, into a file that all runs on this data share; changes no result.
        cache_dir: folder of the --cache file; by default `cache` in a prepared data set.
        compile: compile the model with torch.compile.
    """

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    sync_batchnorm: bool = False
    workers: int | None = None
    cache: bool = False
    cache_dir: str | None = None
    compile: bool = False


ABOVE_0 = math.ulp(0.0)
RANGES = {
    "seed": (0, math.inf),
    "fold": (0, math.inf),
    "image_size": (1, 8192),
    "crop_pct": (ABOVE_0, 1),
    "crop_scale": (ABOVE_0, 1),
    "crop_ratio": (ABOVE_0, math.inf),
    "hflip": (0, 1),
    "vflip": (0, 1),
    "rotate": (0, 180),
    "color_jitter": (0, 1),
    "random_erasing": (0, 1),
    "mixup": (0, math.inf),
    "cutmix": (0, math.inf),
    "epochs": (1, math.inf),
    "batch_size": (1, 1_000_000),
    "lr": (0, math.inf),
    "weight_decay": (0, math.inf),
    "layer_decay": (ABOVE_0, 1),
    "freeze_epochs": (0, math.inf),
    "warmup_epochs": (0, math.inf),
    "warmup_factor": (0, 1),
    "min_lr_factor": (0, 1),
    "teacher_weight": (0, 1),
    "teacher_temperature": (ABOVE_0, math.inf),
    "label_smoothing": (0, 1),
    "accumulate": (1, math.inf),
    "clip_grad": (0, math.inf),
    "ema": (0, 1),
    "patience": (1, math.inf),
    "num_nodes": (1, math.inf),
    "workers": (0, 256),
}

GROUPS = (RunOptions, InputOptions, AugmentationOptions, OptimisationOptions, HardwareOptions)
