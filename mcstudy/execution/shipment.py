"""A study on its way to another machine: the bytes of its file and its neighbours, or a pickle."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcstudy.execution.transport import Parcel, pack
from mcstudy.study import Study

_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))


@dataclass(frozen=True)
class Shipment:
    """What a machine without the study's files makes it from.

    Parameters
    ----------
    parcel : tuple
        As for a worker of this machine.
    files : tuple of (str, bytes)
        The study file, then the modules of its folder that it has imported, by their path in
        there; none for a pickled study. Files that it only reads are not among them.
    """

    parcel: Parcel
    files: tuple[tuple[str, bytes], ...]

    def unload(self, folder: Path) -> Parcel:
        """Write the files into a folder and return the parcel for the workers of this machine."""
        for name, written in self.files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written)
        kind, _, digest = self.parcel
        return (kind, str(folder / self.files[0][0]), digest) if self.files else self.parcel


def ship(study: Study) -> Shipment:
    """Return the shipment of a study; raise StudyError if it cannot be sent."""
    if study.source is None:
        return Shipment(pack(study), ())
    own = (study.source.name, study.source.read_bytes())
    return Shipment(pack(study), (own, *_neighbours(study.source)))


def _neighbours(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the modules that stand in the folder of a study file and have been imported."""
    for name, module in sorted(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if not origin or name.startswith(("mcstudy", "__main__")) or origin.startswith(_INSTALLED):
            continue
        path = Path(origin).resolve()
        if path != source and path.is_relative_to(source.parent) and path.suffix == ".py":
            yield str(path.relative_to(source.parent)), path.read_bytes()
