"""The benchmark scripts run, on tiny sizes, and fail where what they compare differs."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "common")
ONE = ["--threads", "1", "--cpu-time"]


def run(script, *options):
    """The finished process of a script."""
    line = [sys.executable, str(BENCHMARKS / f"{script}.py"), *options]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)


def rows(process):
    """The first cell of each row of the tables printed -> its other cells."""
    assert process.returncode == 0, process.stdout + process.stderr
    lines = [line.strip("| ").split(" | ") for line in process.stdout.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines}


@pytest.fixture
def benchmark(monkeypatch):
    """Loads a script as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in ("common", "training"):
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_itself(script):
    process = run(script, "--help")
    assert process.returncode == 0, process.stderr
    assert f"benchmarks/{script}.py" in process.stdout


def test_operations_are_counted_as_a_loop_over_layers_and_sentences_counts_them(benchmark):
    from fairseq_distill.defaults import StudentSize

    size, expected = StudentSize(3, 8, 20, 2, True), 0
    for length in (1, 4, 7):
        for _ in range(size.layers):
            expected += 2 * length * 8 * (3 * 8) + 2 * length * 8 * 8  # queries, keys, values; output
            expected += 2 * 2 * length * 8 * 20  # feed-forward
            expected += 2 * size.heads * 2 * length * length * (8 // size.heads)  # scores, mixture
    assert benchmark("common").encoder_flop(np.array([1, 4, 7]), size) == expected


@pytest.mark.parametrize("most", [1, 10, 33])
def test_lasers_batches_hold_every_sentence_once_and_as_many_as_fit(benchmark, most):
    lengths = np.random.default_rng(1).integers(1, 12, 200)
    batches = list(benchmark("encoding").laser_batches(lengths, most))
    assert sorted(np.concatenate(batches)) == list(range(200))
    assert all(len(batch) == 1 or lengths[batch].sum() <= most for batch in batches)
    for batch, following in zip(batches, batches[1:]):
        assert lengths[batch].min() >= lengths[following].max()
        assert lengths[batch].sum() + lengths[following[0]] > most


def test_plain_margins_equal_the_librarys(benchmark):
    from fairseq_distill.evaluation.xsim import xsim_margins

    script = benchmark("xsim")
    args = script.argparse.Namespace(n=300, dim=16, k=4, cosine=0.4, seed=1)
    src, tgt = script.vectors(args)
    product = src @ tgt.T
    nearest = np.argsort(-product, axis=1)[:, :4]
    backward = -np.sort(-product.T, axis=1)[:, :4]
    errors = script.errors_of(np.take_along_axis(product, nearest, axis=1), nearest, backward)
    found = {name: result.errors for name, result in xsim_margins(src, tgt, k=4, precision="float32").items()}
    assert errors == found
    assert 0 < found["ratio"] < 300


@pytest.mark.slow
def test_xsim_runs():
    found = rows(run("xsim", "--n", "300", "--dim", "32", "--cosine", "0.3", "--repeats", "1", *ONE))
    assert list(found)[-4:] == ["floor", "ours auto", "torch", "faiss"]
    assert found["torch"][4] == found["faiss"][4]


@pytest.mark.slow
def test_startup_runs():
    found = rows(run("startup", "--pairs", "3000", "--dim", "8", *ONE))
    assert list(found) == ["step", "open", "plan", "epoch", "batch", "all"]


@pytest.mark.slow
def test_training_runs():
    pytest.importorskip("fairseq")
    options = ["--sizes", "small", "--lines", "200", "--updates", "1", "--repeats", "1", "--max-tokens", "200"]
    found = rows(run("training", *options, "--peer-max-tokens", "200", *ONE))
    assert {"peer", "ours bfloat16", "ours float32"} <= set(found)
    assert found["peer"][2] == "1.00"


@pytest.mark.slow
def test_encoding_runs_and_the_vectors_agree():
    pytest.importorskip("fairseq")
    options = ["--size", "small", "--lines", "60", "--single-lines", "5", "--repeats", "1"]
    found = rows(run("encoding", *options, *ONE))
    assert {"laser", "single", "ours bfloat16", "ours float32"} <= set(found)
    assert float(found["ours float32"][5]) > 0.99999


def test_a_system_that_fails_ends_the_run(benchmark):
    script = importlib.import_module("common")  # by a name that the new process can import too
    with pytest.raises(SystemExit, match="broken failed"):
        script.in_turns({"broken": script.System(script.lines_of, ("/nowhere/at.all", 1, 1))}, 1, 1)


@pytest.mark.slow
def test_approximate_runs_and_keeps_its_recall():
    options = ["--n", "1500", "--dim", "32", "--recall-sample", "300", "--exact-sample", "200", "--recall", "0.9"]
    found = rows(run("approximate", *options))
    assert {"exact", "approximate", "command"} <= set(found)
    assert found["exact"][1] == "1.0" and float(found["approximate"][3]) > 0.85


@pytest.mark.slow
def test_plan_runs():
    options = ["--sizes", "2000", "--dim", "32", "--repeats", "1", "--precision", "float32", "--searches", "exact"]
    process = run("plan", *options)
    assert process.returncode == 0, process.stderr
    cells = [line.strip("| ").split(" | ") for line in process.stdout.splitlines() if line.startswith("| exact")]
    assert len(cells) == 1 and cells[0][1] == "2,000" and 0.5 < float(cells[0][7]) < 1.5


@pytest.mark.slow
def test_near_duplicates_runs_and_says_what_is_wrong(tmp_path, benchmark):
    (tmp_path / "t").write_text("".join(f"line {i} of a text that is the same but for {i * i}\n" for i in range(300)))
    process = run("near_duplicates", "--lines", "200", "--evaluation", "40", "--text", str(tmp_path / "t"), *ONE)
    assert list(rows(process)) == ["text", "50 templates", "1 template", "text of files"]
    check = benchmark("near_duplicates").check
    check(["the same line"], ["the same line"], np.ones(1))
    with pytest.raises(SystemExit, match="the most alike has 1.0000"):
        check(["the same line"], ["the same line"], np.zeros(1))


@pytest.mark.slow
def test_memory_tells_what_a_line_costs():
    steps = ["fairseq-xsim", "fairseq-mine --mode score", "calibrate_mining.py", "filter_pairs.py"]
    found = rows(run("memory", "--sizes", "400", "600", "900", "--dim", "16", "--steps", *steps))
    assert set(steps) < set(found) and "hide_pairs.py" not in found, "made for the calibration, not measured"
    assert all(float(cell.replace(",", "")) > 10 for name in steps for cell in found[name][:3])
    assert "no such step: fairseq-nothing" in run("memory", "--steps", "fairseq-nothing").stderr


def test_memory_fits_a_line_and_says_where_there_is_none(benchmark):
    memory, sizes = benchmark("memory"), (5000, 20000, 80000)
    base, slope, said = memory.growth(sizes, [50 + n * 300 / 2**20 for n in sizes])
    assert (base, slope, said) == (pytest.approx(50), pytest.approx(300), "")
    assert memory.growth(sizes, [50, 51, 50])[2] == "", "noise of a MB is none"
    bent = [50, 200, 210]  # a buffer that is full
    said = memory.growth(sizes, bent)[2]
    assert said == f"not linear: {150 * 2**20 / 15000:,.0f}, {10 * 2**20 / 60000:,.0f}"
    table = memory.table(sizes, {"grows": [memory.Peak(one, one / 2) for one in bent], "once": [memory.Peak(70, 60)]})
    assert table.splitlines()[3] == "| once | 70 | - | - | 60 | - | - | no lines |"
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_memory_counts_a_process_and_its_children(benchmark):
    memory, big = benchmark("memory"), "x = b'1' * (200 << 20); import time; time.sleep(1)"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {big!r}], check=True)"
    for words in (["-c", big], ["-c", nested]):
        found = memory.measured([sys.executable, *words])
        assert found.peak > 200 and 200 < found.own < 270  # the peak begins with that of this process
    with pytest.raises(SystemExit, match="failed"):
        memory.measured([sys.executable, "-c", "raise SystemExit(1)"])
