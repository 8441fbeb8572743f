"""The tables of groups, variants and claims fit each other; which runs they need, and what decides a run's key."""

import dataclasses
import shutil

import pytest
from claims import (
    ALL,
    CLAIMS,
    DEFAULT_GROUPS,
    GROUPS,
    MAX_POOLED,
    SIZES,
    VARIANTS,
    Run,
    claims_named,
    group_named,
    planned_runs,
)
from make_runs import numbers, run_key
from run_sources import Corpora, data_key, data_options, files_of, pairs_of, teacher_text_options

from fairseq_distill.errors import ConfigError
from fairseq_distill.mining.margin import MARGINS

SIZE = SIZES["tiny"]


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_corpus):
    folder = tmp_path_factory.mktemp("root")
    for number, lang in enumerate((*group_named("ethiopic").languages, *group_named("cushitic").languages)):
        write_corpus(folder, "hornmt", lang, 30, 10, seed=number, shift=3 + number)
    write_corpus(folder, "mafand", "swa", 30, 10, seed=9)
    (folder / "mono").mkdir()
    (folder / "mono" / "amh.txt").write_text("one line\n")
    return folder


def key(run, root, size_name="tiny", **changes):
    return run_key(run, size_name, dataclasses.replace(SIZES[size_name], **changes), Corpora(root))


def test_every_claim_is_over_three_groups_and_names_what_there_is():
    assert [claim.letter for claim in CLAIMS] == list("abcdefghijk") and len(DEFAULT_GROUPS) >= 3
    used = set()
    for claim in CLAIMS:
        for comparison in claim.comparisons:
            assert set(comparison.variants) <= set(VARIANTS) and set(comparison.margins) <= set(MARGINS)
            assert len(comparison.variants) + len(comparison.margins) > 2, "nothing to compare"
            assert len({VARIANTS[name].teacher for name in comparison.variants}) == 1, "two teachers in one table"
            used |= set(comparison.variants)
    assert used == set(VARIANTS)
    languages = [lang for group in GROUPS for lang in group.languages]
    assert len(languages) == len(set(languages))


def test_variants_differ_from_the_base_in_what_they_say_alone():
    base = VARIANTS["base"].training_options()
    assert base["lexical-path"] == "none" and base["pooling"] == "mean" and base["mask-share"] == "0"
    for variant in VARIANTS.values():
        own = VARIANTS["base-max-teacher"] if variant.teacher == MAX_POOLED else VARIANTS["base"]
        expected = {**own.training_options(), **variant.options}
        assert variant.training_options() == expected


def test_runs_that_several_claims_need_are_planned_once_and_seed_by_seed():
    runs = planned_runs(claims_named("all"), DEFAULT_GROUPS, [1, 2])
    assert len(runs) == len(set(runs))
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    first = [run for run in runs if run.seed == 1]
    per_group = len(VARIANTS) - 2
    singles = sum(len(group_named(name).languages) for name in DEFAULT_GROUPS if len(group_named(name).languages) > 1)
    assert (
        len(first) == per_group * len(DEFAULT_GROUPS) + singles + 1
    )  # one student for all languages, whatever the groups
    assert sum(run.group == ALL for run in first) == 1


def test_a_group_of_one_language_has_no_single_language_student():
    runs = planned_runs(claims_named("f"), ["swahili", "ethiopic"], [1])
    assert [run.lang for run in runs if run.variant.name == "single"] == list(group_named("ethiopic").languages)


def test_unknown_names_are_refused():
    for call in (
        lambda: claims_named("a,x"),
        lambda: claims_named(""),
        lambda: group_named("none"),
        lambda: numbers("1,b"),
    ):
        with pytest.raises(ConfigError):
            call()
    assert numbers("3,1,3") == [3, 1]


def test_a_key_does_not_depend_on_where_the_text_lies(root, tmp_path):
    shutil.copytree(root, tmp_path / "elsewhere")
    for name in ("base", "teacher-spm", "all"):
        run = Run(VARIANTS[name], ALL if name == "all" else "ethiopic", 1)
        assert key(run, root) == key(run, tmp_path / "elsewhere")


def test_every_run_has_a_key_of_its_own(root):
    runs = planned_runs(claims_named("all"), ["ethiopic", "swahili"], [1, 2])
    keys = [key(run, root) for run in runs]
    assert len(set(keys)) == len(keys)


def test_what_decides_the_numbers_changes_the_key(root, tmp_path):
    run = Run(VARIANTS["base"], "ethiopic", 1)
    keys = {
        key(run, root),
        key(run, root, updates=101),
        key(run, root, max_tokens=301),
        key(run, root, arch="student_encoder_small"),
        key(run, root, "cpu", smallest_set=1),
        key(dataclasses.replace(run, seed=2), root),
        key(dataclasses.replace(run, variant=VARIANTS["mlm"]), root),
    }
    assert len(keys) == 7


@pytest.mark.parametrize("name", ["bitext/hornmt/eng-amh/train.amh", "bitext/hornmt/eng-tir/dev.eng", "mono/amh.txt"])
def test_changed_text_changes_the_key_of_the_runs_that_read_it(root, tmp_path, name):
    shutil.copytree(root, tmp_path / "changed")
    with open(tmp_path / "changed" / name, "a") as stream:
        stream.write("One more line.\n")
    ethiopic, swahili = Run(VARIANTS["base"], "ethiopic", 1), Run(VARIANTS["base"], "swahili", 1)
    max_pooled = Run(VARIANTS["base-max-teacher"], "swahili", 1)
    assert key(ethiopic, root) != key(ethiopic, tmp_path / "changed")
    assert key(swahili, root) == key(swahili, tmp_path / "changed")
    # The max-pooled teacher reads the training text of all groups, and their development sets so as not to train on them.
    assert (key(max_pooled, root) == key(max_pooled, tmp_path / "changed")) == name.startswith("mono")


def test_students_of_one_group_share_data_but_not_across_teachers_and_vocabularies(root):
    corpora = Corpora(root)
    keys = {
        name: data_key(Run(VARIANTS[name], "ethiopic", 1), "tiny", corpora)
        for name in VARIANTS
        if name not in ("all", "single")
    }
    halves = keys.pop("curriculum-halves")  # parts of its own
    assert len({keys[name] for name in keys if VARIANTS[name].teacher != MAX_POOLED}) == 1
    assert len({*keys.values(), halves}) == 4


def test_small_development_sets_are_left_out(root):
    corpora = Corpora(root)
    assert len(pairs_of(corpora, ["amh"], "dev", 10)) == 1 and pairs_of(corpora, ["amh"], "dev", 11) == []
    options = data_options(Run(VARIANTS["base"], "ethiopic", 1), dataclasses.replace(SIZE, smallest_set=10), corpora)
    assert len([value for name, value in options if name == "--valid"]) == 2
    files = files_of(options, corpora)
    assert all(file.is_file() for file in files) and root / "mono" / "amh.txt" in files
    assert len(files) == 2 * (2 + 1 + 2) + 1


def test_a_group_whose_text_is_not_there_is_refused(root):
    with pytest.raises(ConfigError, match="no train part for eng-lug"):
        key(Run(VARIANTS["base"], "lakes", 1), root)
    with pytest.raises(ConfigError, match="no folder bitext"):
        Corpora(root / "mono")


def test_the_teacher_is_kept_from_every_development_line(root):
    options = teacher_text_options(Corpora(root))
    assert (
        len([1 for name, _ in options if name == "--bitext"])
        == len([1 for name, _ in options if name == "--valid"])
        == 6
    )
