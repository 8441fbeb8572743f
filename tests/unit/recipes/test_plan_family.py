"""A config and a folder of corpora in, the words of recipes/student.sh out."""

import subprocess
from pathlib import Path

import pytest
from corpora_root import scan
from family_config import read_config, shipped_families
from plan_family import NO_TEXT, NoTextError, cli_main, leave_out_untrained, linked, student_arguments

from fairseq_distill.errors import DataError
from fairseq_distill.formats.lines import read_lines

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def root(tmp_path, add_pairs):
    bitext = tmp_path / "data" / "bitext"
    add_pairs(bitext, "news", "eng-din", "train", 60)
    add_pairs(bitext, "news", "eng-din", "dev", 50)
    add_pairs(bitext, "tales", "eng-dik", "train", 6)
    add_pairs(bitext, "tales", "eng-dik", "dev", 49)
    mono = tmp_path / "data" / "mono"
    mono.mkdir()
    for code in ("din", "luo"):
        (mono / f"{code}.txt").write_text("one\ntwo\n")
    return tmp_path / "data"


def arguments(root, config, work):
    corpora = scan(root, config.all_languages, ["eng"])
    leave_out_untrained(corpora)
    return student_arguments(config, corpora, work, ["eng"])


def values(words, option):
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_the_words(tmp_path, root, write_config):
    text = "LANGS=(luo din)\nSPM_SIZE=4000\nTEMPERATURE=3\nCURRICULUM=progressive\nINCREMENTS=3\nOPTIONS=(--lr 1)\n"
    words = arguments(root, read_config(write_config(tmp_path / "f", text)), tmp_path / "work")
    bitext, tales = root / "bitext", tmp_path / "work" / "text" / "tales" / "eng-din"
    assert values(words, "--langs") == ["din"]  # nothing to learn Luo from
    assert values(words, "--bitext") == [f"eng-din={bitext}/news/eng-din/train", f"eng-din={tales}/train"]
    assert values(words, "--mono") == [f"din={root}/mono/din.txt"]
    assert values(words, "--valid") == [f"eng-din={bitext}/news/eng-din/dev"]
    # 49 pairs are too few to judge by, but not to be trained on either.
    assert values(words, "--exclude") == [f"{tales}/dev.eng", f"{tales}/dev.din"]
    assert read_lines(tales / "train.din") == read_lines(bitext / "tales" / "eng-dik" / "train.dik")
    assert words[words.index("--") :] == [
        "--", "--sampling-temperature", "3", "--curriculum", "progressive", "--curriculum-increments", "3", "--lr", "1",
    ]  # fmt: skip
    assert values(words, "--spm-size") == ["4000"] and values(words, "--increments") == ["3"]
    assert arguments(root, read_config(tmp_path / "f"), tmp_path / "work") == words  # again, links and all


def test_a_link_is_made_only_for_an_alias(tmp_path, root):
    plain, alias = (c for c in scan(root, ["din"], ["eng"]) if c.teacher_lang)
    assert linked(plain, str(plain.train), tmp_path / "work") == plain.train
    assert linked(alias, str(alias.train), None) == alias.train and not (tmp_path / "work").exists()


def test_no_text(tmp_path, root, write_config, monkeypatch, capsys):
    folder = write_config(tmp_path / "f", "LANGS=(luo)\n")
    with pytest.raises(NoTextError, match="no training pairs for any of luo with eng on the other side"):
        arguments(root, read_config(folder), tmp_path / "work")
    words = ["plan_family.py", "--config", str(folder), "--root", str(root), "--work", str(tmp_path / "work")]
    monkeypatch.setattr("sys.argv", words)
    assert cli_main() == NO_TEXT
    assert "plan_family.py: error: There are no training pairs" in capsys.readouterr().err


def test_no_dev_pairs(tmp_path, add_pairs, write_config):
    add_pairs(tmp_path / "data", "news", "eng-din", "train", 60)
    with pytest.raises(DataError, match="no dev pairs for din"):
        arguments(tmp_path / "data", read_config(write_config(tmp_path / "f", "LANGS=(din)\n")), tmp_path / "work")


def run(folder, root, **environment):
    import os

    return subprocess.run(
        ["bash", str(folder / "run.sh"), "--dry-run", "--work", str(root / "work")],
        env={**os.environ, "FAIRSEQ_DISTILL_VENV": "none", "DATA_ROOT": str(root), **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("folder", shipped_families(), ids=lambda folder: folder.name)
def test_every_family_runs_dry(tmp_path, folder, add_pairs):
    config = read_config(folder)
    for code in config.langs:
        add_pairs(tmp_path / "bitext", "invented", f"eng-{code}", "train", 50)
        add_pairs(tmp_path / "bitext", "invented", f"eng-{code}", "dev", 50)
    done = run(folder, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{config.name} | {config.family} | languages {', '.join(config.langs)}"
    for code in config.langs:
        assert f"bitext | eng-{code} | invented | 50 train, 50 dev | licence not stated" in lines
    assert lines[-1].startswith(
        f"bash recipes/student.sh --langs {','.join(config.langs)} --teacher-lang eng --spm-size 8000 --bitext"
    )
    assert not (tmp_path / "work").exists()
