"""What operations are made of: references, objects, bodies, parameters. Knows OpenAPI, not the doors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]
"""A JSON object of the document."""

READERS: list[dict[str, list[str]]] = [{"TectonKey": []}, {"Bearer": []}]
WRITERS: list[dict[str, list[str]]] = [{"TectonKey": []}]
ANYONE: list[dict[str, list[str]]] = []


@dataclass(frozen=True, slots=True)
class Example:
    summary: str
    value: Any


def ref(schema: str) -> Node:
    return {"$ref": f"#/components/schemas/{schema}"}


def listing(items: Node, description: str = "", **limits: int) -> Node:
    return {"type": "array", "items": items, **limits, **_described(description)}


def mapping(values: Node, description: str = "") -> Node:
    """An object whose keys are the caller's or the feature service's own names."""
    return {"type": "object", "additionalProperties": values, **_described(description)}


def record(description: str = "", required: Iterable[str] = (), /, **properties: Node) -> Node:
    """An object of known members. Others are neither promised nor refused."""
    names = list(required)
    return {"type": "object", "properties": properties, **({"required": names} if names else {}), **_described(description)}


def described(schema: Node, description: str) -> Node:
    return schema | {"description": description}


def text(description: str = "", **more: Any) -> Node:
    return {"type": "string", **more, **_described(description)}


def flag(description: str = "", **more: Any) -> Node:
    return {"type": "boolean", **more, **_described(description)}


def number(description: str = "", **more: Any) -> Node:
    return {"type": "number", **more, **_described(description)}


def whole(description: str = "", **more: Any) -> Node:
    return {"type": "integer", **more, **_described(description)}


def _described(description: str) -> Node:
    return {"description": description} if description else {}


def json_content(schema: Node, examples: Mapping[str, Example]) -> Node:
    spelled = {name: {"summary": example.summary, "value": example.value} for name, example in examples.items()}
    return {"application/json": {"schema": schema} | ({"examples": spelled} if spelled else {})}


def request_body(schema: str, **examples: Example) -> Node:
    return {"required": True, "content": json_content(ref(schema), examples)}


def answer(description: str, schema: str, **examples: Example) -> Node:
    return {"description": description, "content": json_content(ref(schema), examples)}


def path_parameter(name: str, description: str, example: str) -> Node:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}, "example": example}


def operation(
    operation_id: str,
    *,
    tag: str,
    summary: str,
    responses: Node,
    description: str = "",
    body: Node | None = None,
    security: list[dict[str, list[str]]] = READERS,
) -> Node:
    return {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        **_described(description),
        "security": [dict(choice) for choice in security],
        **({"requestBody": body} if body is not None else {}),
        "responses": responses,
    }
