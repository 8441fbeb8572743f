"""Results lines: what goes in comes out, no run stands there twice, a kill leaves a whole file."""

import json
import multiprocessing
import os
from dataclasses import asdict

import numpy as np
import pytest
from run_records import Record, append_record, pack_wrong, read_records, sets_of, unpack_wrong

from fairseq_distill.errors import DataError
from fairseq_distill.formats import atomic

SIZES = {"a.eng-amh": 200, "b.eng-orm": 7, "c.eng-som": 101}


def record(wrong, key="k1", **options):
    return Record(key, "base", "horn", None, 1, "cpu", 800, sets_of(wrong), pack_wrong(wrong), **options)


def test_bits_come_back(random_wrong):
    for seed in range(5):
        wrong = random_wrong(seed, SIZES)
        found = unpack_wrong(sets_of(wrong), pack_wrong(wrong))
        assert list(found) == list(wrong)
        for name, rows in wrong.items():
            for margin, bits in rows.items():
                assert found[name][margin].tolist() == bits.tolist()


def test_counts_are_those_of_the_bits(random_wrong):
    wrong = random_wrong(1, SIZES)
    for name, n, errors in sets_of(wrong):
        assert n == SIZES[name] and errors == {margin: int(np.sum(bits)) for margin, bits in wrong[name].items()}


def test_bits_that_do_not_fit_their_counts_are_refused(random_wrong):
    wrong = random_wrong(1, SIZES)
    sets = sets_of(wrong)
    sets[0][2]["ratio"] += 1
    with pytest.raises(DataError, match="its bits say"):
        unpack_wrong(sets, pack_wrong(wrong))
    with pytest.raises(DataError, match="bytes of bits where 300"):
        unpack_wrong([("a", 300, {})], pack_wrong(wrong))
    with pytest.raises(DataError, match="damaged"):
        unpack_wrong(sets, "no bits")


def test_lines_come_back_and_a_key_is_written_once(tmp_path, random_wrong):
    path = tmp_path / "docs" / "r.jsonl"
    first = record(random_wrong(1, SIZES), versions={"torch": "2"}, cpu_seconds=3.5)
    second = record(random_wrong(2, SIZES), key="k2")
    for each in (first, second, first, second):
        append_record(path, each)
    assert [asdict(each) for each in read_records(path)] == [asdict(first), asdict(second)]
    assert len(path.read_text().splitlines()) == 2 and os.listdir(path.parent) == ["r.jsonl"]


def test_a_last_line_without_line_feed_stays_a_line_of_its_own(tmp_path, random_wrong):
    path = tmp_path / "r.jsonl"
    append_record(path, record(random_wrong(1, SIZES)))
    path.write_text(path.read_text().rstrip("\n"))
    append_record(path, record(random_wrong(2, SIZES), key="k2"))
    assert [each.key for each in read_records(path)] == ["k1", "k2"]


def test_damaged_and_repeated_lines_are_named(tmp_path, random_wrong):
    path = tmp_path / "r.jsonl"
    append_record(path, record(random_wrong(1, SIZES)))
    line = path.read_text()
    path.write_text(line + line)
    with pytest.raises(DataError, match="line 2: the run k1 stands there twice"):
        read_records(path)
    path.write_text(line + line[:50] + "\n")
    with pytest.raises(DataError, match="line 2 is no result"):
        read_records(path)
    changed = json.loads(line)
    changed["sets"][0][1] += 8
    path.write_text(json.dumps(changed) + "\n")
    with pytest.raises(DataError, match="line 1 is no result"):
        read_records(path)


def _append_some(path, wrong, first):
    for number in range(first, first + 5):
        append_record(path, record(wrong, key=f"k{number}"))


def test_processes_side_by_side_lose_no_line(tmp_path, random_wrong):
    path, wrong = tmp_path / "r.jsonl", random_wrong(1, {"a.eng-amh": 9})
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append_some, args=(path, wrong, first)) for first in (0, 5, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(each.key for each in read_records(path)) == sorted(f"k{number}" for number in range(10))


def test_a_kill_while_writing_leaves_the_lines_before(tmp_path, random_wrong, monkeypatch):
    path = tmp_path / "r.jsonl"
    append_record(path, record(random_wrong(1, SIZES)))
    before = path.read_bytes()

    class Killed(BaseException):
        pass

    def killed(*args):
        raise Killed

    monkeypatch.setattr(atomic.os, "replace", killed)
    with pytest.raises(Killed):
        append_record(path, record(random_wrong(2, SIZES), key="k2"))
    assert path.read_bytes() == before
