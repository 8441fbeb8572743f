"""Every reader on random bytes and on valid files that were changed at random: our own errors alone, and soon.

A few examples each here; ``bash tests/run.sh -m long tests/faults/test_fuzz.py`` tries thousands.
"""

import json
import math
import re
import shutil
import signal
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairseq_distill.cli.common import one_line
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import DistillError
from fairseq_distill.evaluation.report import report
from fairseq_distill.formats.json_file import from_json
from fairseq_distill.formats.manifest import Corpus
from tests.faults.formats import FORMATS
from tests.unit.evaluation.report_example import make_run

FAST = [name for name in FORMATS if not re.search("LASER|student|folder", name)]
SLOW = [name for name in FORMATS if name not in FAST]
TOKENS = [
    b"999999999999999999999", b"-1", b"0", b"null", b"NaN", b"Infinity", b"[]", b"{}", b'""', b"true", b"1e999", b"1e99", b"1e-320", b"1" * 400,
    b"[[" * 3000, b"\xff", b"\x00", b"\t", b"\n", b"\xef\xbb\xbf", "\u2028".encode(), "٣".encode(), b"1_0", b"../../x", b"PK\x03\x04", b"\x80\x04",
    b"\xff" * 8, b"\x93NUMPY",
]  # fmt: skip
EDITS = ["cut", "insert", "replace", "delete", "value"]
edits = st.lists(
    st.tuples(st.sampled_from(EDITS), st.floats(0, 1), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=12))),
    min_size=1, max_size=4,
)  # fmt: skip


def changed(whole, changes):
    """A valid file's bytes after some changes; ``value`` puts a token in the place of a number, text or bracket."""
    data = bytearray(whole)
    for kind, share, token in changes:
        place = int(share * len(data))
        if kind == "cut":
            del data[place:]
        elif kind == "insert":
            data[place:place] = token
        elif kind == "replace":
            data[place : place + len(token)] = token
        elif kind == "delete":
            del data[place : place + 9]
        else:
            found = list(re.finditer(rb'-?\d+(\.\d+)?|"[^"]*"|[\[{]', bytes(data)))
            if found:
                match = found[int(share * (len(found) - 1))]
                data[match.start() : match.end()] = token
    return bytes(data)


@contextmanager
def in_time(seconds=20):
    """A reader that hangs is a fault too."""

    def late(*_):
        raise AssertionError(f"no answer after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def only_our_errors(name, data, folder):
    file, _, read = FORMATS[name]
    path = folder / file
    whole = path.read_bytes()
    try:
        path.write_bytes(data)
        with in_time(), np.errstate(all="ignore"):
            read(path)
    except DistillError as error:
        assert one_line(str(error)).isprintable() and 10 < len(one_line(str(error))) <= 2000
    finally:
        path.write_bytes(whole)


def fuzz(name, folder, examples):
    whole = (folder / FORMATS[name][0]).read_bytes()

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(st.one_of(edits.map(lambda changes: changed(whole, changes)), st.binary(max_size=300)))
    def run(data):
        only_our_errors(name, data, folder)

    run()


@pytest.mark.parametrize("name", FAST)
def test_readers(name, made):
    fuzz(name, made, 60)


@pytest.mark.parametrize("name", SLOW)
def test_encoders(name, made):
    fuzz(name, made, 15)


@pytest.mark.long
@pytest.mark.parametrize("name", FAST)
def test_readers_long(name, made):
    fuzz(name, made, 3000)


@pytest.mark.long
@pytest.mark.parametrize("name", SLOW)
def test_encoders_long(name, made):
    fuzz(name, made, 500)


# --- checkpoints whose zip archive is sound and whose content is not

LEAVES = [
    None, 0, -1, 3, 10**9, 10**30, 1.5, math.nan, "", "x", "é", [], {}, [1], {"a": 1}, True, b"x",
    torch.zeros(2), torch.zeros(0), torch.zeros(3, 3, dtype=torch.int64), torch.full((48, 16), math.nan),
]  # fmt: skip
FILES = {"student": "student.pt", "LASER3": "laser/laser3-swh.v1.pt", "LASER2": "laser2/laser2.pt"}


def places(content, before=()):
    """The path of every value in nested dictionaries."""
    for key, value in content.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from places(value, (*before, key))


def fuzz_content(name, folder, examples):
    path = folder / FILES[name]
    whole = path.read_bytes()
    where = list(places(torch.load(path, weights_only=True)))

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(where), st.one_of(st.none(), st.integers(0, len(LEAVES) - 1)))
    def run(place, leaf):
        path.write_bytes(whole)
        state = torch.load(path, weights_only=True)
        inner = state
        for key in place[:-1]:
            inner = inner[key]
        if leaf is None:
            del inner[place[-1]]
        else:
            inner[place[-1]] = LEAVES[leaf]
        torch.save(state, path)
        try:
            with in_time():
                encoder = open_encoder(str(path), "cpu", "float32")
                assert encoder.encode(["the river", "a goat"]).shape == (2, encoder.dim)
        except DistillError as error:
            assert "\n" not in str(error)

    try:
        run()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_content_of_checkpoints(name, made):
    fuzz_content(name, made, 30)


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_content_of_checkpoints_long(name, made):
    fuzz_content(name, made, 1500)


def test_checkpoints_are_archives(made):
    assert zipfile.is_zipfile(made / "student.pt")  # so that the bytes above reach torch's reader


# --- the report, of a run in which one file was changed

PARTS = [
    "results.json",
    "mining/calibration.json",
    "mining/calibration.tsv",
    "log/train.json.log",
    "mined.tsv",
    "data/manifest.json",
    "scores.npy",
    "leakage.json",
    "mining/leakage.json",
]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, made):
    work = make_run(tmp_path_factory.mktemp("run") / "work", n_updates=40, n_mined=20)
    (work / "mining").mkdir()
    shutil.copy(made / "calibration.json", work / "mining" / "calibration.json")
    shutil.copy(made / "curve.tsv", work / "mining" / "calibration.tsv")
    shutil.copy(work / "leakage.json", work / "mining" / "leakage.json")
    report(work, work / "report.html")  # whole, it is made
    return work


def fuzz_report(part, work, examples):
    path = work / part
    whole = path.read_bytes()

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None)
    @given(edits)
    def run(changes):
        path.write_bytes(changed(whole, changes))
        try:
            with in_time(), np.errstate(all="ignore"):
                report(work, work / "report.html")
        except DistillError as error:
            assert one_line(str(error)).isprintable()

    try:
        run()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("part", PARTS)
def test_reports(part, run_folder):
    fuzz_report(part, run_folder, 15)


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
def test_reports_long(part, run_folder):
    fuzz_report(part, run_folder, 1000)


# --- typed JSON

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.fixed_dictionaries({}, optional={name: json_values for name in Corpus.__dataclass_fields__}))
def test_from_json_gives_the_types_or_refuses(raw):
    try:
        found = from_json(Corpus, json.loads(json.dumps(raw)))
    except (TypeError, ValueError):
        return
    for name in ("id", "kind", "split", "lang", "src", "src_text"):
        assert type(getattr(found, name)) is str
    assert type(found.n) is int and all(type(name) is str for name in found.teacher)
    assert found.tgt is None or type(found.tgt) is str
