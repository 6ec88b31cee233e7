"""Facts about what was measured: performance, calibration, groups, robustness, failures."""

from collections.abc import Mapping
from typing import Any

from hemf.checklists.known import Known
from hemf.checklists.registry import FACTS
from hemf.core.text import counted
from hemf.metrics.wording import measure_text

FIRST = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro F1",
    "roc_auc_macro": "macro ROC AUC",
    "average_precision_macro": "macro average precision",
}
MOST_NAMED = 5


@FACTS.register("measures")
def measures(known: Known) -> list[str]:
    metrics = known.measured.get("metrics") or {}
    named = [f"{words} {measure_text(metrics[name])}" for name, words in FIRST.items() if name in metrics]
    where = f"On {counted(known.measured.get('n', 0), 'image', form=',')} ({known.split})"
    return [f"{where}: {'; '.join(named)}."] if named else []


@FACTS.register("per_class")
def per_class(known: Known) -> list[str]:
    return [
        f"{name}: sensitivity {measure_text(of['recall'])}, specificity {measure_text(of['specificity'])}, "
        f"ROC AUC {measure_text(of['roc_auc'])}."
        for name, of in (known.measured.get("per_class") or {}).items()
    ]


@FACTS.register("intervals")
def intervals(known: Known) -> list[str]:
    about = known.measured.get("intervals")
    if not about:
        return []
    if not about["resamples"]:
        return ["95% intervals of proportions by Wilson's formula; no bootstrap."]
    unit = "patients or lesions" if about["unit"] == "group" else "images"
    number = f"{about['groups']:,} {unit}" if about["groups"] else unit
    return [f"95% intervals by a stratified bootstrap of {number}, {about['resamples']:,} resamples."]


@FACTS.register("calibration")
def calibration(known: Known) -> list[str]:
    lines, own = [], known.own.get("calibration") or {}
    if own.get("temperature"):
        on = own["fitted_on"]
        where = counted(on["n"], f"{on['split']} image", form=",")
        lines.append(f"Recalibrated by a temperature of {own['temperature']:.3f}, fitted on {where}.")
    found = known.measured.get("calibration") or {}
    if "ece" in found:
        brier = measure_text(found["brier"])
        lines.append(f"Calibration error {measure_text(found['ece'])}, Brier score {brier}, with a diagram.")
    return lines


@FACTS.register("thresholds")
def thresholds(known: Known) -> list[str]:
    points = (known.own.get("calibration") or {}).get("operating_points") or []
    return [
        f"{one['class']} is called from probability {one['threshold']:.3f}, chosen before the test for a "
        f"{one['target']} of {one['at']:g} on {counted(one['n'], 'validation image', form=',')}."
        for one in points
    ]


@FACTS.register("sets")
def sets(known: Known) -> list[str]:
    own = (known.own.get("calibration") or {}).get("conformal")
    if not own:
        return []
    lines = [f"The model abstains where its prediction set (coverage {own['coverage']:g}) is not one class."]
    found = known.measured.get("conformal") or {}
    if coverage := found.get("coverage"):
        lines.append(f"Coverage on the {known.split} images: {measure_text(coverage)}.")
    return lines


@FACTS.register("failures")
def failures(known: Known) -> list[str]:
    matrix, classes = known.measured.get("confusion_matrix"), known.measured.get("classes")
    if not matrix or not classes:
        return []
    wrong = [
        (matrix[i][k], classes[i], classes[k])
        for i in range(len(classes))
        for k in range(len(classes))
        if i != k and matrix[i][k]
    ]
    most = sorted(wrong, key=lambda one: -one[0])[:MOST_NAMED]
    named = "; ".join(f"{n} of {true} taken for {taken}" for n, true, taken in most)
    shown = "The confusion matrix and the worst mistakes with heat maps are in report.html."
    return [f"{named[0].upper()}{named[1:]}.", shown] if named else [shown]


@FACTS.register("subgroups")
def subgroups(known: Known) -> list[str]:
    found = known.measured.get("subgroups")
    if not found:
        return []
    lines = [
        f"Measured by {', '.join(found['by'])}, with intervals and corrected differences (metrics.json)."
    ]
    return lines + [
        f"{of['column']} {of['value']}, n = {of['n']:,}: accuracy {measure_text(of['measures']['accuracy'])}."
        for of in found["groups"]
        if of["measures"].get("accuracy")
    ]


@FACTS.register("external")
def external(known: Known) -> list[str]:
    return [
        f"On {one['data']['name']}, {counted(one['n'], 'image', form=',')}: {_first(one)}."
        for one in known.external
    ]


def _first(report: Mapping[str, Any]) -> str:
    name = next((name for name in FIRST if name in report["metrics"]), next(iter(report["metrics"])))
    return f"{FIRST.get(name, name)} {measure_text(report['metrics'][name])}"


@FACTS.register("stress")
def stress(known: Known) -> list[str]:
    found = known.found("stress.json")
    if not found:
        return []
    broken = [
        f"{one['name']} (step {one['breaks_at_step']})" for one in found["order"] if one["breaks_at_step"]
    ]
    first = ", ".join(broken[:MOST_NAMED]) or "none"
    tried = counted(len(found["order"]), "corruption")
    return [f"Of {tried} in five steps, those that cost accuracy beyond chance first: {first} (stress.html)."]


@FACTS.register("ood")
def ood(known: Known) -> list[str]:
    own, found = known.own.get("familiarity"), known.found("ood.json")
    if not own:
        return []
    share = f"at most {own['false_alarms']:.0%} false alarms"
    lines = [f"The model warns of images unlike those of training, with a limit chosen for {share}."]
    if found:
        lines.append(f"False alarms on the {known.split} images: {measure_text(found['false_alarms'])}.")
    return lines


@FACTS.register("explanation")
def explanation(known: Known) -> list[str]:
    found = known.found("localisation.json")
    lines = ["Grad-CAM++ heat maps of the worst mistakes are in report.html."] if known.measured else []
    if found:
        lines.append("Whether the maps can be believed was measured (hemf localise, localisation.json).")
    elif lines:
        lines.append("Whether the maps can be believed was not measured; hemf localise does.")
    return lines


@FACTS.register("warnings")
def warnings(known: Known) -> list[str]:
    report, lines = known.measured, []
    if report.get("chose_checkpoint"):
        lines.append("These images chose the checkpoint, so the measures are too good.")
    if report.get("images_trained_on"):
        lines.append(f"{counted(report['images_trained_on'], 'image')} of them were trained on.")
    if not known.data.groups:
        lines.append("Patients are not known: leakage between the sides cannot be excluded.")
    few = (report.get("intervals") or {}).get("few_units") or {}
    lines += [
        f"Only {counted(n, 'patient or image', 'patients or images')} of {name}: its measures are uncertain."
        for name, n in few.items()
    ]
    if not known.external:
        lines.append("No external data were tested.")
    own = known.own.get("calibration") or {}
    return lines + [f"Calibration: {why}." for why in own.get("left_out", ())]
