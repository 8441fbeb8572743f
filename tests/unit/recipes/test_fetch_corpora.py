"""Downloads: whole or not at all, tried again a bounded number of times, gone on with after a kill, licence recorded."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpora_lock import SHARED, read_lock
from family_config import ListedCorpus, read_config
from fetch_corpora import every, main, parser, place_of, sides_of

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import sha256_file
from fairseq_distill.formats.lines import read_lines

ROOT = Path(__file__).resolve().parents[3]
NEWS = "Made-news-1-eng-swh"  # an alias: its text is kept as swa
WEB = "Made-web-1-swa-eng"
MONO = "Made-mono-1-swa"
CONFIG = f'LANGS=(swa)\nCORPORA=("swa {NEWS} CC-BY-4.0" "swa {WEB} QED" "swa {MONO} CC-BY")\n'


@pytest.fixture
def world(tmp_path, monkeypatch, write_config):
    """A family, an output folder, a made-up mtdata first on the PATH and no importable one; returns (fetch, fake, output)."""
    fake, bin_folder, output = tmp_path / "fake", tmp_path / "bin", tmp_path / "corpora"
    fake.mkdir()
    bin_folder.mkdir()
    command = bin_folder / "mtdata"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("fake_mtdata.py")}" "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_MTDATA", str(fake))
    for name in ("mtdata", "mtdata.cache", "mtdata.entry", "mtdata.index"):  # another test may have imported them
        monkeypatch.setitem(sys.modules, name, None)
    folder = write_config(tmp_path / "family", CONFIG)

    def fetch(*options):
        arguments = ["--config", str(folder), "--output", str(output), "--wait-s", "0.01", *options]
        main(parser().parse_args(arguments))

    fetch.folder = folder
    return fetch, fake, output


def calls(fake):
    return (fake / "calls").read_text().split() if (fake / "calls").exists() else []


def test_what_is_fetched_lies_as_data_root_does(world):
    fetch, fake, output = world
    (fake / NEWS).write_text("ok:300")
    fetch()
    news = output / "bitext" / NEWS / "eng-swa"
    train, dev = read_lines(news / "train.swa"), read_lines(news / "dev.swa")
    assert (len(train), len(dev)) == (240, 60)  # a fifth of it, as it is less than HELDOUT
    assert set(train) | set(dev) == {f"swh sentence number {i} of {NEWS} is here" for i in range(300)}
    assert not (output / "bitext" / WEB / "eng-swa" / "dev.swa").exists()  # one dev set a language
    assert len(read_lines(output / "mono" / f"{MONO}.swa.txt")) == 40
    record = json.loads((news / "corpus.json").read_text())
    assert (record["licence"], record["class"], record["fetched"], record["attempts"]) == ("CC-BY-4.0", "open", 300, 1)
    assert record["files"]["train.swa"]["sha256"] == sha256_file(news / "train.swa")
    assert json.loads((output / "mono" / f"{MONO}.swa.json").read_text())["licence"] == "CC-BY"
    assert not [path for path in (output / ".partial").iterdir() if path.is_dir()]
    fetch()
    assert calls(fake) == [NEWS, WEB, MONO]  # nothing is fetched twice


@pytest.mark.parametrize("fault", ["fail", "flagless", "uneven"])
def test_a_fault_is_tried_again(world, fault, caplog):
    fetch, fake, output = world
    (fake / NEWS).write_text(f"{fault}\n{fault}\nok")
    fetch()
    assert calls(fake) == [NEWS] * 3 + [WEB, MONO]
    assert (
        json.loads((place_of(read_config(fetch.folder).corpora[0], output) / "corpus.json").read_text())["attempts"]
        == 3
    )
    waits = [record.message.rpartition("again in ")[2] for record in caplog.records if "again in" in record.message]
    assert waits == ["0.01 s", "0.02 s"]


@pytest.mark.parametrize("fault, said", [("fail", "503"), ("flagless", "no sign"), ("uneven", "40 and 39 lines")])
def test_what_never_works_is_never_half_used(world, fault, said, caplog):
    fetch, fake, output = world
    (fake / NEWS).write_text(fault)
    with pytest.raises(DataError, match=f"1 of 3 corpora could not be fetched: {NEWS}"):
        fetch("--attempts", "2")
    assert said in caplog.text
    assert calls(fake) == [NEWS, NEWS, WEB, MONO]  # the others are fetched all the same
    assert not (output / "bitext" / NEWS).exists() and (output / "bitext" / WEB / "eng-swa" / "train.swa").exists()
    fetch("--attempts", "1", "--allow-missing")
    (fake / NEWS).write_text("ok")
    fetch()
    assert calls(fake)[4:] == [NEWS, NEWS]


def test_monolingual_text_that_breaks_off_is_not_taken(world):
    fetch, fake, output = world
    (fake / MONO).write_text("cut:5\nok:6")
    fetch()
    assert len(read_lines(output / "mono" / f"{MONO}.swa.txt")) == 6


def test_a_file_that_was_cut_afterwards_is_fetched_again(world):
    fetch, fake, output = world
    fetch()
    path = output / "bitext" / WEB / "eng-swa" / "train.swa"
    path.write_text(path.read_text()[:100])
    fetch()
    assert calls(fake) == [NEWS, WEB, MONO, WEB] and len(read_lines(path)) == 40


def test_what_is_new_is_recorded_and_said(world, caplog):
    caplog.set_level("INFO")
    fetch, _, output = world
    fetch()
    pins = read_lock(output / "corpora.lock.tsv")
    assert sorted(pins) == sorted([(NEWS, "eng"), (NEWS, "swh"), (WEB, "swa"), (WEB, "eng"), (MONO, "swa")])
    text = "".join(f"swh sentence number {i} of {NEWS} is here\n" for i in range(40)).encode()
    assert (pins[NEWS, "swh"].sha256, pins[NEWS, "swh"].lines) == (hashlib.sha256(text).hexdigest(), 40)
    assert caplog.text.count("as it is fetched for the first time") == 3
    shutil.rmtree(output / "bitext")
    fetch("--max-pairs", "7")  # the sums are those of the whole corpus
    assert caplog.text.count("| checksums as before") == 2


@pytest.mark.parametrize("name, side", [(WEB, "eng"), (MONO, "swa")])
@pytest.mark.parametrize("shared", [False, True])
def test_a_corpus_that_has_changed_is_refused(name, side, shared, world, tmp_path):
    fetch, fake, output = world
    fetch()
    lock, before = output / "corpora.lock.tsv", read_lock(output / "corpora.lock.tsv")[name, side].sha256
    options = ()
    if shared:  # with the lock of another machine, into a new folder
        lock = lock.rename(tmp_path / "shared.tsv")
        options = ("--lock", str(lock))
    shutil.rmtree(output / "bitext"), shutil.rmtree(output / "mono")
    (fake / name).write_text("other\nother\nok")
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            fetch(*options, "--allow-missing")
        said = str(caught.value)
        assert (
            f"{name}, side {side}: the fetched text has SHA-256 " in said
            and f"but {lock} has {before} (40 lines, 20" in said
        )
        assert f"--accept-changed {name}" in said
        assert not list((output / "bitext").glob(f"{name}*")) and not list((output / "mono").glob(f"{name}*"))
    fetch(*options)  # as it was


def test_a_new_version_is_taken_where_that_is_said(world, tmp_path, caplog):
    caplog.set_level("INFO")
    fetch, fake, output = world
    fetch()
    lock = (output / "corpora.lock.tsv").rename(tmp_path / "shared.tsv")
    shutil.rmtree(output / "bitext")
    (fake / WEB).write_text("other")
    fetch("--lock", str(lock), "--accept-changed", WEB)
    assert "as a new version" in caplog.text
    assert set(read_lock(output / "corpora.lock.tsv")) == {
        (WEB, "eng"),
        (WEB, "swa"),
    }  # the rest is as the shared one has it
    shutil.rmtree(output / "bitext")
    fetch("--lock", str(lock))  # one's own counts more than the shared one


def test_a_text_that_was_changed_afterwards_is_refused(world):
    fetch, fake, output = world
    fetch()
    path = output / "bitext" / WEB / "eng-swa" / "train.swa"
    before = sha256_file(path)
    path.write_text(path.read_text().replace("number 7", "number 9"))  # of the same size
    with pytest.raises(
        DataError, match=f"has SHA-256 {sha256_file(path)}, but .*corpus.json says {before}: .* remove it"
    ):
        fetch()
    path.unlink()
    fetch()
    assert calls(fake) == [NEWS, WEB, MONO, WEB] and sha256_file(path) == before


def test_a_lock_that_is_damaged_is_named(world, tmp_path):
    fetch, _, _ = world
    (tmp_path / "lock.tsv").write_text("# corpus\nMade-news-1-eng-swh\teng\tabc\t40\t2026-11-30\n")
    with pytest.raises(DataError, match="lock.tsv, line 2: .*is not 'corpus<TAB>side"):
        fetch("--lock", str(tmp_path / "lock.tsv"), "--attempts", "1")


def test_the_lock_of_the_recipes_can_be_read():
    assert SHARED.is_file() and isinstance(read_lock(SHARED), dict)


def test_a_run_that_was_killed_goes_on(world):
    fetch, fake, output = world
    (fake / WEB).write_text("hang\nok")
    command = [sys.executable, str(ROOT / "recipes" / "fetch_corpora.py"), "--config", str(fetch.folder)]
    # Without an importable mtdata, as in the other tests.
    shadow = fake / "shadow" / "mtdata"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError\n")
    environment = {**os.environ, "PYTHONPATH": f"{shadow.parent}:{ROOT}"}
    run = subprocess.Popen([*command, "--output", str(output)], env=environment, start_new_session=True)
    for _ in range(600):
        if (fake / "hangs").exists():
            break
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert (output / "bitext" / NEWS / "eng-swa" / "corpus.json").exists()
    assert (output / ".partial" / WEB).exists() and not (output / "bitext" / WEB).exists()
    fetch()
    assert calls(fake) == [NEWS, WEB, WEB, MONO]
    assert len(read_lines(output / "bitext" / WEB / "eng-swa" / "train.eng")) == 40
    assert not (output / ".partial" / WEB).exists()


def test_an_attempt_without_end_is_ended(world, caplog):
    fetch, fake, _ = world
    (fake / NEWS).write_text("hang\nok")
    fetch("--timeout-s", "3")
    assert "no end after 3 s" in caplog.text and calls(fake)[:2] == [NEWS, NEWS]


def test_licences_that_are_not_wanted_are_not_fetched(world, caplog):
    caplog.set_level("INFO")
    fetch, fake, output = world
    fetch("--licences", "open")
    assert calls(fake) == [NEWS, MONO]
    assert f"left out | swa | {WEB} | licence QED (research)" in caplog.text
    assert f"fetched | swa | {NEWS} | 40 lines | licence CC-BY-4.0" in caplog.text
    with pytest.raises(ConfigError, match="LICENCES names free"):
        fetch("--licences", "free")


def test_a_dry_run_fetches_nothing(world, capsys):
    fetch, fake, output = world
    fetch("--dry-run", "--licences", "open")
    assert capsys.readouterr().out.splitlines() == [
        f"to fetch | swa | {NEWS} | licence CC-BY-4.0",
        f"left out | swa | {WEB} | licence QED",
        f"to fetch | swa | {MONO} | licence CC-BY",
    ]
    assert calls(fake) == [] and not output.exists()


def test_no_mtdata(world, monkeypatch, tmp_path):
    fetch, _, _ = world
    only_bash = tmp_path / "only_bash"
    only_bash.mkdir()
    (only_bash / "bash").symlink_to(str(shutil.which("bash")))
    monkeypatch.setenv("PATH", str(only_bash))
    with pytest.raises(ConfigError, match="mtdata is not installed"):
        fetch()


def test_the_sides_of_an_id():
    assert sides_of(ListedCorpus("din", "O-x-1-dik_Latn-eng", "QED")) == ("eng", "dik_Latn")
    with pytest.raises(ConfigError, match="is listed for swa, which is neither"):
        sides_of(ListedCorpus("swa", "O-x-1-eng-kik", "QED"))


@pytest.mark.parametrize("n, limit", [(0, 5), (3, 5), (5, 5), (10, 3), (1000, 7), (7, 6)])
def test_a_large_corpus_is_thinned_evenly(n, limit):
    kept = [i for i, keep in enumerate(every(n, limit)) if keep]
    assert len(kept) == min(n, limit)
    gaps = [b - a for a, b in zip(kept, kept[1:])]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_the_cap_is_the_same_on_both_sides(world):
    fetch, _, output = world
    fetch("--max-pairs", "7")
    folder = output / "bitext" / WEB / "eng-swa"
    numbers = [[line.split()[3] for line in read_lines(folder / f"train.{code}")] for code in ("eng", "swa")]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 7


def test_a_small_corpus_gives_no_dev_set(world):
    fetch, fake, output = world
    (fake / NEWS).write_text(f"ok:{int(defaults.MIN_VALID / defaults.HELDOUT_SHARE) - 1}")
    (fake / WEB).write_text(f"ok:{int(defaults.MIN_VALID / defaults.HELDOUT_SHARE)}")
    fetch()
    assert not (output / "bitext" / NEWS / "eng-swa" / "dev.swa").exists()
    assert len(read_lines(output / "bitext" / WEB / "eng-swa" / "dev.swa")) == defaults.MIN_VALID
