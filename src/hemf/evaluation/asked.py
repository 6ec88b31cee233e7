"""What an evaluation is asked for beside the measures of all its images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hemf.core.errors import HemfError
from hemf.evaluation.external.class_map import ClassMap
from hemf.evaluation.subgroups.measure import SMALLEST, measure_subgroups
from hemf.evaluation.subgroups.partition import Cut, check_cuts, read_cuts

if TYPE_CHECKING:
    from hemf.calibration.record import Calibration
    from hemf.data.dataset import DataSet
    from hemf.inference.predictions import Predictions
    from hemf.metrics.bootstrap import Draws


@dataclass(frozen=True)
class Asked:
    """See ``hemf.evaluate``.

    Args:
        by: columns whose subgroups are measured.
        smallest: patients, lesions or images below which a subgroup has no measures.
        class_map: names of another data set's classes as the model knows them.
    """

    by: tuple[Cut, ...] = ()
    smallest: int = SMALLEST
    class_map: ClassMap | None = None

    @classmethod
    def read(cls, by: str | None = None, smallest: int = SMALLEST, class_map: str | None = None) -> Self:
        """Read what a command line says.

        Raises:
            HemfError: it is not what the options take.
        """
        if smallest < 1:
            raise HemfError(f"--smallest is {smallest}; give the fewest patients of a subgroup, such as 10")
        cuts = () if by is None else read_cuts(by)
        return cls(cuts, smallest, None if class_map is None else ClassMap.read(class_map))

    def check(self, images: "DataSet") -> None:
        """Refuse what the images cannot tell, before a model is run on them.

        Raises:
            HemfError: they lack a column.
        """
        check_cuts(self.by, {name: images.column(name) for name in images.column_names}, images.name)

    def entries(
        self, found: "Predictions", own: "Calibration", images: "DataSet", draws: "Draws"
    ) -> dict[str, Any]:
        """Return the further entries of ``metrics.json``.

        Args:
            found: predictions of the images.
            own: the model's calibration.
            images: the data set that they are of.
            draws: the bootstrap's.
        """
        if not self.by:
            return {}
        subgroups = measure_subgroups(found, own, self.by, images.kinds, draws, self.smallest)
        return {"subgroups": subgroups.to_json()}


NOTHING = Asked()
