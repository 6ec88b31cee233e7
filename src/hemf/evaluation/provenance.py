"""How the images of a split came about, and what may make a run's numbers on them too good."""

from dataclasses import replace
from typing import Any

import numpy as np

from hemf.data.fingerprints import changed_files
from hemf.evaluation.samples import Subject
from hemf.evaluation.seen_in_training import groups_of


def provenance(subject: Subject) -> dict[str, Any]:
    """Describe how the split came about, and what may make its numbers too good.

    ``groups_on_two_sides`` counts the patients or lesions of this split that are on another side too (None
    where no groups are known), ``images_of_those_groups`` their images here; ``images_trained_on`` counts
    images of this split that the run was trained on (None where that is unknown; ``trained_on`` says how
    that was found out), ``images_changed`` those of the run's own that are other files now (None where
    that is unknown), ``images_of_groups_trained_on`` those whose patient or lesion was trained on by the run,
    if they are of another data set of the same source, or by what it learnt from, and ``chose_checkpoint``
    says whether the run's best checkpoint was chosen on this very split. Of an ensemble an image counts as
    trained on where every member was, so that none could leave it to others.
    """
    images, samples, split, seen = subject.images, subject.samples, subject.split, subject.seen
    changed = changed_since(subject)
    groups = images.leaking_groups() if images.groups and split != "all" else {}
    known = bool(images.groups) and split != "all"
    about = images.info.get("split", {})
    return {
        "split_method": about.get("method"),
        "split_info": about,
        "groups_on_two_sides": len({s.group for s in samples if s.group in groups}) if known else None,
        "images_of_those_groups": sum(s.group in groups for s in samples) if known else None,
        "images_trained_on": None if seen is None else seen.number,
        "trained_on": None if seen is None else seen.to_json(),
        "images_changed": None if changed is None else len(changed),
        "images_of_groups_trained_on": shows_trained_groups(subject, before=subject.own),
        "chose_checkpoint": chose_checkpoint(subject),
        "data": {"name": images.name, "hash": images.hash, "own": subject.own},
    }


def shows_trained_groups(subject: Subject, before: bool = False) -> int | None:
    """Count how many of the images show a patient or lesion that the run, or what it learnt from, met.

    None if that is unknown: no groups, only the model at hand, or data sets of different or nameless
    sources, where the same name may mean different patients.

    Args:
        subject: the run and the images.
        before: whether only what the run learnt from counts, as on its own images.
    """
    images, samples, speaking = subject.images, subject.samples, subject.speaking
    shown, known = np.zeros(len(samples), bool), bool(images.groups)
    for member, (ours, ancestors) in enumerate(zip(subject.theirs, subject.learnt_from, strict=True)):
        earlier = [one.data for one in ancestors]
        comparable = [one for one in earlier if one is not None and images.names_groups_of(one)]
        if not before and ours is not None and images.names_groups_of(ours):
            comparable.append(ours)
        elif not before or not comparable:
            known = False
        trained = set().union(*map(groups_of, comparable))
        of_member = np.array([s.group in trained for s in samples])
        shown |= of_member if speaking is None else of_member & speaking[:, member]
    return int(shown.sum()) or (0 if known else None)


def are_of_run(subject: Subject) -> bool:
    """Return whether these are the images and the split of the run."""
    return subject.ours is not None and subject.ours.hash == subject.images.hash


def chose_checkpoint(subject: Subject) -> bool:
    """Return whether the images chose the best checkpoint of the run, or of a member of an ensemble."""
    return are_of_run(subject) and any(
        one.path is not None and one.config.val_split == subject.split for one in subject.runs.members
    )


def changed_since(subject: Subject) -> list[str] | None:
    """List those of a run's own images that are no longer the files that it was trained and split on.

    None if that is unknown: other images, no run, or one that keeps no fingerprints of them.
    """
    if subject.ours is None or not are_of_run(subject):
        return None
    return changed_files(replace(subject.ours, root=subject.images.root), subject.samples)
