"""The rule on made-up ladders, and the comparison on made-up languages that differ in how much text they have."""

import random
from dataclasses import replace

import pytest
from vocabulary_advice import (
    LanguageText,
    advise,
    advise_by_size,
    candidates,
    choose_size,
    compare,
    sample,
    split_text,
    training_frequency,
)
from vocabulary_statistics import SpmVocabulary, spm_file

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.vocabulary import PieceCounts, VocabularyReport, size_for_lines


def row(size, per_word, rare=0.0, lang="swa", kind="dedicated", unknown=0):
    """A row of 10,000 words."""
    pieces = int(per_word * 10_000)
    return PieceCounts(
        lang, kind, "", size, 1000, 10_000, 50_000, pieces, unknown, unknown, 0, 10_000, 0, 30, 30, int(rare * pieces)
    )


def ladder(*rungs, **more):
    return [[row(*rung, **more)] for rung in rungs]


def test_it_grows_while_text_gets_shorter():
    choice = choose_size(ladder((1000, 2.0), (2000, 1.8), (4000, 1.65), (8000, 1.64), (16000, 1.2)))
    assert choice.size == 4000 and "twice the pieces make a sentence only 0.6% shorter" in choice.reason


def test_it_grows_while_the_text_can_train_the_pieces():
    limit = defaults.ADVICE_RARE_SHARE
    choice = choose_size(ladder((1000, 2.0), (2000, 1.8, limit - 0.01), (4000, 1.6, limit + 0.01), (8000, 1.4, 0.0)))
    assert choice.size == 2000 and f"with 4,000 pieces {100 * (limit + 0.01):.1f}% of held-out pieces" in choice.reason


def test_the_largest_when_nothing_stops_it():
    assert choose_size(ladder((1000, 2.0), (2000, 1.8))).size == 2000
    only = choose_size(ladder((1000, 2.0, 0.9)))
    assert only.size == 1000 and "largest" in only.reason


def test_the_gain_is_that_of_a_doubling():
    # The last size is what the text allowed: a tenth more pieces that save 1% save 7% a doubling.
    assert choose_size(ladder((1000, 2.0), (1100, 1.98))).size == 1100
    gain = defaults.ADVICE_GAIN
    assert choose_size(ladder((1000, 2.0), (4000, 2.0 * (1 - gain) ** 2 + 0.001))).size == 1000
    assert choose_size(ladder((1000, 2.0), (4000, 2.0 * (1 - gain) ** 2 - 0.001))).size == 4000


def test_without_candidates_the_number_of_lines_decides_and_the_teacher_is_compared_with():
    rows = [row(4000, 2.0, lang=lang, kind="student") for lang in ("swa", "lug")]
    rows += [row(50_000, 3.0, lang="swa", kind="teacher"), row(50_000, 5.0, lang="lug", kind="teacher", unknown=10)]
    advice = advise_by_size(rows, 500_000)
    assert (advice.kind, advice.languages, advice.size) == ("joint", ["swa", "lug"], size_for_lines(500_000))
    assert f"makes 5.00 pieces a word of lug and knows {100 * (1 - rows[3].unknown_share):.1f} %" in advice.reason
    assert "own 2.00 and 100.0 %" in advice.reason and "for 500,000 lines" in advice.reason
    alone = advise_by_size(rows[:1], 100)
    assert alone.kind == "dedicated" and alone.size < advice.size and "teacher" not in alone.reason


def test_a_joint_size_goes_by_the_mean_over_languages():
    one, other = ladder((1000, 2.0), (2000, 2.0 * (1 - 1.8 * defaults.ADVICE_GAIN))), ladder((1000, 3.0), (2000, 3.0))
    assert choose_size([[a[0], b[0]] for a, b in zip(one, other)]).size == 1000
    assert choose_size([[a[0], a[0], b[0]] for a, b in zip(one, other)]).size == 2000


def joint_report(shared=2.0, unknown=0):
    rows = [row(4000, 2.0, lang="swa", kind="joint"), row(4000, shared, lang="kab", kind="joint", unknown=unknown)]
    rows += [row(4000, 2.0, lang="lug", kind="joint")]
    return VocabularyReport(rows + [row(2000, 2.0, lang=lang) for lang in ("swa", "kab", "lug")])


def test_a_language_that_the_joint_vocabulary_cuts_to_bits_gets_its_own():
    limit = 2.0 * (1 + defaults.ADVICE_DEDICATED)
    size, advice = advise(joint_report(limit - 0.01), ["swa", "kab", "lug"])
    assert size == 4000 and [(a.kind, a.languages, a.size) for a in advice] == [("joint", ["swa", "kab", "lug"], 4000)]
    size, advice = advise(joint_report(limit + 0.01), ["swa", "kab", "lug"])
    assert [(a.kind, a.languages, a.size) for a in advice] == [
        ("joint", ["swa", "lug"], 4000),
        ("dedicated", ["kab"], 2000),
    ]
    assert "cuts kab into 10.5% more pieces than one of 2,000 of its own (2.21 against 2.00 a word)" in advice[1].reason


def test_a_language_whose_letters_the_joint_vocabulary_lacks_gets_its_own():
    few = int(50_000 * defaults.ADVICE_UNKNOWN)
    assert len(advise(joint_report(unknown=few), ["swa", "kab", "lug"])[1]) == 1
    advice = advise(joint_report(unknown=few + 10), ["swa", "kab", "lug"])[1]
    assert [a.languages for a in advice] == [["swa", "lug"], ["kab"]] and "0.12% of kab's characters unknown" in advice[
        1
    ].reason


def test_two_languages_part_together():
    report = joint_report(3.0)
    advice = advise(VocabularyReport([r for r in report.rows if r.lang != "lug"]), ["swa", "kab"])[1]
    assert sorted((a.kind, *a.languages) for a in advice) == [("dedicated", "kab"), ("dedicated", "swa")]


def test_one_language_alone():
    size, advice = advise(VocabularyReport([row(1000, 2.0), row(2000, 1.99)]), ["swa"])
    assert size == 1000 and [(a.kind, a.languages, a.size) for a in advice] == [("dedicated", ["swa"], 1000)]


def test_no_candidate_is_said():
    with pytest.raises(ConfigError, match="can hold the letters of swa; give larger --sizes"):
        advise(VocabularyReport([]), ["swa"])


# --- text


def test_held_out_lines_are_not_trained_on():
    lines = [f"line {i % 900}" for i in range(1000)]
    text = split_text(lines, 5000)
    assert len(text.heldout) == 90 and text.total == 5000 and text.source == "train"
    assert not set(text.heldout) & set(text.train) and set(text.heldout) | set(text.train) == set(lines)
    many = split_text([str(i) for i in range(100 * defaults.ADVICE_HELDOUT)], 1)
    assert len(many.heldout) == defaults.ADVICE_HELDOUT


def test_a_sample_is_spread_evenly():
    assert sample(iter(map(str, range(100))), 100, 10) == [str(i) for i in range(9, 100, 10)]
    assert sample(iter("abc"), 3, 10) == ["a", "b", "c"] and sample(iter(""), 0, 10) == []


def language(seed, n, letters="abdefghiklmnoprstuvwyz"):
    """Lines of made-up words, frequent and rare ones, of a language of its own."""
    rng = random.Random(seed)
    words = ["".join(rng.choice(letters) for _ in range(rng.randint(2, 7))) for _ in range(400)]
    weights = [1 / (i + 1) for i in range(len(words))]
    return [" ".join(rng.choices(words, weights, k=rng.randint(4, 10))) for _ in range(n)]


@pytest.fixture(scope="module")
def compared():
    texts = {
        "swa": LanguageText(language(1, 1500), language(1, 1600)[1500:], 1500, "valid"),
        "amh": LanguageText(
            language(2, 100, "ሀለሐመሠረሰሸቀበተቸነአከወ"), language(2, 150, "ሀለሐመሠረሰሸቀበተቸነአከወ")[100:], 100, "valid"
        ),
    }
    return texts, compare(texts, [15, 60, 120, 5000], 1.0, [])


def test_candidates_of_all_sizes_that_the_text_allows(compared):
    texts, report = compared
    for lang in texts:
        for kind in ("joint", "dedicated"):
            sizes = [row.size for row in report.of(lang, kind)]
            assert sizes[:2] == [60, 120] and len(sizes) == 3 and 120 < sizes[2] < 5000  # 15 hold not even the letters
    assert {row.sentences for row in report.of("amh", "joint")} == {50}
    assert report.heldout == {"swa": "valid", "amh": "valid"} and report.temperature == 1.0


def test_up_sampling_gives_the_small_language_longer_pieces(compared):
    texts, report = compared
    flat = {row.lang: row for row in candidates(texts, [120], 1000.0, "joint")}
    alike = {lang: report.of(lang, "joint")[1] for lang in texts}
    assert flat["amh"].per_unit < alike["amh"].per_unit and flat["swa"].per_unit > alike["swa"].per_unit
    own = report.of("amh", "dedicated")[1]
    assert own.per_unit < flat["amh"].per_unit < alike["amh"].per_unit  # the paper's finding, at equal size


def test_frequency_stands_for_all_lines_of_a_sample(compared, tmp_path):
    texts = dict(compared[0])
    model = tmp_path / "x.spm"
    from spm_training import train, training_lines

    (tmp_path / "t").write_text("".join(line + "\n" for line in training_lines(texts["swa"].train)))
    model.write_bytes(train(tmp_path / "t", 100, 1500)[0])
    vocabulary = spm_file(model)
    assert isinstance(vocabulary, SpmVocabulary)
    once = training_frequency(vocabulary, texts)
    texts["swa"] = replace(texts["swa"], total=3000)
    only = training_frequency(vocabulary, {"swa": compared[0]["swa"]})
    assert training_frequency(vocabulary, texts) == pytest.approx(once + only)


def test_advice_comes_with_the_comparison(compared):
    _, report = compared
    assert report.size in {row.size for row in report.of("swa", "joint")}
    assert sorted(lang for advice in report.advice for lang in advice.languages) == ["amh", "swa"]
    assert all(advice.reason and str(advice.size) in advice.reason.replace(",", "") for advice in report.advice)
