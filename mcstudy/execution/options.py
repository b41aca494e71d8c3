"""The options of a run, checked, from the arguments of `run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import joblib

from mcstudy.arguments import as_texts, counted, short, suggestion
from mcstudy.errors import StudyError
from mcstudy.study import Study, check_replicates


def scheduler_of(backend: str, scheduler: str | None, jobs: int | None) -> str | None:
    """Return the dask scheduler to use, None for workers of this machine."""
    if backend not in ("local", "dask"):
        raise StudyError(f"backend is {backend!r}; say 'local' or 'dask'")
    if backend == "local" and scheduler is not None:
        raise StudyError(f'scheduler is {scheduler!r}, which needs --backend dask (backend="dask")')
    if backend == "dask" and scheduler is None:
        raise StudyError(
            "the dask backend needs --scheduler (scheduler), e.g. tcp://127.0.0.1:8786"
        )
    if backend == "dask" and jobs is not None:
        raise StudyError(
            f"jobs is {jobs}: with the dask backend it is the scheduler's workers that count; "
            "leave it out"
        )
    return scheduler


# Workers beyond the cores help fits that wait for something; each takes a second to start, about
# 200 MB, and some of the 1024 files that a process may have open by default.
_MANY, _PER_CORE = 32, 4


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked for, checked: replicates, methods, and who does the work."""

    replicates: int
    methods: tuple[str, ...]
    workers: int
    in_process: bool
    scheduler: str | None

    @classmethod
    def of(
        cls,
        study: Study,
        replicates: int | None,
        methods: Sequence[str] | None,
        jobs: int | None,
        scheduler: str | None,
    ) -> RunOptions:
        """Return it; raise StudyError for what cannot be asked for."""
        count = study.replicates if replicates is None else replicates
        check_replicates(count, study.name)
        if isinstance(methods, str):
            raise StudyError(f"methods is {methods!r}; give a list: methods=[{methods!r}]")
        if methods is not None:
            methods = as_texts(methods, "methods")
        names = tuple(study.methods) if methods is None else tuple(dict.fromkeys(methods))
        unknown = [name for name in names if name not in study.methods]
        if unknown or not names:
            known = list(study.methods)
            said = ", ".join(f"{name!r}{suggestion(name, known)}" for name in unknown) or "''"
            raise StudyError(f"{study.name}: no method {said}; it has {', '.join(study.methods)}")
        in_process = jobs == 1 and study.time_limit is None
        return cls(int(count), tuple(sorted(names)), check_jobs(jobs), in_process, scheduler)

    def in_words(self, study: Study, replicates: Sequence[int] = ()) -> str:
        """Return "4 conditions x 2 methods x 60 replicates", of those there are where given."""
        counts = replicates or [self.replicates]
        return (
            f"{counted(len(study.conditions), 'condition')} x "
            f"{counted(len(self.methods), 'method')} x "
            f"{replicates_in_words(min(counts), max(counts))}"
        )


def check_jobs(jobs: int | None) -> int:
    """Return the number of workers that is asked for, one per core by default."""
    if jobs is None:
        cores: int = joblib.cpu_count()
        return cores
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
        raise StudyError(f"jobs is {short(jobs)}; give an integer of 1 or more")
    return jobs


def workers_for(jobs: int, replicates: int) -> int:
    """Return how many worker processes are of use, of those that were asked for.

    No more than there are replicates to do, nor than a machine can start.
    """
    most: int = max(_MANY, _PER_CORE * joblib.cpu_count())
    return max(1, min(jobs, replicates, most))


def replicates_in_words(fewest: int, most: int) -> str:
    """Return "1 replicate", "60 replicates", "20 to 160 replicates"."""
    if fewest < most:
        return f"{fewest} to {most} replicates"
    return f"{most} {'replicate' if most == 1 else 'replicates'}"
