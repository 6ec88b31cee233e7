"""The models that a server has, by name, and how they are loaded again while it serves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hemf.core.errors import HemfError
from hemf.core.registry import suggestion
from hemf.core.text import counted
from hemf.inference.classifier import Classifier, Prediction
from hemf.inference.identity import digest
from hemf.serving.refusals import Refused

Load = Callable[[str], Classifier]


@dataclass(frozen=True)
class Served:
    """A model under its name.

    Args:
        name: what requests call it.
        classifier: the model.
        sha256: of its configuration and weights; see ``hemf.inference.identity.digest``.
    """

    name: str
    classifier: Classifier
    sha256: str

    @property
    def explains(self) -> bool:
        """Whether it can show where it looks: a network of torch can, an export cannot."""
        return self.classifier.can_explain

    def predict(self, images: Sequence[Any]) -> list[Prediction | HemfError]:
        """Predict prepared images in one batch; an image that the model fails on fails alone."""
        try:
            return [*self.classifier.predict(list(images), batch_size=len(images), workers=0)]
        except HemfError as error:
            if len(images) == 1:
                return [error]
            return [found for image in images for found in self.predict([image])]

    def about(self) -> dict[str, Any]:
        """Return what a user of it should know, ready for JSON."""
        trained, calibration = self.classifier.trained, self.classifier.trained.calibration
        spec = trained.members[0].spec
        return {
            "name": self.name,
            "sha256": self.sha256,
            "architecture": trained.name,
            "task": trained.task.name,
            "classes": self.classifier.classes,
            "input_size": list(spec.input_size),
            "window": spec.window,
            "tta": trained.tta,
            "precision": self.classifier.precision,
            "device": str(self.classifier.device),
            "temperature": calibration.temperature,
            "coverage": None if calibration.sets is None else calibration.sets.coverage,
            "calibrated_on": {k: v for k, v in calibration.fitted_on.items() if k in ("split", "n")} or None,
            "explains": self.explains,
        }


class Models:
    """Models by name; the first is the one that is meant where none is named.

    Args:
        places: by name, a run, its ``model`` folder, a cross-validation, or several with commas between.
        load: what loads one of them.

    Raises:
        HemfError: one cannot be loaded.
    """

    def __init__(self, places: Mapping[str, str], load: Load) -> None:
        self.places, self._load = dict(places), load
        self._served = self._loaded()

    def __getitem__(self, name: str | None) -> Served:
        """Return a model; the first for None.

        Raises:
            Refused: there is none of that name.
        """
        served = self._served  # of one moment, for it may be exchanged
        if name is None:
            return next(iter(served.values()))
        if name not in served:
            raise Refused(404, f"there is no model {name!r}; {suggestion(name, list(served))}")
        return served[name]

    def all(self) -> list[Served]:
        """Return them in order."""
        return list(self._served.values())

    def reload(self) -> None:
        """Load all again and exchange them together; requests that are on their way keep the old ones.

        Raises:
            HemfError: one cannot be loaded; all stay as they were.
        """
        self._served = self._loaded()

    def _loaded(self) -> dict[str, Served]:
        return {name: self._one(name, place) for name, place in self.places.items()}

    def _one(self, name: str, place: str) -> Served:
        classifier = self._load(place)
        if not classifier.trained.task.exclusive:
            raise HemfError(f"{place} is of the task {classifier.trained.task.name}, which is not served yet")
        return Served(name, classifier, digest(place))


def ready_line(models: Models) -> str:
    """Say in one line what is served."""
    names = ", ".join(f"{one.name} ({one.sha256[:12]})" for one in models.all())
    return f"{counted(len(models.all()), 'model')}: {names}"
