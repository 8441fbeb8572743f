"""xsim equals a double loop and keeps what LASER means by it."""

import numpy as np
import pytest

from fairseq_distill import __version__
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.xsim import XsimResult, bootstrap_interval, wrong_sentences, xsim, xsim_margins
from fairseq_distill.mining.margin import MARGINS
from tests.reference.mining import best, xsim_errors


def noisy(n, dim, seed, noise=0.7):
    random = np.random.default_rng(seed)
    src = random.standard_normal((n, dim)).astype(np.float32)
    return src, (src + noise * random.standard_normal((n, dim))).astype(np.float32)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("n, k", [(1, 1), (1, 4), (3, 4), (40, 4), (70, 16)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equals_double_loop(n, k, margin, dtype):
    src, tgt = (rows.astype(dtype) for rows in noisy(n, 6, n))
    result = xsim(src, tgt, margin, k)
    assert result.errors == xsim_errors(src, tgt, margin, k)
    assert result.percent == 100 * result.errors / n
    assert (result.n, result.margin, result.k) == (n, margin, k)


def test_some_errors_are_in_the_tests_above():
    errors = [result.errors for result in xsim_margins(*noisy(70, 6, 70)).values()]
    assert min(errors) > 10 and max(errors) < 60 and len(set(errors)) > 1


def test_all_margins_from_one_search_equal_each_alone():
    src, tgt = noisy(60, 8, 1)
    assert xsim_margins(src, tgt) == {margin: xsim(src, tgt, margin) for margin in MARGINS}


def test_which_sentences_are_wrong():
    src, tgt = noisy(60, 6, 3)
    for margin, wrong in wrong_sentences(src, tgt, k=4).items():
        expected = [found != row for row, (_, found) in enumerate(best(src, tgt, 4, margin))]
        assert wrong.dtype == bool and wrong.tolist() == expected and 0 < sum(expected) < 60


def test_from_source_to_target():
    src, tgt = noisy(50, 6, 4)
    tgt[:20] = tgt[0]  # a hub: targets are found less well than sources
    assert xsim(src, tgt, "absolute").errors != xsim(tgt, src, "absolute").errors
    assert xsim(src, tgt, "absolute").errors == xsim_errors(src, tgt, "absolute", 4)


@pytest.mark.parametrize("margin", MARGINS)
def test_a_set_with_itself_has_no_errors_and_arrays_stay_as_they_are(margin):
    src, _ = noisy(300, 32, 1)
    before = src.copy()
    assert xsim(src, src, margin).percent == 0
    assert (src == before).all()


@pytest.mark.parametrize("margin", MARGINS)
def test_labels_make_copies_right(margin):
    src, tgt = noisy(30, 8, 2, noise=0.1)
    texts = [f"line {i}" for i in range(30)]
    for copy in (11, 20):
        src[copy], tgt[copy], texts[copy] = src[4], tgt[4], texts[4]
    assert xsim(src, tgt, margin).errors == 2  # the first copy is always found
    numbers = np.array([texts.index(text) for text in texts])
    for labels in (texts, numbers, numbers.tolist(), np.array(texts)):
        assert xsim(src, tgt, margin, labels=labels).errors == 0
    assert xsim(src, tgt, margin, labels=texts).errors == xsim_errors(src, tgt, margin, 4, texts)


def test_ratio_and_distance_do_not_depend_on_length_of_vectors():
    src, tgt = noisy(60, 8, 1)
    scale = np.random.default_rng(1).uniform(0.1, 10, (60, 1)).astype(np.float32)
    assert xsim_margins(src * scale, tgt / scale) == xsim_margins(src, tgt)


def test_zero_vectors_count_as_errors_only_where_they_are():
    src, tgt = noisy(50, 16, 1, noise=0.1)
    src[[0, 7, 9]] = 0
    assert 2 <= xsim(src, tgt, "distance").errors <= 3


def test_k_beyond_the_sentences_is_told(caplog):
    assert xsim(*noisy(2, 8, 1, noise=0.01), "ratio", k=4).errors == 0
    assert "k=4 is more than the 2 sentences" in caplog.text


def test_signature():
    src, tgt = noisy(20, 8, 1, noise=0)
    about = {"teacher": "laser2", "pair": "swh_Latn-eng_Latn", "test": "flores200-devtest"}
    result = xsim(src, tgt, "ratio", about=about)
    start = "xsim|test:flores200-devtest|pair:swh_Latn-eng_Latn|margin:ratio|k:4|n:20|teacher:laser2|v:"
    assert str(result) == f"{start}{__version__} = 0.00"
    assert set(about) == {"teacher", "pair", "test"}
    assert xsim(src, tgt, "ratio").signature == f"xsim|margin:ratio|k:4|n:20|v:{__version__}"


def test_what_does_not_fit_is_refused():
    src, tgt = noisy(20, 8, 1)
    with pytest.raises(DataError, match="20 rows but .* 19"):
        xsim(src, tgt[:-1])
    with pytest.raises(DataError, match="width 8 but .* width 7"):
        xsim(src, tgt[:, :7].copy())
    with pytest.raises(DataError, match="19 labels for 20"):
        xsim(src, tgt, labels=list(range(19)))
    with pytest.raises(DataError, match="0 vectors"):
        xsim(src[:0], tgt[:0])
    with pytest.raises(ConfigError, match="'cosine'"):
        xsim(src, tgt, "cosine")
    for margin in MARGINS:
        with pytest.raises(ConfigError, match="k is 0"):
            xsim(src, tgt, margin, k=0)
    tgt[3, 3] = np.inf
    with pytest.raises(DataError, match="target embeddings: row 3 "):
        xsim(src, tgt)


def test_bootstrap_interval():
    result = XsimResult(10.0, 100, 1000, "ratio", 4, "")
    low, high = bootstrap_interval(result)
    assert (low, high) == bootstrap_interval(result)
    # 1.96 standard errors of a share of 0.1 among 1000
    assert low == pytest.approx(10 - 1.86, abs=0.35) and high == pytest.approx(10 + 1.86, abs=0.35)
    assert bootstrap_interval(XsimResult(0.0, 0, 50, "ratio", 4, "")) == (0, 0)
    narrow = bootstrap_interval(result, level=0.5)
    assert low < narrow[0] < 10 < narrow[1] < high
