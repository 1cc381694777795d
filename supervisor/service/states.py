"""The states of a service: what it is doing as a whole."""

from __future__ import annotations

import enum


class ServiceState(enum.Enum):
    """What the service as a whole is doing."""

    STARTING = "starting"  # no generation has served yet
    SERVING = "serving"
    OPERATING = "operating"  # serving, and an operation is under way
    TRIAL = "on trial"  # a generation that is not committed yet serves clients: as a canary, or switched to
    RECOVERING = "recovering"  # serving, and the supervisor looks for a successor of a generation that lost its master
    STOPPING = "stopping"
