"""A unit as systemd has loaded it: its properties, asked for and read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from releve.instance.instances import unit_name
from releve.supervisor.systemd import lacking, systemctl

PROPERTIES = (
    "Type",
    "KillMode",
    "PIDFile",
    "FileDescriptorStoreMax",
    "TimeoutStartUSec",
    "TimeoutStopUSec",
    "WatchdogUSec",
    *lacking.PROPERTIES,
)
_SPAN = re.compile(r"([0-9.]+)(us|ms|min|month|s|h|d|w|y)")  # as systemctl show writes them; systemd.time(7)
_SPAN_S = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2_629_800.0,
    "y": 31_557_600.0,
}


class Unit(dict[str, str]):
    """Properties of the unit as ``systemctl show`` writes them."""

    def seconds(self, name: str) -> float | None:
        """A time span; ``infinity`` is one. None if it is not there."""
        text = self.get(name)
        if not text:
            return None
        if text == "infinity":
            return float("inf")
        if text == "0":
            return 0.0
        found = _SPAN.findall(text)
        return sum(float(number) * _SPAN_S[unit] for number, unit in found) if found else None

    def number(self, name: str) -> int | None:
        """A whole number; None if it is not there."""
        text = self.get(name, "")
        return int(text) if text.isdigit() else None


async def of_unit(environ: Mapping[str, str] = os.environ) -> Unit | None:
    """What systemd has for the unit that this process runs in; None outside of systemd, or if it does not say."""
    name = systemctl.unit_name(environ)
    if name is None:
        return None
    said = await systemctl.ask("show", name, *(f"-p{name}" for name in PROPERTIES), environ=environ)
    return None if said is None else parse_unit(said)


async def of_installed(config: Path | None, environ: Mapping[str, str] = os.environ) -> Unit | None:
    """Of the unit that would start a configuration, by the names that it usually has; None if there is none."""
    if config is None:
        return None
    name = unit_name(config.stem)
    names = [f"{name}.service", f"releve@{name}.service", "releve.service"]
    asked = [f"-p{one}" for one in ("LoadState", "ExecStart", *PROPERTIES)]
    said = await systemctl.ask("show", *asked, "--", *names, environ=environ)
    units = map(parse_unit, (said or "").split("\n\n"))
    return next(
        (one for one in units if one.get("LoadState") == "loaded" and f" {config} " in one.get("ExecStart", "")), None
    )


def parse_unit(text: str) -> Unit:
    """The properties in what ``systemctl show`` printed."""
    return Unit(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
