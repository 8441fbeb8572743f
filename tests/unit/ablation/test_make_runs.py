"""The commands of a run: precision outside what makes its key, validations where the curriculum needs them, switches."""

import make_runs
import pytest
from claims import SIZES, VARIANTS, Run
from make_runs import Workshop, compare
from run_records import Record, pack_wrong, sets_of
from run_sources import MINILM_SPEC, Corpora, prepare_command

SIZE = SIZES["cpu"]


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """The words that plan a variant's training; nothing is run."""

    def words(name):
        commands = []

        def execute(command, log, output=None):
            commands.append(list(map(str, command)))
            if output:
                output.write_text("true\n")
            return 1.0

        monkeypatch.setattr(make_runs, "execute", execute)
        (tmp_path / "root" / "bitext").mkdir(parents=True, exist_ok=True)
        shop = Workshop(tmp_path / "work", Corpora(tmp_path / "root"), "cpu", SIZE)
        shop.train(Run(VARIANTS[name], "lakes", 1), "key", tmp_path)
        return commands[0]

    return words


def value(words, option):
    return words[words.index(option) + 1]


def test_precision_does_not_depend_on_the_machine_and_is_no_part_of_the_key(planned):
    assert value(planned("base"), "--autocast") == "bfloat16"
    assert not any("autocast" in {**variant.training_options(), **SIZE.options} for variant in VARIANTS.values())
    assert value(prepare_command("data", [], MINILM_SPEC), "--teacher-precision") == "bfloat16"
    assert "--teacher-precision" not in prepare_command("data", [], "laser2:x")


def test_plateau_alone_validates(planned):
    plateau, step = planned("curriculum-plateau"), planned("curriculum-step")
    assert "--disable-validation" in step and "--validate-interval-updates" not in step
    assert "--disable-validation" not in plateau and value(plateau, "--validate-interval-updates") == "125"


def test_a_switch_has_no_value(planned):
    words = planned("mlm-staged")
    assert (words + ["--"])[words.index("--curriculum-mlm") + 1].startswith("--") and "" not in words


def test_a_run_made_again_is_compared_bit_by_bit(random_wrong, capsys):
    def record(wrong):
        return Record("k", "mlm", "lakes", None, 1, "cpu", 1500, sets_of(wrong), pack_wrong(wrong))

    wrong = random_wrong(1, {"a.eng-lug": 40, "b.eng-nyn": 60})
    recorded = {"k": record(wrong)}
    compare(recorded, record(wrong))
    wrong["b.eng-nyn"]["distance"][[3, 7]] ^= True
    compare(recorded, record(wrong))
    assert capsys.readouterr().out.splitlines() == [
        f"k  lakes mlm seed 1: {n} of 100 sentences judged otherwise" for n in (0, 2)
    ]
