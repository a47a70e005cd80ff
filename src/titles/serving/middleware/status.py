"""Record the status of a response, for the access log and the metrics."""

from starlette.types import Message, Send


class StatusRecorder:
    """A `send` that records the status of the response.

    The status is 499, as in nginx, if the client closed the connection before there was a response.
    """

    def __init__(self, send: Send) -> None:
        self.send, self.status = send, 499

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self.send(message)
