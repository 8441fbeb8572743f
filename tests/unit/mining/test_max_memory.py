"""--max-memory: the work buffers of every search keep to it, and it changes no pair and no score."""

import tracemalloc

import numpy as np
import pytest

from fairseq_distill.cli.mine import cli_main

N, DIM = 3000, 64
SEARCHES = (["--search", "exact"], ["--search", "approximate"], ["--mode", "score"])


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Two texts with vectors, line i near line i: cosines of all pairs at once would be 36 MB."""
    folder = tmp_path_factory.mktemp("max_memory")
    random = np.random.default_rng(1)
    middle = random.standard_normal((N, DIM))
    for name in ("src", "tgt"):
        (folder / name).write_text("".join(f"{name} {i}\n" for i in range(N)))
        np.save(folder / f"{name}.npy", (middle + random.standard_normal((N, DIM)) / 4).astype(np.float32))
    return folder


def traced(folder, size, words):
    """(what was written, peak of what NumPy and Python took in bytes) of fairseq-mine."""
    line = ["--quiet", "--output", str(folder / "mined.tsv"), "--precision", "float32", "--max-memory", size, *words]
    for name in ("src", "tgt"):
        line += [f"--{name}-text", str(folder / name), f"--{name}-emb", str(folder / f"{name}.npy")]
    tracemalloc.start()
    try:
        assert cli_main(line) == 0
        return (folder / "mined.tsv").read_text(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("words", SEARCHES, ids=lambda words: words[-1])
def test_buffers_keep_to_it(sides, words):
    traced(sides, "2M", words)  # what is imported and kept is not the search's
    found, peaks = zip(*(traced(sides, size, words) for size in ("1M", "4M", "16M")))
    assert found[0] == found[1] == found[2] and found[0].count("\n") > N / 2
    for size, peak in zip((1, 4, 16), peaks):
        assert peak - peaks[0] <= (size - 1) << 20, "beside results and candidates, which are the same"
    assert peaks[0] < (1 << 20) + N * 2 * 1500


def test_too_little_is_said_with_what_is_needed(sides, capsys):
    line = ["--src-text", str(sides / "src"), "--tgt-text", str(sides / "tgt"), "--output", str(sides / "none.tsv")]
    line += ["--src-emb", str(sides / "src.npy"), "--tgt-emb", str(sides / "tgt.npy"), "--max-memory", "1K"]
    assert cli_main(line) != 0
    assert "1,024 bytes are too little" in capsys.readouterr().err and not (sides / "none.tsv").exists()
