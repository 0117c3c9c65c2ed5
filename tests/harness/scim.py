"""A SCIM client as its users have one: scim2-client, over httpx."""

from typing import Any

import httpx
from scim2_client import BaseSyncSCIMClient


class ScimClient(BaseSyncSCIMClient):
    """The library brings engines for other HTTP clients."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__()
        self.client = client

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        return self.client.request(method, url, **kwargs)

    def _stays_under_base_url(self, endpoint: str) -> bool:
        url = self.client.build_request("GET", endpoint).url
        return url.host == self.client.base_url.host and url.path.startswith(self.client.base_url.path)

    def _parse_json(self, response: Any) -> Any:
        return response.json()
