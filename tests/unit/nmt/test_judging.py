"""recipes/nmt: translations in the order of the test set, scores as sacrebleu gives them, facts from the files of a run."""

import json

import pytest

from fairseq_distill.errors import ConfigError, DataError

pytest.importorskip("sacrebleu")
import sacrebleu  # noqa: E402
import score  # noqa: E402
import translations  # noqa: E402

GENERATED = [
    "2026 | INFO | noise",
    "S-1\tsource", "T-1\treference", "H-1\t-0.5\tde uxi ème", "D-1\t-0.5\tdeuxième\tphrase", "P-1\t-0.1",
    "S-0\tsource", "D-0\t-0.4\t", "D-2\t-0.7\ttroisième",
]  # fmt: skip


def test_translations_come_in_the_order_of_the_test_set():
    assert translations.detokenised(GENERATED, 3, "log") == ["", "deuxième\tphrase", "troisième"]


@pytest.mark.parametrize(
    "lines, n, words",
    [
        (GENERATED[:-1], 3, "2 sentences instead of 3, none of sentence 2"),
        (GENERATED, 2, "3 sentences instead of 2"),
        ([*GENERATED, "D-0\t-0.6\tagain"], 3, "sentence 0 has more than one"),
        ([], 1, "0 sentences instead of 1"),
    ],
)
def test_a_translation_too_few_or_too_many_is_refused(lines, n, words):
    with pytest.raises(DataError, match=words):
        translations.detokenised(lines, n, "log")


REFERENCES = [
    f"the {animal} runs over the hill number {i}" for i, animal in enumerate(["dog", "cat", "cow", "hen"] * 10)
]
WORSE = [line.replace("runs over", "walks under") if i % 2 else line for i, line in enumerate(REFERENCES)]
WORST = [line.replace("the hill", "a lake") for line in WORSE]


def test_scores_are_those_of_sacrebleu_and_better_is_told_from_equal():
    systems = [("one", WORSE), ("same", list(WORSE)), ("two", WORST), ("best", REFERENCES)]
    found, signatures = score.paired_scores(systems, REFERENCES, samples=200, seed=1)
    for name, lines in systems:
        assert found[name]["BLEU"].score == pytest.approx(sacrebleu.corpus_bleu(lines, [REFERENCES]).score)
        assert found[name]["chrF"].score == pytest.approx(sacrebleu.corpus_chrf(lines, [REFERENCES]).score)
    assert found["one"]["BLEU"].p_value is None
    assert found["two"]["BLEU"].p_value < 0.05 and found["best"]["chrF"].p_value < 0.05
    assert found["same"]["BLEU"].p_value > 0.5
    assert "seed:1" in signatures["BLEU"] and "bs:200" in signatures["BLEU"] and "chrF2" not in signatures["BLEU"]
    assert "version:" in signatures["chrF"]
    again, _ = score.paired_scores(systems, REFERENCES, samples=200, seed=1)
    assert again == found
    assert (
        score.paired_scores(systems, REFERENCES, samples=200, seed=2)[0]["one"]["BLEU"].mean
        != found["one"]["BLEU"].mean
    )


def test_what_cannot_be_compared():
    with pytest.raises(ConfigError, match="1 system given"):
        score.paired_scores([("one", WORSE)], REFERENCES, 10, 1)
    with pytest.raises(DataError, match="40 lines but the translations of two has 39"):
        score.paired_scores([("one", WORSE), ("two", WORST[:-1])], REFERENCES, 10, 1)


def test_facts_of_a_system(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "log").mkdir()
    (tmp_path / "text/bitext.eng").write_text("a\nb\nc\n")
    (tmp_path / "text/mined.eng").write_text("d\n")
    (tmp_path / "text/mined.counts.json").write_text('{"in": 4, "kept": 1, "dropped": {"in_evaluation_set": 3}}')
    validations = [(100, "5.5"), (200, "6.5"), (300, "6.25")]
    lines = [
        "x | INFO | valid | "
        + json.dumps({"epoch": 1, "valid_loss": "4", "valid_bleu": bleu, "valid_num_updates": str(update)})
        for update, bleu in validations
    ]
    (tmp_path / "log/train.mined.json.log").write_text("".join(line + "\n" for line in lines))
    found = score.facts_of("mined", tmp_path, "eng")
    assert (found.pairs, found.updates, found.best_update, found.valid_bleu) == (4, 300, 200, 6.5)
    assert found.added["dropped"] == {"in_evaluation_set": 3}
    base = score.facts_of("bitext", tmp_path, "eng")
    assert (base.pairs, base.added, base.updates, base.best_update) == (3, None, None, None)
