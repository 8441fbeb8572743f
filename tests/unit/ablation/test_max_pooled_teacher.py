"""The teacher trained by translation: its loss is a loop's, its file is LASER2's, and it is made once."""

import json

import numpy as np
import pytest
import torch
from compare_teachers import cosines, rank_correlation, shared_neighbours
from max_pooled_teacher import find_pairs, main, parser, train_spm
from translation_model import MOST_PIECES, DecoderShape, Pairs, TranslationModel, batch_of, epoch_batches, train

from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.modules.lstm import LstmShape


def some_pairs(n, seed=1, longest=9):
    rng = np.random.default_rng(seed)

    def ids():
        return np.append(rng.integers(4, 20, rng.integers(1, longest)), 2)

    return Pairs([ids() for _ in range(n)], [ids() for _ in range(n)], rng.integers(0, 2, n))


@pytest.fixture
def model():
    torch.manual_seed(1)
    model = TranslationModel(LstmShape(20, 6, 5, 1, True, 1), DecoderShape(20, 2, 7))
    for parameter in model.parameters():  # large, so that whatever goes in shows in the loss
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def slow_loss(model, src, tgt, language):
    """One sentence: (sum of -log p, pieces)."""
    vector = model.encoder(torch.tensor(src)[None], torch.tensor([len(src)]))[0]
    hidden = torch.relu(model.widen(vector) + model.embed_languages.weight[language])
    logits = [(row @ hidden + bias).item() for row, bias in zip(model.predict.weight, model.predict.bias)]
    total = sum(np.logaddexp.reduce(logits) - logits[piece] for piece in tgt)
    return total, len(tgt)


def test_the_loss_is_that_of_a_loop(model):
    pairs = some_pairs(7)
    found = model(*batch_of(pairs, np.arange(7), torch.device("cpu"))).item()
    parts = [slow_loss(model, *item) for item in zip(pairs.src, pairs.tgt, pairs.language)]
    assert found == pytest.approx(sum(total for total, _ in parts) / sum(n for _, n in parts), rel=1e-4)


def test_the_decoder_sees_the_vector_alone(model):
    """Two sources with one vector (a frozen encoder stands in for them) cannot be told apart."""
    pairs = some_pairs(4)
    tokens, lengths, tgt, language = batch_of(pairs, np.arange(4), torch.device("cpu"))
    model.encoder.forward = lambda tokens, lengths: torch.ones(len(tokens), 10)
    assert model(tokens, lengths, tgt, language).item() == model(tokens.flip(1), lengths, tgt, language).item()


def test_an_epoch_has_each_pair_once_and_keeps_to_its_budget():
    pairs = some_pairs(200, longest=30)
    for seed in (1, 2):
        batches = list(epoch_batches(pairs, 120, np.random.default_rng(seed)))
        assert sorted(np.concatenate(batches)) == list(range(200))
        for chosen in batches:
            longest = max(max(len(pairs.src[i]), len(pairs.tgt[i])) for i in chosen)
            assert longest * len(chosen) <= 120
    assert len(batches) < 60


def test_training_takes_the_updates_it_is_given_and_learns(model):
    pairs = some_pairs(40)
    losses = list(train(model, pairs, 150, 0.02, 200, 1))
    assert len(losses) == 150 and np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


# --- the program


@pytest.fixture
def text(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    rng = np.random.default_rng(1)
    words = "sleep door many four fish big small house thing river sun rain field".split()
    for corpus, lang in (("news.eng-swa", "swa"), ("bible.eng-zul", "zul")):
        lines = [" ".join(rng.choice(words, rng.integers(3, 8))) for _ in range(80)]
        (folder / f"train.{corpus}.eng").write_text("".join(f"{line}\n" for line in lines))
        (folder / f"train.{corpus}.{lang}").write_text("".join(f"{line[::-1]}\n" for line in lines))
    (folder / "train.mono.swa").write_text("not a pair\n")
    return folder


def make(text, output, *options):
    words = ["--text", str(text), "--output", str(output), "--spm-size", "60", "--target-spm-size", "60"]
    words += ["--embed-dim", "8", "--hidden", "6", "--updates", "5", "--max-tokens", "300", *options]
    main(parser().parse_args(words))
    return output


def test_the_file_is_a_max_pooled_teacher_in_laser2s_layout(text, tmp_path):
    output = make(text, tmp_path / "teacher")
    content = torch.load(output / "laser2.pt", weights_only=True)
    assert sorted(content) == ["dictionary", "model", "params"]
    assert content["dictionary"]["<unk>"] == 4 and content["params"]["num_embeddings"] == len(content["dictionary"]) + 4
    teacher = open_encoder(f"laser2:{output}")
    assert (teacher.dim, teacher.pooling) == (12, "max")
    lines = ["Sleep, big house.", "fish", "river river sun"]
    rows = teacher.encode(lines)
    assert rows.shape == (3, 12) and np.isfinite(rows).all()
    np.testing.assert_allclose(teacher.encode(lines[1:2])[0], rows[1], atol=1e-5)
    assert len({tuple(row.round(3)) for row in rows}) == 3
    facts = json.loads((output / "teacher.json").read_text())["facts"]
    assert facts["pairs"] == 160 and facts["dim"] == 12


def test_it_is_made_once_unless_text_options_or_files_change(text, tmp_path):
    output = make(text, tmp_path / "teacher")

    def stamp():
        return (output / "laser2.pt").stat().st_mtime_ns

    first = stamp()
    make(text, output)
    assert stamp() == first
    make(text, output, "--seed", "2")
    second = stamp()
    assert second != first
    (output / "laser2.spm").write_bytes(b"damaged")
    make(text, output, "--seed", "2")
    third = stamp()
    assert third != second
    with open(text / "train.news.eng-swa.eng", "a") as eng, open(text / "train.news.eng-swa.swa", "a") as swa:
        eng.write("sun sun sun\n"), swa.write("nus nus nus\n")
    make(text, output, "--seed", "2")
    assert stamp() != third


def test_the_same_seed_gives_the_same_teacher_and_an_untrained_one_differs(text, tmp_path):
    first, second, untrained = (
        torch.load(make(text, tmp_path / name, *options) / "laser2.pt", weights_only=True)["model"]
        for name, options in (("a", ()), ("b", ()), ("c", ("--untrained",)))
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["lstm.weight_ih_l0"], untrained["lstm.weight_ih_l0"])


def test_pairs_are_found_by_name_and_nonsense_is_refused(text, tmp_path):
    assert [lang for lang, _, _ in find_pairs(text, "eng")] == ["zul", "swa"]
    with pytest.raises(DataError, match="no pair of files"):
        find_pairs(tmp_path, "eng")
    with pytest.raises(ConfigError, match="above 0"):
        make(text, tmp_path / "x", "--updates", "0")
    assert MOST_PIECES > 20 and train_spm(["a b c"] * 5, 10)


# --- comparing teachers


def test_rank_correlation():
    first = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert rank_correlation(first, np.exp(first)) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 1 - 6 * 0.5 / 60 but for the tie's variance.
    assert rank_correlation(np.array([1, 2, 2, 9.0]), np.array([1, 2, 3, 4.0])) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_neighbours():
    rows = np.random.default_rng(1).standard_normal((40, 8))
    found = cosines(rows)
    assert shared_neighbours(found, found) == 100 and np.isneginf(np.diag(found)).all()
    other = cosines(np.random.default_rng(2).standard_normal((40, 8)))
    nearest, among = found.argmax(1), np.argsort(-other, axis=1)[:, :10]
    expected = 100 * np.mean([n in row for n, row in zip(nearest, among)])
    assert shared_neighbours(found, other) == pytest.approx(expected) and expected < 60
