"""A full disk, a read-only one, a folder that cannot be made, two runs on one output: one sentence, nothing half made."""

import gc
import importlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from fairseq_distill.cli.common import run_command
from fairseq_distill.cli.embed import cli_main as embed
from fairseq_distill.cli.export import cli_main as export
from fairseq_distill.cli.mine import cli_main as mine
from fairseq_distill.cli.report import cli_main as report
from fairseq_distill.cli.teach import cli_main as teach
from fairseq_distill.errors import DataError
from fairseq_distill.export.folder import _sweep, check_output, new_folder
from fairseq_distill.formats import results
from fairseq_distill.formats.atomic import atomic_path, require_file_place, write_text
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.partial import PartialRows
from fairseq_distill.progress import Steps
from tests.faults.formats import PROGRAMS
from tests.faults.tools import content, own_rows, own_teacher, refused, write_nllb
from tests.unit.export.export_students import train_spm, write_student

REPO = Path(__file__).parents[2]
LINES = [
    f"sentence {i} with quite some letters in it, {'x' * 60}" for i in range(3000)
]  # 200 kB, more than the small disk holds
COMMANDS = ["teach", "embed", "ready rows", "mine", "scores", "safetensors", "laser", "report", "clean", "text"]
COMMANDS += ["hide_pairs", "filter_pairs", "calibrate", "evaluate", "from_nllb", "onnx", "sentence-transformers"]
FOLDERS = ["evaluate", "from_nllb"]  # these make folders within their output before they write


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    (folder / "a").write_text("".join(line + "\n" for line in LINES))
    np.save(
        folder / "a.npy", np.repeat(own_rows(LINES[:1000]), 3, axis=0) + np.arange(3000, dtype=np.float32)[:, None] % 3
    )
    (folder / "few").write_text("".join(line + "\n" for line in LINES[:1200]))
    np.save(folder / "few.npy", own_rows(LINES[:1200]))
    write_student(folder / "student.pt", train_spm(), dim=64, ffn_dim=64, output_dim=64)
    with pytest.MonkeyPatch.context() as patch:
        for place in PROGRAMS:
            patch.syspath_prepend(place)
        _write_bitext(folder)
    write_nllb(folder, train_spm(), LINES[:20])
    (folder / "run").mkdir()
    results.write_results(folder / "run", results.Results([]))
    return folder


def _write_bitext(folder):
    """A bitext, mined pairs of it, and a few pairs hidden to calibrate with their vectors."""
    for lang, word in (("swa", "neno"), ("eng", "word")):
        lines = [line.replace("letters", word) for line in LINES[:1200]]
        (folder / f"bitext.{lang}").write_text("".join(line + "\n" for line in lines))
        (folder / f"small.{lang}").write_text("".join(line + "\n" for line in lines[:12]))
        (folder / f"known.{lang}").write_text(lines[3] + "\n")
    rows = [f"1.5\t{one}\t{one} or another\t{i}\t{i}\n" for i, one in enumerate(LINES[:1200], start=1)]
    (folder / "mined.tsv").write_text("".join(rows))
    main, words = _hiding(folder, "small", folder / "hidden")
    assert main([str(word) for word in words]) == 0
    for lang in ("swa", "eng"):
        np.save(folder / f"mono.{lang}.npy", own_rows((folder / "hidden" / f"mono.{lang}").read_text().splitlines()))


def _hiding(given, name, output):
    words = ["--quiet", "--pair", "swa-eng", "--input", given / name, "--hide", 4, "--alone", 2]
    return _program("hide_pairs"), [*words, "--mono", f"swa={given / name}.swa", "--output", output]


def _program(name):
    """The main function of a program of data_prep/ or recipes/."""

    def main(words):
        module = importlib.import_module(name)
        if not hasattr(module, "cli_main"):
            return run_command(module._parser(), module.main, words)
        with mock.patch("sys.argv", [name, *words]):
            return module.cli_main()

    return main


def program(name, given, folder):
    """The same as ``command``, of the programs of data_prep/ and recipes/; None where the name is none of theirs."""
    if name == "hide_pairs":
        return _hiding(given, "bitext", folder)
    if name == "filter_pairs":
        words = ["--pair", "swa-eng", "--mined", given / "mined.tsv", "--threshold", "1", "--known", given / "known"]
        return _program(name), ["--quiet", *words, "--output", folder / "mined"]
    if name == "calibrate":
        words = ["--pair", "swa-eng", "--known", given / "hidden", "-k", "2", "--output", folder]
        words += ["--src-emb", given / "mono.swa.npy", "--tgt-emb", given / "mono.eng.npy"]
        return _program("calibrate_mining"), ["--quiet", *words]
    if name == "evaluate":
        words = ["--encoder", f"own={own_teacher(given)}", "--set", f"news={given / 'small'}", "--work", folder]
        return _program("evaluate_sets"), ["--quiet", *words]
    if name == "from_nllb":
        words = ["--config", given / "nllb.json", "--data", folder, "--teacher", own_teacher(given)]
        return lambda words: importlib.import_module(name).cli(words), ["--quiet", *words]
    return None


def command(name, given, folder):
    """(function, words) of a command that writes into ``folder`` more than a small disk holds."""
    spec = own_teacher(given)
    mined = [
        "--src-text",
        given / "few",
        "--tgt-text",
        given / "few",
        "--src-emb",
        given / "few.npy",
        "--tgt-emb",
        given / "few.npy",
    ]
    words = {
        "teach": (teach, ["--teacher", spec, "--input", given / "a", "--output", folder / "o.npy", "--dtype", "float32"]),
        "embed": (embed, ["--path", spec, "--input", given / "a", "--output", folder / "o.npy"]),
        "ready rows": (teach, ["--teacher", f"file:{given / 'a.npy'}", "--input", given / "a", "--output", folder / "o.npy", "--dtype", "float32"]),
        "mine": (mine, [*mined, "--output", folder / "o.tsv", "--threshold", "0"]),
        "scores": (mine, [*mined, "--output", given / "spare.tsv", "--scores", folder / "s.npy", "--threshold", "99"]),
        "safetensors": (export, ["--path", given / "student.pt", "--format", "safetensors", "--output", folder / "student"]),
        "laser": (export, ["--path", given / "student.pt", "--format", "laser", "--output", folder / "student"]),
        "report": (report, ["--work", given / "run", "--output", folder / "o.html"]),
    }  # fmt: skip
    if name in words:
        return words[name]
    if found := program(name, given, folder):
        return found
    if name in ("onnx", "sentence-transformers"):
        if name == "onnx":
            pytest.importorskip("onnx", reason="onnx is not installed")
        return export, ["--path", given / "student.pt", "--format", name, "--output", folder / "student"]
    if name == "text":
        return _raising(lambda: write_text(folder / "o.json", "x" * 200_000)), []
    from clean import clean_corpus
    from plan_file import Source

    outputs = [folder / part for part in ("out", "dropped.gz", "keys")]
    return _raising(lambda: clean_corpus(Source("x", "mask", "train", "swa", str(given / "a")), outputs, 1)), []


def _raising(action):
    def main(words):
        try:
            action()
        except DataError as error:
            print(f"step: error: {error}", file=sys.stderr)
            return 1
        return 0

    return main


@pytest.fixture
def read_only(tmp_path):
    """A folder on a file system that nobody, root neither, may write to."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("a read-only file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small_disk"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    if subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("a small file system needs root")
    yield folder
    gc.collect()  # a writer of PyTorch that failed may have its file open as long as the error is held
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name, given, small_disk, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(REPO / "data_prep"))
    if name in ("scores", "report", "calibrate", "evaluate", "from_nllb"):  # these write little
        (small_disk / "ballast").write_bytes(bytes(48 << 10))
    refused(capsys, *command(name, given, small_disk), "disk is full")
    left = {path for path in content(small_disk) if path != "ballast" and ".partial" not in path}
    left = {path for path in left if name not in FOLDERS or (small_disk / path).is_file()}
    assert left == set()  # rows that are whole may wait for the next run, under a hidden name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_disk(name, given, read_only, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(REPO / "data_prep"))
    refused(capsys, *command(name, given, read_only), "(?i)read-only")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_where_a_folder_should_be(name, given, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(REPO / "data_prep"))
    (tmp_path / "file").write_text("not a folder")
    said = "cannot be made|is not a folder; make it first|could not be written|no folder|Not a directory"
    refused(capsys, *command(name, given, tmp_path / "file"), said, tmp_path)


@pytest.mark.parametrize("name", ["embed", "mine", "report", "teach"])
def test_an_output_that_is_a_folder(name, given, tmp_path, capsys):
    for taken in ("o.npy", "o.tsv", "o.html"):
        (tmp_path / taken).mkdir()
        (tmp_path / taken / "mine").write_text("precious")
    main, words = command(name, given, tmp_path)
    refused(capsys, main, words, "(?i)could not be written|it is a folder|directory")
    assert all((tmp_path / taken / "mine").read_text() == "precious" for taken in ("o.npy", "o.tsv", "o.html"))


@pytest.mark.parametrize("name", ["xsim", "mine"])
def test_standard_output_on_a_full_disk(name, given):
    words = ["--json", "--quiet"]
    if name == "xsim":
        words += ["--src", given / "few.npy", "--tgt", given / "few.npy"]
    else:
        words += [str(word) for word in command("mine", given, given)[1]]
    with open("/dev/full", "w") as full:
        program = [sys.executable, "-m", f"fairseq_distill.cli.{name}", *map(str, words)]
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=REPO)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "No space left" in done.stderr and "error: " in done.stderr


# --- what is no file, in a file's place


@pytest.mark.parametrize("name", ["teach", "embed", "ready rows", "mine", "scores", "report", "text"])
def test_a_pipe_in_a_files_place_stays_one(name, given, tmp_path, capsys):
    main, words = command(name, given, tmp_path)
    output = next(Path(word) for word in map(str, words or [tmp_path / "o.json"]) if Path(word).parent == tmp_path)
    os.mkfifo(output)
    refused(capsys, main, words, f"{output.name} cannot be written: it is a device or a pipe")
    assert output.is_fifo() and [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.parametrize(
    "path", ["/dev/null", "/dev/full", "/dev/stdout", "/dev/not-there", "/dev/fd/1", "/proc/self/fd/1"]
)
def test_a_device_keeps_its_place(path):
    with pytest.raises(DataError, match="device or a pipe"):
        require_file_place(path)
    require_file_place("/dev/shm/a-file")


def test_a_file_behind_a_link_is_one(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "nowhere").symlink_to("missing")
    for name in ("file", "link", "nowhere", "new"):
        require_file_place(tmp_path / name)


# --- an output with the name of an input


@pytest.mark.parametrize(
    "name", ["teach", "mine", "raw rows", "split_heldout", "filter_pairs", "hide_pairs", "augment_targets"]
)
def test_what_is_read_is_not_written_over(name, given, tmp_path, capsys, monkeypatch):
    for place in PROGRAMS:
        monkeypatch.syspath_prepend(place)
    for source in ("a", "few", "mined.tsv", "bitext.swa", "bitext.eng"):
        shutil.copy(given / source, tmp_path / source)
    shutil.copy(given / "bitext.swa", tmp_path / "kept.swa"), shutil.copy(given / "bitext.eng", tmp_path / "kept.eng")
    teacher, pair = own_teacher(given), ["--pair", "swa-eng"]
    main, words = {
        "teach": (teach, ["--teacher", teacher, "--input", tmp_path / "a", "--output", tmp_path / "a"]),
        "mine": (mine, ["--src-text", tmp_path / "few", "--tgt-text", tmp_path / "few", "--src-emb", given / "few.npy",
                        "--tgt-emb", given / "few.npy", "--output", tmp_path / "few"]),
        "raw rows": (embed, ["--path", teacher, "--raw", "--input", tmp_path / "a", "--output", f"{tmp_path}/./a"]),
        "split_heldout": (_program("split_heldout"), [*pair, "--input", tmp_path / "bitext", "--train", tmp_path / "bitext",
                                                      "--heldout", f"{tmp_path / 'dev'}=5"]),
        "filter_pairs": (_program("filter_pairs"), [*pair, "--input", tmp_path / "bitext", "--output", tmp_path / "bitext"]),
        "hide_pairs": (_program("hide_pairs"), [*pair, "--input", tmp_path / "kept", "--hide", 4, "--output", tmp_path]),
        "augment_targets": (_program("augment_targets"), ["--input", tmp_path / "a", "--output", tmp_path / "a"]),
    }[name]  # fmt: skip
    before = content(tmp_path)
    refused(capsys, main, words, "is read or written already by this command; give the output a name of its own")
    assert content(tmp_path) == before


def test_a_report_takes_no_other_files_place(given, tmp_path, capsys):
    (tmp_path / "results.json").write_text("{}")
    refused(capsys, report, ["--work", given / "run", "--output", tmp_path / "results.json"], "is no HTML page")
    assert (tmp_path / "results.json").read_text() == "{}"
    for _ in range(2):
        assert report(["--work", str(given / "run"), "--output", str(tmp_path / "page")]) == 0


# --- two runs


def holding(path, action):
    """Run ``action`` while another process is writing ``path``."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with atomic_path(path) as temporary:
            temporary.write_text("the other run's")
            os.write(ready[1], b"x")
            os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        action()
    finally:
        os.write(go[1], b"x")
        os.waitpid(child, 0)
    assert Path(path).read_text() == "the other run's"  # it was not disturbed


@pytest.mark.parametrize("name", ["mine", "scores", "report", "text", "clean"])
def test_two_runs_do_not_write_one_file(name, given, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(REPO / "data_prep"))
    output = tmp_path / {"mine": "o.tsv", "scores": "s.npy", "report": "o.html", "text": "o.json", "clean": "out"}[name]
    main, words = command(name, given, tmp_path)
    holding(output, lambda: refused(capsys, main, words, rf"{output.name} is being made by another process"))
    output.unlink()
    assert main([str(word) for word in words]) == 0  # now it may


@pytest.mark.parametrize("name", ["embed", "teach"])
def test_two_runs_do_not_make_the_same_rows(name, given, tmp_path, capsys):
    main, words = command(name, given, tmp_path)
    with PartialRows(tmp_path / "o.npy", {"another": "run"}, 8):
        refused(capsys, main, words, "o.npy is being made by another process")
    assert main([str(word) for word in words]) == 0
    np.testing.assert_allclose(open_embeddings(tmp_path / "o.npy"), own_rows(LINES), rtol=1e-3)


def test_many_writers_at_once_leave_one_whole_file(tmp_path):
    texts = {f"{number}" * 300_000 for number in range(6)}
    refusals = []

    def write(text):
        try:
            write_text(tmp_path / "o", text)
        except DataError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=write, args=(text,)) for text in texts for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "o").read_text() in texts
    assert all("another process" in refusal for refusal in refusals)
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_an_export_at_work_is_let_be_and_a_dead_one_is_swept(tmp_path):
    with new_folder(tmp_path / "student", False, Steps("export", 2)) as at_work:
        (at_work / "half").write_text("half")
        check_output(tmp_path / "student", False)
        assert (at_work / "half").exists()
    dead = tmp_path / "student.tmp999999"
    dead.mkdir()
    (tmp_path / "student.tmpx").mkdir()  # not ours
    _sweep(tmp_path / "student")
    assert not dead.exists() and (tmp_path / "student.tmpx").exists()
    os.replace(tmp_path / "student", tmp_path / "student.old999999")  # killed between two renames
    _sweep(tmp_path / "student")
    assert (tmp_path / "student" / "half").read_text() == "half"
