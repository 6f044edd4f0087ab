"""YAML that knows its lines: a document as data, and the line of each key and item."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from lab.errors import TopologyError

Place = tuple[str | int, ...]
"""Where in a document: keys and indexes from the top, such as ("nodes", "node1", "memory")."""

FILE_CHARS_MAX = 1_000_000
PLACES_MAX = 20_000

_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


@dataclass(frozen=True, slots=True)
class MarkedYaml:
    """A document as plain data; `lines` counts from 1 and knows every key and item."""

    source: str
    data: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest thing around it that the document has."""
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 1)

    def error(self, place: Place, sentence: str) -> TopologyError:
        return TopologyError(f"{self.source}, line {self.line(place)}: {sentence}")


def read_yaml(text: str, source: str) -> MarkedYaml:
    """Read one document of plain data; a broken one, or a key that comes twice, is refused."""
    if len(text) > FILE_CHARS_MAX:
        raise TopologyError(
            f"{source}, line 1: a file of at most {FILE_CHARS_MAX} characters is read"
        )
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        lines: dict[Place, int] = {}
        if root is not None:
            _mark(root, (), source, lines, frozenset())
        data = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 1
        raise TopologyError(
            f"{source}, line {line}: this is no YAML: {exc.problem or exc.context}"
        ) from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        reason = str(exc).splitlines()[0] if str(exc) else "it is nested too deep"
        raise TopologyError(f"{source}, line 1: this is no YAML: {reason}") from exc
    return MarkedYaml(source, data, lines)


def _mark(
    node: yaml.Node, place: Place, source: str, lines: dict[Place, int], around: frozenset[int]
) -> None:
    """Note the line of everything in `node`; `around` are the nodes it stands in."""
    line = node.start_mark.line + 1
    if id(node) in around:
        raise TopologyError(f"{source}, line {line}: an alias must not contain itself")
    if len(lines) > PLACES_MAX:  # aliases of aliases can unfold to more than a machine holds
        raise TopologyError(f"{source}, line {line}: the file says too much: use fewer aliases")
    around |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        first_lines: dict[str, int] = {}
        for key, value in node.value:
            key_line = key.start_mark.line + 1
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "this key"
            if key.tag not in _KEY_TAGS:
                raise TopologyError(
                    f"{source}, line {key_line}: YAML does not read {name} as a word: quote it"
                )
            if name in first_lines:
                raise TopologyError(
                    f"{source}, line {key_line}: {name!r} stands here for the second time, after "
                    f"line {first_lines[name]}: {_within(place)} may have it once"
                )
            first_lines[name] = key_line
            lines[(*place, name)] = key_line
            _mark(value, (*place, name), source, lines, around)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*place, index)] = item.start_mark.line + 1
            _mark(item, (*place, index), source, lines, around)


def _within(place: Place) -> str:
    return dotted(place) if place else "the file"


def dotted(place: Place) -> str:
    """A place as people write it: `nodes.node1.networks[0]`."""
    words = ""
    for part in place:
        if isinstance(part, int):
            words += f"[{part}]"
        else:
            words += f".{part}" if words else part
    return words


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What would be right instead of `word`: the nearest known word, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else "there is none here"
