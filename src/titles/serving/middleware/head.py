"""Answer HEAD requests like GET; the server omits the body."""

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadAsGetMiddleware:
    """Pass HEAD requests to `app` as GET."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        # A copy, because the server omits the body only if its own scope has the method HEAD.
        get_scope = dict(scope, method="GET")
        await self.app(get_scope, receive, send)
        if "route" in get_scope:
            scope["route"] = get_scope["route"]
