"""The verbs of the command line: where each lives, its function, and its parser."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


class Verb(NamedTuple):
    """Where a verb's function lives, and the line that ``hemf --help`` shows for it.

    ``hides`` are options of a run that its own help leaves out, as the verb refuses them with a line of its
    own that says what to give instead; ``options`` are those that it takes beside its own arguments.
    """

    function: str
    summary: str
    hides: tuple[str, ...] = ()
    options: str = "hemf.config.run_config:RunConfig"


VERBS = {
    "data prepare": Verb(
        "hemf.commands.data.prepare:prepare", "turn a release, folder or CSV into a prepared data set"
    ),
    "data info": Verb(
        "hemf.commands.data.info:info", "show counts, sizes, groups and a contact sheet of a data set"
    ),
    "data audit": Verb(
        "hemf.commands.data.audit:audit",
        "look for leakage, duplicates, odd files and shortcuts in a data set",
    ),
    "data demo": Verb("hemf.data.demo.make:demo", "make a small data set of lesions to try hemf on"),
    "train": Verb("hemf.commands.train:train", "train a model, or resume a run"),
    "pretrain": Verb(
        "hemf.commands.pretrain:pretrain",
        "let a network learn from images without labels",
        hides=(
            *("task", "probe", "probe_first", "val_split", "mixup", "cutmix", "freeze_epochs", "freeze_norm"),
            *("sampling", "loss", "loss_args", "teacher_weight", "teacher_temperature", "label_smoothing"),
            *("class_weights", "monitor", "patience", "devices", "num_nodes", "strategy"),
        ),
        options="hemf.config.pretraining:PretrainConfig",
    ),
    "evaluate": Verb("hemf.commands.evaluate:evaluate", "measure a run on one split of its data"),
    "calibrate": Verb(
        "hemf.commands.calibrate:calibrate", "fit temperature, prediction sets and thresholds on validation"
    ),
    "compare": Verb(
        "hemf.commands.comparing.compare:compare",
        "test how far runs differ that were measured on the same images",
    ),
    "index": Verb("hemf.report.index:index", "list all evaluated runs of a folder on one page"),
    "power": Verb("hemf.commands.comparing.power:power", "plan how many patients the next test needs"),
    "predict": Verb("hemf.commands.predict:predict", "classify images with a trained model"),
    "explain": Verb(
        "hemf.commands.explain:explain", "show where in images a trained model finds its evidence"
    ),
    "localise": Verb("hemf.commands.localise:localise", "measure whether a run's heat maps can be believed"),
    "ood": Verb(
        "hemf.commands.evidence.ood:ood",
        "let a model notice images unlike its own, and measure how well it does",
    ),
    "stress": Verb(
        "hemf.commands.evidence.stress:stress", "measure how far accuracy holds as images get worse"
    ),
    "drift": Verb("hemf.commands.evidence.drift:drift", "test whether new images differ from those of a run"),
    "checklist": Verb(
        "hemf.commands.evidence.checklist:checklist",
        "fill in a reporting standard's check list with what a run knows",
    ),
    "export": Verb("hemf.commands.export:export", "write a trained model for other runtimes, and measure it"),
    "serve": Verb(
        "hemf.commands.deployment.serve:serve", "serve trained models over HTTP, with a page to try them"
    ),
    "node": Verb(
        "hemf.commands.deployment.node:node", "classify what a PACS sends, and send back structured reports"
    ),
    "profile": Verb("hemf.commands.profile:profile", "count what models cost, beside the paper's figures"),
    "bench": Verb(
        "hemf.commands.bench:bench",
        "train and measure a matrix of models, in one table",
        hides=("model", "model_args", "seed", "fold", "name", "devices", "num_nodes", "strategy"),
    ),
    "convert": Verb(
        "hemf.commands.convert:convert_checkpoint", "turn an authors' checkpoint into a hemf model"
    ),
}


def load_verb(name: str) -> Callable[..., Any]:
    """Import the public function behind a verb."""
    return _load(VERBS[name].function)


def build_parser(name: str) -> "ArgumentParser":
    """Make the parser of one verb."""
    from hemf.cli import parser

    verb = VERBS[name]
    return parser.build_parser(load_verb(name), f"hemf {name}", verb.hides, _load(verb.options))


def _load(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)
