"""The first lines: what the model finds, read aloud; plain verdicts; and the headline figures."""

from collections.abc import Mapping
from typing import Any

from hemf.core.text import counted, patients
from hemf.metrics.wording import interval_text, of_hundred, value_text
from hemf.pages.elements import WARNING, Banner, Card, Cards, Lead, Part, Verdict, Verdicts, section_id
from hemf.report.material import Material
from hemf.report.sections.classes import found_line
from hemf.report.sections.promises import promises_of
from hemf.report.tables import estimate_of
from hemf.report.terminal import HEADLINE, provenance_lines

CARDS = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_macro")
MOST_READ = 3  # classes that all have a sentence; of more, the best and the worst have
GOOD_HALF, FAIR_HALF = 0.05, 0.1  # half-widths of intervals: of accuracy, of a class's sensitivity
GOOD_ECE, FAIR_ECE = 0.05, 0.1


def glance(material: Material) -> list[Part]:
    """Show what a reader must know who reads nothing else."""
    report, found = material.report, material.report["metrics"]
    cards = [
        Card(HEADLINE[name], value, _below(found[name]), estimate_of(found[name]))
        for name in CARDS
        if (value := value_text(found.get(name))) is not None
    ]
    return [*_banner(report), Lead(lead(report)), Verdicts(verdicts(material)), Cards(cards)]


def about(report: Mapping[str, Any]) -> str:
    """Say on what the model was trained and tested, in a line."""
    tested = f"tested on {counted(report['n'], 'image', form=',')} of {report['data']['name']}"
    if not (trained := report.get("trained_on")):
        return f"Training data unknown; {tested}"
    return f"Trained on {counted(trained['images'], 'image', form=',')} of {trained['name']}, {tested}"


def lead(report: Mapping[str, Any]) -> list[str]:
    """Say how often the model is right, and what it finds of which class, to be read aloud."""
    lines, classes = [], report["classes"]
    if right := of_hundred(report["metrics"].get("accuracy")):
        lines.append(f"Of 100 such images it classifies {right} rightly.")
    known = [
        one for one in report["averaged_over"] if report["per_class"][one]["recall"]["value"] is not None
    ]
    if len(classes) == 2:  # what is said of one class says it all
        known = known[:1]
    if len(known) > MOST_READ:
        known.sort(key=lambda one: -report["per_class"][one]["recall"]["value"])
        known = [known[0], known[-1]]
    told = [
        found_line(name, report["per_class"][name], [one for one in classes if one != name]) for name in known
    ]
    if len(report["averaged_over"]) > MOST_READ:
        told = [
            f"{words}: {one[0].lower()}{one[1:]}"
            for words, one in zip(("Found most often", "Found least often"), told, strict=True)
        ]
    return [*lines, *told]


def verdicts(material: Material) -> list[Verdict]:
    """Judge leakage, size, calibration, promises and heat maps."""
    report = material.report
    found = [
        _leakage(report),
        _warnings(report),
        _size(report),
        _calibration(report),
        _promises(report),
        _heat(material),
    ]
    return [one for one in found if one is not None]


def _banner(report: Mapping[str, Any]) -> list[Part]:
    """Say that the data come from another place than the run's, where they do."""
    if not (found := report.get("external")):
        return []
    known = found["developed_on"]
    where = f"The model was developed on {known}" if known else "The model's run is not at hand"
    return [Banner("External data.", f"{where}; these images are of {report['data']['name']}.")]


def _leakage(report: Mapping[str, Any]) -> Verdict:
    link = section_id("What was tested")
    leaks = _leaks(report)
    if leaks:
        return Verdict("Leakage", "bad", f"{'; '.join(leaks)}: the numbers are too good.", link)
    if report["images_trained_on"] is None:
        words = "Whether the model was trained on these images is unknown: its run is not at hand."
        return Verdict("Leakage", "unknown", words, link)
    none = "The run was trained on none of these images"
    if report["groups_on_two_sides"] is None or (report.get("trained_on") or {}).get("unknown"):
        words = f"{none} that could be checked; whether on others of the same patients or lesions is unknown."
        return Verdict("Leakage", "unknown", words, link)
    return Verdict("Leakage", "good", f"{none}, and no patient or lesion is on two sides of its split.", link)


def _leaks(report: Mapping[str, Any]) -> list[str]:
    """Return in what way these images, or others of their patients, were known before the test."""
    of = f"of {counted(report['n'], 'image', form=',')}"
    counts = {
        "images_of_those_groups": "show patients or lesions that are on another side too",
        "images_trained_on": "were trained on",
        "images_of_groups_trained_on": "show patients or lesions that the run was trained on",
    }
    found = [f"{report[key]:,} {of} {words}" for key, words in counts.items() if report.get(key)]
    chose = {"chose_checkpoint": "chose the checkpoint", "fitted_calibration": "fitted the calibration"}
    return found + [f"These images {words}" for key, words in chose.items() if report.get(key)]


def _warnings(report: Mapping[str, Any]) -> Verdict | None:
    """Point to the warnings that are about something else."""
    warned = [one.removeprefix(WARNING) for one in provenance_lines(report) if one.startswith(WARNING)]
    others = [one for one in warned if "--tta" in one or "no longer" in one]
    if not others:
        return None
    return Verdict(
        "Settings", "caution", f"{others[0][0].upper()}{others[0][1:]}", section_id("What was tested")
    )


def _size(report: Mapping[str, Any]) -> Verdict:
    """Say how many images and patients there are, and how closely accuracy is known, and the least class."""
    intervals = report.get("intervals") or {}
    whose = f" of {patients(intervals['groups'], ',')}" if intervals.get("unit") == "group" else ""
    words = f"{counted(report['n'], 'image', form=',')}{whose}"
    whole = _half(report["metrics"].get("accuracy"))
    words += f": accuracy is known to ±{100 * whole:.0f} points." if whole is not None else "."
    smallest = min(report["averaged_over"], key=lambda one: report["per_class"][one]["n"])
    of_smallest = report["per_class"][smallest]
    least = _half(of_smallest["recall"])
    if len(report["averaged_over"]) > 1:
        words += f" The smallest class, {smallest}, has {of_smallest['n']:,}"
        words += f": its sensitivity is known to ±{100 * least:.0f} points." if least is not None else "."
    enough = (whole or 1) <= GOOD_HALF and (least or 1) <= FAIR_HALF and not intervals.get("few_units")
    return Verdict("Size", "good" if enough else "caution", words, section_id("Measures"))


def _half(measure: Mapping[str, Any] | None) -> float | None:
    """Return half the width of a measure's interval."""
    low, high = (measure or {}).get("ci95") or (None, None)
    return None if low is None or high is None else (high - low) / 2


def _calibration(report: Mapping[str, Any]) -> Verdict | None:
    """Say how far probabilities are off on average, and on which side."""
    found = report.get("calibration")
    if not found or found["ece"].get("value") is None:
        return None
    error = found["ece"]["value"]
    words = f"Probabilities are off by {100 * error:.0f} points on average."
    bins = [one for one in found.get("bins") or () if one["n"]]
    if bins and error > GOOD_ECE:
        n = sum(one["n"] for one in bins)
        sure, right = (sum(one["n"] * one[key] for one in bins) / n for key in ("confidence", "accuracy"))
        side = "too sure of itself" if sure > right else "less sure than it might be"
        words += f" It is {side}: confidence {sure:.2f}, accuracy {right:.2f}."
    status = "good" if error <= GOOD_ECE else "caution" if error <= FAIR_ECE else "bad"
    return Verdict("Calibration", status, words, section_id("Calibration"))


def _promises(report: Mapping[str, Any]) -> Verdict | None:
    """Say how many of the promises are kept, and name the first that is missed."""
    found = promises_of(report)
    if not found:
        return None
    missed = [one for one in found if one.fate == "missed"]
    words = f"{len(found) - len(missed)} of {counted(len(found), 'promise')} kept or exceeded."
    if missed:
        worst = max(missed, key=lambda one: one.asked - one.reached["value"])
        reached = f"{worst.reached['value']:.2f} where {worst.asked:.2f} was asked for"
        words += f" Missed most: {worst.words}, {reached}."
    return Verdict("Promises", "bad" if missed else "good", words, section_id("Promises"))


def _heat(material: Material) -> Verdict | None:
    """Say whether the heat maps on the page have been measured."""
    if not any(one.heat for one in material.mistakes or ()):
        return None
    link = section_id("Mistakes")
    if not material.localisation:
        words = "Whether they show what the model uses has not been measured: hemf localise does."
        return Verdict("Heat maps", "unknown", words, link)
    return Verdict("Heat maps", "caution", localised(material.localisation), link)


def localised(found: Mapping[str, Any]) -> str:
    """Say what ``hemf localise`` found at the layer of the heat maps, in a sentence.

    Args:
        found: what ``localisation.json`` holds, which may be a stranger's.
    """
    if not (inside := found.get("inside_masks")):
        return "Measured by deletion and insertion; whether they lie on the lesion was not measured."
    try:
        of_layer = inside["layers"][found["layer"]]["energy"]
        energy, even = (value_text(one, ".2f") for one in (of_layer, inside["even"]["energy"]))
        within, n = interval_text(of_layer, form=".2f"), f"{inside['n']:,}"
    except (KeyError, TypeError, ValueError, AttributeError):
        return "Measured, but localisation.json is not one of hemf's."
    between = f" ({within})" if within else ""
    return f"{energy}{between} of the heat lies inside the lesion, of an even map {even} (n = {n})."


def _below(measure: Mapping[str, Any]) -> str:
    """Return what stands below a card's value: its interval, or why there is none."""
    why = measure.get("no_interval")
    return interval_text(measure) or ("no interval" + (f": {why}" if why else ""))
