"""Import a library without what it imports for features that nobody here uses.

Great Expectations imports SciPy and Altair for a single expectation and its charts: 1.0 of 2.5 s and 76 of 222 MB. A
stand-in takes their place while it is imported, and becomes the real module when something of it is asked for. So
nothing is missing, it only comes when needed.

Outside of the block nobody meets a stand-in: an import finds the real module.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        _withdraw(self)
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Whoever imports these modules inside the block gets a stand-in, unless they are imported already."""
    stand_ins = [_StandIn(name) for name in names if name not in sys.modules]
    sys.modules.update({stand_in.__name__: stand_in for stand_in in stand_ins})
    try:
        yield
    finally:
        for stand_in in stand_ins:
            _withdraw(stand_in)


def _withdraw(stand_in: _StandIn) -> None:
    if sys.modules.get(stand_in.__name__) is stand_in:
        del sys.modules[stand_in.__name__]
