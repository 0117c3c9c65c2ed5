"""A running gateway, asked over HTTP by a command: where it is, which key is shown, and what to do where it does not answer."""

import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import click
import httpx

from gateway.commands.telling import fail

_TIMEOUT_S = 30.0
_SPOKEN = 300
_MAKE_ONE = "Make one with: feature-gateway keys create NAME --role WORKSPACE=consumer --data-dir DIR > NAME.key"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def demo_key_file() -> Path:
    """Where `feature-gateway demo` keeps its key, unless it is told otherwise."""
    return Path(click.get_app_dir("feature-gateway")) / "demo" / "demo-key"


class Asking:
    """`key_file` None: the demo's key, if there is one and the gateway is on this machine; else none. To be used as a context. What is
    wrong ends the command, with a word on what to do."""

    def __init__(self, url: str, key_file: Path | None) -> None:
        if not re.match(r"https?://[^/]", url):
            raise click.UsageError("--url: must start with http:// or https://")
        self._url = url.rstrip("/")
        if key_file is None and urlsplit(url).hostname in _LOOPBACK and demo_key_file().is_file():
            key_file = demo_key_file()
        self._shows_key = key_file is not None
        headers = {} if key_file is None else {"Authorization": f"Tecton-key {_key(key_file)}"}
        self._client = httpx.Client(headers=headers, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """The body of an answer that is one."""
        try:
            reply = self._client.request(method, self._url + path, json=body)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            fail(
                f"{self._url} does not answer ({type(error).__name__}). Is it running? Start one with: feature-gateway demo, or say where"
                " it is with --url.",
                1,
            )
        if reply.status_code != 200:
            fail(f"{self._url} answered {reply.status_code}: {_message(reply)} {self._advice(reply)}".rstrip(), 1)
        return reply.content

    def _advice(self, reply: httpx.Response) -> str:
        message = _message(reply)
        if reply.status_code == 401:
            return "Give another key with --key-file." if self._shows_key else f"Give a key with --key-file. {_MAKE_ONE}"
        if reply.status_code == 403:
            return f"Give the key of somebody who may read there with --key-file. {_MAKE_ONE}"
        if reply.status_code == 404 and "no such path" in message:
            return "Is it a feature-gateway, and of this release?"
        if reply.status_code == 404:
            return "Is it the right --workspace?"
        return "Try again in a moment." if reply.status_code in {429, 503, 504} else ""


def _key(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--key-file: {file} cannot be read ({getattr(error, 'strerror', 'it is not text')}).") from error


def _message(reply: httpx.Response) -> str:
    try:
        told = reply.json()
    except ValueError:
        told = None
    said = told.get("message") if isinstance(told, dict) else None
    text = said if isinstance(said, str) else "no reason given."
    return text[:_SPOKEN]
