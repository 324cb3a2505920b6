"""Read code lists and calendars from a project's files, once per change of a file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from syncline.core.files import strict_yaml
from syncline.core.files.findings import Finding, nearest
from syncline.core.files.pydantic_places import FINDINGS, tell, tell_empties
from syncline.core.models import NAME, Frozen
from syncline.core.references import Calendar, CodeList

KINDS: dict[str, type[Frozen]] = {"code_lists": CodeList, "calendars": Calendar}  # folder -> what its files are
M = TypeVar("M", bound=Frozen)


class ProjectReferences:
    """The code lists and calendars below `root/include`, read when a word first asks for them.

    Attributes:
        used: Path -> what its file says. A job stands on it as on its mapping.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.used: dict[str, Any] = {}

    def code_list(self, name: str) -> CodeList:
        return self._asked("code_lists", name, CodeList)

    def calendar(self, name: str) -> Calendar:
        return self._asked("calendars", name, Calendar)

    def _asked(self, folder: str, name: str, kind: type[M]) -> M:
        path = self.root / "include" / folder / f"{name}.yaml"
        shown = f"include/{folder}/{name[:63]}.yaml"
        if not NAME.fullmatch(name) or not path.is_file() or not path.resolve().is_relative_to(path.parent.resolve()):
            near = nearest(name, (other.stem for other in path.parent.glob("*.yaml")))
            hint = f". Did you mean '{near}'?" if near else ""
            raise PydanticCustomError("M17", "{path} does not exist{hint}", {"path": shown, "hint": hint})
        model, data, findings = examine_reference(self.root, folder, name)
        if not isinstance(model, kind):
            told = {"path": shown, "allowed": "mend that file: its mistakes are told with this one", FINDINGS: findings}
            raise PydanticCustomError("M17", "{path} has mistakes of its own", told)
        self.used[shown] = data
        return model


def examine_reference(root: Path, folder: str, name: str) -> tuple[Frozen | None, Any, list[Finding]]:
    """One file of a folder of KINDS: its model where it has no mistakes, what it says, all its mistakes."""
    path = root / "include" / folder / f"{name}.yaml"
    stat = path.stat()
    model, data, findings = _examined(root, path, folder, stat.st_mtime_ns, stat.st_size)
    return model, data, list(findings)


@lru_cache(maxsize=256)
def _examined(
    root: Path, path: Path, folder: str, changed_ns: int, size: int
) -> tuple[Frozen | None, Any, tuple[Finding, ...]]:
    """Remembered until the file changes: a thousand mappings may name one list."""
    document = strict_yaml.read(path, path.relative_to(root).as_posix())
    model: Frozen | None = None
    if document.data is not None:
        try:
            model = KINDS[folder].model_validate(document.data)
        except ValidationError as error:
            tell(error, document, KINDS[folder])
        tell_empties(document)
    return (model if not document.findings else None), document.data, tuple(document.findings)
