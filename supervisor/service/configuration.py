"""What a supervisor was told on its command line, and from it, afresh each time, the settings.

The file, the environment and the flags are read again for every generation: an upgrade takes what is on disk then.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from releve.config.frozen import dataclass
from releve.instance import cards, instances
from releve.server.shared.runtime import SOCKET_NAME
from releve.supervisor.host.policy import Bounds

if TYPE_CHECKING:
    from releve.config.reading.load import Loaded
    from releve.config.reading.sections import Names

Options = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where settings come from.

    ``path`` is the configuration file or None, ``folder`` the folder the supervisor was started in (both absolute,
    links not followed), ``options`` the flags by the settings' dotted keys, as written, and ``app`` the application
    named on the command line. ``names`` says that the file is one for PasteDeploy, and which of its sections are meant.
    ``bounds`` are what one upgrade is held to, whoever asks for it.
    """

    path: Path | None
    folder: Path
    options: Options = field(default_factory=dict)
    app: str | None = None
    names: Names | None = None
    bounds: Bounds | None = None

    @property
    def name(self) -> str:
        """The name of the instance."""
        return instances.instance_name(self.folder, self.path)

    @property
    def title(self) -> str:
        """What people call it: the name of its file, or of its folder."""
        return instances.readable_name(self.folder, self.path)

    def read(self) -> Loaded:
        """The settings as they are now. Raises ConfigError, with every problem found."""
        from releve.config.reading import load, sources

        return load.load(self.path, sources.overrides(self._flags(), os.environ, self.folder), self.names)

    def changed(self, **options: str | None) -> Configuration:
        """The same with other options (``directory``, ``python``), for one upgrade; None leaves what is there."""
        given = {key: value for key, value in options.items() if value is not None}
        return dataclasses.replace(self, options={**self.options, **given})

    def bound(self, bounds: Bounds) -> Configuration:
        """The same for one upgrade that is held to something."""
        return dataclasses.replace(self, bounds=bounds)

    def runtime_directory(self, settings_value: str | None) -> Path:
        """Where the instance's control socket and lock are; ``settings_value`` is ``settings.runtime_directory``."""
        return instances.runtime_directory(settings_value, self.name, os.environ, os.geteuid())

    def state_directory(self, settings_value: str | None) -> Path:
        """Where the instance's history is; ``settings_value`` is ``settings.state_directory``."""
        return instances.state_directory(settings_value, self.name, os.environ, os.geteuid())

    def card(self, directory: Path) -> cards.Card:
        """The card of this process, to put up in its runtime ``directory``."""
        return cards.Card(
            pid=os.getpid(),
            folder=str(self.folder),
            config=None if self.path is None else str(self.path),
            socket=str(directory / SOCKET_NAME),
        )

    def _flags(self) -> dict[str, str | list[str]]:
        return {**self.options, **({} if self.app is None else {"app": self.app})}
