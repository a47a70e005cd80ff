import os
import subprocess
import sys
from pathlib import Path

import pytest

from titles.core import cpus
from titles.core.cpus import available_cpus, set_thread_defaults
from titles.preprocessing.engine import connect

ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 CPUs and version 2 of control groups. The process is in the group /shop/training."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cpus, "PROCESS_CGROUPS", tmp_path / "process")
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path / "cgroup")
    (tmp_path / "process").write_text("0::/shop/training\n")
    (tmp_path / "cgroup/shop/training").mkdir(parents=True)
    return tmp_path


def test_without_a_quota_the_affinity_counts(machine: Path) -> None:
    assert available_cpus() == 8
    (machine / "cgroup/shop/training/cpu.max").write_text("max 100000\n")
    assert available_cpus() == 8


@pytest.mark.parametrize(
    ("quota", "expected"), [("200000 100000", 2), ("150000 100000", 2), ("20000 100000", 1), ("990000 100000", 8)]
)
def test_a_quota_counts_where_it_is_less_and_is_rounded_up(machine: Path, quota: str, expected: int) -> None:
    (machine / "cgroup/shop/training/cpu.max").write_text(f"{quota}\n")
    assert available_cpus() == expected


@pytest.mark.parametrize("limited", ["", "shop", "shop/training"])
def test_the_quota_of_a_parent_group_counts_too(machine: Path, limited: str) -> None:
    (machine / "cgroup/shop/training/cpu.max").write_text("500000 100000\n")
    (machine / "cgroup" / limited / "cpu.max").write_text("300000 100000\n")
    assert available_cpus() == 3


def test_a_container_whose_group_has_another_path_outside_has_its_quota_at_the_root(machine: Path) -> None:
    (machine / "process").write_text("0::/docker/0f3a\n")
    (machine / "cgroup/cpu.max").write_text("400000 100000\n")
    assert available_cpus() == 4


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 3)])
def test_version_1_of_control_groups_has_quota_and_period_in_files_of_their_own(
    machine: Path, quota: str, expected: int
) -> None:
    (machine / "process").write_text("5:memory:/shop\n4:cpu,cpuacct:/shop\n3:cpuset:/\n0::/shop\n")
    group = machine / "cgroup/cpu/shop"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus() == expected


def test_without_linux_all_cpus_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cpus, "PROCESS_CGROUPS", tmp_path / "nothing")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cpus() == 6


def test_duckdb_has_as_many_threads(machine: Path) -> None:
    (machine / "cgroup/cpu.max").write_text("300000 100000\n")
    with connect(machine) as (engine, _):
        assert int(engine.settings["threads"]) == 3


VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")


@pytest.mark.parametrize(
    ("quota", "given", "expected"),
    [
        ("max", {}, {"GOMP_SPINCOUNT": "1000"}),
        ("200000", {}, {"GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": "2"}),
        ("max", {"GOMP_SPINCOUNT": "0"}, None),
        ("200000", {"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "5"}, None),
    ],
)
def test_thread_defaults_limit_spinning_and_the_number_of_threads_unless_the_user_has_set_them(
    machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    quota: str,
    given: dict[str, str],
    expected: dict[str, str] | None,
) -> None:
    (machine / "cgroup/cpu.max").write_text(f"{quota} 100000\n")
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    set_thread_defaults()
    assert {name: os.environ[name] for name in VARIABLES if name in os.environ} == (expected or given)


def spin_count_after(script: str, **variables: str) -> str:
    """GOMP_SPINCOUNT in a new process after the script, which must not have imported torch."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | variables
    script += "\nimport os, sys; assert 'torch' not in sys.modules; print(os.environ.get('GOMP_SPINCOUNT'))"
    return subprocess.check_output([sys.executable, "-c", script], env=environment, cwd=ROOT, text=True).strip()


COMMAND = """
import sys
from titles.cli import main
sys.argv = ["titles", "predict", "nowhere", "nothing.csv"]
try:
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize("script", ["import stages.train_mlp", COMMAND], ids=["stage", "titles"])
def test_a_command_sets_the_spin_count_before_it_loads_torch_and_keeps_that_of_the_user(script: str) -> None:
    assert spin_count_after(script) == "1000"
    assert spin_count_after(script, OMP_WAIT_POLICY="ACTIVE") == "None"


def test_a_program_that_imports_titles_keeps_its_environment() -> None:
    assert spin_count_after("import titles, titles.text.normalization, titles.nn.hparams, titles.cli") == "None"
