"""The Python modules of a repository folder: imported anew for every load, under a package name of that load alone.

So a changed file really is loaded anew, versions live side by side, modules of a folder import one another relatively, and `sys.path` is
never touched. Compiled files are neither read nor written: they go by the second and the size of a change. Knows nothing of definitions.
"""

import importlib
import inspect
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import count
from pathlib import Path
from threading import Lock
from traceback import format_exception_only, walk_tb
from types import CodeType, ModuleType, TracebackType
from typing import Self, cast

from gateway.on_demand import Function, takes_two

PREFIX = "_feature_repository_"
_numbers = count(1)
_changing = Lock()
"""Held to put another list in the place of `sys.meta_path`; an import under way in another thread goes on with the one it has."""


class NoFunction(Exception):
    """There is no such function to be had; says why, for people."""


class Modules:
    """The modules of one load. Inside its context functions can be found; afterwards those that were found go on working.

    What was imported stays in `sys.modules` for the functions' own sake, until `discard`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._package = f"{PREFIX}{next(_numbers)}"
        self._finder = _Finder(self._package, root)

    def __enter__(self) -> Self:
        with _changing:
            sys.meta_path = [self._finder, *sys.meta_path]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with _changing:
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self._finder]

    def discard(self) -> None:
        for name in [name for name in sys.modules if name == self._package or name.startswith(f"{self._package}.")]:
            del sys.modules[name]

    def function(self, text: str) -> Function:
        """Of `module:function`. Imports the module, which runs it. Raises NoFunction."""
        module_name, colon, name = text.partition(":")
        if not colon or not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
            raise NoFunction("must be module:function, with a module of this folder, such as on_demand:plan.")
        module = self._module(module_name)
        if name not in vars(module):
            raise NoFunction(f"module {module_name} has no function {name}.")
        function = vars(module)[name]
        if not callable(function):
            raise NoFunction(f"{name} of module {module_name} is no function; it is of type {type(function).__name__}.")
        if inspect.iscoroutinefunction(function):
            raise NoFunction(f"{name} of module {module_name} is a coroutine function; an on-demand function is a plain one.")
        if not takes_two(function):
            raise NoFunction(f"{name} of module {module_name} does not take two arguments, the context and the inputs.")
        return cast("Function", function)

    def _module(self, name: str) -> ModuleType:
        try:
            return importlib.import_module(f"{self._package}.{name}")
        except (Exception, SystemExit) as error:
            told = self._plain(format_exception_only(error)[-1])
            raise NoFunction(f"module {name} cannot be imported{self._where(error)}: {told}.{self._hint(error)}") from error

    def _plain(self, text: str) -> str:
        line = " ".join(text.split())[:300]
        return line.replace(f"{self._package}.", "").replace(f"{self._root}/", "").removesuffix(".")

    def _where(self, error: BaseException) -> str:
        """The innermost line of the folder that it came from."""
        lines = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
        if isinstance(error, SyntaxError):
            lines.append((error.filename or "", error.lineno or 1))
        inside = [(Path(file), line) for file, line in lines if Path(file).is_relative_to(self._root)]
        return f" ({inside[-1][0].relative_to(self._root)}, line {inside[-1][1]})" if inside else ""

    def _hint(self, error: BaseException) -> str:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and missing.isidentifier() and _file(self._root / missing) is not None:
            return f" Modules of the folder import one another relatively: from . import {missing}."
        return ""


class _Finder(MetaPathFinder):
    """Finds the modules below one folder under one package name, and nothing else."""

    def __init__(self, package: str, root: Path) -> None:
        self._package = package
        self._root = root

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        del path, target
        if fullname != self._package and not fullname.startswith(f"{self._package}."):
            return None
        place = self._root.joinpath(*fullname.split(".")[1:])
        file = _file(place)
        if file is not None and not file.resolve().is_relative_to(self._root):
            raise ImportError(f"{file.relative_to(self._root)} leads out of the folder")
        if file is None:
            if not place.is_dir():
                return None
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(place)]
            return spec
        inside = [str(place)] if file.name == "__init__.py" else None
        return spec_from_file_location(fullname, file, loader=_SourceAlone(fullname, str(file)), submodule_search_locations=inside)


class _SourceAlone(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self.source_to_code(self.get_data(self.path), self.path)


def _file(place: Path) -> Path | None:
    return next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)
