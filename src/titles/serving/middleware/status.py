"""The status of an answer, for what logs and counts answers."""

from starlette.types import Message, Send


class StatusRecorder:
    """Sends what an application answers, and keeps its status.

    The status is 499, as in nginx, where the client closed the connection before there was an answer.
    """

    def __init__(self, send: Send) -> None:
        self.send, self.status = send, 499

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self.send(message)
