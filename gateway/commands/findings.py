"""How what `discover` has learnt is told: settings to paste, the same as JSON, and the evidence, in counts."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.features import Feature, ServiceRef
from gateway.origins.discovery import Evidence, Finding, Part, Verdict

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Told:
    """All that is to be told of one run."""

    service: ServiceRef
    findings: Sequence[Finding]
    features: Sequence[Feature]
    samples: int
    requests: int


def as_toml(told: Told) -> str:
    lines = [
        f"# {told.service}: learnt from {told.samples} sample{'s' * (told.samples != 1)} with {told.requests} requests.",
        "# What is said of a view holds for every feature service that serves a view of this name, in every workspace.",
    ]
    for finding in told.findings:
        lines += ["", *_section(finding, told.features)]
    return "\n".join(lines)


def _section(finding: Finding, features: Sequence[Feature]) -> Iterator[str]:
    name = _key(finding.view)
    if finding.verdict is Verdict.LEARNT:
        if finding.unproven:
            yield f"# That it does not depend on {', '.join(finding.unproven)} was not seen."
        yield f"[views.{name}]"
        yield f"join_keys = {_texts(finding.join_keys)}"
    elif finding.verdict is Verdict.UNDECIDED:
        yield f"# views.{name} is left out, and stays keyed on everything: {finding.reason}."
    else:
        besides = f" (and on {', '.join(finding.join_keys)})" if finding.join_keys else ""
        yield f"# {name} is an on-demand view: it depends on the request context{besides}, and stays keyed on everything."
        yield "# With its function at hand the gateway can compute it instead. Name the features that it reads, and uncomment:"
        yield f"# [on_demand.views.{name}]"
        yield f'# function = "package.module:{finding.view if finding.view.isidentifier() else "function"}"'
        yield '# inputs = { a_view = ["a_feature"] }'
        yield f"# context_keys = {_texts(finding.context_keys)}"
        outputs = [(feature.name.partition(".")[2], str(feature.dtype)) for feature in features if feature.view == finding.view]
        yield f"# outputs = {{ {', '.join(f'{_key(output)} = {_text(dtype)}' for output, dtype in outputs)} }}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """TOML's basic strings are JSON's, but for what JSON may leave unescaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _texts(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"


def as_json(told: Told) -> str:
    def about(finding: Finding) -> dict[str, Any]:
        return {
            "view": finding.view,
            "verdict": finding.verdict,
            "joinKeys": list(finding.join_keys),
            "requestContext": list(finding.context_keys),
            "notSeen": list(finding.unproven),
            "reason": finding.reason,
            "evidence": [
                {"part": part, "key": key, "probes": seen.probes, "changed": seen.changed, "unanswered": seen.unanswered}
                for (part, key), seen in finding.evidence.items()
            ],
        }

    return json.dumps(
        {
            "workspace": told.service.workspace,
            "featureService": told.service.name,
            "samples": told.samples,
            "requests": told.requests,
            "views": [about(finding) for finding in told.findings],
        },
        indent=2,
    )


def evidence_of(finding: Finding) -> Iterator[tuple[str, str]]:
    """By key: what was seen of it, in counts."""
    for (part, key), seen in finding.evidence.items():
        yield f"{key} (context)" if part is Part.CONTEXT else key, _counts(seen)


def _counts(seen: Evidence) -> str:
    unanswered = f", {seen.unanswered} unanswered" if seen.unanswered else ""
    return f"{seen.probes} probe{'s' * (seen.probes != 1)}, {seen.changed} changed{unanswered}"


def contradictions(findings: Sequence[Finding], said: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Settings in force that the findings speak against. `said`: join keys by view."""
    for finding in findings:
        keys = said.get(finding.view)
        if keys is None:
            continue
        if finding.verdict is Verdict.ON_DEMAND:
            yield f"views.{finding.view}.join_keys is set, but the view depends on the request context: leave it out."
        missing = [key for key in finding.join_keys if key not in keys and key not in finding.unproven]
        if missing:
            yield f"views.{finding.view}.join_keys leaves out {', '.join(missing)}, which the view depends on."
