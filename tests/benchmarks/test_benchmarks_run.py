"""Every benchmark runs to its end, as a file and as a module, and says its ratios; its own checks pass."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import browsers

CHECKOUT = Path(__file__).resolve().parents[2]
HOT = {"one hot wallet, 64 callers", "one hot wallet, 256 callers"}
BENCHMARKS = sorted(path.stem for path in (CHECKOUT / "benchmarks").glob("[!_]*.py"))


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Benchmarks bring their own database and touch no other."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment["PURSER_DATA_DIR"] = str(folder / "untouched")
    return subprocess.run(
        [sys.executable, *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_there_are_benchmarks() -> None:
    assert BENCHMARKS == [
        "admission",
        "cold_import",
        "first_page",
        "graphql_reserve",
        "live_balances",
        "usage_breakdown",
        "usage_ingest",
    ]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_explains_itself(name: str, tmp_path: Path) -> None:
    done = run("-m", f"benchmarks.{name}", "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"--quick", "--json", "--rounds"} <= set(done.stdout.replace("[", " ").replace("]", " ").split())


@pytest.mark.slow
def test_admission_is_compared_with_batches_of_one_and_with_pgbench(tmp_path: Path) -> None:
    found = figures(run("benchmarks/admission.py", "--quick", "--json", "--profile", folder=tmp_path))
    assert found["pairs_checked"] > 0
    for name, workload in found["workloads"].items():
        assert workload["ratio_to_one_by_one"] > 0
        assert (workload["ratio_to_pgbench"] is not None) == (name in HOT), name
        phases = found["profiles"][name]["phases"]
        assert all(phases[phase]["ms"] > 0 for phase in ("begin", "lock", "read", "decide", "write", "commit")), phases
    assert not (tmp_path / "untouched").exists()


@pytest.mark.slow
def test_reserve_over_http_is_compared_with_a_mutation_that_does_nothing(tmp_path: Path) -> None:
    found = figures(run("-m", "benchmarks.graphql_reserve", "--quick", "--json", folder=tmp_path))
    assert found["reservations_checked"] > 0
    assert all(row["ratio"] > 0 for row in found["connections"].values())
    assert not (tmp_path / "untouched").exists()


@pytest.mark.slow
def test_every_jobs_cold_import_is_compared_with_its_libraries_alone(tmp_path: Path) -> None:
    found = figures(run("-m", "benchmarks.cold_import", "--quick", "--json", folder=tmp_path))
    jobs = {path.stem for path in (CHECKOUT / "lambdas").glob("*.py")} - {"__init__", "runtime"}
    assert found["imports"].keys() == {*[f"lambdas.{job}" for job in jobs], "graphql_api.lambda_handler"}
    assert all(row["ratio"] > 0 for row in found["imports"].values())
    assert not (tmp_path / "untouched").exists()


@pytest.mark.slow
def test_live_balances_are_compared_with_one_subscriber_and_with_executing_for_each(tmp_path: Path) -> None:
    found = figures(run("-m", "benchmarks.live_balances", "--quick", "--json", folder=tmp_path))
    assert found["states_checked"] > 0
    assert all(side["p99"] > 0 for side in found["sides"].values())
    assert min(found["ratio_to_one"], found["ratio_of_executing"], found["computing_ratio_of_executing"]) > 0
    assert not (tmp_path / "untouched").exists()


@pytest.mark.slow
def test_a_breakdown_is_compared_with_raw_rows(tmp_path: Path) -> None:
    found = figures(run("-m", "benchmarks.usage_breakdown", "--quick", "--json", folder=tmp_path))
    assert [stage["events"] for stage in found["stages"]] == [20_000, 40_000]
    assert all(stage["ratio"] > 0 for stage in found["stages"])
    assert not (tmp_path / "untouched").exists()


@pytest.mark.slow
def test_ingest_is_compared_with_copy(tmp_path: Path) -> None:
    found = figures(run("-m", "benchmarks.usage_ingest", "--quick", "--json", folder=tmp_path))
    assert found["events_checked"] > 0
    assert found["ratio"] > 0
    assert found["admission_p99_ratio"] > 0
    assert not (tmp_path / "untouched").exists()


@pytest.mark.slow
def test_the_first_page_is_compared_with_a_file_that_asks_nothing(tmp_path: Path) -> None:
    browsers.program()
    found = figures(run("benchmarks/first_page.py", "--quick", "--json", folder=tmp_path))
    assert found["first_visit_seconds"] > 0
    assert {path for path, side in found["pages"].items() if side["ratio"] > 0} == {"/", "/costs", "/console/icon.svg"}
    assert not (tmp_path / "untouched").exists()
