"""Facts about the data: where they come from, how they are divided, and what is known of each image."""

from collections import Counter

from hemf.checklists.known import Known
from hemf.checklists.registry import FACTS
from hemf.core.text import counted, in_words, patients
from hemf.data.preprocessing import InputSpec


@FACTS.register("source")
def source(known: Known) -> list[str]:
    source = known.data.info.get("source")
    return [f"Data set {known.data.name}" + (f", read by hemf's source {source}" if source else "") + "."]


@FACTS.register("licence")
def licence(known: Known) -> list[str]:
    licence = known.data.info.get("licence")
    return [f"Licence of the images: {licence}."] if licence else []


@FACTS.register("counts")
def counts(known: Known) -> list[str]:
    lines = []
    for side, of_class in known.data.counts().items():
        groups = {s.group for s in known.data.samples if s.side == side and s.group}
        units = f" of {patients(len(groups), ',')}" if groups else ""
        total = counted(sum(of_class.values()), "image", form=",")
        lines.append(f"{side or 'all'}: {total}{units} ({in_words(of_class)}).")
    return lines


@FACTS.register("split")
def split(known: Known) -> list[str]:
    about = known.data.info.get("split") or {}
    return [f"Split: {in_words(about)}."] if about else []


@FACTS.register("groups")
def groups(known: Known) -> list[str]:
    if not known.data.groups:
        return ["Patients or lesions are not known, so images of one may be on two sides of the split."]
    without = sum(not s.group for s in known.data.samples)
    named = f"{patients(known.data.groups, ',')} are known"
    return [f"{named}; {counted(without, 'image', form=',')} without." if without else f"{named}."]


@FACTS.register("leakage")
def leakage(known: Known) -> list[str]:
    lines = []
    if known.data.groups:
        leaking = len(known.data.leaking_groups())
        lines.append(f"{leaking} of the known patients or lesions are on two sides of the split.")
    trained = known.measured.get("images_trained_on")
    if trained is not None:
        lines.append(f"{trained} of the images measured were trained on, by file and picture.")
    return lines


@FACTS.register("skipped")
def skipped(known: Known) -> list[str]:
    if "skipped" not in known.data.info:
        return []
    return [f"{counted(len(known.data.info['skipped']), 'image')} left out when the data were prepared."]


@FACTS.register("classes")
def classes(known: Known) -> list[str]:
    return [f"Classes, in the order of the outputs: {', '.join(known.model['label_names'])}."]


@FACTS.register("columns")
def columns(known: Known) -> list[str]:
    names = sorted({name for sample in known.data.samples for name in sample.metadata})
    return [f"Known of each image besides: {', '.join(names)}."] if names else []


@FACTS.register("preprocessing")
def preprocessing(known: Known) -> list[str]:
    seen = InputSpec.from_pretrained_cfg(known.model["pretrained_cfg"], known.own.get("window", "auto"))
    _, height, width = seen.input_size
    return [
        f"{seen.interpolation} resizing to {height} x {width} pixels ({seen.crop_mode}, {seen.crop_pct:g}), "
        f"standardised by mean {in_words(seen.mean)} and deviation {in_words(seen.std)}; DICOM window "
        f"{seen.window}."
    ]


@FACTS.register("imbalance")
def imbalance(known: Known) -> list[str]:
    config, lines = known.config, []
    total = Counter(s.label for s in known.data.samples)
    lines.append(f"The largest class has {max(total.values()) / min(total.values()):.1f} times the smallest.")
    used = {"sampling": config.sampling, "class weights": config.class_weights, "loss": config.loss}
    lines.append(f"In training: {in_words(used)}.")
    return lines
