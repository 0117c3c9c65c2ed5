"""YAML text → documents of mappings, lists and scalars, each with the line it stands on.

A scalar is text, as it was written: the field that it is given to says what it means, so `no`, `1_000`, `012` and `12:30:00` never turn
into something else on the way. Refused here: what is not YAML or not UTF-8, keys that come twice, merge keys, tags, nesting and growth (by
aliases) without bound. Knows nothing of what a document should say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))
Step = str | int
Path = tuple[Step, ...]


class Nothing(Enum):
    """A key without a value, or an empty document. Not None, which has a meaning in definitions."""

    NOTHING = "nothing"


class Plain(str):
    """A scalar without quotes, which may stand for a number or a truth value."""

    __slots__ = ()


Data = str | list["Data"] | dict[str, "Data"] | Nothing


@dataclass(frozen=True, slots=True)
class Slip:
    """Something wrong in a file. `path`: the way to it in the document, for people."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return where + (f"{self.path}: {self.text}" if self.path else self.text)


@dataclass(frozen=True, slots=True)
class Document:
    file: str
    node: Node
    data: Data

    def line(self, path: Path) -> int:
        """Of the field at the end of this path, or of the last of its steps that is there."""
        node, line = self.node, _line(self.node)
        for step in path:
            if isinstance(node, MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == step), None)
                if found is None:
                    break
                line, node = _line(found[0]), found[1]
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = _line(node)
            else:
                break
        return line

    def slip(self, path: Path, text: str) -> Slip:
        return Slip(self.file, self.line(path), self._spelled(path), text)

    def _spelled(self, path: Path) -> str:
        """`feature_views.by_user.aggregations[2].window`: what has a name goes by it, where that is one word."""
        told, data = "", self.data
        for at, step in enumerate(path):
            data = _inside(data, step)
            name = data.get("name") if at == 1 and isinstance(data, dict) else None
            if isinstance(step, str):
                told += ("." if told else "") + (step if _word(step) else ascii(step[:60]))
            else:
                told += f".{name}" if isinstance(name, str) and _word(name) else f"[{step}]"
        return told


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's own way of putting a loader together, without its meanings of scalars and without its constructors."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=self.get_mark())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_documents(file: str, content: bytes, slips: list[Slip]) -> list[Document]:
    """Those that say something. What is wrong goes to `slips`; then what is left may be less than what was written."""
    if len(content) > MAX_FILE_BYTES:
        slips.append(Slip(file, 1, "", f"the file is larger than {MAX_FILE_BYTES >> 20} MiB."))
        return []
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        slips.append(Slip(file, content.count(b"\n", 0, error.start) + 1, "", "the file is not UTF-8 text."))
        return []
    loader = None
    documents = []
    try:
        loader = _Loader(text)
        for node in _nodes(loader):
            construction = _Construction(file, slips)
            data = construction.of(node)
            if data is not Nothing.NOTHING:
                documents.append(Document(file, node, data))
    except ReaderError as error:
        slips.append(Slip(file, text.count("\n", 0, error.position) + 1, "", "the file has a control character in it."))
    except yaml.MarkedYAMLError as error:
        slips.append(_syntax(file, text, error))
    except (ValueError, OverflowError):  # PyYAML's own conversions: an escape beyond Unicode, a version of 5,000 digits
        slips.append(Slip(file, loader.get_mark().line + 1 if loader else 1, "", "this is not valid YAML: a number is out of range."))
    except _OutOfBounds as error:
        slips.append(Slip(file, error.line, "", str(error)))
    if not documents and not any(slip.file == file for slip in slips):
        slips.append(Slip(file, 1, "", "the file declares nothing."))
    return documents


def _nodes(loader: _Loader) -> Iterator[Node]:
    while loader.check_node():
        node = loader.get_node()
        if node is not None:
            yield node


def _syntax(file: str, text: str, error: yaml.MarkedYAMLError) -> Slip:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    told = ", ".join(part for part in (error.context, error.problem) if part)
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    hint = " A type with a comma or colon in it needs quotes." if "struct<" in written or "map<" in written else ""
    if "\t" in written and "cannot start any token" in told:
        hint = " Indent with spaces, not with tabs."
    return Slip(file, line, "", f"this is not valid YAML: {ascii(told)[1:-1]}.{hint}")


class _OutOfBounds(Exception):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


class _Construction:
    """One document's data, made of its nodes. Aliases are read as often as they stand there."""

    def __init__(self, file: str, slips: list[Slip]) -> None:
        self._file = file
        self._slips = slips
        self._left = MAX_NODES

    def of(self, node: Node, depth: int = 1) -> Data:
        self._left -= 1
        if self._left < 0:
            raise _OutOfBounds(_line(node), f"the document has more than {MAX_NODES:,} values, its aliases written out.")
        if depth > MAX_DEPTH:
            raise _OutOfBounds(_line(node), f"nested more than {MAX_DEPTH} levels deep, its aliases written out.")
        if node.tag not in _PLAIN_TAGS:
            self._refuse(node, "tags are not supported; a field's type is known.")
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, SequenceNode):
            return [self.of(one, depth + 1) for one in node.value]
        return self._mapping(node, depth)

    def _mapping(self, node: Node, depth: int) -> Data:
        data: dict[str, Data] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = self._text(key) if isinstance(key, ScalarNode) else ""
            if not isinstance(key, ScalarNode):
                self._refuse(key, "a key must be a word.")
            elif name == "<<" and key.style is None:
                self._refuse(key, "merge keys are not supported; write the fields out, or use an alias for a whole value.")
            elif name in data:
                self._refuse(key, f"key {_shown(name)} stands here already, in line {lines[name]}.")
            else:
                lines[name] = _line(key)
                data[name] = self.of(value, depth + 1)
        return data

    def _scalar(self, node: ScalarNode) -> str | Nothing:
        text = self._text(node)
        if node.style is not None:
            return text
        return Nothing.NOTHING if text in _NULLS else Plain(text)

    def _text(self, node: ScalarNode) -> str:
        """JSON, which is YAML too, may spell a character as a pair of surrogates; one alone is no text."""
        text = str(node.value)
        if text.isascii():
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._refuse(node, "half of a surrogate pair is not text.")
            return "\ufffd"

    def _refuse(self, node: Node, text: str) -> None:
        self._slips.append(Slip(self._file, _line(node), "", text))


def _line(node: Node) -> int:
    line: int = node.start_mark.line
    return line + 1


def _inside(data: Data, step: Step) -> Data:
    if isinstance(data, dict) and isinstance(step, str):
        return data.get(step, Nothing.NOTHING)
    return data[step] if isinstance(data, list) and isinstance(step, int) and step < len(data) else Nothing.NOTHING


def _word(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and 0 < len(text) <= 200


def _shown(text: str) -> str:
    return text if _word(text) else ascii(text[:60])
