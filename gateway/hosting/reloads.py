"""SIGHUP: the settings are told anew. What can change while serving does, at once and whole; what cannot is named; mistakes change nothing.

Each worker reads them for itself. The parent does too, for those that it may have to start later.
"""

import asyncio
import logging
import signal
from collections.abc import Callable

from gateway.counters import Counters
from gateway.settings import Log, Settings, SettingsError
from gateway.settings.reloading import change

Load = Callable[[], Settings]
logger = logging.getLogger(__name__)


class Reloads:
    """`settings`: those that hold. `load`: as they are told now; raises SettingsError. None: SIGHUP is not heeded."""

    def __init__(self, settings: Settings, load: Load | None) -> None:
        self.settings = settings
        self._load = load

    def heed(self, take_up: Callable[[Settings], None], counters: Counters) -> None:
        """From the running loop on."""
        if self._load is None:
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: self.reload(take_up, counters))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def reload(self, take_up: Callable[[Settings], None], counters: Counters) -> None:
        """Take up what is told now."""
        assert self._load is not None
        try:
            changed = change(self.settings, self._load())
        except SettingsError as error:
            counters.settings_reloads_refused += 1
            logger.error("Settings not reloaded, nothing has changed: %s", "; ".join(str(error).splitlines()))  # noqa: TRY400 - it is told
            return
        self.settings = changed.settings
        take_up(changed.settings)
        counters.settings_reloads_applied += 1
        logger.info("Settings reloaded: %s", ", ".join(changed.applied) or "nothing has changed")
        if changed.waiting:
            logger.warning("Settings that need a restart: %s", ", ".join(changed.waiting))

    def parent_reloads(self, change_log: Callable[[Log], None]) -> None:
        """For workers to come. What is wrong, or has changed, is told by those there are."""
        if self._load is None:
            return
        try:
            self.settings = change(self.settings, self._load()).settings
        except SettingsError:
            return
        change_log(self.settings.log)
