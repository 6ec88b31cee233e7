"""Several trained models that speak as one: the mean of their probabilities, and how far they disagree."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hemf.calibration.record import Calibration
from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.core.precision import float32_logits
from hemf.core.untrusted import read_json
from hemf.data.fingerprints import sha256_of
from hemf.data.image.decode import ImageBytes
from hemf.data.preprocessing import InputSpec
from hemf.data.training_files import KnownFiles
from hemf.inference.load import TrainedModel, load_trained
from hemf.inference.tta import other_tta_line
from hemf.models.hub import WEIGHTS
from hemf.runs.folder import OpenRuns
from hemf.runs.lineage import data_behind
from hemf.runtime.description import Said, apart
from hemf.tasks import Task

UNCALIBRATED_ENSEMBLE = (
    "the ensemble is the mean of its members, each calibrated as far as it is; for a temperature, prediction "
    "sets and thresholds of its own: hemf calibrate"
)
MOST_NAMED = 5  # classes, in one line
OUTDATED = "the ensemble's calibration is not used, for its members changed after it; hemf calibrate again"


@dataclass(frozen=True)
class Ensemble:
    """Several models of the same classes and task, used like a ``TrainedModel``.

    Args:
        members: the models; they may differ in architecture, input and order of the classes.
        calibration: of the mean of their calibrated probabilities.
        training: the images that each was trained on; none where its run is not at hand.
        tta: the views of an image that each averages over.
        digest: SHA-256 over the members' weights and temperatures, in any order.
    """

    members: tuple[TrainedModel, ...]
    calibration: Calibration
    training: tuple[KnownFiles, ...]
    tta: TTA
    digest: str

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the first member's order."""
        return self.members[0].classes

    @property
    def task(self) -> Task:
        """What the members are asked about an image."""
        return self.members[0].task

    @property
    def name(self) -> str:
        """How many models of which architectures."""
        return f"ensemble of {len(self.members)} ({', '.join(dict.fromkeys(m.name for m in self.members))})"

    @property
    def scored(self) -> bool:
        """Whether it says how unlike the training images an image is: where every member does."""
        return all(member.scored for member in self.members)

    @cached_property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What ``predictor`` takes: every form of an image that a member takes, once."""
        return tuple(dict.fromkeys(member.spec for member in self.members))

    @cached_property
    def predictor(self) -> nn.Module:
        """What predicts: a network from images in all forms to outputs of every member, B x members x K."""
        return _Members(self)

    @property
    def calibrated_under(self) -> TTA | None:
        """The test-time augmentation that its probabilities were calibrated under, if any."""
        if self.calibration.fitted_on:
            return self.calibration.tta
        known: list[TTA] = [member.calibrated_under for member in self.members if member.calibrated_under]
        others: list[TTA] = [tta for tta in known if tta != self.tta]
        return others[0] if others else self.tta if known else None

    @property
    def notes(self) -> list[str]:
        """Sentences that whoever uses its predictions should know."""
        lines = [other_tta_line(self.tta, self.calibrated_under)]
        lines += [] if self.calibration.fitted_on else map(str, self.calibration.left_out)
        return [line for line in lines if line]

    def combined(self, outputs: Tensor, speaking: np.ndarray | None = None) -> Said:
        """Unite what ``predictor`` gives.

        The disagreement of an image is the mean over the members of the total variation distance to their
        mean; where an image may be of several classes, these distances are averaged over the classes.

        Args:
            outputs: N x members x K, or K + 1 where all members are scored.
            speaking: N x members booleans, one at least true in each row: who counts; None for all.

        Returns:
            Logits of the mean, N x K float32; the disagreement; and the mean of the members' unfamiliarity.
        """
        outputs, scores = apart(outputs, self.scored)
        probabilities = self.task.probabilities(outputs)
        counted_in = np.ones(outputs.shape[:2], bool) if speaking is None else speaking
        shares = torch.from_numpy(counted_in / counted_in.sum(1, keepdims=True))
        mean = (probabilities * shares[..., None]).sum(1)
        gaps = (probabilities - mean[:, None]).abs()
        distance = gaps.sum(-1) / 2 if self.task.exclusive else gaps.mean(-1)
        disagreement = (distance * shares).sum(1)
        disagreement[shares.amax(1) == 1] = torch.nan
        unlike = None if scores is None else (scores.double() * shares).sum(1).numpy()
        return Said(self.task.logits(mean).float(), disagreement.numpy(), unlike)

    def speaking_of(self, image: Any) -> np.ndarray | None:
        """Return which members were not trained on an image, by place and content; None for all.

        Where all were trained on it, all speak.
        """
        if not isinstance(image, Path | ImageBytes):
            return None
        strange = [not known.knows(image) for known in self.training]
        return np.array(strange) if any(strange) else None


class _Members(nn.Module):
    """The members' networks, from a list of images B x C x H x W in every form that they take."""

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        members, self.task, self.scored = ensemble.members, ensemble.task, ensemble.scored
        self.each_scored = [member.scored for member in members]
        self.networks = nn.ModuleList(member.predictor for member in members)
        self.forms = [ensemble.inputs.index(member.spec) for member in members]
        self.temperatures = [member.calibration.temperature or 1.0 for member in members]
        self.orders = [[member.classes.index(name) for name in ensemble.classes] for member in members]

    def forward_features(self, images: list[Tensor]) -> list[Tensor]:
        """Return the outputs of each member, B x K float32."""
        return [float32_logits(net, images[i]) for net, i in zip(self.networks, self.forms, strict=True)]

    def forward_head(self, outputs: list[Tensor]) -> Tensor:
        """Return all as outputs of calibrated probabilities, B x members x K (+ 1), classes in one order."""
        parted = [apart(one.cpu(), scored) for one, scored in zip(outputs, self.each_scored, strict=True)]
        each = zip(parted, self.temperatures, self.orders, strict=True)
        found = [self.task.probabilities(logits, t)[..., order] for (logits, _), t, order in each]
        united = self.task.logits(torch.stack(found, 1)).float()
        if not self.scored:
            return united
        return torch.cat([united, torch.stack([score for _, score in parted], 1)[..., None]], -1)


def load_ensemble(runs: OpenRuns, tta: TTA | None = None) -> TrainedModel | Ensemble:
    """Load the models of several runs as an ensemble; that of a single run by itself.

    Args:
        runs: where they are.
        tta: test-time augmentation; None for what the calibration was fitted under.

    Raises:
        HemfError: one cannot be loaded, or they do not agree in classes, task or (where None is given) the
            test-time augmentation that they were calibrated under.
    """
    if len(runs.members) == 1:
        return load_trained(runs.members[0].model, tta)
    digest = _digest(runs)
    calibration = _read_calibration(runs, digest)
    tta = calibration.tta if tta is None else tta
    members = tuple(load_trained(one.model, tta) for one in runs.members)
    _check_agreement(runs, members)
    training = tuple(KnownFiles(data_behind(one)) for one in runs.members)
    return Ensemble(members, calibration, training, members[0].tta, digest)


def save_calibration(runs: OpenRuns, ensemble: Ensemble, fitted: Calibration) -> Path:
    """Keep an ensemble's calibration with its cross-validation, or with the first of its runs.

    Returns:
        The file.
    """
    file = calibration_files(runs, ensemble.digest)[0]
    write_json(file, {"members": ensemble.digest, "calibration": fitted.to_config()})
    return file


def calibration_files(runs: OpenRuns, digest: str) -> list[Path]:
    """List the places of an ensemble's calibration: the usual one, and with another run named first."""
    if runs.folds is not None:
        return [runs.folds / "ensemble.json"]
    return [(one.path or one.model) / f"ensemble-{digest[:8]}.json" for one in runs.members]


def _digest(runs: OpenRuns) -> str:
    parts = []
    for one in runs.members:
        own = Calibration.from_config(read_json(one.model / "config.json"))
        parts.append([sha256_of(one.model / WEIGHTS), own and own.temperature])
    return hashlib.sha256(json.dumps(sorted(parts, key=str)).encode()).hexdigest()


def _read_calibration(runs: OpenRuns, digest: str) -> Calibration:
    for file in calibration_files(runs, digest):
        if file.is_file():
            kept = read_json(file)
            if kept.get("members") != digest:
                return Calibration(left_out=(OUTDATED,))
            return Calibration.from_config({"hemf": kept}) or Calibration(left_out=(UNCALIBRATED_ENSEMBLE,))
    return Calibration(left_out=(UNCALIBRATED_ENSEMBLE,))


def _check_agreement(runs: OpenRuns, members: Sequence[TrainedModel]) -> None:
    first, place = members[0], runs.members[0].model
    for member, opened in zip(members, runs.members, strict=True):
        both = f"{opened.model} and {place}"
        if member.task is not first.task:
            raise HemfError(
                f"{both} cannot be one ensemble: their tasks are {member.task.name} and {first.task.name}"
            )
        if other := sorted(set(member.classes) ^ set(first.classes)):
            some = ", ".join(map(repr, other[:MOST_NAMED]))
            raise HemfError(f"{both} cannot be one ensemble: only one of them knows the class {some}")
        if member.tta != first.tta:
            raise HemfError(
                f"{both} were calibrated under different views, {member.tta} and {first.tta}; give --tta"
            )
