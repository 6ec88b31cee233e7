"""``audit.html``: the findings with the images side by side, in one file that needs no network."""

import base64
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hemf.auditing.duplicates import Scene, scenes_of
from hemf.auditing.terminal import share, verdict
from hemf.core.errors import UnreadableImage
from hemf.core.files import write_text
from hemf.core.tables import Column, Table
from hemf.core.text import counted, p_text
from hemf.data.dataset import DataSet
from hemf.data.image.read import read_image
from hemf.pages.elements import (
    Estimate,
    Exhibit,
    Folded,
    Gallery,
    Part,
    Picture,
    Section,
    Sentences,
    Tabular,
    Verdict,
    Verdicts,
    section_id,
)
from hemf.pages.render import Page, render

THUMBNAIL = 176  # pixels of the longer side
OPEN, SCENES, GROUPS, ODD, NAMES, WRONG = (
    6,
    36,
    12,
    24,
    200,
    60,
)  # shown at once, and in all; audit.json has them all
OF_A_SIDE = 2  # images of a straddling group
OF_A_SCENE = 8
GLOSSARY = {
    "balanced accuracy": "Mean over the classes (or sides) of the share named right by the best rule that "
    "knows only this property.",
    "by chance": "What the same rule reaches, on average, where classes (or sides) are dealt out at random.",
    "p": "Share of random dealings, 200 and the data's own, that are told at least as well.",
}
Thumbnail = Callable[[str], str]


def write_page(file: Path, data: DataSet, found: dict[str, Any]) -> None:
    """Write the page of an audit.

    Every name of a file, class or group is escaped; no image or style is fetched from elsewhere.

    Raises:
        HemfError: the file cannot be written.
    """
    seen: Thumbnail = lru_cache(maxsize=1024)(lambda path: thumbnail(data.root / path))
    sections = {
        "At a glance": _glance(found),
        "Groups on two sides": _groups(found, seen),
        "Pictures that occur twice": _twice(found["duplicates"], seen),
        **({"Labels": _labels(found["labels"], seen)} if "labels" in found else {}),
        "Unreadable and odd files": _files(found, seen),
        "Classes": [Tabular(_balance(found["balance"]["counts"], found["data"]["classes"]))],
        "Shortcuts": _tellers("class", found["shortcuts"]),
        "Shift": _tellers("side of the split", found["shift"]),
    }
    about = found["data"]
    page = Page(
        f"Audit of {about['name']}",
        [Section(title, parts) for title, parts in sections.items()],
        "Audit by hemf",
        f"{counted(about['images'], 'image', form=',')} in "
        f"{counted(len(about['classes']), 'class', 'classes')}; "
        f"split: {about['split'].get('method', 'unknown')}",
        f"Made by hemf {found['hemf']} (hemf data audit). Everything in full: audit.json beside this page.",
        GLOSSARY,
    )
    write_text(file, render(page))


def _glance(found: dict[str, Any]) -> list[Part]:
    """Judge leakage, duplicates, files, balance and shortcuts."""
    leaks, sides, twice = found["leakage"]["found"], found["groups"]["sides"], found["duplicates"]
    words = verdict(found).removeprefix("LEAKAGE: ")
    split = "bad" if leaks else "unknown" if len(sides) < 2 or not found["groups"]["known"] else "good"
    rows = [Verdict("Leakage", split, f"{words[0].upper()}{words[1:]}.", section_id("Groups on two sides"))]
    pairs, wrong = len(twice["pairs"]), twice["different_labels"]
    words = (
        f"{counted(pairs, 'pair', form=',')} of like pictures in {len(scenes_of(twice['pairs'])):,} scenes"
    )
    words += f"; {wrong:,} with different classes." if wrong else "."
    twin = "bad" if wrong else "caution" if pairs else "good"
    rows.append(Verdict("Duplicates", twin, words, section_id("Pictures that occur twice")))
    bad, odd = len(found["unreadable"]), len(found["odd"])
    words = f"{counted(bad, 'file')} cannot be read; {counted(odd, 'image')} unlike the rest."
    rows.append(
        Verdict(
            "Files",
            "bad" if bad else "caution" if odd else "good",
            words,
            section_id("Unreadable and odd files"),
        )
    )
    times = found["balance"]["largest_over_smallest"]
    words = f"The largest class has {times:g} times the images of the smallest."
    rows.append(Verdict("Classes", "caution" if times > 10 else "good", words, section_id("Classes")))
    for title, what in (("Shortcuts", "class"), ("Shift", "side of the split")):
        told = [one for one in found[title.lower()] if one["level"]]
        feared = [one for one in told if one["kind"] != "picture"]
        words = (
            f"Tells the {what} by itself: {', '.join(one['property'] for one in told[:4])}." if told else ""
        )
        status = "bad" if feared and title == "Shortcuts" else "caution" if told else "good"
        rows.append(
            Verdict(title, status, words or f"Nothing looked at tells the {what} by itself.", title.lower())
        )
    return [Verdicts(rows)]


def _groups(found: dict[str, Any], seen: Thumbnail) -> list[Part]:
    groups, sides = found["groups"], found["groups"]["sides"]
    known = f"{groups['known']:,}"
    if not groups["known"]:
        return [
            Sentences(
                ["No patients or lesions are known, so none can be seen to be on two sides of the split."]
            )
        ]
    parts: list[Part] = []
    if not groups["straddling"]:
        parts.append(Sentences([f"No group of {known} is on two sides of the split."]))
    else:
        columns = [Column("class", "class"), *(Column(f"side {side}", side) for side in sides)]
        rows = [
            {"class": name} | {f"side {side}": share(row["by_class"][name]) for side, row in sides.items()}
            for name in found["data"]["classes"]
        ]
        rows.append({"class": "all classes"} | {f"side {side}": share(row) for side, row in sides.items()})
        words = f"{groups['straddling']:,} of {known}, patients or lesions, are on two or more sides."
        table = Table("Images whose group is also on another side", columns, rows)
        examples = [_straddling(one, seen) for one in groups["groups"][:GROUPS]]
        parts += [
            Sentences([words]),
            Tabular(table),
            Folded(f"The first {len(examples)} such groups", [Gallery(examples)]),
        ]
    if several := groups["of_several_classes"]:
        rows = [
            {
                "group": one["group"],
                "classes": ", ".join(f"{label} {n}" for label, n in one["classes"].items()),
            }
            for one in several[:NAMES]
        ]
        table = Table(
            f"Groups with images of several classes: {len(several)}",
            [Column("group", "group"), Column("classes", "images by class")],
            rows,
        )
        parts.append(Tabular(table, folded=True))
    return parts


def _straddling(group: dict[str, Any], seen: Thumbnail) -> Exhibit:
    """Show the first images of a group on each side."""
    images = [(side, path) for side, paths in group["sides"].items() for path in paths[:OF_A_SIDE]]
    return Exhibit([_picture(path, seen, [side]) for side, path in images], [("group", group["group"])])


def _twice(twice: dict[str, Any], seen: Thumbnail) -> list[Part]:
    words = (
        f"{counted(twice['bytes'], 'pair', form=',')} of equal files, {twice['pixels']:,} of equal pixels, "
        f"{twice['near']:,} of nearly equal pictures; {twice['across_sides']:,} on two sides of the split, "
        f"{twice['different_labels']:,} with different classes, {twice['different_groups']:,} said to show "
        "different patients or lesions. What is alike in pairs is shown as one scene."
    )
    note = (
        "A nearly equal pair is a candidate: look at it. The similarity is the correlation of fine detail; "
        f"pairs from {twice['settings']['least_similarity']} on are listed."
    )
    kinds: dict[str, list[Scene]] = {"Different classes or groups": [], "On two sides": [], "On one side": []}
    for scene in scenes_of(twice["pairs"]):
        parted = scene.differ("label") or scene.differ("group")
        kind = (
            "Different classes or groups"
            if parted
            else "On two sides"
            if scene.differ("side")
            else "On one side"
        )
        kinds[kind].append(scene)
    parts: list[Part] = [Sentences([words, note] if twice["pairs"] else [words])]
    for title, scenes in kinds.items():
        if scenes:
            exhibits = [_scene(one, seen) for one in scenes[:SCENES]]
            head = f"{title}: {counted(len(scenes), 'scene', form=',')}"
            parts += [Sentences([head + (f", the first {SCENES} here." if len(scenes) > SCENES else ".")])]
            parts += [Gallery(exhibits[:OPEN])]
            if more := exhibits[OPEN:]:
                parts.append(Folded(f"{len(more)} more", [Gallery(more)]))
    return parts


def _scene(scene: Scene, seen: Thumbnail) -> Exhibit:
    """Show a scene's images once each, with what is wrong with them and how alike they are."""
    faults = {"side": "on several sides", "label": "different classes", "group": "different groups"}
    tags = [(words, True) for what, words in faults.items() if scene.differ(what)]
    near = [one["similarity"] for one in scene.pairs if one["kind"] == "near"]
    kinds = Counter(one["kind"] for one in scene.pairs)
    tags += [(f"{kinds[kind]} equal in {words}", False) for kind, words in _EQUAL.items() if kinds[kind]]
    if near:
        between = f"{min(near):.2f}" if len(near) == 1 else f"{min(near):.2f} to {max(near):.2f}"
        tags.append((f"similarity {between}", False))
    turns = sorted({one["turn"] for one in scene.pairs} - {"as it is"})
    tags += [(f"second {turn}", False) for turn in turns]
    if len(scene.images) > OF_A_SCENE:
        tags.append((f"{OF_A_SCENE} of {counted(len(scene.images), 'image')}", False))
    pictures = [
        _picture(one["path"], seen, [one["label"], one["side"], one["group"]])
        for one in scene.images[:OF_A_SCENE]
    ]
    return Exhibit(pictures, tags=tags)


_EQUAL = {"bytes": "files", "pixels": "pixels"}


def _labels(labels: dict[str, Any], seen: Thumbnail) -> list[Part]:
    """Show images whose label is likely wrong, the likeliest first."""
    wrong, others = labels["likely_wrong"], labels["images"] - labels["judged"]
    left = f"; {counted(others, 'image', form=',')} more are not judged" if others else ""
    words = [
        f"{len(wrong):,} of {counted(labels['judged'], 'label', form=',')} are likely wrong, by "
        f"{labels['predictions']}{left}.",
        "They are candidates: a model finds hard images beside wrong labels. Look at each, or ask whose they"
        " are. Numbers are the probabilities of the label and of the class suggested.",
    ]
    exhibits = [
        Exhibit(
            [_picture(one["path"], seen, [])],
            [
                ("labelled", f"{one['label']} ({one['confidence']:.2f})"),
                ("perhaps", f"{one['suggested']} ({one['suggested_confidence']:.2f})"),
            ],
        )
        for one in wrong[:WRONG]
    ]
    more = [Folded(f"{len(exhibits) - 2 * OPEN} more", [Gallery(exhibits[2 * OPEN :])])]
    shown: list[Part] = [Gallery(exhibits[: 2 * OPEN])] if exhibits else []
    return [Sentences(words), *shown, *(more if exhibits[2 * OPEN :] else [])]


def _files(found: dict[str, Any], seen: Thumbnail) -> list[Part]:
    """Show what cannot be read and what is unlike the rest."""
    bad, odd = found["unreadable"], found["odd"]
    parts: list[Part] = []
    if bad:
        parts.append(
            Sentences(
                [f"{counted(len(bad), 'file')} cannot be read:", *(one["reason"] for one in bad[:NAMES])]
            )
        )
    else:
        parts.append(Sentences(["Every file can be read."]))
    if not odd:
        words = "No image is blank, tiny, very long, far from the usual size or of a rare kind."
        return [*parts, Sentences([words])]
    more = f"; the first {ODD}" if len(odd) > ODD else ""
    exhibits = [Exhibit([_picture(one["path"], seen, one["why"])]) for one in odd[:ODD]]
    return [
        *parts,
        Sentences([f"{counted(len(odd), 'image')} unlike the rest{more}:"]),
        Gallery(exhibits[: 2 * OPEN]),
        *(
            [Folded(f"{len(exhibits) - 2 * OPEN} more", [Gallery(exhibits[2 * OPEN :])])]
            if exhibits[2 * OPEN :]
            else []
        ),
    ]


def _balance(counts: dict[str, dict[str, int]], classes: Sequence[str]) -> Table:
    columns = [Column("class", "class"), *(Column(f"side {side}", side or "images", ",") for side in counts)]
    rows = [{"class": one} | {f"side {side}": row[one] for side, row in counts.items()} for one in classes]
    return Table("Images by class", columns, rows)


def _tellers(what: str, rows: Sequence[dict[str, Any]]) -> list[Part]:
    """Show how well each property tells the class or the side, beside chance."""
    if not rows:
        return [Sentences(["Nothing to compare."])]
    words = (
        f"Balanced accuracy of the best rule that knows only this property, beside (dashed) what the same "
        f"rule reaches where the {what} is dealt out at random. File properties show no anatomy; picture "
        "properties may be part of the disease; columns are what else is known of the patients and images."
    )
    columns = [Column("property", "property"), Column("level", "tells", missing=""), Column("kind", "of the")]
    columns += [Column("balanced_accuracy", "balanced accuracy", ".3f"), Column("chance", "by chance", ".3f")]
    shown = [row | {"p": p_text(row["p"])} for row in rows]
    table = Table(f"What tells the {what} by itself", [*columns, Column("p", "p")], shown)
    drawn = [Estimate(row["balanced_accuracy"], asked=row["chance"]) for row in rows]
    return [
        Sentences([words]),
        Tabular(table, estimates=drawn),
        *(Tabular(_values(row), folded=True) for row in rows if row["level"]),
    ]


def _values(row: dict[str, Any]) -> Table:
    """Count the images of each value of a property."""
    names = list(row["values"][0]["images"])
    columns = [Column("value", "value"), *(Column(f"of {name}", name, ",") for name in names)]
    rows = [
        {"value": one["value"] or "(none)"} | {f"of {name}": n for name, n in one["images"].items()}
        for one in row["values"]
    ]
    return Table(f"Images by {row['property']}", columns, rows)


def _picture(path: str, seen: Thumbnail, lines: Iterable[str]) -> Picture:
    return Picture(seen(path), path, " · ".join([*filter(None, lines), path]))


def thumbnail(path: Path) -> str:
    """Return an image as a data URI of a small JPEG; empty if it cannot be read."""
    try:
        image = read_image(path)
    except UnreadableImage:
        return ""
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
