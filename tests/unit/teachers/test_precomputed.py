"""Embeddings made elsewhere: taken over row by row, or looked up by sentence."""

import numpy as np
import pytest

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.embeddings import EmbeddingInfo, open_embeddings, read_info, write_info
from fairseq_distill.teachers.precomputed import PrecomputedTeacher, teach_precomputed
from fairseq_distill.teachers.store import teach
from tests.reference.encoders import HashEncoder

LINES = ["first", "second", "", "first", "a\u2028b"]


@pytest.fixture
def made(tmp_path):
    """A text and its rows, as another program leaves them."""
    (tmp_path / "text").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    rows = HashEncoder(dim=8).vectors(LINES)
    np.save(tmp_path / "made.npy", rows)
    rows.astype(np.float16).tofile(tmp_path / "made.raw")
    return tmp_path


def test_rows_are_taken_over(made):
    teacher = PrecomputedTeacher(made / "made.npy", space="laser9")
    teach_precomputed(teacher, made / "text", made / "o.npy", "float32", spec="file:made.npy")
    np.testing.assert_array_equal(open_embeddings(made / "o.npy"), np.load(made / "made.npy"))
    info = read_info(made / "o.npy")
    assert info.space == "laser9" and info.encoder.startswith("file:") and info.extra["dim"] == 8


def test_headerless_rows_and_other_types(made):
    teacher = PrecomputedTeacher(made / "made.raw", dim=8, dtype="float16")
    assert teacher.space == teacher.name != PrecomputedTeacher(made / "made.npy").name
    teach_precomputed(teacher, made / "text", made / "o.npy", "float32", unit_length=True)
    expected = np.load(made / "made.npy")
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(open_embeddings(made / "o.npy"), expected, atol=2e-3)


def test_the_sidecar_of_the_file_is_believed(made):
    write_info(made / "made.npy", EmbeddingInfo("sbert:1", "sbert:2", "none", extra={"pooling": "cls"}))
    teacher = PrecomputedTeacher(made / "made.npy")
    assert (teacher.name, teacher.space, teacher.pooling) == ("sbert:1", "sbert:2", "cls")
    assert PrecomputedTeacher(made / "made.npy", space="mine", pooling="max").space == "mine"


def test_rows_and_lines_must_be_equally_many(made):
    (made / "text").write_text("one line\n")
    with pytest.raises(DataError, match=r"text has 1 lines but .*made.npy has 5"):
        teach_precomputed(PrecomputedTeacher(made / "made.npy"), made / "text", made / "o.npy")
    assert not (made / "o.npy").exists()


def test_nan_is_refused_with_its_row(made):
    rows = np.load(made / "made.npy")
    rows[3, 2] = np.nan
    np.save(made / "made.npy", rows)
    with pytest.raises(DataError, match=r"made.npy, row 4: its embedding holds NaN"):
        teach_precomputed(PrecomputedTeacher(made / "made.npy"), made / "text", made / "o.npy")
    assert not (made / "o.npy").exists() and not (made / "o.npy.tmp").exists()


def test_an_up_to_date_output_is_left_alone_until_the_rows_change(made):
    def run():
        teach_precomputed(PrecomputedTeacher(made / "made.npy", space="s"), made / "text", made / "o.npy")
        return (made / "o.npy").stat().st_mtime_ns

    assert run() == run()
    before = run()
    np.save(made / "made.npy", np.load(made / "made.npy") + 1)
    assert run() != before
    np.testing.assert_allclose(open_embeddings(made / "o.npy"), np.load(made / "made.npy"), rtol=1e-3)


def test_its_own_file_is_not_overwritten(made):
    with pytest.raises(ConfigError, match="teacher's own file"):
        teach_precomputed(PrecomputedTeacher(made / "made.npy"), made / "text", made / "made.npy")


def test_sentences_are_looked_up_in_the_text_it_was_made_from(made):
    teacher = PrecomputedTeacher(made / "made.npy", text=made / "text")
    (made / "shuffled").write_text("a\u2028b\n\nsecond\n", encoding="utf-8")
    teach(teacher, [made / "shuffled", made / "text"], [made / "o1.npy", made / "o2.npy"], "float32")
    rows = np.load(made / "made.npy")
    np.testing.assert_array_equal(open_embeddings(made / "o1.npy"), rows[[4, 2, 1]])
    np.testing.assert_array_equal(open_embeddings(made / "o2.npy"), rows)


def test_a_sentence_without_a_row_is_named(made):
    teacher = PrecomputedTeacher(made / "made.npy", text=made / "text")
    with pytest.raises(DataError, match=r"2 of 3 sentences have no row .* 'third'"):
        teacher.encode(["first", "third", "fourth"])
    with pytest.raises(ConfigError, match=r"\?text=FILE"):
        PrecomputedTeacher(made / "made.npy").encode(["first"])


def test_a_text_that_does_not_fit_is_refused(made):
    (made / "text").write_text("one\n")
    with pytest.raises(DataError, match="1 lines"):
        PrecomputedTeacher(made / "made.npy", text=made / "text")
    with pytest.raises(ConfigError, match="pooling 'median'"):
        PrecomputedTeacher(made / "made.npy", pooling="median")
