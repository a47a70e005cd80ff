"""HEAD, answered as GET; the server leaves out the body."""

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadAsGetMiddleware:
    """Shows `app` a GET where HEAD was asked."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        # A copy, as the server leaves out the body by the method of its own.
        shown = dict(scope, method="GET")
        await self.app(shown, receive, send)
        if "route" in shown:
            scope["route"] = shown["route"]
