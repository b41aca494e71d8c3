"""A run at work: what is missing goes to the workers, what they finish is stored as it arrives."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mcstudy.errors import FitsFailedError
from mcstudy.execution.crashes import CrashLog
from mcstudy.execution.dask import dask_executor
from mcstudy.execution.early_stop import EarlyStop
from mcstudy.execution.executor import Died, Executor
from mcstudy.execution.options import RunOptions, workers_for
from mcstudy.execution.process_pool import local_executor
from mcstudy.execution.progress import PrintedLines, Progress
from mcstudy.execution.refresh import update_tables
from mcstudy.execution.scheduler import JobQueue, covered, fits_of
from mcstudy.execution.shards import Shard
from mcstudy.execution.stopping import StoppingRule
from mcstudy.simulation.replicates import Job
from mcstudy.storage.study_record import StudyRecord

LOOK_SECONDS = 60.0
_LOOK_SHARE = 20


class RunLoop:
    """A run at work: the study_record, what is wanted, and what is shown."""

    def __init__(
        self,
        study_record: StudyRecord,
        wanted: RunOptions,
        progress: Progress,
        share: Shard | None = None,
        *,
        keep_going: bool = False,
    ) -> None:
        self.study_record = study_record
        self.study = study_record.study
        self.store = study_record.store
        self.wanted = wanted
        self.progress = progress
        self.share = share
        self.keep_going = keep_going
        self.computed = 0
        # What was taken out to be retried is computed again, however many are wanted.
        at_least = None if share else study_record.retried
        self.goals = StoppingRule(study_record, wanted.methods, wanted.replicates, share, at_least)
        self.workers = wanted.workers

    def missing(self) -> list[Job]:
        """Return the jobs that would complete what is wanted."""
        missing = self.goals.missing(self.study.conditions)
        while self.store.aside:
            path = self.store.aside.pop()
            self.progress.say(f"{path}: damaged, or no part; set aside, and computed again")
        return missing

    def compute(self, missing: Sequence[Job]) -> None:
        """Compute and store the jobs; `computed` counts the fits.

        Raises
        ------
        FitsFailedError
            If the fits of a method turn out to be of no use.
        """
        progress, fits = self.progress, fits_of(missing)
        with self._executor(sum(map(len, missing))) as workers:
            job_queue = JobQueue(missing, self.workers)
            for line in workers.check(missing[0], self.wanted.methods):
                progress.say(line)
            self.clear()
            open_ended = self.study.precision is not None and not self.share
            progress.begin(fits, self.store.folder, at_least=open_ended)
            if not self.share:
                # What was lost may come back otherwise, such as a time-out.
                self.study_record.made_of = None
                self.study_record.write()
            with progress:
                stored = itertools.chain.from_iterable(self.study_record.stored().values())
                early_stop = EarlyStop(missing, self.study.keep, () if self.keep_going else stored)
                self._run_jobs(job_queue, workers, early_stop)

    def clear(self) -> None:
        """Move away what was discarded, now that the study has shown that it runs."""
        if moved := self.study_record.clear():
            self.progress.say(f"Note: {moved}")
        before, now = self.study_record.discarded_up_to, self.wanted.replicates
        if before > now:
            self.progress.say(
                f"Note: up to {before} replicates of a condition are discarded, and {now} are "
                f"computed in their place; --replicates {before} (replicates={before}) computes "
                "as many as before"
            )
        self.study_record.discarded_up_to = 0

    def stored_in_words(self) -> str:
        """Return "4 conditions x 2 methods x 60 replicates are stored", and what was asked for."""
        counts = [
            covered(items, method, 0)[0]
            for items in self.study_record.stored().values()
            for method in self.wanted.methods
        ]
        asked = self.wanted.replicates
        more = self.study.precision is None and max(counts) > asked
        return f"{self.wanted.in_words(self.study, counts)} are stored" + (
            f", {asked} {'was' if asked == 1 else 'were'} asked for" if more else ""
        )

    @contextmanager
    def _executor(self, replicates: int) -> Iterator[Executor]:
        """Provide the workers that were asked for, as far as there is work for them."""
        wanted, marks = self.wanted, self.study_record.marks
        if wanted.scheduler is not None:
            say = self.progress.say
            with dask_executor(self.study, marks, wanted.scheduler, say) as cluster:
                self.workers = max(cluster.threads, 1)
                yield cluster
        else:
            self.workers = workers_for(wanted.workers, replicates)
            if self.workers < min(wanted.workers, replicates):
                self.progress.say(f"Note: {self.workers} workers are started, not {wanted.workers}")
            here = wanted.in_process
            with local_executor(self.study, marks, self.workers, in_process=here) as workers:
                yield workers

    def _run_jobs(self, job_queue: JobQueue, workers: Executor, early_stop: EarlyStop) -> None:
        """Keep the workers busy until nothing is left; store what they finish as it arrives."""
        crash_log, printed = CrashLog(self.study), PrintedLines(self.progress)
        looked, look_cost = time.monotonic(), 0.0
        under_way, before = 0, self.computed
        while job_queue or under_way:
            while job_queue and workers.has_room():
                job, seconds = job_queue.take()
                workers.submit(job, seconds, crash_log.policy(job))
                under_way += 1
            for finished in workers.finished():
                under_way -= 1
                if isinstance(finished, Died):
                    job_queue.put_back(finished.given, crash_log.record(finished))
                    self.progress.note(finished.in_words())
                    if line := crash_log.first_note(finished):
                        self.progress.say(line)
                    continue
                printed.add(finished)
                for part in finished.parts.values():
                    self.store.add(part)
                job_queue.task_done(finished.given, finished.done, finished.seconds)
                useless = "" if self.keep_going else early_stop.reason(finished)
                self.computed += fits_of([finished.done])
                if job_queue.is_done_with(finished.done.condition):
                    job_queue.add(self.goals.raised(finished.done.condition))
                self.progress.advance(self.computed - before, job_queue)
                if useless and (job_queue or under_way):
                    raise FitsFailedError(useless)
            now = time.monotonic()
            if not self.share and now - looked > max(LOOK_SECONDS, _LOOK_SHARE * look_cost):
                update_tables(self.study_record)
                self.study_record.write()
                looked, look_cost = time.monotonic(), time.monotonic() - now
        printed.close()
