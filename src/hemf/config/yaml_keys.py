"""YAML that keeps keys as the text they are written as: a class may be called 0, no, null, 1e3 or 007."""

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from hemf.core.errors import HemfError

MODE = "yaml with text keys"


def use_text_keys() -> str:
    """Teach jsonargparse to read such YAML, and return the parser mode that does."""
    set_loader(MODE, load, exceptions=(yaml.YAMLError,))
    return MODE


def load(text: str) -> Any:
    """Read the value of a flag; YAML's rules for numbers, booleans and dates apply to all but its keys.

    Raises:
        yaml.YAMLError: it is no YAML.
        HemfError: a key is given twice.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(node, yaml.CollectionNode):
        _make_keys_texts(node)
        text = yaml.serialize(node, Dumper=yaml.SafeDumper)
    return get_loader("yaml")(text)


def _make_keys_texts(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            key.tag, key.style = "tag:yaml.org,2002:str", '"'
        names = [key.value for key in keys]
        if twice := [name for name in names if names.count(name) > 1]:
            raise HemfError(f"{twice[0]!r} is given twice; keep one of them")
        for _, value in node.value:
            _make_keys_texts(value)
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _make_keys_texts(one)
