"""The log: what modules say by `logging`, rendered by structlog, on stderr.

Lines are written by a thread of their own, from a queue that holds so many: whoever does not read the log holds up nothing but the log.
What finds the queue full is dropped, and how much that was is said as soon as there is room. Before there are several processes there is
no thread, and a line is written where it is said.
"""

import logging
import queue
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from gateway.settings import Log

WAITING = 10_000
"""Lines that may wait to be written."""
_END_S = 1.0
"""For what waits to be written at the end."""
_OWN = "gateway"
_CLIENTS = ("httpx", "httpcore")
"""They tell of every request they make, its URL and query included, which is not theirs to tell."""
_LEVELS: Mapping[str, int] = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error")}


class Logs:
    """The process's log, set up by `begin`. `worker`: said in each line, where there are several."""

    def __init__(self, log: Log, *, worker: int | None = None, stream: TextIO | None = None) -> None:
        self._worker = worker
        self._stream = sys.stderr if stream is None else stream
        self._writer: _Writer | None = None
        self._choose(log)

    def _choose(self, log: Log) -> None:
        self._level = _LEVELS[log.level]
        form = log.format or ("console" if self._stream.isatty() else "json")
        self._formatter = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_COMMON, self._name_worker],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(form, colors=self._stream.isatty())],
        )

    def begin(self, *, threaded: bool) -> None:
        """In the place of what was set up before."""
        structlog.configure(
            processors=[*_COMMON, self._name_worker, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
        plain = logging.StreamHandler(self._stream)
        plain.setFormatter(self._formatter)
        self.end()
        self._writer = _Writer(plain) if threaded else None
        self._install(plain if self._writer is None else _Queueing(self._writer))

    def _install(self, handler: logging.Handler) -> None:
        root = logging.getLogger()
        for known in list(root.handlers):
            if isinstance(known, _Queueing) or getattr(known, "formatter", None).__class__ is structlog.stdlib.ProcessorFormatter:
                root.removeHandler(known)
        root.addHandler(handler)
        root.setLevel(max(self._level, logging.INFO))  # what others say below that is theirs
        logging.getLogger(_OWN).setLevel(self._level)
        for client in _CLIENTS:
            logging.getLogger(client).setLevel(logging.WARNING)

    def change(self, log: Log) -> None:
        """Another level and form from now on."""
        threaded = self._writer is not None
        self._choose(log)
        self.begin(threaded=threaded)

    def end(self) -> None:
        """Once nothing more is said: what waits is written, if anybody takes it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.end()

    def _name_worker(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if self._worker is not None:
            event["worker"] = self._worker
        return event


_COMMON: list[Any] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _renderers(form: str, *, colors: bool) -> list[Any]:
    if form == "json":
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(ensure_ascii=False)]
    return [structlog.dev.ConsoleRenderer(colors=colors)]


class _Writer:
    """Writes what is handed to it, in order, on a thread."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def take(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(record)
        except queue.Full:
            self._dropped += 1

    def end(self) -> None:
        try:
            self._lines.put(None, timeout=_END_S)
        except queue.Full:
            return
        self._thread.join(_END_S)

    def _run(self) -> None:
        while (record := self._lines.get()) is not None:
            self._handler.handle(record)
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                self._handler.handle(_lost(dropped))


def _lost(lines: int) -> logging.LogRecord:
    return logging.LogRecord(f"{_OWN}.log", logging.WARNING, "", 0, "%d lines were dropped: nobody took them in time", (lines,), None)


class _Queueing(logging.Handler):
    """Hands records on as they are. Texts are put together where they are written."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.take(record)
