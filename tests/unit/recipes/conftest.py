"""The programs of recipes/ find each other in their own folder; so do the tests."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "recipes"))


def write_text_file(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def add_pairs():
    """Write a made-up part of a corpus, and say where it is."""

    def add(root, corpus, pair, part, n, sides=None):
        for code in pair.split("-"):
            write_text_file(root / corpus / pair / f"{part}.{code}", [f"{corpus} {part} {code} {i}" for i in range(n)])
        return root / corpus / pair

    return add


@pytest.fixture
def write_config():
    """Write a family's folder."""

    def write(folder, text):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.sh").write_text(text, encoding="utf-8")
        source = ROOT / "recipes" / "family.sh"
        (folder / "run.sh").write_text(
            f'source "{source}"\nrun_family "$(dirname "${{BASH_SOURCE[0]}}")" "$@"\n', encoding="utf-8"
        )
        return folder

    return write
