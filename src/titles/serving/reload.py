"""Reload the model folder on SIGHUP, while requests are answered."""

import asyncio
import logging
import signal

from titles.core.errors import InputError
from titles.serving.service import Service

log = logging.getLogger(__name__)


def reload_on_sighup(service: Service) -> None:
    """Reload the service's model at each SIGHUP. If that fails, the error is logged and the old model stays in use."""
    tasks: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        try:
            model = await service.reload()
        except InputError as error:
            log.error("reload failed, the old model stays in use: %s", error)
        except Exception:
            log.exception("reload failed, the old model stays in use")
        else:
            log.info("reloaded: %s, version %s, hash %s", *model.identity.values())

    def start() -> None:
        # The event loop has only weak references to tasks.
        task = asyncio.create_task(reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, start)
