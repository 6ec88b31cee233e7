"""Authors' checkpoints become ours: one registered function per model.

A model's function returns a ``Layout``: how the authors name each of our tensors, and which of theirs we
leave out. Everything else (unwrapping, checking, listing what is wrong) is common.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import timm
import torch
from torch import Tensor

StateDict = dict[str, Tensor]

_LISTED = 12  # names in an error message, which has to stay readable


@dataclass(frozen=True)
class Layout:
    """How an authors' checkpoint is laid out.

    Attributes:
        authors_name: our name of a tensor -> theirs.
        head: their name of the classifier's weight, whose rows are the classes.
        unused: pattern (full match) of the names they allocate and never use.
        constants: their name of each buffer that is computed rather than learned, and its value.
        twins: for modules they register twice, the start of the name read last -> that of the one we convert.
    """

    authors_name: Callable[[str], str]
    head: str
    unused: str = ""
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    twins: Mapping[str, str] = field(default_factory=dict)


_LAYOUTS: dict[str, Callable[[], Layout]] = {}


def layout(model: str) -> Callable[[Callable[[], Layout]], Callable[[], Layout]]:
    """Register the function below as the one that gives ``model``'s ``Layout``."""

    def register(function: Callable[[], Layout]) -> Callable[[], Layout]:
        _LAYOUTS[model] = function
        return function

    return register


def convertible_models() -> list[str]:
    """Return the names of the models whose authors' checkpoints can be converted."""
    return sorted(_LAYOUTS)


def convert(state_dict: Mapping, model: str = "hemf_base") -> StateDict:
    """Turn an authors' checkpoint into a state dict of our model.

    The number of classes is taken from its head. Parameters that the published code never uses are dropped by
    name, and so are constant buffers (with a warning if their values are not the published ones).

    Args:
        state_dict: the authors' state dict, bare or under a "net", "state_dict" or "model" key, with or
            without a ``module.`` prefix.
        model: our name of the model, one of ``convertible_models()``.

    Returns:
        What ``timm.create_model(model, num_classes=...).load_state_dict`` takes, strictly.

    Raises:
        ValueError: an unknown ``model``; a name that is unknown or missing, or a wrong shape (listed).
    """
    if model not in _LAYOUTS:
        raise ValueError(f"no converter for {model!r}: choose from {', '.join(convertible_models())}")
    names = _LAYOUTS[model]()
    theirs = _without_twins(_bare(state_dict), names.twins)
    if names.head not in theirs or theirs[names.head].ndim != 2:
        raise ValueError(
            f"this is no {model} checkpoint: it has no matrix {names.head}, but {_list(theirs)}; "
            "take the authors' file, or choose another model"
        )
    with torch.device("meta"):
        ours = timm.create_model(model, num_classes=theirs[names.head].shape[0]).state_dict()
    expected = {names.authors_name(name): name for name in ours}
    dropped = {name for name in theirs if _is_left_out(name, names)}
    _check_names(model, theirs.keys() - dropped, expected)
    _check_constants({name: theirs[name] for name in names.constants if name in theirs}, names.constants)
    return _reshaped(model, theirs, ours, expected)


def left_out(state_dict: Mapping, model: str = "hemf_base") -> list[str]:
    """Return names in an authors' checkpoint that ``convert`` drops: never used, constant, or given twice."""
    names, theirs = _LAYOUTS[model](), _bare(state_dict)
    twins = {
        first + name.removeprefix(last)
        for last, first in names.twins.items()
        for name in theirs
        if name.startswith(last)
    }
    return [name for name in theirs if name in twins or _is_left_out(name, names)]


def _is_left_out(name: str, names: Layout) -> bool:
    return name in names.constants or re.fullmatch(names.unused, name) is not None


def _bare(state_dict: Mapping) -> StateDict:
    for wrapper in ("net", "state_dict", "model"):
        if isinstance(state_dict.get(wrapper), Mapping):
            state_dict = state_dict[wrapper]
    strangers = [str(name) for name, value in state_dict.items() if not isinstance(value, Tensor)]
    if strangers or not state_dict:
        raise ValueError(
            f"not a state dict of tensors: {_list(strangers) if strangers else 'it is empty'}; "
            "give the model's state dict, bare or under 'net', 'state_dict' or 'model'"
        )
    return {name.removeprefix("module."): value for name, value in state_dict.items()}


def _without_twins(theirs: StateDict, twins: Mapping[str, str]) -> StateDict:
    """Keep one of two tensors that are one parameter: the one that ``load_state_dict`` would copy last."""
    for last, first in twins.items():
        read_last = {
            first + name.removeprefix(last): v for name, v in theirs.items() if name.startswith(last)
        }
        other = [name for name, v in read_last.items() if name in theirs and not torch.equal(theirs[name], v)]
        if other:
            warnings.warn(
                f"{_list(other)} are given twice and differ; {last}* are used instead", stacklevel=3
            )
        theirs = {name: v for name, v in theirs.items() if not name.startswith(last)} | read_last
    return theirs


def _check_names(model: str, given: Iterable[str], expected: Mapping[str, str]) -> None:
    unknown, missing = set(given) - expected.keys(), expected.keys() - set(given)
    faults = [
        f"{word} {_list(names)}" for word, names in (("unknown", unknown), ("missing", missing)) if names
    ]
    if faults:
        raise ValueError(
            f"this is no whole {model} checkpoint: {'; '.join(faults)}; take the authors' file as it is"
        )


def _check_constants(given: StateDict, published: Mapping[str, Tensor]) -> None:
    wrong = [name for name, value in given.items() if value.shape != published[name].shape]
    if wrong:
        raise ValueError(
            f"constant buffers of another shape than published: {_list(wrong)}; the model differs"
        )
    other = [
        name
        for name, value in given.items()
        if not (value.is_meta or torch.allclose(value.float().cpu(), published[name], rtol=1e-3))
    ]
    if other:
        warnings.warn(
            f"constant buffers differ from the published ones, which are used instead: {_list(other)}",
            stacklevel=3,
        )


def _reshaped(model: str, theirs: StateDict, ours: StateDict, expected: Mapping[str, str]) -> StateDict:
    converted, wrong = {}, []
    for their_name, name in expected.items():
        value, shape = theirs[their_name], ours[name].shape
        pointwise = value.ndim == 4 and value.shape[2:] == (1, 1) and value.shape[:2] == shape
        if pointwise:
            value = value.flatten(1)  # their 1x1 convolution is our Linear
        if value.shape != shape:
            wrong.append(f"{their_name} {tuple(value.shape)} instead of {tuple(shape)}")
        converted[name] = value
    if wrong:
        raise ValueError(f"wrong shapes for {model}: {_list(wrong)}; was it trained with other settings?")
    return converted


def _list(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def renamed(name: str, rules: Iterable[tuple[str, str | Callable]]) -> str:
    """Return ``name`` after each rule, a pattern and its replacement, in turn."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _counted_from_one(match: re.Match) -> str:
    return f"fu{int(match[1]) + 1}."


BRANCH_NAMES = [  # of HEMF, HiFuse and CAME
    (r"^local_stem\.", "downsample_layers.0."),
    (r"^stages\.(\d)\.local_downsample\.", r"downsample_layers.\1."),
    (r"^stages\.(\d)\.local_blocks\.", r"stages.\1."),
    (r"^head\.norm\.", "conv_norm."),
    (r"^head\.fc\.", "conv_head."),
    (r"^stages\.(\d)\.fusion\.", _counted_from_one),
]
FUSION_NAMES = [  # of HEMF and HiFuse
    (r"\.previous\.widen\.", ".Updim."),
    (r"\.main_path\.local_proj\.", ".W_l."),
    (r"\.main_path\.global_proj\.", ".W_g."),
    (r"^fu1\.main_path\.norm\.", "fu1.norm2."),
    (r"^fu1\.main_path\.merge\.", "fu1.W."),
    (r"\.main_path\.norm\.", ".norm1."),
    (r"\.main_path\.merge\.", ".W3."),
    (r"^(fu\d)\.norm\.", r"\1.norm3."),
    (r"\.mlp\.", ".residual."),
]
IRMLP_NAMES = [  # of HEMF, HiFuse and CAME
    (r"\.(residual|irmlp)\.conv\.", r".\1.conv1.conv."),
    (r"\.(residual|irmlp)\.norm\.", r".\1.bn1."),
    (r"\.(residual|irmlp)\.expand\.", r".\1.conv2.conv."),
    (r"\.(residual|irmlp)\.project\.", r".\1.conv3."),
]
SWIN_NAMES = [  # of HiFuse and CAME
    (r"(blocks\.\d+)\.attention\.", r"\1.attn."),
    (r"(blocks\.\d+)\.linear\.", r"\1.fc1."),
]
UNUSED_FUSION = r"fu1\.(Updim|norm1|W3)\..*|fu[234]\.(norm2|W)\..*"


def window_constants(blocks: Iterable[str]) -> dict[str, Tensor]:
    """Return the constant buffer that each of these Swin ``blocks`` of theirs has."""
    from .blocks.window import relative_position_index

    index = relative_position_index(7).float()
    return {f"{block}.attn.relative_position_index": index for block in blocks}


@layout("hemf_base")
def _hemf_base() -> Layout:
    from .blocks import ManhattanPosition

    rules = [
        *BRANCH_NAMES,
        (r"^global_stem\.", "downsample_layers2.0."),
        (r"^stages\.(\d)\.global_downsample\.", r"downsample_layers2.\1."),
        (r"^stages\.(\d)\.global_blocks\.attentions\.", r"stages2.\1.VRC."),
        (r"^stages\.(\d)\.global_blocks\.linears\.", r"stages2.\1.FC."),
        (r"^stages\.(\d)\.global_blocks\.", r"stages2.\1."),
        (r"\.lepe\.", ".lepe.conv."),
        (r"\.(l|g)(?:ocal|lobal)_attention\.norm\.", r".norm_\1."),
        (r"\.(l|g)(?:ocal|lobal)_attention\.external\.memory_(k|v)[a-z]+\.", r".mea_\1.m\2."),
        (r"\.(l|g)(?:ocal|lobal)_attention\.spatial\.conv\.", r".sa_\1.conv1."),
        (r"\.(l|g)(?:ocal|lobal)_attention\.channel\.bottleneck\.0\.", r".ca_\1.fc1."),
        (r"\.(l|g)(?:ocal|lobal)_attention\.channel\.bottleneck\.2\.", r".ca_\1.fc2."),
        *FUSION_NAMES,
        *IRMLP_NAMES,
        (r"\.squeeze\.", ".conv_s."),
    ]
    constants = {}
    for stage in range(4):
        position = ManhattanPosition(12 * 2**stage, num_heads=8)
        constants[f"stages2.{stage}.RetNetRelPos2d.angle"] = position.angle.repeat_interleave(2)
        constants[f"stages2.{stage}.RetNetRelPos2d.decay"] = position.decay
    return Layout(lambda name: renamed(name, rules), "conv_head.weight", UNUSED_FUSION, constants)
