"""``dataclass(frozen=True, slots=True)``, in less time for the class: for values that are made seldom.

The library compiles up to six functions for each class, and a process of ours has dozens of classes. Here one function
is compiled, ``__init__``, and the others are the same for all classes. A field is set once, by that; which costs a
little at each instance, so that what is made for each request keeps to the library's own. ``docs/adr/0048-values.md``
has the figures.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(**how: bool) -> Any:
        """Make a class a dataclass, as ``dataclasses.dataclass`` does; which makes those that are not frozen values
        with slots.
        """
        return _frozen if how == _VALUE else dataclasses.dataclass(**how)


def _frozen(cls: type[Any]) -> type[Any]:
    for name, function in _ALIKE.items():
        if name not in cls.__dict__:
            setattr(cls, name, function)
    made = dataclasses.dataclass(slots=True, repr=False, eq=False)(cls)
    compared = [field.name for field in dataclasses.fields(made) if field.compare]
    made.__compared__ = attrgetter(*compared) if compared else _nothing
    return made


def _nothing(self: Any) -> tuple[()]:
    return ()


def _setattr(self: Any, name: str, value: Any) -> None:
    if hasattr(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _delattr(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> Any:
    compared = self.__class__.__compared__
    return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(self.__class__.__compared__(self))


_VALUE = {"frozen": True, "slots": True}
_ALIKE = {"__setattr__": _setattr, "__delattr__": _delattr, "__repr__": _repr, "__eq__": _eq, "__hash__": _hash}
