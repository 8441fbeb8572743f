"""Lines come back as they were written, odd ones too, and a damaged file is named with its line."""

import gzip
import io
import os
import sys
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairseq_distill.errors import DataError
from fairseq_distill.formats import lines as module
from fairseq_distill.formats.lines import (
    MappedLines,
    PackedLines,
    count_lines,
    iter_lines,
    read_lines,
    require_file,
    require_same_length,
    write_lines,
)

# Everything that str.splitlines would split at, but for LF and CR.
BREAKS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
LINE = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["text", "text.gz"])
@given(lines=st.lists(LINE.filter(lambda line: not line.startswith("\ufeff"))))
def test_lines_come_back_as_written(tmp_path, name, lines):
    path = tmp_path / name
    assert write_lines(path, lines) == len(lines)
    assert read_lines(path) == lines
    assert count_lines(path) == len(lines)


def test_a_line_may_hold_every_other_separator(tmp_path):
    lines = [f"a{character}b" for character in BREAKS] + [BREAKS, "a\rb", "\x00", ""]
    path = tmp_path / "text"
    write_lines(path, lines)
    assert read_lines(path) == lines
    assert count_lines(path) == len(lines)


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"", []),
        (b"\n", [""]),
        (b"\n\n", ["", ""]),
        (b"a\nb", ["a", "b"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\nb\r", ["a", "b"]),
        (b"a\r\r\nb\n", ["a\r", "b"]),
        (b"a\rb\n", ["a\rb"]),
        (b"\xef\xbb\xbfa\nb\n", ["a", "b"]),
        (b"\xef\xbb\xbf", [""]),
        (b"a\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),  # only the first line can carry a mark
        (b" a \t\n", [" a \t"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_line_ends_and_marks(tmp_path, content, expected, packed):
    path = tmp_path / ("text.gz" if packed else "text")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read_lines(path) == expected
    assert count_lines(path) == len(expected)


def test_count_lines_over_block_borders(tmp_path):
    path = tmp_path / "text"
    for size in ((1 << 20) - 1, 1 << 20, (1 << 20) + 1):
        path.write_bytes(b"x" * size + b"\n" + b"y" * 10)
        assert count_lines(path) == 2


def test_invalid_utf8_is_named_with_line_and_byte(tmp_path):
    path = tmp_path / "latin1"
    path.write_bytes(b"good\n" * 1233 + "caf\u00e9!\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin1, line 1,234: byte 4 is not valid UTF-8; .*iconv"):
        read_lines(path)


@pytest.mark.parametrize(
    "raw", ["\ufeffab\n".encode("utf-16-le"), b"\xed\xa0\x80\n", b"\xc0\xaf\n", b"\xf5\x80\x80\x80\n"]
)
def test_what_only_looks_like_utf8_is_refused(tmp_path, raw):
    (tmp_path / "text").write_bytes(raw)
    with pytest.raises(DataError, match="line 1: byte .* is not valid UTF-8"):
        read_lines(tmp_path / "text")


def damaged(content: bytes) -> dict:
    packed = bytearray(gzip.compress(content))
    flipped = packed.copy()
    flipped[len(flipped) // 2] ^= 0xFF
    checksum = packed.copy()
    checksum[-8] ^= 0xFF
    return {"truncated": packed[:-20], "flipped": flipped, "checksum": checksum, "no gzip": b"plain text\n"}


@pytest.mark.parametrize("kind", ["truncated", "flipped", "checksum", "no gzip"])
@pytest.mark.parametrize("reader", [read_lines, count_lines])
def test_a_damaged_gzip_file_is_named(tmp_path, kind, reader):
    path = tmp_path / "text.gz"
    path.write_bytes(damaged(os.urandom(3000).hex().encode() + b"\n")[kind])
    with pytest.raises(DataError, match="text.gz is a damaged or truncated gzip file|not valid UTF-8"):
        reader(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="nothing does not exist"):
        read_lines(tmp_path / "nothing")
    with pytest.raises(DataError, match="nothing.gz does not exist"):
        count_lines(tmp_path / "nothing.gz")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_lines(tmp_path)


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("a\u2028b\r\nc".encode())))
    assert list(iter_lines("-")) == ["a\u2028b", "c"]


def test_a_line_feed_in_a_line_is_a_bug_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="line 2 .* line feed"):
        write_lines(tmp_path / "text", ["a", "b\nc"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["text", "text.gz"])
def test_lines_that_fail_to_come_leave_the_old_file(tmp_path, name):
    def lines():
        yield "new"
        raise DataError("the source is damaged")

    path = tmp_path / name
    write_lines(path, ["old"])
    with pytest.raises(DataError, match="the source is damaged"):
        write_lines(path, lines())
    assert read_lines(path) == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_equal_lines_give_equal_gzip_bytes_under_any_name(tmp_path):
    write_lines(tmp_path / "one.gz", ["a", "b"])
    write_lines(tmp_path / "other.gz", ["a", "b"])
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "other.gz").read_bytes()


@pytest.mark.parametrize("name", ["text", "text.gz"])
def test_a_full_disk(small_disk, name):
    with pytest.raises(DataError, match="The disk is full"):
        write_lines(small_disk / name, (os.urandom(100).hex() for _ in range(2000)))
    assert list(small_disk.iterdir()) == []


def test_require_same_length_gives_both_numbers():
    require_same_length("a", 3, "b", 3)
    with pytest.raises(DataError, match="a.swa has 1,204 lines but a.eng has 1,203"):
        require_same_length("a.swa", 1204, "a.eng", 1203)


def test_require_file(tmp_path):
    path = tmp_path / "text"
    with pytest.raises(DataError, match="text does not exist"):
        require_file(path)
    path.touch()
    with pytest.raises(DataError, match="text is empty"):
        require_file(path)
    path.write_text("a")
    assert require_file(str(path)) == path
    with pytest.raises(DataError, match="is no regular file"):
        require_file(tmp_path)


@pytest.mark.parametrize("scanned", [1, 7, 64, 1 << 24])
def test_mapped_lines_are_the_lines_wherever_a_scan_ends(tmp_path, monkeypatch, scanned):
    monkeypatch.setattr(module, "_SCANNED", scanned)
    monkeypatch.setattr(module, "_ANCHORED", 4)
    lines = [f"line {number} \u2028 ሰ\x85"[: number % 9] for number in range(23)]
    write_lines(tmp_path / "text", lines)
    mapped = MappedLines(tmp_path / "text")
    assert [mapped[row] for row in range(23)] == lines
    for row in (23, 24, 1000, -1):
        with pytest.raises(IndexError, match="of 23"):
            mapped[row]


@given(st.lists(LINE, max_size=12), st.data())
def test_packed_lines_are_a_list(lines, data):
    packed = PackedLines(lines)
    assert len(packed) == len(lines) and list(packed) == lines
    assert [packed[row] for row in range(-len(lines), len(lines))] == lines + lines
    part = data.draw(st.slices(len(lines)))
    assert packed[part] == lines[part]
    for row in (len(lines), -len(lines) - 1):
        with pytest.raises(IndexError):
            packed[row]
    packed.append("\u0431 \U0001f600")
    assert packed[len(lines)] == "\u0431 \U0001f600" and packed[: len(lines)] == lines


def test_packed_lines_take_eight_bytes_beside_the_text():
    n, line = 20_000, "\u043d\u0435\u0431\u043e " * 5  # 45 bytes of UTF-8, 124 as a str
    tracemalloc.start()
    try:
        packed = PackedLines(line for _ in range(n))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(packed) == n and held < n * (45 + 8) * 1.2
