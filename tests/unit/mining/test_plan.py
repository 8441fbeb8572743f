"""The plan says what a run takes: memory within 30 % of small runs, time that adds up, the search that will be used."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fairseq_distill import defaults
from fairseq_distill.cli.mine import cli_main
from fairseq_distill.mining.machine import Machine, measure_machine, timed
from fairseq_distill.mining.plan import _NARROW, clock, plan_mining

IDLE = Machine("bfloat16", 2, 3e-12, 3e-10, 4e-10, 6e-10, 8e-7, 2e9, 230 << 20)


def plan(n, m, dim=1024, dtype="float16", k=4, max_memory=256 << 20, search="auto", machine=IDLE):
    return plan_mining(n, m, dim, dtype, k, max_memory, search, machine)


def test_auto_is_planned_as_it_is_run():
    side = int((defaults.EXACT_WORK / 1024) ** 0.5)
    small, large = plan(side - 1, side - 1), plan(side + 1, side + 1)
    assert (small.search, large.search) == ("exact", "approximate")
    assert small.chosen is small.exact and large.chosen is large.approximate
    assert plan(10, 10, search="approximate").search == "approximate"


@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_costs_grow_with_the_size_and_fall_with_the_machine(search):
    costs = [getattr(plan(n, n), search) for n in (1000, 10_000, 100_000, 1_000_000, 10_000_000)]
    assert all(a.total_s < b.total_s and a.peak_bytes <= b.peak_bytes for a, b in zip(costs, costs[1:]))
    slow = getattr(plan(100_000, 100_000, machine=replace(IDLE, multiply_s=6e-12)), search)
    assert slow.seconds["product"] == pytest.approx(2 * costs[2].seconds["product"])
    assert slow.peak_bytes == costs[2].peak_bytes
    assert getattr(plan(100_000, 100_000, k=16), search).peak_bytes > costs[2].peak_bytes
    roomy = getattr(plan(1_000_000, 1_000_000, max_memory=3 << 30), search)
    assert roomy.total_s <= costs[3].total_s and roomy.peak_bytes >= costs[3].peak_bytes


def test_the_product_of_exact_is_all_pairs_and_that_of_approximate_a_share():
    million = plan(1_000_000, 1_000_000)
    assert million.exact.seconds["product"] == pytest.approx(1e12 * 1024 * 3e-12)
    share = million.approximate.seconds["product"] / million.exact.seconds["product"]
    assert share == pytest.approx(_NARROW * defaults.PLAN_SHARE * defaults.PLAN_WIDTH / 1024)


def test_the_machine_is_measured():
    machine = measure_machine(64, "float16", "float32")
    assert machine.kind == "float32" and machine.read_bytes_s is None and machine.resident > 20 << 20
    for rate in (machine.multiply_s, machine.screen_s, machine.load_s, machine.norm_s, machine.cosine_s):
        assert 0 < rate < 1e-3
    # A processor does between 10^8 and 10^13 multiplications a second.
    assert 1e-13 < machine.multiply_s < 1e-8


def test_the_least_of_several_calls_counts(monkeypatch):
    clock_s = iter([0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 7.0, 99.0])
    monkeypatch.setattr("fairseq_distill.mining.machine.time.perf_counter", lambda: next(clock_s))
    assert timed(lambda: None, least_s=10) == 2.0


@pytest.mark.parametrize(
    "seconds, text",
    [(0.04, "0.0 s"), (99.4, "99.4 s"), (245, "4 min 05 s"), (7200, "2 h 00 min"), (4e6, "1,111 h 06 min")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_plan_from_the_command_line(tmp_path, capsys):
    for side, n in (("src", 300), ("tgt", 200)):
        np.save(tmp_path / f"{side}.npy", np.ones((n, 32), np.float16))
    files = ["--src-emb", str(tmp_path / "src.npy"), "--tgt-emb", str(tmp_path / "tgt.npy")]
    assert cli_main(["--plan", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["m"], found["dim"], found["dtype"]) == (300, 200, 32, "float16")
    assert found["machine"]["read_bytes_s"] > 0 and found["search"] == "exact"
    assert cli_main(["--plan-size", "1000000", "2000000", "1024", "--dtype", "float16", "--precision", "float32"]) == 0
    out = capsys.readouterr().out
    assert "1,000,000 x 2,000,000 sentences of width 1,024, float16" in out
    assert "--search auto takes the approximate one: 2e+15 multiplications are above 2.5e+14" in out
    assert not list(tmp_path.glob("mined*"))


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "--src-text, --tgt-text, --src-emb, --tgt-emb, --output must be given"),
        (["--plan", "--src-emb", "a.npy"], "--tgt-emb must be given"),
        (["--plan-size", "0", "5", "5"], "--plan-size is 0 5 5"),
        (["--plan-size", "5", "5", "5", "-k", "0"], "k is 0"),
        (["--plan-size", "5", "5", "5", "--max-memory", "1K"], "1,024 bytes are too little"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(words, message, capsys):
    assert cli_main(words) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("n, search", [(4000, "exact"), (12_000, "exact"), (12_000, "approximate")])
def test_memory_is_predicted_within_30_percent(n, search, tmp_path):
    random = np.random.default_rng(1)
    topics = random.standard_normal((60, 128), dtype=np.float32)
    src = topics[random.integers(0, 60, n)] + 0.7 * random.standard_normal((n, 128), dtype=np.float32)
    words = ["--search", search, "--json", "--quiet", "--max-memory", "64M", "--recall", "0.9"]
    for side, rows in (("src", src), ("tgt", src + 0.7 * random.standard_normal((n, 128), dtype=np.float32))):
        np.save(tmp_path / f"{side}.npy", rows.astype(np.float16))
        (tmp_path / f"{side}.txt").write_text("".join(f"{side} sentence {i}\n" for i in range(n)))
        words += [f"--{side}-emb", str(tmp_path / f"{side}.npy"), f"--{side}-text", str(tmp_path / f"{side}.txt")]
    words += ["--output", str(tmp_path / "mined.tsv")]
    # A child's peak begins with its parent's: one more process lies between the test and the run.
    program = (
        "import resource, subprocess, sys\n"
        "line = [sys.executable, '-m', 'fairseq_distill.cli.mine', *sys.argv[1:]]\n"
        "subprocess.run(line, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True, text=True)
    printed, peak = ran.stdout.strip().splitlines()
    assert json.loads(printed)["search"] == search
    line = [sys.executable, "-m", "fairseq_distill.cli.mine", *words, "--plan"]
    planned = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)[search]
    assert sum(planned["memory"].values()) == pytest.approx(int(peak), rel=0.3)
