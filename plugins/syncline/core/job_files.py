"""Read jobs from the files of a project: the job, or all mistakes of both its files.

What a file may say is the models' matter (manifest.py, mapping.py, job.py); here they are found, read and told.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from syncline import __version__
from syncline.core.errors import ManifestInvalid
from syncline.core.files import strict_yaml
from syncline.core.files.documents import Document
from syncline.core.files.findings import Finding, nearest, report
from syncline.core.files.open_decisions import tell_open_decisions
from syncline.core.files.pydantic_places import sound_part, tell, tell_empties
from syncline.core.job import SyncJob
from syncline.core.manifest import JOB_ID, JOB_ID_MAX, Manifest
from syncline.core.mapping import Fault, Mapping
from syncline.core.models import Frozen
from syncline.core.reference_files import ProjectReferences

SIDES = ("source", "target")
# Said for people and for comparisons; no value depends on it.
ABOUT_FIELDS = {"description", "pii", "severity", "lossy", "equal"}
ABOUT_SIDES = {"connections_max", "avoid", "lock_timeout_s", "window"}  # when and how politely rows are read, not which
FILE_SUFFIXES = (".yaml", ".yml", ".json")
Model = TypeVar("Model", bound=Frozen)


def job_ids(root: Path) -> list[str]:
    """Ids of all manifests below a project root, sorted: a stable order in the UI."""
    return sorted(path.stem for path in (root / "include" / "manifests").glob("*.yaml"))


def load_job(root: Path, job_id: str) -> SyncJob:
    """Read one job. Raises ManifestInvalid whose text is the report of all its mistakes."""
    job, findings = examine_job(root, job_id)
    if job is None or findings:
        raise ManifestInvalid(report(findings))
    return job


def examine_job(root: Path, job_id: str) -> tuple[SyncJob | None, list[Finding]]:
    """Read a manifest and its mapping; all mistakes of both, or the job and none."""
    path = root / "include" / "manifests" / f"{job_id}.yaml"
    document = Document(_shown(path, root))
    if _leads_out(path):
        document.mistake((), "M17", "a link that leads out of include/manifests", "put the file itself here")
        return None, document.findings
    document = strict_yaml.read(path, document.path)
    _check_id(job_id, document)
    _check_rivals(path, document)
    manifest = _model(document, Manifest)
    if manifest is None:
        return None, document.findings
    _add(document, manifest.faults())
    references = ProjectReferences(root)
    mapping, mapping_findings, mapping_data = examine_mapping(root, manifest.mapping, document, references)
    if mapping is None:
        return None, [*document.findings, *mapping_findings]
    said = (document.data, mapping_data, references.used) if references.used else (document.data, mapping_data)
    rows_hash = _hash(_deciding_rows(document.data, mapping_data), references.used)
    job = SyncJob(job_id, manifest, mapping, _hash(__version__, *said), rows_hash)
    _add(document, job.faults())
    return job, [*document.findings, *mapping_findings]


def examine_mapping(
    root: Path, name: str, manifest: Document | None = None, references: ProjectReferences | None = None
) -> tuple[Mapping | None, list[Finding], Any]:
    """Read one mapping document; a missing file is told at the manifest's `mapping` key."""
    folder = root / "include" / "mappings"
    path = folder / f"{name}.yaml"
    if not path.is_file() or _leads_out(path):
        if manifest is not None:
            near = nearest(name, (other.stem for other in folder.glob("*.yaml") if other != path))
            why = "leads out of include/mappings" if path.is_file() else "does not exist"
            manifest.mistake(("mapping",), "M17", f"mapping {_shown(path, root)} {why}", "", near)
        return None, [], None
    document = strict_yaml.read(path, _shown(path, root))
    mapping = _model(document, Mapping, references or ProjectReferences(root))
    if mapping is not None:
        _add(document, mapping.faults())
    return mapping, document.findings, document.data


def _model(document: Document, kind: type[Model], references: ProjectReferences | None = None) -> Model | None:
    if document.data is None:
        return None
    tell_open_decisions(document)
    try:
        model = kind.model_validate(document.data, context=references)
        tell_empties(document)
        return model
    except ValidationError as error:
        tell(error, document, kind)
        tell_empties(document)
        if (sound := sound_part(error, document.data, "fields")) is not None:
            _add(document, _faults_of_sound_fields(document, sound, references))
        return None


def _faults_of_sound_fields(
    document: Document, sound: dict[str, Any], references: ProjectReferences | None
) -> list[Fault]:
    """What only a whole mapping can tell, told of the fields that have no mistake of their own: one report, not two."""
    try:
        faults = Mapping.model_validate(sound, context=references).faults()
    except ValidationError:
        return []
    gone = document.data["fields"].keys() - sound["fields"].keys()
    return [fault for fault in faults if fault[0][0] == "fields" and not any(f"'{name}'" in fault[2] for name in gone)]


def _add(document: Document, faults: list[Fault]) -> None:
    for where, code, found, hint, *offset in faults:
        is_sentence = " " in hint
        document.mistake(
            where, code, found, hint if is_sentence else "", "" if is_sentence else hint,
            offset=offset[0] if offset else None,
        )  # fmt: skip


def _check_id(job_id: str, document: Document) -> None:
    if not JOB_ID.fullmatch(job_id) or len(job_id) > JOB_ID_MAX:
        allowed = f"<source>__<target>__<entity> in a-z, 0-9 and _, at most {JOB_ID_MAX} characters"
        document.mistake((), "M22", f"'{job_id[:80]}' is not a job id", allowed)


def _check_rivals(path: Path, document: Document) -> None:
    """Two files that a person or another file system takes for one job: neither is loaded."""
    for rival in rivals(path.parent, path.stem):
        if rival != path.name:
            said = f"'{path.stem}' is also the job of include/manifests/{rival}"
            document.mistake((), "M04", said, "one file per job; neither is loaded")


def rivals(folder: Path, stem: str) -> list[str]:
    """Files below a folder whose stems are equal but for case; empty where there is only one."""
    try:
        return _rivals(folder, changed_ns=folder.stat().st_mtime_ns).get(stem.casefold(), [])
    except OSError:
        return []


@lru_cache(maxsize=8)
def _rivals(folder: Path, *, changed_ns: int) -> dict[str, list[str]]:
    """Casefolded stem -> the files that bear it, where there are several; remembered until the folder changes."""
    files: dict[str, list[str]] = defaultdict(list)
    for path in files_below(folder):
        if path.suffix.lower() in FILE_SUFFIXES:
            files[path.stem.casefold()].append(path.relative_to(folder).as_posix())
    return {stem: found for stem, found in files.items() if len(found) > 1}


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and its subfolders but hidden ones: in those, Kubernetes keeps what its links lead to."""
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and not any(part.startswith(".") for part in path.relative_to(folder).parts[:-1]):
            yield path


def _leads_out(path: Path) -> bool:
    """Whether a link leads out of the file's folder. Inside it links are fine: Kubernetes mounts files that way."""
    return path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve())


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _deciding_rows(manifest: Any, mapping: Any) -> Any:
    """What of both files decides which rows a copy holds and what stands in them; not who owns it or when it runs."""
    fields = {
        name: {key: said for key, said in field.items() if key not in ABOUT_FIELDS}
        for name, field in mapping["fields"].items()
    }
    sides = ({key: said for key, said in manifest[side].items() if key not in ABOUT_SIDES} for side in SIDES)
    return [mapping["source"], fields, manifest["tenancy"], *sides]


def _hash(*documents: Any) -> str:
    """What the files say to this version, whatever their comments and layout: two workers must agree on it (K10)."""
    said = json.dumps(documents, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
