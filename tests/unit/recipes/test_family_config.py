"""config.sh: what it says is read as bash reads it, and what does not fit is refused."""

import re

import pytest
from family_config import LICENCES, read_config, read_licences, settings_lines, shipped_families
from fetch_corpora import sides_of

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError

FAMILIES = shipped_families()


def test_a_config_with_nothing_but_languages_has_the_defaults(tmp_path, write_config):
    config = read_config(write_config(tmp_path / "f", "LANGS=(swa)\n"))
    assert (config.family, config.langs, config.pivots, config.corpora, config.options) == ("f", ("swa",), (), (), ())
    assert (config.spm_size, config.temperature) == (defaults.SPM_SIZE, defaults.SAMPLING_TEMPERATURE)
    assert config.curriculum == "none"


def test_a_config_is_bash(tmp_path, write_config):
    text = (
        'FAMILY="Two words"\nLANGS=(kea)\nPIVOTS=(por)\nSPM_SIZE=$((2 * 2000))\nTEMPERATURE=1.5\nCURRICULUM=progressive\n'
        'CORPORA=("kea AllenAi-nllb-1-eng-kea_Latn ODC-By-1.0"\n  "por OPUS-ted2020-v1-eng-por CC-BY-NC-ND-4.0")\n'
        "OPTIONS=(--lr 1e-3 --no-epoch-checkpoints)\n"
    )
    config = read_config(write_config(tmp_path / "f", text))
    assert (config.family, config.pivots, config.spm_size, config.temperature) == ("Two words", ("por",), 4000, 1.5)
    assert config.options == ("--lr", "1e-3", "--no-epoch-checkpoints")
    assert [(corpus.lang, corpus.licence) for corpus in config.corpora] == [
        ("kea", "ODC-By-1.0"),
        ("por", "CC-BY-NC-ND-4.0"),
    ]
    assert not any(corpus.monolingual for corpus in config.corpora)


@pytest.mark.parametrize(
    "text, said",
    [
        ("LANGS=()\n", "at least one language"),
        ("LANGS=(swa swa)\n", "each once"),
        ("LANGS=(swa)\nPIVOTS=(swa)\n", "each once"),
        ("LANGS=(Swahili)\n", "is not a language code"),
        ("LANGS=(swa)\nexit 3\n", "does not run in bash"),
        ("LANGS=(swa\n", "does not run in bash"),
        ("LANGS=(swa)\nSPM_SIZE=many\n", "SPM_SIZE=many is not a number"),
        ("LANGS=(swa)\nTEMPERATURE=0.5\n", "TEMPERATURE=0.5 must be at least 1"),
        ("LANGS=(swa)\nCURRICULUM=yes\n", "CURRICULUM=yes must be one of none, progressive"),
        ('LANGS=(swa)\nCORPORA=("swa OPUS-ted2020-v1-eng-swa")\n', "is not of the form"),
        ('LANGS=(swa)\nCORPORA=("kik OPUS-qed-v1-eng-kik QED")\n', "neither in LANGS nor in PIVOTS"),
        ('LANGS=(swa)\nCORPORA=("swa ted2020 QED")\n', "is not an id"),
        ('LANGS=(swa)\nCORPORA=("swa OPUS-qed-v1-eng-swa GPL")\n', "has the licence GPL"),
        ('LANGS=(swa)\nCORPORA=("swa O-q-1-eng-swa QED" "swa O-q-1-eng-swa QED")\n', "listed twice"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, write_config, text, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_config(write_config(tmp_path / "f", text))


def test_no_config():
    with pytest.raises(ConfigError, match="does not exist; the families are"):
        read_config(LICENCES.parent / "nowhere")


@pytest.mark.parametrize("folder", FAMILIES, ids=lambda folder: folder.name)
def test_a_shipped_family_is_whole(folder):
    config = read_config(folder)
    told = settings_lines(config.spm_size, config.temperature, config.curriculum)
    assert [line for line in (folder / "config.sh").read_text().splitlines() if line in told] == told
    assert (folder / "README.md").is_file() and (folder / "run.sh").is_file()
    assert len(config.langs) <= defaults.PLAN_LANGUAGES + 1
    for corpus in config.corpora:
        name = corpus.id.lower()
        # Evaluation sets of the field: nothing of them may be trained on.
        assert not re.search(r"flores|ntrex|tatoeba|newstest|newsdev|_test|_dev|wmt24", name), corpus.id
        if not corpus.monolingual:
            assert sides_of(corpus)[0].partition("_")[0] == "eng"
        else:
            assert corpus.id.rpartition("-")[2] in (corpus.lang, "knc", "dik", "gaz", "hae", "swh", "plt", "fuc")


def test_a_corpus_has_one_licence_in_all_configs():
    found = {}
    for folder in FAMILIES:
        for corpus in read_config(folder).corpora:
            found.setdefault("-".join(corpus.id.split("-")[:2]), set()).add(corpus.licence)
    assert {name: licences for name, licences in found.items() if len(licences) > 1} == {}
    assert {kind for kind, _ in read_licences().values()} <= {"open", "noncommercial", "research", "unclear"}


@pytest.mark.slow
def test_every_id_is_in_mtdatas_index(tmp_path, monkeypatch):
    pytest.importorskip("mtdata")
    from fetch_client import unknown_ids

    ids = [corpus.id for folder in FAMILIES for corpus in read_config(folder).corpora]
    assert len(ids) > 200
    assert unknown_ids([*ids, "OPUS-nothing-v1-eng-swa", "no id"]) == ["OPUS-nothing-v1-eng-swa", "no id"]
