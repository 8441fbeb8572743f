import json
import os

import pytest
from stamps import Stamps, Step

from fairseq_distill.errors import DataError


@pytest.fixture
def chain(tmp_path):
    """Two steps, b after a, that copy in upper case; and a list of what has run."""
    (tmp_path / "in").write_text("one")
    ran = []

    def step(name, before, **options):
        return Step(name, [tmp_path / before], [tmp_path / name], options, [tmp_path / "code.py"])

    def run(**options):
        (tmp_path / "code.py").touch()
        stamps = Stamps(tmp_path)
        ran.clear()
        for name, before in (("a", "in"), ("b", "a")):

            def action(name=name, before=before):
                ran.append(name)
                (tmp_path / name).write_text((tmp_path / before).read_text().upper())
                return {"made": name}

            assert stamps.run(step(name, before, **(options if name == "b" else {})), action) == {"made": name}
        stamps.save()
        return list(ran)

    return tmp_path, run


def test_only_what_depends_on_a_change_runs_again(chain):
    folder, run = chain
    assert run() == ["a", "b"]
    assert run() == []
    (folder / "in").write_text("two")
    assert run() == ["a", "b"]
    (folder / "in").write_text("Two")  # another input, the same output of a
    assert run() == ["a"]
    assert run(size=3) == ["b"]
    assert run(size=3) == []
    (folder / "code.py").write_text("# another version")
    assert run(size=3) == ["a", "b"]


def test_touching_a_file_changes_nothing(chain):
    folder, run = chain
    run()
    os.utime(folder / "in", (1, 1))
    os.utime(folder / "a", (2, 2))
    assert run() == []


def test_a_lost_or_damaged_output_is_made_again(chain):
    folder, run = chain
    run()
    (folder / "b").unlink()
    assert run() == ["b"]
    (folder / "a").write_text("WAN")  # the size has not changed
    assert run() == ["a"]
    (folder / "stamps" / "b.json").write_text("{")
    assert run() == ["b"]
    (folder / "stamps" / "checksums.json").write_text("[")
    assert run() == []


def test_a_step_that_fails_leaves_neither_stamp_nor_manifest(tmp_path):
    (tmp_path / "in").write_text("x")
    (tmp_path / "manifest.json").write_text("{}")
    step = Step("s", [tmp_path / "in"], [tmp_path / "out"])

    def fails():
        raise DataError("no")

    with pytest.raises(DataError):
        Stamps(tmp_path).run(step, fails)
    assert not (tmp_path / "manifest.json").exists() and not (tmp_path / "stamps" / "s.json").exists()
    assert not Stamps(tmp_path).is_current(step)


def test_a_moved_folder_is_still_current(tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "in").write_text("x")

    def run(folder):
        ran = []
        step = Step("s", [folder / "in"], [folder / "out"])
        Stamps(folder).run(step, lambda: (folder / "out").write_text("y") and ran.append(1))
        return ran

    assert run(folder)
    folder.rename(tmp_path / "two")
    assert not run(tmp_path / "two")


def test_a_missing_input_names_the_remedy(tmp_path):
    with pytest.raises(DataError, match="earlier --stage"):
        Stamps(tmp_path).is_current(Step("s", [tmp_path / "none"], [])) or Stamps(tmp_path).checksum(tmp_path / "none")


def test_checksums_are_cached_only_once_a_file_has_settled(tmp_path):
    (tmp_path / "f").write_text("1")
    stamps = Stamps(tmp_path)
    first = stamps.checksum(tmp_path / "f")
    (tmp_path / "f").write_text("2")  # within the clock's tick, with the same size
    assert stamps.checksum(tmp_path / "f") != first
    os.utime(tmp_path / "f", (1, 1))
    stamps.checksum(tmp_path / "f")
    stamps.save()
    assert str(tmp_path / "f") in json.loads((tmp_path / "stamps" / "checksums.json").read_text())
