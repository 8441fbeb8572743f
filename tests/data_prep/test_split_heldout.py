import split_heldout

from fairseq_distill.cli.common import run_command
from fairseq_distill.formats.lines import read_lines

FIRST = [
    "One two three four five",
    "one two three four five!",
    "Short",
    "A b c d e f",
    "G h i j k l",
    "M n o p q r",
    "S t u v w x",
]
SECOND = ["moja", "mbili", "fupi", "same", "same", "m n", "s t"]


def run(folder, *options):
    return run_command(
        split_heldout._parser(),
        split_heldout.main,
        ["--quiet", "--pair", "eng-swa", "--input", f"{folder}/all", "--train", f"{folder}/train", *options],
    )


def write_input(folder):
    for lang, side in (("eng", FIRST), ("swa", SECOND)):
        (folder / f"all.{lang}").write_text("".join(line + "\n" for line in side))


def test_only_sentences_distinct_on_both_sides_are_held_out(tmp_path):
    write_input(tmp_path)
    assert run(tmp_path, "--heldout", f"{tmp_path}/dev=1", "--heldout", f"{tmp_path}/test=1") == 0
    held = {line for part in ("dev", "test") for line in read_lines(tmp_path / f"{part}.eng")}
    assert held == {"M n o p q r", "S t u v w x"}
    assert read_lines(tmp_path / "train.eng") == FIRST[:5]
    assert read_lines(tmp_path / "train.swa") == SECOND[:5]


def test_the_choice_does_not_depend_on_the_order(tmp_path, made_up, write):
    pairs = made_up(40)
    chosen = []
    for name, lines in (("a", pairs), ("b", pairs[::-1])):
        write(tmp_path / name / "all", lines)
        assert run(tmp_path / name, "--heldout", f"{tmp_path}/{name}/dev=5", "--min-words=4") == 0
        chosen.append(set(read_lines(tmp_path / name / "dev.eng")))
    assert chosen[0] == chosen[1] and len(chosen[0]) == 5


def test_too_few_sentences_is_an_error_with_both_numbers(tmp_path, capsys):
    write_input(tmp_path)
    assert run(tmp_path, "--heldout", f"{tmp_path}/dev=3") == 1
    said = capsys.readouterr().err
    assert "has 2 distinct sentences" in said and "than the 3 to hold out" in said
    assert not (tmp_path / "train.eng").exists()
    assert run(tmp_path, "--heldout", "dev") == 1
