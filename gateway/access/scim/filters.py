"""Filters (RFC 7644 §3.4.2.2, the whole grammar) as SQL: what is looked for is found by the database, not by reading all there is.

The library parses and binds a filter to its model; here each comparison becomes an expression over columns, which is true or false and
never unknown, so that `not` means what it says. Attributes that have no column cannot be filtered by.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from pydantic import ValidationError
from scim2_models import AttributeBinding, BaseModel, SCIMException, ScimFilter
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
    coerce_value,
)
from sqlalchemy import ColumnElement, and_, false, func, not_, or_, true

from gateway.access.scim.texts import microseconds, storable
from gateway.errors import InvalidScim

Condition = ColumnElement[bool]
Columns = Mapping[str, ColumnElement[Any]]
"""By the name of the model's field; of a field inside another, both names with a dot between."""
_UNQUOTED = re.compile(r'\s*(displayName|name|userName)\s+eq\s+([^\s"()\[\]]+)\s*', re.IGNORECASE)
_LONGEST = 4_096


@dataclass(frozen=True, slots=True)
class Several:
    """An attribute with several values. `holding`: that one of them is such, from a condition over `columns`, the values' own."""

    columns: Columns
    holding: Callable[[Condition], Condition]


@dataclass(frozen=True, slots=True)
class Searchable:
    """What a kind of resource can be filtered by."""

    model: type[BaseModel]
    columns: Columns
    several: Mapping[str, Several] = field(default_factory=dict)


def condition(searched: Searchable, text: str) -> Condition:
    """Raises InvalidScim for what is no filter, or asks for what cannot be asked."""
    if len(text) > _LONGEST:
        raise InvalidScim("invalidFilter", f"filter: longer than {_LONGEST} characters")
    try:
        bound = _bound(searched.model, quoted(text))
        return _Sql(searched, bound).visit(bound.ast)
    except (SCIMException, ValidationError, ValueError, OverflowError):
        raise InvalidScim(
            "invalidFilter", "filter: not a filter of RFC 7644, or one that this kind of resource cannot be filtered by"
        ) from None


def quoted(text: str) -> str:
    """Tecton's own filters leave the quotes out: `userName eq ann@example.com`."""
    match = _UNQUOTED.fullmatch(text)
    return f"{match[1]} eq {ScimFilter.quote(match[2])}" if match is not None else text


def _bound(model: type[BaseModel], expression: str | FilterNode) -> ScimFilter[Any]:
    return cast("type[ScimFilter[Any]]", cast("Any", ScimFilter)[model])(expression)


class _Sql(FilterVisitor[Condition]):
    def __init__(self, searched: Searchable, bound: ScimFilter[Any]) -> None:
        self._searched = searched
        self._bound = bound

    def visit_not(self, node: Not) -> Condition:
        return not_(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> Condition:
        terms = [self.visit(term) for term in node.terms]
        return and_(*terms) if node.op == LogicalOperator.and_ else or_(*terms)

    def visit_present(self, node: Present) -> Condition:
        binding = self._resolved(node.attr_path)
        several = self._searched.several.get(binding.field_name)
        if several is not None:
            if binding.sub_field_name is None:
                return several.holding(true())
            return several.holding(_there(_column(several.columns, binding.sub_field_name)))
        inside = [column for name, column in self._searched.columns.items() if name.startswith(f"{binding.field_name}.")]
        if binding.sub_field_name is None and inside:
            return or_(*map(_there, inside))
        return _there(_column(self._searched.columns, _dotted(binding)))

    def visit_comparison(self, node: Comparison) -> Condition:
        binding = self._bound.resolve_comparison(node.attr_path)
        assert binding is not None  # the filter is bound
        value = _operand(binding, node)
        several = self._searched.several.get(binding.field_name)
        if several is None:
            return _compared(_column(self._searched.columns, _dotted(binding)), node.op, value, binding)
        column = _column(several.columns, binding.sub_field_name or "value")
        if value is None and node.op in {CompareOperator.eq, CompareOperator.ne}:  # no values at all are none, too
            some = several.holding(_there(column))
            return some if node.op == CompareOperator.ne else not_(some)
        if node.op == CompareOperator.ne:  # that none is equal, not that one is another
            return not_(several.holding(_compared(column, CompareOperator.eq, value, binding)))
        return several.holding(_compared(column, node.op, value, binding))

    def visit_value_path(self, node: ValuePath) -> Condition:
        binding = self._resolved(node.attr_path)
        several = self._searched.several.get(binding.field_name)
        if several is None or binding.field_type is None:
            raise ValueError
        inner = Searchable(cast("type[BaseModel]", binding.field_type), several.columns)
        return several.holding(_Sql(inner, _bound(inner.model, node.val_filter)).visit(node.val_filter))

    def _resolved(self, path: AttrPath) -> AttributeBinding:
        binding = self._bound.resolve(path)
        assert binding is not None  # the filter is bound
        return binding


def _dotted(binding: AttributeBinding) -> str:
    return binding.field_name if binding.sub_field_name is None else f"{binding.field_name}.{binding.sub_field_name}"


def _column(columns: Columns, name: str) -> ColumnElement[Any]:
    if name not in columns:
        raise ValueError
    return columns[name]


def _there(column: ColumnElement[Any]) -> Condition:
    return column.is_not(None)


def _operand(binding: AttributeBinding, node: Comparison) -> str | bool | int | None:
    value = coerce_value(binding, node.value, node.op)
    if isinstance(value, datetime):
        return microseconds(value)
    if binding.target_type is datetime and value is not None:  # a substring of an instant, which is kept as a number
        raise ValueError
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, str) or not storable(value):
        raise ValueError
    return value if binding.case_exact else value.lower()


def _compared(column: ColumnElement[Any], op: CompareOperator, value: str | bool | int | None, binding: AttributeBinding) -> Condition:  # noqa: FBT001 - a filter's operand may be one
    there = _there(column)
    if value is None:
        return {CompareOperator.eq: not_(there), CompareOperator.ne: there}.get(op, false())
    compared = func.lower(column) if isinstance(value, str) and not binding.case_exact else column
    if op == CompareOperator.ne:
        return or_(not_(there), compared != value)
    return and_(there, _holds(compared, op, value))


def _holds(column: ColumnElement[Any], op: CompareOperator, value: str | bool | int) -> Condition:  # noqa: FBT001 - as above
    """Both databases' `LIKE` has its own idea of case: the parts of texts are compared as texts."""
    match op:
        case CompareOperator.eq:
            return column == value
        case CompareOperator.gt:
            return column > value
        case CompareOperator.ge:
            return column >= value
        case CompareOperator.lt:
            return column < value
        case CompareOperator.le:
            return column <= value
    if not isinstance(value, str):
        raise ValueError
    if not value:
        return true()
    if op == CompareOperator.sw:
        return func.substr(column, 1, len(value)) == value
    if op == CompareOperator.ew:
        return and_(func.length(column) >= len(value), func.substr(column, func.length(column) - len(value) + 1) == value)
    return func.replace(column, value, "") != column
