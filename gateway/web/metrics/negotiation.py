"""Which format, and whether compressed: what a request's Accept and Accept-Encoding ask for (RFC 9110, sections 12.4 and 12.5)."""

import re
from collections.abc import Iterator

from gateway.web.metrics.exposition import Format

_Q = re.compile(r"0(?:\.\d{0,3})?|1(?:\.0{0,3})?")
_VERSIONS = {"application/openmetrics-text": (Format.OPENMETRICS, "1.0.0"), "text/plain": (Format.TEXT, "0.0.4")}
_RANGES = {"*/*": None, "text/*": Format.TEXT, "application/*": Format.OPENMETRICS}


def choose(accept: str, usual: Format) -> Format:
    """What has the highest weight; of equals what is named before what is merely covered, then what comes first. `usual`: where nothing is
    asked for, or nothing that there is: a scraper is better off with what it did not ask for than with an error."""
    best, chosen = (0.0, False), usual
    for media, parameters, weight in _ranges(accept):
        named = media in _VERSIONS
        if named:
            form, version = _VERSIONS[media]
            if parameters.get("version", version) != version:
                continue
        elif media in _RANGES:
            form = _RANGES[media] or usual
        else:
            continue
        if (weight, named) > best and weight:
            best, chosen = (weight, named), form
    return chosen


def takes_gzip(accept_encoding: str) -> bool:
    weights = {coding: weight for coding, _, weight in _ranges(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _ranges(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """What is accepted, its parameters, and its weight. A part whose weight is none is left out."""
    for part in header.split(","):
        what, *told = [word.strip() for word in part.split(";")]
        parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in (word.partition("=") for word in told)}
        weight = parameters.pop("q", "1")
        if what and _Q.fullmatch(weight):
            yield what.lower(), parameters, float(weight)
