import json
import math
from dataclasses import asdict, replace

import encode_spm
import numpy as np
import plan_file
import pytest
import sentencepiece
import spm_training
import train_spm
from hypothesis import given
from hypothesis import strategies as st
from stamps import Stamps, Step

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.dictionary import EOS, UNK, read_dictionary
from fairseq_distill.text import StudentTokenizer, normalise

ODD_LINES = [
    "Habari ya asubuhi",
    "HABARI  YA\u00a0ASUBUHI",
    "a\u2028b\u2029c\u0085d\u3000e\u1680f",
    "emoji 😀😀 👨‍👩‍👧 x",
    "مرحبا بالعالم lala",
    "</s> <s> <pad> <unk> <mask>",
    "እና </s> እና",
    "▁ ▁▁ ▁lala",
    "ﷺ ¨ ﬁ",
    "\u200f",
    "…",
    " ".join(["lala"] * 700),
]


def data_directory(folder, texts, size=60):
    """What stage 1 leaves of one corpus a language, and its plan."""
    sources = [plan_file.Source(f"c.{lang}", "mask", "train", lang, f"/raw/{lang}") for lang in texts]
    made = plan_file.Plan(list(texts), "sbert:x", "eng", size, 1, sources)
    (folder / "clean").mkdir(parents=True, exist_ok=True)
    (folder / plan_file.NAME).write_text(json.dumps(asdict(made)))
    counts = []
    for source in sources:
        lines = texts[source.lang]
        (folder / "clean" / f"{source.name}.{source.lang}").write_text("".join(x + "\n" for x in lines), "utf-8")
        counts.append(
            {"corpus": source.name, "n_in": len(lines), "n_out": len(lines), "step": "deduplicate", "dropped": {}}
        )
    Stamps(folder).record(Step("deduplicate", [], []), counts)
    return made


@pytest.fixture
def trained(tmp_path, made_up):
    made = data_directory(tmp_path, {"swa": [other for _, other in made_up(60)]})
    train_spm.train_spm(made, tmp_path, 1)
    return tmp_path, made


def test_dictionary_ids_are_model_ids_plus_one(trained):
    folder, _ = trained
    spm = sentencepiece.SentencePieceProcessor(str(folder / "spm.model"))
    dictionary = read_dictionary(folder / "dict.txt")
    assert len(dictionary) == spm.get_piece_size() + 1
    assert all(dictionary.id(spm.id_to_piece(i)) == i + 1 for i in range(3, spm.get_piece_size()))
    vocabulary = (folder / "spm.vocab").read_text().splitlines()
    assert [row.split("\t")[0] for row in vocabulary] == [spm.id_to_piece(i) for i in range(spm.get_piece_size())]


def test_training_is_repeatable_and_leaves_no_other_file(trained):
    folder, made = trained
    before = [(folder / name).read_bytes() for name in ("spm.model", "spm.vocab", "dict.txt")]
    train_spm.train_spm(made, folder, 2)
    assert before == [(folder / name).read_bytes() for name in ("spm.model", "spm.vocab", "dict.txt")]
    assert not list(folder.glob("*.tmp"))


def test_a_vocabulary_too_large_for_the_text_gets_what_the_text_allows(tmp_path, caplog):
    made = data_directory(tmp_path, {"swa": ["lala kufi moso", "tene lala wiru"] * 5}, size=5000)
    result = train_spm.train_spm(made, tmp_path, 1)
    assert result["wanted"] == 5000 and result["pieces"] < 60
    assert len(read_dictionary(tmp_path / "dict.txt")) == result["pieces"] + 1
    assert f"allows {result['pieces']:,} pieces" in caplog.text


def test_a_vocabulary_too_small_for_the_letters_is_refused(tmp_path):
    made = data_directory(tmp_path, {"swa": ["abcdefghijklmnopqrstuvwxyz lala"] * 5}, size=10)
    with pytest.raises(ConfigError, match=r"--spm-size 10 is too small"):
        train_spm.train_spm(made, tmp_path, 1)
    assert not (tmp_path / "spm.model").exists()


def test_symbols_of_the_dictionary_never_become_pieces(tmp_path):
    lines = ["<pad> lala <mask> kufi </s>", "<pad> moso <mask> tene <unk>"] * 20
    made = data_directory(tmp_path, {"swa": lines})
    train_spm.train_spm(made, tmp_path, 1)
    assert not {"<pad>", "<mask>", "<s>", "▁<pad>"} & set(read_dictionary(tmp_path / "dict.txt").symbols[4:])


def test_small_languages_are_drawn_more_often_than_they_stand_there():
    sizes = [900, 100, 0]
    assert spm_training.wanted_lines(sizes, 2.0, 10_000).tolist() == [900, 300, 0]  # 3 : 1 = 9^(1/2) : 1
    assert spm_training.wanted_lines(sizes, 1.0, 10_000).tolist() == sizes
    assert spm_training.wanted_lines(sizes, math.inf, 10_000).tolist() == [900, 900, 0]
    assert spm_training.wanted_lines(sizes, 2.0, 100).tolist() == [75, 25, 0]
    assert spm_training.wanted_lines([10**6, 1], 1.0, 1000).tolist() == [1000, 1]
    drawn = list(spm_training.draw(iter(map(str, range(100))), 100, 250))
    assert len(drawn) == 250 and all(drawn.count(str(i)) in (2, 3) for i in range(100))
    assert len(list(spm_training.draw(iter(map(str, range(900))), 900, 750))) == 750


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(any), st.floats(1, 1000))
def test_shares_are_those_of_the_temperature_and_no_line_is_lost(sizes, temperature):
    wanted = spm_training.wanted_lines(sizes, temperature, 10**9)
    exponent = [size ** (1 / temperature) if size else 0.0 for size in sizes]
    expected = np.array(exponent) / sum(exponent) * wanted.sum()
    assert np.abs(wanted - expected).max() <= 1 + len(sizes)  # rounding, and at least one line of each language
    assert all(number >= size for number, size in zip(wanted, sizes))
    assert any(number == size for number, size in zip(wanted, sizes) if size)


def test_the_vocabulary_sees_each_language_by_temperature(tmp_path, monkeypatch, made_up):
    seen = []
    monkeypatch.setattr(
        train_spm, "train", lambda text, *_: (seen.extend(text.read_text().splitlines()), train(text))[1]
    )

    def train(text):
        return spm_training._train(text, 40, 0), 40

    large = [other for _, other in made_up(90)]
    data = data_directory(tmp_path, {"swa": large, "zul": ["xoxo qaqa"] * 10})
    result = train_spm.train_spm(data, tmp_path, 1)
    assert result["lines"] == {"swa": 90, "zul": 30}
    assert seen.count("xoxo qaqa") == 30 and len(seen) == 120
    assert set(seen) == {normalise(line) for line in large} | {"xoxo qaqa"}
    made = replace(data, spm_temperature=1.0)
    assert train_spm.train_spm(made, tmp_path, 1)["lines"] == {"swa": 90, "zul": 10}


def test_pieces_are_the_tokenizers_ids_on_odd_lines(trained):
    folder, _ = trained
    dictionary = read_dictionary(folder / "dict.txt")
    tokenizer = StudentTokenizer((folder / "spm.model").read_bytes(), dictionary)
    block, n, n_unknown = encode_spm.encode_lines(ODD_LINES, str(folder / "spm.model"), str(folder / "dict.txt"))
    lines = block.decode().split("\n")[:-1]
    assert len(lines) == len(ODD_LINES)
    expected = tokenizer.encode(ODD_LINES, defaults.MAX_LENGTH_PIECES)
    for line, ids in zip(lines, expected):
        assert line.split() == [piece for piece in line.split(" ") if piece]  # what fairseq splits is what was joined
        assert [dictionary.id(piece) for piece in line.split()] + [EOS] == ids.tolist()
        assert not {0, 1, 2} & {dictionary.id(piece) for piece in line.split()}
    assert n == sum(len(ids) - 1 for ids in expected)
    assert n_unknown == sum(int((ids == UNK).sum()) for ids in expected) > 0
    assert max(map(len, expected)) == defaults.MAX_LENGTH_PIECES
    assert UNK in expected[6]  # unknown letters that spell the end of a sentence


def test_encoding_does_not_depend_on_the_number_of_workers(trained, monkeypatch):
    import chunks

    folder, made = trained
    monkeypatch.setattr(encode_spm, "in_chunks", lambda lines: chunks.in_chunks(lines, 9))
    (folder / "pieces").mkdir()
    written = []
    for workers in (1, 3):
        result = encode_spm.encode_corpus(made.sources[0], "swa", folder, workers)
        written.append((folder / "pieces" / "train.c.swa.swa").read_bytes())
        assert result["lines"] == 60 and result["pieces"] == len(written[-1].split())
    assert written[0] == written[1]
