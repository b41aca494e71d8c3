"""A real scheduler and real workers on this machine: the tables are those of a local run."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mcstudy import MCStudyError, Study, load_study, run
from mcstudy.cli import main
from mcstudy.execution import dask, scheduler, worker
from mcstudy.execution.transport import pack

pytest.importorskip("distributed")

FAR = (
    "study = Study(",
    """
import os, time
import beside

def closure(factor):
    return lambda sample: {"mean": Estimate(factor * sample.mean() + beside.SHIFT)}

def deadly(sample):
    if sample[0] > 4.3:
        os._exit(3)
    time.sleep(0.004)
    shipped = "mcstudy-" in __file__ and "mcstudy-" in beside.__file__
    return Fit({"mean": Estimate(sample.mean())}, diagnostics={"shipped": shipped})

study = Study(""",
)
METHODS = (
    '{"average": average, "jittered": jittered}',
    '{"closure": closure(2.0), "deadly": deadly}',
)


class Cluster:
    """A scheduler and its workers, each in a session of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        deadline = time.monotonic() + 20
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def worker(self):
        return self._start("worker", "--nthreads", "1", "--local-directory", str(self.folder))

    def _start(self, kind, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        with open(self.folder / "log", "a") as log:
            process = subprocess.Popen(
                [*command, "--scheduler-file", str(self.file), "--no-dashboard"],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def kill(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    started = Cluster(tmp_path_factory.mktemp("dask"))
    for _ in range(2):
        started.worker()
    yield started
    started.stop()


def far(path, results, where, **options):
    return run(path, results, backend="dask", scheduler=str(where.file), quiet=True, **options)


def workers_of(where):
    """Return the worker processes that mcstudy keeps beside the dask workers."""
    sessions = {process.pid for process in where.processes}
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            session = int(Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()[3])
            command = Path("/proc", entry, "cmdline").read_bytes()
            if session in sessions and b"loky" in command and b"resource_tracker" not in command:
                found.append(int(entry))
    return found


def test_contract_one_worker_killed_one_late_a_deadly_fit_and_closures(
    study_file, tmp_path, running, monkeypatch
):
    (tmp_path / "beside.py").write_text("SHIFT = 0.5\n")
    path = study_file(FAR, METHODS, ("replicates=60", "replicates=100"))
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.1)
    doomed = running.processes[1]
    parts, seen = tmp_path / "far" / "normal" / "parts", []

    def disturb():
        while len(list(parts.glob("*/*/[!.]*.parquet"))) < 8:
            time.sleep(0.01)
        seen.extend(workers_of(running))
        running.kill(doomed)
        running.worker()

    disturbance = threading.Thread(target=disturb)
    disturbance.start()
    results = far(path, tmp_path / "far", running)
    disturbance.join()
    assert set(results.fits.status) == {"ok", "crashed"}
    assert results.fits.query("method == 'deadly' and status == 'ok'").shipped.all()
    local = run(path, tmp_path / "local", jobs=2, quiet=True)
    mine, theirs = (r.fits.drop(columns="shipped") for r in (results, local))
    assert mine.equals(theirs)
    assert {k: v for k, v in results.digests().items() if k != "fits"} == {
        k: v for k, v in local.digests().items() if k != "fits"
    }
    assert 1 <= len(seen) <= 2
    assert not workers_of(running)


def test_contract_a_study_made_in_a_session_and_shares(study_file, tmp_path, running):
    plain = load_study(study_file())
    names = ("name", "simulate", "estimands", "methods", "conditions", "replicates", "seed")
    study = Study(**{name: getattr(plain, name) for name in names})
    local = run(study, tmp_path / "local", jobs=1, quiet=True)
    assert far(study, tmp_path / "far", running).digests() == local.digests()
    for k in (1, 2):
        far(study, tmp_path / "shares", running, part=(k, 2))
    again = run(study, tmp_path / "shares", jobs=1, quiet=True)
    assert again.digests() == local.digests()
    assert "runs" not in again.study or not again.study["runs"]


def test_contract_other_packages_on_a_worker_are_refused(
    study_file, tmp_path, running, monkeypatch, capfd
):
    monkeypatch.setattr(worker, "versions", lambda: {**real(), "statsmodels": "99"})
    real = sys.modules["mcstudy.storage.versions"].versions
    options = ["--backend", "dask", "--scheduler", str(running.file), "--results", str(tmp_path)]
    assert main(["run", str(study_file()), *options]) == 2
    error = capfd.readouterr().err
    assert "has other packages than this process: statsmodels 99 -> " in error
    assert "install the same versions there" in error
    assert not list((tmp_path / "normal" / "parts").glob("*/*/*.parquet"))


def test_contract_a_scheduler_that_ends_costs_nothing_that_is_stored(
    study_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(scheduler, "JOB_SECONDS", 0.05)
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 1.5)
    path = study_file(
        ("return rng.normal", "import time; time.sleep(0.01)\n    return rng.normal"),
        ("replicates=60", "replicates=20"),
    )
    short = Cluster(tmp_path)
    short.worker()
    parts = tmp_path / "far" / "normal" / "parts"

    def disturb():
        while len(list(parts.glob("*/*/[!.]*.parquet"))) < 3:
            time.sleep(0.01)
        short.kill(short.scheduler)

    disturbance = threading.Thread(target=disturb)
    disturbance.start()
    with pytest.raises(MCStudyError, match=r"the dask scheduler at .* is gone"):
        far(path, tmp_path / "far", short)
    disturbance.join()
    short.stop()
    local = run(path, tmp_path / "local", jobs=1, quiet=True)
    assert run(path, tmp_path / "far", jobs=1, quiet=True).digests() == local.digests()


def test_contract_a_scheduler_that_is_not_there(study_file, tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 0.5)
    with pytest.raises(MCStudyError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run(study_file(), tmp_path, backend="dask", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(MCStudyError, match="no dask scheduler answers at nonsense"):
        run(study_file(), tmp_path, backend="dask", scheduler="nonsense://x")


@pytest.mark.parametrize("address", ["nonsense://x", "tcp://127.0.0.1:9"])
def test_contract_a_wrong_address_is_one_line_to_the_end(study_file, tmp_path, address):
    """Also when the process ends, and dask deletes what has never been connected."""
    code = (
        "import sys; from mcstudy.cli import main; from mcstudy.execution import dask; "
        "dask.CONNECT_SECONDS = 0.5; sys.exit(main(sys.argv[1:]))"
    )
    options = ["--backend", "dask", "--scheduler", address, "--results", str(tmp_path)]
    command = [sys.executable, "-c", code, "run", str(study_file()), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"mcstudy: no dask scheduler answers at {address} (")
    assert done.stderr.count("\n") == 1


def test_contract_what_a_run_waits_for_is_said_once(study_file, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(dask, "PATIENCE_SECONDS", 0.5)
    alone = Cluster(tmp_path)
    late = threading.Timer(5.0, alone.worker)
    late.start()
    options = {"backend": "dask", "scheduler": str(alone.file), "replicates": 2}
    results = run(study_file(), tmp_path / "far", **options)
    late.join()
    alone.stop()
    assert len(results.fits) == 16
    said = f"the dask scheduler at {alone.file} has no worker yet; waiting for one\n"
    assert capfd.readouterr().err.count(said) == 1


def test_contract_a_port_that_says_nothing_is_told_of(study_file, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(dask, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        closed = threading.Timer(2.0, lambda: server.accept()[0].close())
        closed.start()
        with pytest.raises(MCStudyError, match="no dask scheduler answers"):
            run(study_file(), tmp_path, backend="dask", scheduler=address)
        closed.join()
    said = f"{address} has not answered yet as a dask scheduler does; waiting\n"
    assert capfd.readouterr().err.count(said) == 1


def test_contract_options_that_do_not_fit(study_file, tmp_path):
    for options, message in (
        ({"backend": "ray"}, "backend is 'ray'; say 'local' or 'dask'"),
        ({"scheduler": "tcp://x"}, 'needs --backend dask .backend="dask".'),
        ({"backend": "dask"}, "needs --scheduler .scheduler., e.g. tcp:"),
        ({"backend": "dask", "scheduler": "tcp://x", "jobs": 2}, "leave it out"),
    ):
        with pytest.raises(MCStudyError, match=message):
            run(study_file(), tmp_path, **options)


def test_contract_the_payload_has_the_neighbours_that_were_imported(study_file, tmp_path):
    for name in ("mcstudy_nearby", "unused"):  # not one of ours, whatever its name begins with
        (tmp_path / f"{name}.py").write_text("SHIFT = 0.5\n")
    beside = ("import beside", "import mcstudy_nearby as beside")
    payload = pack(load_study(study_file(FAR, METHODS, beside)), with_files=True)
    assert [name for name, _ in payload.files] == ["study_file.py", "mcstudy_nearby.py"]
    there = payload.written_to(tmp_path / "there")
    assert there.path == tmp_path / "there" / "study_file.py"
    assert load_study(there.path).source_digest == there.digest
