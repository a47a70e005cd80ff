"""The names a server answers to, so that no page of another site reaches it under a name of its own (DNS rebinding)."""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from titles.serving.middleware.responses import send_error


class AllowedHostsMiddleware:
    """Answers 421 in place of `app` where the header Host is neither the address the request came to nor allowed.

    A loopback address may also be called localhost. The port does not matter, as a proxy may have another one.
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
        sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(sent) == 1 and _parse_host(sent[0]) in allowed:
            await self.app(scope, receive, send)
            return
        found = f"is {' and '.join(map(repr, sent))}" if sent else "is missing"
        names = ", ".join(sorted(allowed))
        await send_error(
            send, 421, f"the header Host {found}; allowed: {names}; titles serve --allowed-host adds a name"
        )


def _parse_host(header: str) -> str | None:
    """The host of a header Host, without its port."""
    try:
        return _normalize(urlsplit(f"//{header}").hostname or "")
    except ValueError:
        return None


def _normalize(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
