"""SIGHUP: the model folder loaded anew, while requests are answered."""

import asyncio
import logging
import signal

from titles.core.errors import InputError
from titles.serving.service import Service

log = logging.getLogger(__name__)


def reload_on_sighup(service: Service) -> None:
    """Reload the service's model at each SIGHUP. A model that cannot be loaded is logged, and the old one stays."""
    tasks: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        try:
            model = await service.reload()
        except InputError as error:
            log.error("the model stays: %s", error)
        except Exception:
            log.exception("the model stays")
        else:
            log.info("reloaded: %s, version %s, hash %s", *model.identity.values())

    def start() -> None:
        # Kept, as the event loop alone would not.
        task = asyncio.create_task(reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, start)
