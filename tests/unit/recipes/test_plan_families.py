"""The planner: what it proposes for some counts, and that a recipe can be run from what it writes."""

import pytest
from family_config import read_config
from plan_families import Count, main, parser, propose, read_counts, temperature

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.vocabulary import size_for_lines


def by_name(counts, available=None):
    return {proposal.name: proposal for proposal in propose(counts, available)}


def test_languages_of_a_family_share_a_student():
    plans = by_name({"zul": Count(50_000), "yor": Count(20_000), "xho": Count(40_000), "xyz": Count(30_000)})
    assert {name: plan.langs for name, plan in plans.items()} == {
        "nguni": ["zul", "xho"],
        "volta_niger": ["yor"],
        "xyz": ["xyz"],
    }
    assert not any(plan.pivots or plan.curriculum != "none" for plan in plans.values())
    assert (plans["nguni"].vocabulary, plans["xyz"].vocabulary) == ("joint", "dedicated")
    assert "not in recipes/languages.tsv" in plans["xyz"].reasons[0]


def test_a_large_family_is_split_by_subgroup():
    nilotic = "luo ach adh laj anu din nus teo mas tuv keo kpz kln".split()
    assert len(nilotic) > defaults.PLAN_LANGUAGES
    plans = by_name({code: Count(20_000) for code in nilotic})
    assert plans["nilotic_western_nilotic__luo"].langs == "luo ach adh laj anu".split()
    assert sum(len(plan.langs) for plan in plans.values()) == len(nilotic)


def test_a_language_with_little_text_gets_a_pivot():
    alone = by_name({"tir": Count(4_000)})["ethio_semitic"]
    assert alone.pivots == ["amh"] and "tir: 4,000 pairs are fewer than 10,000; amh is added" in "".join(alone.reasons)
    assert by_name({"kea": Count(500)})["kabuverdianu"].pivots == ["por"]  # no sister: the pivot of the table
    with_sister = by_name({"tir": Count(4_000), "amh": Count(12_000)})["ethio_semitic"]
    assert with_sister.pivots == [] and "amh (12,000) is in the same student" in "".join(with_sister.reasons)
    too_small = by_name({"tir": Count(4_000), "amh": Count(11_999)})["ethio_semitic"]
    assert "no larger sister" in "".join(too_small.reasons)


def test_a_pivot_must_have_text():
    here = {"tir": Count(4_000), "hau": Count(5_000)}
    assert by_name({"tir": Count(4_000)}, here)["ethio_semitic"].pivots == []
    assert by_name({"kau": Count(100), "hau": Count(299)}, here)["saharan"].pivots == []
    assert by_name({"kau": Count(100), "hau": Count(300)}, here)["saharan"].pivots == ["hau"]
    assert "mos" not in by_name({"kbp": Count(800), "mos": Count(0, 5)})["gur"].pivots


def test_a_language_without_pairs_is_left_out_and_named():
    plan = by_name({"kik": Count(20_000), "mer": Count(0, 900)})["swahili_kikuyu"]
    assert plan.langs == ["kik"] and any(reason.startswith("mer: no pairs") for reason in plan.reasons)
    with pytest.raises(DataError, match="No language has sentence pairs"):
        propose({"mer": Count(0, 900)})


def test_the_curriculum_is_for_little_text():
    limit = defaults.CURRICULUM_PAIRS
    assert by_name({"hau": Count(limit)})["chadic"].curriculum == "none"
    assert by_name({"hau": Count(limit - 1)})["chadic"].curriculum == "progressive"


@pytest.mark.parametrize(
    "lines, size", [(0, 4000), (19_999, 4000), (20_000, 8000), (1_000_000, 16_000), (10**8, 32_000)]
)
def test_more_text_gets_more_pieces(lines, size):
    assert size_for_lines(lines) == size


@pytest.mark.parametrize(
    "pairs, expected", [([5, 5], 1.0), ([300, 100], 2.0), ([31, 1], 3.0), ([101, 1], 5.0), ([7], 1.0)]
)
def test_the_temperature_follows_the_imbalance(pairs, expected):
    assert temperature(pairs) == expected


def test_text_counts_for_the_vocabulary_whether_paired_or_not():
    assert by_name({"hau": Count(10_000, 9_999)})["chadic"].spm_size == 4000
    assert by_name({"hau": Count(10_000, 10_000)})["chadic"].spm_size == 8000


def test_counts_are_read_and_checked(tmp_path):
    path = tmp_path / "counts.tsv"
    path.write_text("# code\tpairs\nswa\t34,278\t96\ndik\t12\n\n")
    assert read_counts(str(path)) == {"swa": Count(34278, 96), "din": Count(12)}
    for text, said in (
        ("swa\tmany\n", "line 1: .* is not 'code<TAB>pairs"),
        ("swa 3\n", "line 1"),
        ("swa\t1\nswh\t2\n", "line 2: swh is there twice"),
        ("Swahili\t3\n", "is not a language code"),
        ("# nothing\n", "names no language"),
    ):
        path.write_text(text)
        with pytest.raises((DataError, ConfigError), match=said):
            read_counts(str(path))


def test_what_is_written_is_a_recipe(tmp_path, add_pairs, capsys):
    counts = tmp_path / "counts.tsv"
    counts.write_text("tir\t4000\t5\nzul\t100000\nxho\t3000\n")
    main(parser().parse_args(["--counts", str(counts), "--output", str(tmp_path / "mine")]))
    said = capsys.readouterr().out
    assert "ethio_semitic: tir + amh" in said and "nguni: zul, xho" in said
    config = read_config(tmp_path / "mine" / "ethio_semitic")
    assert (config.langs, config.pivots, config.curriculum, config.spm_size) == (
        ("tir",),
        ("amh",),
        "progressive",
        4000,
    )
    assert {corpus.lang for corpus in config.corpora} == {"tir", "amh"}
    assert read_config(tmp_path / "mine" / "nguni").temperature == 3.0
    assert "family.sh" in (tmp_path / "mine" / "nguni" / "run.sh").read_text()
    readme = (tmp_path / "mine" / "nguni" / "README.md").read_text()
    assert "| xho | 3,000 | 0 |" in readme and "- sampling: temperature 3" in readme


def test_a_folder_of_corpora_is_counted(tmp_path, add_pairs):
    add_pairs(tmp_path / "bitext", "a", "eng-tir", "train", 30)
    add_pairs(tmp_path / "bitext", "b", "eng-amh", "train", 90)
    add_pairs(tmp_path / "bitext", "b", "fra-bam", "train", 90)
    main(parser().parse_args(["--root", str(tmp_path), "--langs", "tir", "--output", str(tmp_path / "mine")]))
    config = read_config(tmp_path / "mine" / "ethio_semitic")
    assert (config.langs, config.pivots) == (("tir",), ("amh",))
    main(parser().parse_args(["--root", str(tmp_path), "--output", str(tmp_path / "all")]))
    assert [folder.name for folder in (tmp_path / "all").iterdir()] == ["ethio_semitic"]
    with pytest.raises(ConfigError, match="Give either --counts"):
        main(parser().parse_args(["--output", str(tmp_path)]))
