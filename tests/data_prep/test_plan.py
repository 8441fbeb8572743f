import math

import pytest
from plan import corpus_name, make_plan, parser

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError


def plan_of(*options, langs="swa"):
    return make_plan(parser().parse_args(["--data", "x", "--langs", langs, "--teacher", "sbert:x", *options]))


@pytest.fixture
def bitext(tmp_path, made_up, write):
    return write(tmp_path / "mafand" / "eng-swa" / "train", made_up(3))


def test_a_pair_may_be_written_in_either_order(bitext):
    one, other = plan_of(f"--bitext=eng-swa={bitext}"), plan_of(f"--bitext=swa-eng={bitext}")
    assert one == other
    source = one.sources[0]
    assert (source.id, source.lang, source.tgt_lang) == ("mafand.eng-swa", "swa", "eng")
    assert source.src == f"{bitext}.swa" and source.tgt == f"{bitext}.eng"


def test_a_code_of_no_language_is_said(tmp_path, made_up, write, caplog):
    pair = write(tmp_path / "x", made_up(3), ("eng", "qqq"))
    assert plan_of(f"--bitext=eng-qqq={pair}", langs="qqq").sources[0].lang == "qqq"
    said = [message for message in caplog.messages if "stands for no language" in message]
    assert len(said) == 1 and said[0].startswith("'qqq'")


def test_corpora_of_one_pair_get_distinct_ids(bitext, tmp_path, made_up, write):
    other = write(tmp_path / "my 'corpus'" / "train", made_up(2))
    third = write(tmp_path / "mafand" / "more" / "train", made_up(2))
    again = write(tmp_path / "2" / "mafand" / "train", made_up(2))
    plan = plan_of(*(f"--bitext=eng-swa={prefix}" for prefix in (bitext, other, third, again)))
    ids = [source.id for source in plan.sources]
    assert ids == ["mafand.eng-swa", "my_corpus.eng-swa", "more.eng-swa", "mafand.eng-swa-2"]


@pytest.mark.parametrize(
    "path, name",
    [
        ("/data/mafand/eng-swa/train", "mafand"),
        ("train", "corpus"),
        ("/d/dev.v2", "v2"),
        ("a,b c/dev", "a_b_c"),
        ("/x/eng/tico19", "tico19"),
    ],
)
def test_corpus_names(path, name):
    assert corpus_name(path, ("eng", "swa")) == name


def test_gzip_is_found(tmp_path):
    for lang in ("eng", "swa"):
        (tmp_path / f"t.{lang}.gz").write_bytes(b"x")
    assert plan_of(f"--bitext=eng-swa={tmp_path}/t").sources[0].src.endswith("t.swa.gz")


def test_another_teacher_language(tmp_path, made_up, write):
    prefix = write(tmp_path / "c", made_up(2), ("fra", "bam"))
    with pytest.raises(ConfigError, match="neither side is eng"):
        plan_of(f"--bitext=fra-bam={prefix}", langs="bam")
    plan = plan_of(f"--bitext=bam-fra={prefix}", "--teacher-lang", "fra", langs="bam")
    assert (plan.sources[0].lang, plan.sources[0].tgt_lang) == ("bam", "fra")


def test_script_of_the_teacher_language_may_be_spelled_out(tmp_path, made_up, write):
    prefix = write(tmp_path / "c", made_up(2), ("eng_Latn", "swh_Latn"))
    source = plan_of(f"--bitext=swh_Latn-eng_Latn={prefix}", langs="swh_Latn").sources[0]
    assert (source.lang, source.tgt_lang) == ("swh_Latn", "eng_Latn")


@pytest.mark.parametrize(
    "options, langs, message",
    [
        (["--bitext=eng-swa={0}"], "swa,zul", "No --bitext for zul"),
        (["--bitext=eng-swa={0}"], "zul", "swa is not among --langs"),
        (["--bitext=eng-swa={0}", "--mono=zul={0}.swa"], "swa", "zul is not among"),
        (["--bitext=eng-swa"], "swa", "not of the form eng-swa=PREFIX"),
        (["--bitext=eng-swa={0}"], "swa,swa", "once"),
        (["--bitext=eng-swa={0}"], "swa,eng", "teacher's language"),
        (["--bitext=eng-swa={0}", "--increments=0"], "swa", "--increments 0"),
        (["--bitext=eng-swa={0}", "--increments=2", "--teacher-lang=tha"], "swa", "written without spaces"),
    ],
)
def test_contradictions_are_refused(bitext, options, langs, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(*(option.format(bitext) for option in options), langs=langs)


def test_missing_and_empty_files(bitext, tmp_path):
    with pytest.raises(DataError, match="Neither .*nowhere.swa nor"):
        plan_of(f"--bitext=eng-swa={tmp_path}/nowhere")
    (tmp_path / "empty").write_text("")
    with pytest.raises(DataError, match="empty is empty"):
        plan_of(f"--bitext=eng-swa={bitext}", f"--exclude={tmp_path}/empty")


def test_a_language_without_validation_is_said(bitext, caplog):
    plan_of(f"--bitext=eng-swa={bitext}")
    assert "no --valid for swa" in caplog.text


def test_the_size_of_a_vocabulary_may_be_left_to_the_advice(bitext):
    base = f"--bitext=eng-swa={bitext}"
    assert plan_of(base).spm_size == defaults.SPM_SIZE
    assert plan_of(base, "--spm-size=auto").spm_size == 0
    assert plan_of(base, "--spm-size=500", "--spm-temperature=inf").spm_temperature == math.inf


@pytest.mark.parametrize(
    "options, message",
    [
        (["--spm-size=many"], "--spm-size many must be auto or a number >= 8"),
        (["--spm-size=7"], "--spm-size 7 must be"),
        (["--spm-temperature=0.5"], "--spm-temperature 0.5 must be a number >= 1"),
        (["--spm-temperature=nan"], "--spm-temperature nan must be"),
        (["--cvocab={0}.swa"], "goes with --spm-model"),
        (["--spm-model={0}.swa", "--spm-size=100"], "leave --spm-size 100 out"),
    ],
)
def test_contradictions_about_the_vocabulary_are_refused(bitext, options, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(f"--bitext=eng-swa={bitext}", *(option.format(bitext) for option in options))


def test_a_cvocab_beside_the_model_is_taken(bitext, tmp_path):
    base = f"--bitext=eng-swa={bitext}"
    (tmp_path / "laser2.spm").write_bytes(b"x")
    model = f"--spm-model={tmp_path}/laser2.spm"
    assert plan_of(base, model).cvocab is None
    (tmp_path / "laser2.cvocab").write_text("a 1\n")
    plan = plan_of(base, model)
    assert (plan.spm_model, plan.cvocab) == (f"{tmp_path}/laser2.spm", f"{tmp_path}/laser2.cvocab")
    (tmp_path / "other").write_text("a 1\n")
    assert plan_of(base, model, f"--cvocab={tmp_path}/other").cvocab == f"{tmp_path}/other"
    with pytest.raises(DataError, match="nowhere.spm does not exist"):
        plan_of(base, f"--spm-model={tmp_path}/nowhere.spm")
