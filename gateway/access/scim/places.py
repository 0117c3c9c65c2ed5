"""Where each resource is told of."""

from dataclasses import dataclass

from gateway.access.principals import PrincipalKind

PREFIX = "/api/scim/v2"
ENDPOINTS = {PrincipalKind.USER: "Users", PrincipalKind.GROUP: "Groups", PrincipalKind.SERVICE_ACCOUNT: "ServiceAccounts"}
NAMES = {PrincipalKind.USER: "User", PrincipalKind.GROUP: "Group", PrincipalKind.SERVICE_ACCOUNT: "ServiceAccount"}
"""What SCIM calls them."""


@dataclass(frozen=True, slots=True)
class Places:
    """`base`: scheme and host as the caller knows the gateway, or nothing: the paths alone are URIs too, and relative."""

    base: str = ""

    def of(self, kind: PrincipalKind, identity: str) -> str:
        return f"{self.base}{PREFIX}/{ENDPOINTS[kind]}/{identity}"
