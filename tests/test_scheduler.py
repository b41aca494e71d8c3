"""The order of work, on a clock of its own: nobody idles at the end, every condition is early."""

import heapq
import math
import random

import pytest

from mcstudy import grid
from mcstudy.execution.scheduler import JOB_SECONDS, JobQueue
from mcstudy.simulation.replicates import Job

METHODS = ("only",)


def worked(costs, replicates, workers):
    """Work off a queue as the pool does, every worker with a job at hand and one ahead.

    Returns
    -------
    makespan : float
        When the last worker is done, in seconds.
    begun : dict
        When the first replicates of each condition were done.
    """
    conditions = list(grid(x=list(range(len(costs)))))
    cost = dict(zip(conditions, costs, strict=True))
    jobs = JobQueue([Job(c, 0, replicates, METHODS) for c in conditions], workers)
    queues = [[] for _ in range(workers)]
    events, begun, now = [], {}, 0.0

    def start(worker):
        job, seconds = queues[worker][0]
        each = cost[job.condition]
        count = min(len(job), max(1, int(seconds / each)))
        done = Job(job.condition, job.start, job.start + count, METHODS)
        heapq.heappush(events, (now + count * each, worker, done))

    while jobs or events:
        while jobs and min(map(len, queues)) < 2:
            worker = min(range(workers), key=lambda w: len(queues[w]))
            queues[worker].append(jobs.take())
            if len(queues[worker]) == 1:
                start(worker)
        now, worker, done = heapq.heappop(events)
        given, _ = queues[worker].pop(0)
        begun.setdefault(done.condition, now)
        jobs.task_done(given, done, cost[done.condition] * len(done))
        if queues[worker]:
            start(worker)
    return now, begun


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
@pytest.mark.parametrize(
    ("costs", "replicates"),
    [
        ([0.001] * 8, 2000),
        ([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0], 2000),
        ([1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001], 2000),
        ([0.001, 1.0, 0.001, 0.001], 2000),
        ([0.06] * 2, 600),
    ],
)
def test_contract_no_worker_is_left_alone_with_the_expensive_conditions(costs, replicates, workers):
    ideal = replicates * sum(costs) / workers
    makespan, begun = worked(costs, replicates, workers)
    assert makespan <= 1.03 * ideal + 0.5 * max(costs)
    turn = JOB_SECONDS + max(costs)
    assert max(begun.values()) <= turn * (1 + len(costs) / workers)


def test_contract_few_long_fits_cost_the_last_one_at_most():
    for workers in (2, 3, 4):
        ideal = 20 * 10.1 / workers
        makespan, _ = worked([10.0, 0.1], 20, workers)
        assert makespan <= ideal + 10.0


def test_identity_what_waits_is_counted_as_it_changes_and_as_a_plain_sum():
    draw = random.Random(4)
    conditions = list(grid(x=[1, 2, 3]))
    jobs = JobQueue([Job(c, 0, 400, METHODS) for c in conditions], 2)
    taken = []
    while jobs or taken:
        if jobs and draw.random() < 0.6:
            job, seconds = jobs.take()
            taken.append(job)
            costs = [jobs._groups[j.condition, j.methods].cost for j in jobs._waiting]
            waiting = zip(jobs._waiting, costs, strict=True)
            left = sum(math.inf if cost is None else cost * len(j) for j, cost in waiting)
            assert jobs._slice_seconds() == pytest.approx(min(2.0, max(0.2, left / 6)))
            assert 0.2 <= seconds <= 2.0
        elif taken:
            job = taken.pop(draw.randrange(len(taken)))
            if draw.random() < 0.2 and len(job) > 1:
                middle = (job.start + job.stop) // 2
                halves = [(job.start, middle), (middle, job.stop)]
                jobs.put_back(job, [Job(job.condition, *half, METHODS) for half in halves])
                continue
            done = Job(job.condition, job.start, draw.randint(job.start + 1, job.stop), METHODS)
            jobs.task_done(job, done, draw.uniform(0.001, 0.02) * len(done))
    assert jobs.fits_left == 0
    assert all(jobs.is_done_with(condition) for condition in conditions)
