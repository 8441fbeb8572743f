"""k-NN equals a double loop, whatever the blocks, threads and precision; bad input is refused by name."""

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.mining import choice, products, screen, topk
from fairseq_distill.mining import knn as module
from fairseq_distill.mining.choice import KINDS
from fairseq_distill.mining.knn import Neighbours, knn, knn_both
from fairseq_distill.mining.rows import UnitRows, Workers, _widen, exact_cosines
from tests.reference.mining import neighbours

PRECISIONS = ("float32", "bfloat16")
SCREENING = ["bfloat16", "int8"]


def vectors(n, dim, seed, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(dtype)


def float64_neighbours(src, tgt, k):
    src, tgt = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (src.astype(float), tgt.astype(float)))
    cosines = src @ tgt.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, order, axis=1), order


def assert_same(first: Neighbours, second: Neighbours):
    assert_array_equal(first.indices, second.indices)
    assert_array_equal(first.cosines, second.cosines)


def assert_precision_makes_no_difference(src, tgt, k, precision):
    found, right = (knn_both(src, tgt, k, precision=name) for name in (precision, "float32"))
    assert_same(found[0], right[0])
    assert_same(found[1], right[1])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 32 x 32, and lists cut everywhere they can be cut."""
    monkeypatch.setattr(module, "_HEIGHT", 32)
    monkeypatch.setattr(module, "_WIDTH", 32)
    monkeypatch.setattr(topk, "_PIECE", 3)
    monkeypatch.setattr(topk, "_TABLE", 64)


def threads_of_a_new_thread():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


@pytest.mark.parametrize("precision", SCREENING)
@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("k", [1, 4, 30])
def test_threads_that_multiply_side_by_side_find_what_one_finds(threads, k, precision, monkeypatch, caplog):
    """Blocks come in any order then, and several threads write the candidates of one column."""
    monkeypatch.setattr(module, "_HEIGHT", 32)
    monkeypatch.setattr(module, "_WIDTH", 128)
    monkeypatch.setattr(products, "_LANE_WIDTH", 32)
    src, tgt = vectors(700, 64, 1), vectors(300, 64, 2)
    src[100:103], tgt[200:202] = src[0], src[0]  # some ties
    found, before = [], threads_of_a_new_thread()
    caplog.set_level("INFO")
    for count in (1, threads):
        monkeypatch.setenv("OMP_NUM_THREADS", str(count))
        found.append(knn_both(src, tgt, k, precision=precision))
    assert threads_of_a_new_thread() == before
    assert "float32 is used" not in caplog.text
    right = knn_both(src, tgt, k, precision="float32")
    for one, other, exact in zip(*found, right):
        assert_same(one, other)
        assert_same(one, exact)


@pytest.mark.parametrize("dim", [1, 5, 384, 1024, 8193])
def test_a_cosine_has_the_same_bits_in_any_company(dim):
    src, tgt = vectors(6, dim, 1), vectors(50, dim, 2)
    one, two = np.repeat(np.arange(6), 50), np.tile(np.arange(50), 6)
    with Workers(1) as workers:
        sides = UnitRows(src, "src", None, workers), UnitRows(tgt, "tgt", None, workers)

        def cosines(pairs, turned=False):
            out = np.empty(len(pairs), np.float32)
            places = (one, two)[::-1] if turned else (one, two)
            own, other = sides[::-1] if turned else sides
            exact_cosines(own, places[0][pairs], other, places[1][pairs], workers, out)
            return out

        everything = np.arange(300)
        together, shuffled = cosines(everything), np.random.default_rng(1).permutation(300)
        assert_array_equal(cosines(shuffled), together[shuffled])
        assert_array_equal(cosines(everything, turned=True), together)
        assert_array_equal(np.concatenate([cosines(everything[i : i + 1]) for i in range(300)]), together)
    unit = [
        side.astype(np.float64) / np.linalg.norm(side.astype(np.float64), axis=1, keepdims=True) for side in (src, tgt)
    ]
    assert_allclose(together, (unit[0] @ unit[1].T).ravel(), atol=5e-7)


@pytest.mark.parametrize("kind", [KINDS[name] for name in SCREENING])
def test_lanes_keep_to_the_memory(kind):
    for room in (1 << 20, 3 << 20, 20 << 20):
        height, width = products.block_sizes(kind, 256, room, 1024, 8192)
        assert max(kind.lane_bytes(height, width, 256, room, threads) for threads in (1, 2, 8, 64)) <= room
    counts = [kind._lane_count(1024, 8192, 1024, room << 20, 16) for room in (18, 40, 80, 256)]
    assert counts[0] == 1 and counts == sorted(counts) and counts[-1] == 16


@pytest.mark.parametrize("n, m, k", [(1, 1, 1), (1, 9, 4), (9, 1, 4), (7, 5, 4), (40, 33, 16), (5, 6, 100)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_both_directions_equal_double_loop(n, m, k, dtype, small_blocks):
    src, tgt = vectors(n, 6, 1, dtype), vectors(m, 6, 2, dtype)
    forward, backward = knn_both(src, tgt, k, precision="float32")
    for found, (cosines, indices) in ((forward, neighbours(src, tgt, k)), (backward, neighbours(tgt, src, k))):
        assert found.cosines.dtype == np.float32 and found.indices.dtype == np.int64
        assert_array_equal(found.indices, indices)
        assert_allclose(found.cosines, cosines, atol=2e-7)
    assert_same(knn(src, tgt, k), forward)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("n, m, dim, k", [(500, 700, 64, 4), (1000, 300, 24, 16), (70, 900, 200, 1)])
def test_equals_float64(n, m, dim, k, precision):
    pytest.importorskip("torch")
    src, tgt = vectors(n, dim, 1), vectors(m, dim, 2)
    forward, backward = knn_both(src, tgt, k, precision=precision)
    for found, (cosines, indices) in (
        (forward, float64_neighbours(src, tgt, k)),
        (backward, float64_neighbours(tgt, src, k)),
    ):
        assert_array_equal(found.indices, indices)
        assert_allclose(found.cosines, cosines, atol=5e-7)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(1, 70), m=st.integers(1, 70), k=st.integers(1, 20))
def test_ties_go_to_the_lower_index(data, n, m, k):
    """Vectors of +1 and -1 (and zero rows) in 16 dimensions: every cosine is exact, and most are tied."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    kinds = data.draw(st.integers(1, 8))
    random = np.random.default_rng(seed)
    table = random.choice(np.float32([-1, 1]), (kinds, 16)) * (random.random((kinds, 1)) > 0.2)
    src, tgt = table[random.integers(0, kinds, n)], table[random.integers(0, kinds, m)]
    exact = (src @ tgt.T).astype(int)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    back = np.argsort(-exact.T, axis=1, kind="stable")[:, :k]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_HEIGHT", data.draw(st.sampled_from([32, 64, 1024])))
        patch.setattr(module, "_WIDTH", data.draw(st.sampled_from([32, 64, 8192])))
        patch.setattr(screen, "_PANEL", data.draw(st.sampled_from([1, 1 << 12, 1 << 19])))
        patch.setattr(screen, "_COLUMNS", data.draw(st.sampled_from([1, 50, 1024])))
        patch.setattr(topk, "_PIECE", data.draw(st.sampled_from([1, 7, 1 << 15])))
        patch.setattr(topk, "_TABLE", data.draw(st.sampled_from([1, 100, 1 << 20])))
        for precision in PRECISIONS if "torch" in sys.modules else PRECISIONS[:1]:
            forward, backward = knn_both(src, tgt, k, precision=precision)
            assert_array_equal(forward.indices, order)
            assert_array_equal(backward.indices, back)
            assert_array_equal(forward.cosines, np.take_along_axis(exact, order, axis=1) / np.float32(16))


def test_same_bits_for_any_block_and_number_of_threads(monkeypatch):
    src, tgt = vectors(300, 96, 1), vectors(257, 96, 2)
    tgt[100:140] = tgt[7]  # repeated sentences: more than the spare candidates
    expected = knn_both(src, tgt, 5, precision="float32")
    for height, width, threads in ((32, 32, "1"), (64, 256, "3"), (128, 64, "2"), (1024, 8192, "5")):
        monkeypatch.setattr(module, "_HEIGHT", height)
        monkeypatch.setattr(module, "_WIDTH", width)
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        for found, right in zip(knn_both(src, tgt, 5, precision="float32"), expected):
            assert_same(found, right)


def test_many_copies_of_one_sentence_come_in_order():
    src, tgt = vectors(3, 50, 1), vectors(400, 50, 2)
    tgt[50:150] = src[0]
    forward = knn(src, tgt, 16, precision="float32")
    assert_array_equal(forward.indices[0], np.arange(50, 66))


def test_collapsed_embeddings_are_searched_too():
    src = np.tile(vectors(1, 64, 1), (500, 1))
    forward, backward = knn_both(src, src.copy(), 4, precision="float32")
    assert_array_equal(forward.indices, np.tile(np.arange(4), (500, 1)))
    assert_array_equal(backward.indices, forward.indices)
    assert_allclose(forward.cosines, 1, atol=3e-7)


def test_zero_rows_have_cosine_zero_and_inputs_stay_as_they_are():
    src, tgt = vectors(40, 8, 1), vectors(50, 8, 2)
    src[3] = tgt[5] = 0
    before = src.copy(), tgt.copy()
    forward, backward = knn_both(src, tgt, 4)
    assert_array_equal(forward.cosines[3], np.zeros(4, np.float32))
    assert_array_equal(forward.indices[3], np.arange(4))
    assert_array_equal(backward.cosines[5], np.zeros(4, np.float32))
    assert_array_equal(src, before[0])
    assert_array_equal(tgt, before[1])


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_length_does_not_matter_even_when_squares_overflow(factor):
    src, tgt = vectors(40, 8, 1), vectors(50, 8, 2)
    scaled = (src * np.float32(factor)).astype(np.float32)
    plain, found = knn(src, tgt, 4), knn(scaled, tgt * np.float32(3), 4)
    assert_array_equal(found.indices, plain.indices)
    assert_allclose(found.cosines, plain.cosines, atol=5e-7)


def test_every_float16_is_read_exactly():
    half = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    half = half[np.isfinite(half)].reshape(-1, 64)
    wide = _widen(half, np.ones((1, 1)), np.empty(half.shape, np.float32))
    assert_array_equal(wide.view(np.int32), half.astype(np.float32).view(np.int32))


def test_tiny_float16_vectors():
    src, tgt = vectors(20, 8, 1), vectors(20, 8, 2)
    tiny = (src * np.float32(3e-6)).astype(np.float16)
    found, right = knn(tiny, tgt, 4), knn(tiny.astype(np.float32), tgt, 4)
    assert_array_equal(found.indices, right.indices)
    assert_allclose(found.cosines, right.cosines, atol=5e-7)


def test_index_selects_rows():
    src, tgt = vectors(60, 8, 1), vectors(50, 8, 2)
    some, others = np.arange(0, 60, 3), np.flatnonzero(np.arange(50) % 7)
    for found, right in zip(knn_both(src, tgt, 4, index=(some, others)), knn_both(src[some], tgt[others], 4)):
        assert_same(found, right)


def test_memory_mapped_files_are_read_in_place(tmp_path):
    src, tgt = vectors(90, 12, 1), vectors(80, 12, 2, np.float16)
    np.save(tmp_path / "src.npy", src)
    np.save(tmp_path / "tgt.npy", tgt)
    mapped = [np.load(tmp_path / name, mmap_mode="r") for name in ("src.npy", "tgt.npy")]
    for found, right in zip(knn_both(*mapped, 4), knn_both(src, tgt, 4)):
        assert_same(found, right)
    assert_array_equal(mapped[0], src)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_not_finite_is_refused_by_file_and_row(bad, side):
    sides = [vectors(30, 8, 1), vectors(30, 8, 2)]
    sides[side][17, 3] = bad
    with pytest.raises(DataError, match=r"file_. *: row 17 \(line 18\)") as caught:
        knn_both(*sides, 2, names=("file_0", "file_1"))
    assert f"file_{side}" in str(caught.value)
    with pytest.raises(DataError, match="row 17 "):  # the row of the file, also when only some rows count
        knn_both(*sides, 2, index=(np.arange(3, 30), np.arange(5, 30)))


def test_what_does_not_fit_is_refused():
    good = vectors(5, 8, 1)
    with pytest.raises(DataError, match="width 8 but b of width 9"):
        knn_both(good, vectors(5, 9, 2), 2, names=("a", "b"))
    with pytest.raises(DataError, match="0 vectors"):
        knn_both(good, good[:0], 2)
    with pytest.raises(DataError, match="float64"):
        knn_both(good, good.astype(np.float64), 2)
    with pytest.raises(ConfigError, match="k is 0"):
        knn(good, good, 0)
    with pytest.raises(ConfigError, match="float64"):
        knn(good, good, 1, precision="float64")
    with pytest.raises(ConfigError, match="at least"):
        knn(good, good, 1, max_memory=1000)


def test_memory_does_not_grow_with_the_number_of_pairs():
    src, tgt = vectors(6000, 16, 1), vectors(6000, 16, 2)  # all cosines at once would be 144 MB
    tracemalloc.start()
    try:
        knn_both(src, tgt, 4, precision="float32", max_memory=4 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30 << 20


def test_progress_ends_at_the_total(small_blocks):
    seen = []
    knn_both(vectors(70, 8, 1), vectors(90, 8, 2), 2, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and len(seen) == 9
    assert seen[-1] == (70 * 90, 70 * 90)


@pytest.mark.parametrize("precision", SCREENING)
class TestScreening:
    """The screening by products of few bits changes nothing."""

    @pytest.mark.parametrize("k", [1, 4, 16])
    def test_near_ties_are_told_apart(self, k, precision, caplog):
        """Groups of neighbours whose cosines differ by far less than the product can see."""
        centres = vectors(12, 64, 1)
        src = np.repeat(centres, 90, axis=0) + 0.01 * vectors(1080, 64, 2)
        tgt = np.repeat(centres, 110, axis=0) + 0.01 * vectors(1320, 64, 3)
        tgt[:40] = tgt[0]
        caplog.set_level("INFO")
        assert_precision_makes_no_difference(src, tgt, k, precision)
        assert "undecided" in caplog.text or "searched again" in caplog.text

    def test_few_undecided_rows_are_searched_again(self, precision, caplog):
        src, tgt = vectors(2000, 128, 1), vectors(2000, 128, 2)
        tgt[:100] = src[5] + 0.001 * vectors(100, 128, 3)
        caplog.set_level("INFO")
        assert_precision_makes_no_difference(src, tgt, 4, precision)
        assert "rows of source embeddings are searched again" in caplog.text
        assert "undecided" not in caplog.text

    def test_all_cosines_negative(self, precision):
        src = np.abs(vectors(200, 32, 1)) + 1
        tgt = -np.abs(vectors(200, 32, 2)) - 1
        assert_precision_makes_no_difference(src, tgt, 4, precision)

    def test_zero_rows_and_rows_of_one_element(self, precision):
        src, tgt = vectors(300, 96, 1), vectors(400, 96, 2)
        src[::7], tgt[::5] = 0, 0
        tgt[1::5, 1:] = 0
        assert_precision_makes_no_difference(src, tgt, 4, precision)

    def test_a_processor_that_rounds_badly_is_found_out(self, precision, monkeypatch, caplog):
        src, tgt = vectors(200, 32, 1), vectors(200, 32, 2)
        kind = KINDS[precision]
        multiply = kind.multiply

        def bad(self, height, width, first=0):
            block = multiply(self, height, width, first)
            block[:] = (np.abs(block) // 16) * 16  # four bits lost
            return block

        monkeypatch.setattr(kind, "multiply", bad)
        caplog.set_level("INFO")
        forward = knn(src, tgt, 4, precision=precision)
        assert_same(forward, knn(src, tgt, 4, precision="float32"))
        assert "float32 is used" in caplog.text

    def test_the_bound_is_needed(self, precision, monkeypatch):
        """With a bound of nothing neighbours are lost: the tests above can fail."""
        src, tgt = vectors(1500, 64, 1), vectors(1500, 64, 2)
        kind = KINDS[precision]
        bounds = kind.bounds

        def none(self, one, two):
            bounds(self, one, two)
            return topk.Bounds(np.asarray(0.0), np.asarray(0.0), 0.0, 1, 0)

        monkeypatch.setattr(kind, "bounds", none)
        found = knn(src, tgt, 4, precision=precision)
        assert (found.indices != knn(src, tgt, 4, precision="float32").indices).any()


def test_fast_products_only_where_they_pay(monkeypatch):
    monkeypatch.setattr(choice, "fast_bfloat16", lambda: True)
    monkeypatch.setattr(choice, "fast_int8", lambda: False)
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "torch", object())
    assert choice.kinds_to_try("auto", 10_000, 10_000, 1024) == ["bfloat16", "float32"]
    assert choice.kinds_to_try("auto", 1000, 1000, 1024) == ["float32"]
    monkeypatch.delitem(sys.modules, "torch")
    assert choice.kinds_to_try("auto", 10_000, 10_000, 1024) == ["float32"]
    assert choice.kinds_to_try("auto", 100, 100, 1024) == ["float32"]
    monkeypatch.setattr(choice, "fast_int8", lambda: True)
    assert choice.kinds_to_try("auto", 100_000, 100_000, 1024) == ["int8", "bfloat16", "float32"]
    monkeypatch.setattr(choice, "fast_bfloat16", lambda: False)
    assert choice.kinds_to_try("auto", 100_000, 100_000, 1024) == ["int8", "float32"]
    assert choice.kinds_to_try("bfloat16", 10, 10, 8) == ["bfloat16", "float32"]
    monkeypatch.setattr(choice, "fast_int8", lambda: False)
    assert choice.kinds_to_try("auto", 100_000, 100_000, 1024) == ["float32"]


def test_each_product_leaves_to_the_next_what_it_cannot_decide(monkeypatch, caplog):
    """Cosines so close to each other that neither int8 nor bfloat16 can tell them apart; the progress begins anew."""
    pytest.importorskip("torch")
    monkeypatch.setattr("fairseq_distill.mining.knn.kinds_to_try", lambda *_: ["int8", "bfloat16", "float32"])
    src, tgt = (1 + 1e-4 * vectors(n, 64, n) for n in (600, 700))
    seen = []
    caplog.set_level("INFO")
    found = knn_both(src, tgt, 4, progress=lambda done, total: seen.append(done / total))
    for one, exact in zip(found, knn_both(src, tgt, 4, precision="float32")):
        assert_same(one, exact)
    assert (
        caplog.text.index("int8 leaves") < caplog.text.index("bfloat16 is used") < caplog.text.index("float32 is used")
    )
    assert max(seen) <= 1 and seen[-1] == 1


@pytest.mark.parametrize("precision", SCREENING)
def test_without_torch_everything_works_in_float32(precision, monkeypatch):
    monkeypatch.setattr(choice, f"fast_{precision}", lambda: True)
    monkeypatch.setattr(choice, "_WORTH_IMPORT", 0)
    monkeypatch.setattr(choice, "_WORTH_TRYING", 0)
    monkeypatch.setitem(sys.modules, "torch", None)  # what an import then raises is an ImportError
    src, tgt = vectors(20, 8, 1), vectors(20, 8, 2)
    for spec in (None, object()):  # not installed; installed, but broken
        monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name, spec=spec: spec)
        assert_array_equal(knn(src, tgt, 2).indices, neighbours(src, tgt, 2)[1])
    with pytest.raises(ConfigError, match="PyTorch"):
        knn(src, tgt, 2, precision=precision)


def test_imports_nothing_heavy():
    code = (
        "import sys; import fairseq_distill.cli.mine, fairseq_distill.cli.xsim; "
        "print(*sorted({'torch', 'faiss', 'fairseq', 'scipy', 'sentencepiece', 'tqdm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
