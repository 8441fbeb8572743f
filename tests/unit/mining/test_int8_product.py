"""The int8 product: its values keep the bound that its chance allows, whatever the rows are."""

import numpy as np
import pytest

pytest.importorskip("torch")

from fairseq_distill.cpu import fast_int8
from fairseq_distill.mining.int8_product import _ROWS, Int8Product, _rotation
from fairseq_distill.mining.rows import UnitRows, Workers

N, M = _ROWS + 70, 300


def rows_of(kind, n, dim, seed):
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n, dim)).astype(np.float32)
    if kind == "one large element":  # as of encoders with an outlier dimension
        rows[:, 3] = 40
    elif kind == "few elements":
        rows *= random.random((n, dim)) < 2 / dim
    elif kind == "equal":
        rows[:] = rows[0]
    elif kind == "all ones":
        rows[:] = 1
    elif kind == "max-pooled":
        rows = np.abs(rows) ** 3
    return rows


def errors_of(one, two, dim):
    """(float64 [N, M] errors, bound, scale, padding) of one block of all pairs."""
    with Workers(1) as workers:
        sides = UnitRows(one, "one", None, workers), UnitRows(two, "two", None, workers)
        product = Int8Product(len(one) + 32, len(two) + 32, dim, workers)
        bounds = product.bounds(*sides)
        product.load(sides[0], 0, len(one), first=True)
        product.load(sides[1], 0, len(two), first=False)
        block = product.multiply(len(one), len(two))
        assert product.within_bound(block)
    units = [side.astype(np.float64) for side in (one, two)]
    units = [unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-30) for unit in units]
    values = product.code.values(block[: len(one), : len(two)]).astype(np.float64)
    padding = np.concatenate([block[len(one) :].ravel(), block[:, len(two) :].ravel()])
    return values - units[0] @ units[1].T, float(bounds.forward) / 2, product.scale, padding


@pytest.mark.parametrize("kind", ["any", "one large element", "few elements", "equal", "all ones", "max-pooled"])
@pytest.mark.parametrize("dim", [8, 33, 384, 1024])
def test_errors_keep_the_bound(kind, dim):
    errors, bound, _, padding = errors_of(rows_of(kind, N, dim, 1), rows_of(kind, M, dim, 2), dim)
    assert np.abs(errors).max() < bound
    assert (padding == -(1 << 15)).all()


@pytest.mark.parametrize("dim", [384, 1024])
def test_errors_are_as_large_as_the_dither_makes_them(dim):
    """Neither bias nor more variance than rows' and columns' rounding: a wrong correction would show as either."""
    errors, bound, scale, _ = errors_of(rows_of("any", N, dim, 1), rows_of("any", M, dim, 2), dim)
    expected = scale * (2 / 12) ** 0.5
    assert abs(errors.mean()) < 0.1 * expected
    assert errors.std() == pytest.approx(expected, rel=0.1)
    assert bound < 12 * expected


def test_a_bound_too_small_would_be_seen():
    errors, bound, _, _ = errors_of(rows_of("any", N, 64, 1), rows_of("any", M, 64, 2), 64)
    assert np.abs(errors).max() > bound / 4


def test_the_rotation_keeps_cosines_and_spreads_single_elements():
    inner, outer = _rotation(1024, np.random.default_rng(1))
    turned = np.kron(outer, inner).astype(np.float64)
    assert np.abs(turned @ turned.T - np.eye(1024)).max() < 1e-5
    assert np.abs(turned).max() < 2**0.5 / 32 + 1e-6


@pytest.mark.parametrize("first", [True, False])
def test_rows_held_are_rows_filled(first):
    one = rows_of("any", 40, 48, 1)
    with Workers(1) as workers:
        rows = UnitRows(one, "one", None, workers)
        product = Int8Product(64, 64, 48, workers)
        product.bounds(rows, rows)
        product.load(rows, 0, 40, first=first)
        unit = np.empty((40, 48), np.float32)
        rows.load(0, 40, unit)
        loaded = product.one if first else product.two
        assert (product.hold(unit, first) == loaded[:40]).all()
        scores = product.scores(product.hold(unit, True), product.hold(unit, False))
    assert np.abs(scores - unit @ unit.T).max() < 0.1 and np.abs(np.diag(scores) - 1).max() < 0.1


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_held_beyond_the_scale_is_cut_not_wrapped(sign):
    """Centroids are no rows: their elements may be larger than all that the scale was made for."""
    inner, outer = _rotation(64, np.random.default_rng([20_220_525, 64]))
    centre = sign * np.kron(outer, inner)[:, 5:6].T  # the rotation leaves one element of it
    with Workers(1) as workers:
        rows = UnitRows(rows_of("any", 40, 64, 1), "one", None, workers)
        product = Int8Product(64, 64, 64, workers)
        product.bounds(rows, rows)
        turned = product._turn(product.torch.from_numpy(np.ascontiguousarray(centre, np.float32)))
        assert float(turned.abs().max()) > 126 * product.scale * 1.05
        held = product.hold(np.ascontiguousarray(centre, np.float32), False)[0, :64]
    assert int(held[int(turned.abs().argmax())]) == 127 * int(turned.sum().sign())


def test_int8_is_exact_where_it_is_chosen():
    """vpmaddubsw, which processors without VNNI use, cuts sums off; the rule must leave these out."""
    import torch

    if not fast_int8():
        pytest.skip("this processor multiplies no int8 fast")
    one = torch.full((64, 256), 127, dtype=torch.int8)
    assert (torch._int_mm(one, one.t()) == 127 * 127 * 256).all()
    assert (torch._int_mm(one, -one.t()) == -127 * 127 * 256).all()
