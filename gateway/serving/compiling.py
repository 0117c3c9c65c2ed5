"""From what the origin says of a feature service to the plan by which it is read, under the policies that hold."""

from collections.abc import Mapping
from typing import Any

from gateway.cache.keys import Namespaces
from gateway.cache.policy import Policies
from gateway.measures.book import Book
from gateway.origins.base import Description
from gateway.serving.checking import OnDemandChecks
from gateway.serving.plan import Plan

Defaults = Mapping[str, Mapping[str, Any]]
"""Values by view and feature, for where nothing else is to be had."""


class PlanCompiler:
    """`policies` and `defaults` hold for the plans that are made from then on."""

    def __init__(self, checks: OnDemandChecks, namespaces: Namespaces, book: Book, policies: Policies, defaults: Defaults) -> None:
        self._checks = checks
        self._namespaces = namespaces
        self._book = book
        self.policies = policies
        self.defaults = defaults

    def compile(self, description: Description) -> Plan:
        service = description.service
        ledger = self._book.service(service.workspace, service.name or service.id)
        return Plan(self._checks.trusted(description), self.policies, self._namespaces, self.defaults, ledger)
