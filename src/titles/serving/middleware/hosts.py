"""Allowed values of the Host header, against DNS rebinding: a site could point its own name at this server."""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from titles.serving.middleware.responses import send_error


class AllowedHostsMiddleware:
    """Answer 421 if the Host header is neither the address that received the request nor an allowed host.

    On a loopback address, localhost is allowed. The port is not compared, because a proxy may have another one.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app, self.hosts = app, {_normalize(host) for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address, _ = scope["server"]
        allowed = self.hosts | {_normalize(address)}
        if ip_address(address.partition("%")[0]).is_loopback:
            allowed.add("localhost")
        host_headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(host_headers) == 1 and _parse_host(host_headers[0]) in allowed:
            await self.app(scope, receive, send)
            return
        found = f"is {' and '.join(map(repr, host_headers))}" if host_headers else "is missing"
        names = ", ".join(sorted(allowed))
        await send_error(
            send, 421, f"the header Host {found}; allowed: {names}; titles serve --allowed-host adds a name"
        )


def _parse_host(header: str) -> str | None:
    """Return the host name of a Host header, without the port."""
    try:
        return _normalize(urlsplit(f"//{header}").hostname or "")
    except ValueError:
        return None


def _normalize(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
