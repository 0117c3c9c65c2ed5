"""The chart's schema of `settings`, from the gateway's own: what the gateway would refuse, Helm refuses before there is a pod.

`python -m tests.harness.settings_schema` writes it into values.schema.json, after settings have changed. What is secret is left out, for it
belongs in Secrets; and so is what the chart decides.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.settings import Settings

SCHEMA = Path(__file__).resolve().parents[2] / "helm" / "feature-gateway" / "values.schema.json"
DECIDED_BY_THE_CHART: Mapping[str, str] = {
    "server.tls_certificate_file": "tls.secretName",
    "server.tls_key_file": "tls.secretName",
    "server.tls_client_ca_file": "a kubelet's probes have no certificate to show",
    "feature_server.data_dir": "where the volume is",
    "auth.data_dir": "where the volume is",
    "feature_server.definitions": "definitions",
}
_SAID_ELSEWHERE = {"title", "description", "default"}
"""In the README, which a test holds to the settings."""


def settings_schema() -> dict[str, Any]:
    """As JSON schema, draft 7, without references."""
    told = Settings.model_json_schema()
    schema = _plain(told, told["$defs"])
    for path in DECIDED_BY_THE_CHART:
        section, name = path.split(".")
        del schema["properties"][section]["properties"][name]
    return schema


def _plain(node: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return _plain(definitions[node["$ref"].rpartition("/")[2]], definitions)
    plain = {name: value for name, value in node.items() if name not in _SAID_ELSEWHERE | {"$defs", "properties", "anyOf"}}
    if plain.get("format") == "path":
        del plain["format"]
    for name in ("items", "additionalProperties"):
        if isinstance(plain.get(name), dict):
            plain[name] = _plain(plain[name], definitions)
    if "properties" in node:
        plain["properties"] = {name: _plain(below, definitions) for name, below in node["properties"].items() if not _is_secret(below)}
    if "anyOf" in node:
        plain |= _optional(node["anyOf"], definitions)
    return plain


def _optional(choices: list[dict[str, Any]], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """One thing or nothing, as one schema: Helm's complaint of a choice says neither what was wrong nor with which."""
    [something] = [_plain(choice, definitions) for choice in choices if choice != {"type": "null"}]
    something["type"] = [something["type"], "null"]
    if "enum" in something:
        something["enum"] = [*something["enum"], None]
    return something


def _is_secret(node: Mapping[str, Any]) -> bool:
    return any(choice.get("writeOnly") for choice in (node, *node.get("anyOf", ())))


def main() -> None:
    whole = json.loads(SCHEMA.read_text())
    whole["properties"]["settings"] = settings_schema()
    SCHEMA.write_text(json.dumps(whole, indent=2) + "\n")


if __name__ == "__main__":
    main()
