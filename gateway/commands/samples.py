"""The rows that `discover` is given, as options and as JSONL: read, and typed by the feature service's schema. Quotes none of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.errors import InvalidRequest
from gateway.origins.base import Description
from gateway.origins.discovery import Sample, at_most
from gateway.schema import Schema
from gateway.settings import SettingsError

Row = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Join keys and request context, as they were given."""


def rows_given(join_keys: Sequence[str], contexts: Sequence[str], file: Path | None) -> list[Row]:
    """Raises SettingsError."""
    told = [_object(text, f"--request-context {number}") for number, text in enumerate(contexts, 1)]
    if len(told) not in (0, 1, len(join_keys)):
        raise SettingsError("--request-context: give one for all samples, or one for each --join-keys")
    shared = told[0] if len(told) == 1 else {}
    listed = told if len(told) == len(join_keys) else [shared] * len(join_keys)
    named = [_object(text, f"--join-keys {number}") for number, text in enumerate(join_keys, 1)]
    rows: list[Row] = list(zip(named, listed, strict=True))
    if file is not None:
        rows += _rows_of(file, shared)
    if not rows:
        raise SettingsError('--join-keys: give samples, such as --join-keys \'{"user_id": "u1"}\' --join-keys \'{"user_id": "u2"}\'')
    return rows


def _rows_of(file: Path, shared: Mapping[str, Any]) -> Iterator[Row]:
    for number, line in enumerate(text_of(file, "--samples").splitlines(), 1):
        if line.strip():
            row = _object(line, f"{file}:{number}")
            join_keys, context = row.get("joinKeys"), row.get("requestContext", shared)
            if not isinstance(join_keys, dict) or not isinstance(context, dict) or row.keys() - {"joinKeys", "requestContext"}:
                raise SettingsError(f'{file}:{number}: must be {{"joinKeys": {{…}}, "requestContext": {{…}}}}')
            yield join_keys, context


def text_of(file: Path, option: str) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{option}: {file} cannot be read ({getattr(error, 'strerror', 'it is not text')})") from error


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise SettingsError(f'{where}: must be a JSON object, such as {{"user_id": "u1"}}')
    return told


def samples_of(rows: Sequence[Row], description: Description) -> list[Sample]:
    """Raises SettingsError, which names the sample and the key."""
    schema = Schema(description.join_keys, description.context_keys, description.features)
    names = [key.name for key in description.join_keys]
    samples: list[Sample] = []
    for number, (join_keys, context) in enumerate(rows, 1):
        try:
            samples.append(Sample(dict(zip(names, schema.join_values(join_keys), strict=True)), schema.context_values(context)))
        except InvalidRequest as error:
            raise SettingsError(f"sample {number}: {error.message}") from None
    return samples


def requests_for(samples: Sequence[Sample], description: Description) -> int:
    """How many it may take to learn from these."""
    return at_most(samples, description.context_keys, len({feature.view for feature in description.features}))


def affordable(samples: Sequence[Sample], description: Description, max_requests: int) -> Sequence[Sample]:
    """As many of the first as may be asked for. Raises SettingsError where that is none."""
    for count in range(len(samples), 0, -1):
        if requests_for(samples[:count], description) <= max_requests:
            return samples[:count]
    raise SettingsError(f"--max-requests: one sample of this feature service takes up to {requests_for(samples[:1], description)}")


def unvaried(samples: Sequence[Sample], description: Description) -> list[str]:
    """The join keys of which there is no second value to be exchanged for the first."""
    return [key.name for key in description.join_keys if len({sample.join_keys[key.name] for sample in samples} - {None}) < 2]
