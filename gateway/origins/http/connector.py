"""How an origin is reached, as the settings choose: the hot transport or stock httpx, with what both have in common."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import httpx

from gateway.origins.http.channel import USER_AGENT, Channel
from gateway.origins.http.fast_channel import FastChannel
from gateway.origins.http.httpx_channel import HttpxChannel
from gateway.origins.http.pool import Limits
from gateway.origins.http.tls import client_context
from gateway.origins.http.transport import FastTransport

MAX_REPLY_BYTES = 16_777_216


@dataclass(frozen=True)
class Connector:
    """Opens nothing before it is asked. `tls` makes what the other side has to prove; it is made once."""

    kind: Literal["fast", "httpx"] = "fast"
    limits: Limits = field(default_factory=Limits)
    max_reply_bytes: int = MAX_REPLY_BYTES
    tls: Callable[[], ssl.SSLContext] = client_context

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self.tls()

    @cached_property
    def transport(self) -> httpx.AsyncBaseTransport:
        """For requests that are streamed. The hot one is shared by all channels."""
        if self.kind == "fast":
            return self._fast
        return httpx.AsyncHTTPTransport(verify=self._context, trust_env=False, limits=self._stock_limits)

    @cached_property
    def _fast(self) -> FastTransport:
        return FastTransport(self.limits, lambda: self._context)

    @property
    def _stock_limits(self) -> httpx.Limits:
        most = self.limits.max_connections
        return httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=self.limits.idle_s)

    def channel(self, url: str) -> Channel:
        """Calls below one base URL. Redirects are not followed; proxies and credentials of the environment are not looked at."""
        if self.kind == "fast":
            return FastChannel(url, self._fast, max_reply_bytes=self.max_reply_bytes)
        client = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            headers={"user-agent": USER_AGENT},
            follow_redirects=False,
            trust_env=False,
            verify=self._context,
            timeout=httpx.Timeout(None, connect=self.limits.connect_timeout_s),
            limits=self._stock_limits,
        )
        return HttpxChannel(client, self.max_reply_bytes, self.limits.max_connections)
