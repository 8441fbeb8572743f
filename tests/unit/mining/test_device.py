"""The search by PyTorch on a device equals the one on the processor; no GPU is needed: the CPU is a device too."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairseq_distill.cli.mine import cli_main
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.mining import device as module
from fairseq_distill.mining.device import knn_both_on
from fairseq_distill.mining.knn import knn_both
from fairseq_distill.mining.search import find_neighbours

torch = pytest.importorskip("torch")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "_HEIGHT", 50)
    monkeypatch.setattr(module, "_WIDTH", 70)
    monkeypatch.setattr(module, "_LOADED", 30)


@pytest.fixture(params=["float32", "float16"])
def precision(request, monkeypatch):
    """float16 is what a GPU works in."""
    monkeypatch.setattr(module, "_works_in_half", lambda torch, device: request.param == "float16")


def sides(n, m, seed, dim=48):
    random = np.random.default_rng(seed)
    src, tgt = (random.standard_normal((size, dim)).astype(np.float32) for size in (n, m))
    half = min(n, m) // 2
    tgt[:half] += src[:half]
    return src, tgt


def assert_equal_to_exact(src, tgt, k, **options):
    seen = []
    found = knn_both_on("cpu", src, tgt, k, progress=lambda done, total: seen.append((done, total)), **options)
    for side, right in zip(found, knn_both(src, tgt, k, precision="float32", **options)):
        assert_array_equal(side.indices, right.indices)
        assert_array_equal(side.cosines, right.cosines)
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("n, m, k", [(400, 300, 4), (120, 500, 16), (9, 200, 4), (1, 1, 1), (3, 2, 5)])
def test_equals_the_processors_search(n, m, k, small_blocks, precision):
    assert_equal_to_exact(*sides(n, m, 1), k)


def test_copies_near_copies_and_zeros(small_blocks, precision, caplog):
    """More of them than there is room for: these rows are searched again."""
    caplog.set_level("INFO")
    src, tgt = sides(300, 400, 2)
    tgt[100:200] = src[7]
    tgt[200:260] = src[9] + 1e-5 * tgt[200:260]
    src[3] = tgt[5] = 0
    assert_equal_to_exact(src, tgt, 4)
    assert "searched again" in caplog.text


def test_index_and_float16_files(small_blocks, precision):
    src, tgt = (rows.astype(np.float16) for rows in sides(200, 300, 3))
    assert_equal_to_exact(src, tgt, 4, index=(np.arange(0, 200, 2), None))


def test_the_bound_is_needed(monkeypatch):
    """Without it float16 loses neighbours: the tests above can fail."""
    monkeypatch.setattr(module, "_works_in_half", lambda torch, device: True)
    monkeypatch.setattr(module, "_SPARE", 0)
    monkeypatch.setattr(module, "_PER_NEIGHBOUR", 1)
    settled = module.Candidates.settled

    def certain(self, start, stop):
        return settled(self, start, stop)._replace(complete=np.ones(stop - start, bool))

    monkeypatch.setattr(module.Candidates, "settled", certain)
    src, tgt = sides(800, 900, 4)
    found = knn_both_on("cpu", src, tgt, 4)[0]
    assert (found.indices != knn_both(src, tgt, 4, precision="float32")[0].indices).any()


def test_a_device_that_errs_is_found_out(monkeypatch):
    monkeypatch.setattr(module, "additions", lambda dim: 1e-12)
    with pytest.raises(ConfigError, match="err by up to .* leave out --device"):
        knn_both_on("cpu", *sides(60, 60, 5), 4)


def test_what_cannot_be_is_refused(monkeypatch):
    src, tgt = sides(30, 40, 6)
    with pytest.raises(ConfigError, match="'quantum' is no device"):
        knn_both_on("quantum", src, tgt, 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="sees no GPU here"):
        find_neighbours(src, tgt, 4, device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="cuda:2: there are 2 GPUs"):
        find_neighbours(src, tgt, 4, device="cuda:2")
    with pytest.raises(ConfigError, match="approximate search works on processors alone"):
        find_neighbours(src, tgt, 4, device="cuda", search="approximate")
    tgt[5, 2] = np.nan
    with pytest.raises(DataError, match="row 5 "):
        knn_both_on("cpu", src, tgt, 4)


def test_the_command_hands_the_device_on(tmp_path, monkeypatch, capsys):
    """As a GPU would be used; the CPU stands in for it."""
    called = []

    def on(device, *arguments, **options):
        called.append(device)
        return knn_both_on("cpu", *arguments, **options)

    monkeypatch.setattr("fairseq_distill.mining.search.knn_both_on", on)
    monkeypatch.setattr("fairseq_distill.mining.search.check_device", lambda device: None)
    words = []
    for side, rows in zip(("src", "tgt"), sides(40, 30, 7)):
        np.save(tmp_path / f"{side}.npy", rows)
        (tmp_path / f"{side}.txt").write_text("".join(f"{side} {i}\n" for i in range(len(rows))))
        words += [f"--{side}-text", str(tmp_path / f"{side}.txt"), f"--{side}-emb", str(tmp_path / f"{side}.npy")]
    mined = []
    for device in ("cpu", "cuda:1"):
        output = tmp_path / f"{len(mined)}.tsv"
        assert cli_main([*words, "--output", str(output), "--device", device, "--threshold", "-9"]) == 0
        mined.append(output.read_text())
    assert called == ["cuda:1"] and mined[0] == mined[1] != ""
    assert cli_main(["--plan-size", "5", "5", "5", "--device", "cuda"]) == 1
    assert "for processors alone" in capsys.readouterr().err
