"""`collect`: the shares of a study, from one folder or many, to its tables."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcstudy.arguments import as_path, short
from mcstudy.errors import ResultsError, StudyError
from mcstudy.execution.progress import Progress
from mcstudy.execution.refresh import say_repaired, update_tables
from mcstudy.execution.shards import Shard, shares_of
from mcstudy.execution.stopping import StoppingRule
from mcstudy.loader import as_study, neighbours_forgotten
from mcstudy.results import Results
from mcstudy.simulation.replicates import Job
from mcstudy.storage.manifest import missing_ranges
from mcstudy.storage.parts import (
    DamagedError,
    NewPart,
    Part,
    new_part,
    read_head,
)
from mcstudy.storage.store import Store
from mcstudy.storage.study_record import StudyRecord
from mcstudy.study import Study, check_replicates

MOST_GROUPS = 5
_MOST_RUNS = 10


@dataclass(frozen=True)
class Collected:
    """What `collect` found.

    Parameters
    ----------
    results : Results
        The tables of all that is there.
    missing : tuple of Job
        What is not there; empty where the study is complete.
    summary : str
        One line: that it is complete, or what is missing and which shares would compute it.
    """

    results: Results
    missing: tuple[Job, ...]
    summary: str


@neighbours_forgotten()
def collect(
    study: Study | str | Path,
    folders: Sequence[str | Path] = (),
    *,
    results: str | Path = "results",
    replicates: int | None = None,
    changed: str | None = None,
    quiet: bool = False,
) -> Collected:
    """Join the parts of other folders, say what is missing of the study, and make its tables.

    Parameters
    ----------
    study : Study or path
        A study, or the path of a study file.
    folders : sequence of path
        Where shares have put their parts: what they were given as `results`, or the folder of the
        study's name in there. They are left as they are. Parts that are in `results` already need
        no mention.
    results : path, default "results"
        The parts and the tables go to the folder of the study's name in there.
    replicates : int, optional
        How many make the study complete, in place of its own number.
    changed : {"keep", "discard"}, optional
        What becomes of rows made by code or packages that have changed since, as in `run`.
    quiet : bool, default False
        Print nothing.

    Returns
    -------
    Collected

    Raises
    ------
    StudyError
        For a study, or an argument, that cannot be used.
    ChangedError
        If rows were made by something else and `changed` does not say what to do.
    ResultsError
        If a folder cannot be used, or shares are at work in one that must be at rest.
    """
    study = as_study(study)
    wanted = study.replicates if replicates is None else replicates
    check_replicates(wanted, study.name)
    if changed == "verify":
        raise StudyError(
            "collect computes no fit, so it cannot verify; first: "
            "mcstudy run STUDY --changed verify"
        )
    if changed not in (None, "keep", "discard"):
        raise StudyError(f"changed is {changed!r}; say 'keep' or 'discard'")
    store = Store(as_path(results, "results") / study.name)
    others = [
        other
        for other in _stores(study, folders)
        if other.folder.resolve() != store.folder.resolve()
    ]
    if not any(each.parts() or each.strays() for each in (store, *others)):
        raise ResultsError(
            f"{store.folder}: holds no parts of {study.name}; name the folder that its shares "
            "were given as --results (results), or compute them first: "
            "mcstudy run STUDY --part K/N"
        )
    missing, splits = _collect(study, store, others, wanted, changed, Progress(quiet))
    shared = splits and all(job.stop <= wanted for job in missing)
    of = max(set(splits), key=lambda of: (splits.count(of), of)) if shared else 0
    given = "" if str(results) == "results" else f" --results {shlex.quote(str(results))}"
    summary = _summary(study, missing, wanted, of, given)
    return Collected(Results(store.folder), tuple(missing), summary)


def _collect(
    study: Study,
    store: Store,
    others: Sequence[Store],
    replicates: int,
    changed: str | None,
    progress: Progress,
) -> tuple[list[Job], list[int]]:
    """Join the parts and make the tables; return what is missing, and of how many each share is."""
    with store.locked():
        study_record = StudyRecord(study, store)
        say_repaired(study_record, progress)
        study_record.settle_changes(changed)
        if said := study_record.remeasured():
            progress.say(f"Note: {said}")
        if moved := study_record.clear():
            progress.say(f"Note: {moved}")
        splits = [of for each in (store, *others) for _, of in each.shares()]
        for other in others:
            _copy(study_record, other, changed, progress)
        while not update_tables(study_record, progress):
            pass
        for path in store.aside:
            progress.say(f"{path}: damaged, or no part; set aside")
        missing = StoppingRule(study_record, tuple(study.methods), replicates).missing(
            study.conditions
        )
        for line in study_record.close(replicates, 0, 0):
            progress.say(f"Note: {line}")
    return missing, splits


def _stores(study: Study, folders: Iterable[str | Path]) -> Iterator[Store]:
    if isinstance(folders, str | bytes) or not isinstance(folders, Iterable):
        raise ResultsError(f"folders is {short(folders)}; give a list of paths")
    for folder in [as_path(folder, "a folder") for folder in folders]:
        for candidate in (folder, folder / study.name):
            if (candidate / "parts").is_dir():
                yield Store(candidate)
                break
        else:
            raise ResultsError(
                f"{folder}: holds no parts of {study.name}; name the folder that its shares were "
                "given as --results (results)"
            )


def _copy(study_record: StudyRecord, other: Store, changed: str | None, progress: Progress) -> None:
    """Copy the parts that the study lacks from another folder, whole."""
    study_record.settle_others(other, changed)
    held: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for part in study_record.store.parts():
        held.setdefault(_cell(part), []).append((part.start, part.stop))
    damaged = other.strays()
    for part in other.parts():
        own = held.setdefault(_cell(part), [])
        gaps = missing_ranges(own, part.start, part.stop)
        if study_record.manifest.counts(part) and gaps:
            try:
                lacking = _lacking(part, gaps, study_record.study.keep)
            except DamagedError as error:
                damaged.append(error.path)
                continue
            study_record.outdate_tables()
            for new in lacking:
                study_record.store.add(new)
            own.append((part.start, part.stop))
    for path in damaged:
        progress.say(f"{path}: damaged, left where it is")


def _lacking(part: Part, gaps: Sequence[tuple[int, int]], keep: str) -> list[NewPart]:
    """Return what a part holds of some replicates, verified.

    Rows that are here already may be those of a retry: a copy of the whole would bring back the
    ones before. Sums are never retried.
    """
    if keep == "measures" or list(gaps) == [(part.start, part.stop)]:
        return [NewPart(part.place, part.content())]
    rows, head = part.rows(), read_head(part.path)
    return [
        new_part(rows.slice(start - part.start, stop - start), head.over(start, stop))
        for start, stop in gaps
    ]


def _cell(part: Part) -> tuple[str, str, str]:
    return part.method, part.fingerprint, part.condition


def _summary(study: Study, missing: Sequence[Job], replicates: int, of: int, given: str) -> str:
    fits = f"{len(study.conditions) * len(study.methods) * replicates} fits"
    lacking = sum(len(job) * len(job.methods) for job in missing)
    if not missing and study.precision is not None:
        return f"{study.name} is complete: no condition needs more replicates for its precision."
    if not missing:
        return f"{study.name} is complete: all {fits} are there."
    if any(job.stop > replicates for job in missing):
        fits = "those that the precision asks for by now"
    shares = shares_of(missing, of, study.conditions, replicates) if of else []
    how = _run_of(shares, given)
    return (
        f"{study.name} is incomplete: {lacking} of {fits} are missing: "
        f"{_in_words(missing, len(study.conditions))}; to compute them: {how}"
    )


def _run_of(shares: Sequence[Shard], given: str) -> str:
    """Return the command that computes some shares, or the whole where there are none."""
    if not shares:
        return f"mcstudy run STUDY{given}"
    if len(shares) == 1:
        return f"mcstudy run STUDY --part {shares[0]}{given}"
    runs: list[list[int]] = []
    for number in (share.number for share in shares):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    said = [f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    numbers = ", ".join(said[:_MOST_RUNS])
    more = sum(map(len, runs[_MOST_RUNS:]))
    numbers += f" and {more} more" if more else ""
    return f"mcstudy run STUDY --part K/{shares[0].of}{given} with K = {numbers}"


def _in_words(missing: Sequence[Job], conditions: int) -> str:
    """Say which replicates are missing where; conditions that miss the same are said together."""
    by_condition: dict[str, list[str]] = {}
    for job in missing:
        last = job.stop - 1
        numbers = f"s {job.start} to {last}" if last > job.start else f" {last}"
        text = f"replicate{numbers} of {', '.join(sorted(job.methods))}"
        by_condition.setdefault(job.condition.key, []).append(text)
    groups: dict[str, list[str]] = {}
    for key, texts in by_condition.items():
        groups.setdefault(" and ".join(texts), []).append(key)
    said = [
        f"{text} at all {conditions} conditions"
        if len(keys) == conditions > 1
        else f"{text} at {' | '.join(keys[:2])}{' | ...' if len(keys) > 2 else ''}"
        for text, keys in list(groups.items())[:MOST_GROUPS]
    ]
    return "; ".join(said) + ("; ..." if len(groups) > MOST_GROUPS else "")
