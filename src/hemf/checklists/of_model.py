"""Facts about the model and its training."""

from hemf.checklists.known import Known
from hemf.checklists.registry import FACTS
from hemf.core.text import counted, in_words
from hemf.data.fingerprints import sha256_of
from hemf.models.hub import WEIGHTS


@FACTS.register("task")
def task(known: Known) -> list[str]:
    classes = counted(len(known.model["label_names"]), "class", "classes")
    return [f"Task: {known.config.task} classification of images into {classes}."]


@FACTS.register("architecture")
def architecture(known: Known) -> list[str]:
    more = f", with {in_words(known.config.model_args)}" if known.config.model_args else ""
    return [f"Deep neural network {known.model['architecture']} (timm's name){more}."]


@FACTS.register("input")
def inputs(known: Known) -> list[str]:
    channels, height, width = known.model["pretrained_cfg"]["input_size"]
    kind = "RGB" if channels == 3 else "grey"
    return [f"Input: the image alone, {height} x {width} pixels, {kind}; no clinical information."]


@FACTS.register("first_weights")
def first_weights(known: Known) -> list[str]:
    return [f"First weights: {known.own.get('first_weights') or known.config.init or 'drawn at random'}."]


@FACTS.register("training")
def training(known: Known) -> list[str]:
    config = known.config
    how = {
        "epochs": config.epochs,
        "batch size": config.batch_size,
        "optimizer": config.optimizer,
        "learning rate": config.lr,
        "weight decay": config.weight_decay,
        "warm-up epochs": config.warmup_epochs,
        "label smoothing": config.label_smoothing,
        "loss": config.loss,
        "precision": known.environment.get("precision", config.precision),
        "seed": config.seed,
    }
    return [f"Training: {in_words(how)}. Everything is in config.yaml, the curves in metrics.csv."]


@FACTS.register("augmentation")
def augmentation(known: Known) -> list[str]:
    names = ("crop_scale", "crop_ratio", "hflip", "vflip", "rotate", "color_jitter", "auto_augment")
    names += ("random_erasing", "mixup", "cutmix")
    used = {name: getattr(known.config, name) for name in names}
    return [f"Augmentation: {in_words({k: v for k, v in used.items() if v})}."]


@FACTS.register("selection")
def selection(known: Known) -> list[str]:
    config = known.config
    if not config.val_split or not known.data.subset(config.val_split):
        return ["The last epoch was kept; no images chose it."]
    kept = known.own.get("epoch", "that is best")
    return [
        f"Epoch {kept} of {config.epochs} was kept, the best by {config.monitor} on the "
        f"{config.val_split} images."
    ]


@FACTS.register("ensemble")
def ensemble(known: Known) -> list[str]:
    views = (known.own.get("calibration") or {}).get("fitted_on", {}).get("tta", "none")
    alone = "A single model"
    return [f"{alone}." if views == "none" else f"{alone}, averaged over the views {views} of each image."]


@FACTS.register("software")
def software(known: Known) -> list[str]:
    packages = known.environment.get("packages")
    if not packages:
        return []
    commit = known.environment.get("commit")
    at = f", commit {commit}" if commit else ""
    return [f"Python {known.environment.get('python')}; {in_words(packages)}{at}."]


@FACTS.register("hardware")
def hardware(known: Known) -> list[str]:
    about = known.environment
    if not about:
        return []
    gpus = in_words(about.get("gpus") or "none")
    return [f"{about.get('cpu')}, {counted(about.get('cores') or 'unknown', 'core')}; GPUs: {gpus}."]


@FACTS.register("digest")
def digest(known: Known) -> list[str]:
    return [f"Weights: model/{WEIGHTS}, SHA-256 {sha256_of(known.opened.model / WEIGHTS)}."]


@FACTS.register("recipe")
def recipe(known: Known) -> list[str]:
    command = known.environment.get("command")
    return [f"Everything that was asked is in config.yaml; the command was: {command}"] if command else []


@FACTS.register("records")
def records(known: Known) -> list[str]:
    if not known.measured:
        return []
    return [f"Each prediction on the {known.split} images is in evaluation/{known.split}/predictions.csv."]
