"""The documentation holds: links and names lead somewhere, and every command in it has only options that exist."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
FOLDERS = ("docs", "recipes", "data_prep")  # with the folder of each family
PAGES = sorted(
    [REPO / "README.md", REPO / "CONTRIBUTING.md", *(page for name in FOLDERS for page in (REPO / name).rglob("*.md"))]
)
PARSERS = {
    "fairseq-embed": ("embed", "make_embed_parser"), "fairseq-teach": ("teach", "make_teach_parser"),
    "fairseq-export": ("export", "make_export_parser"), "fairseq-doctor": ("doctor", "make_doctor_parser"),
    "fairseq-mine": ("mine", "_parser"), "fairseq-report": ("report", "_parser"), "fairseq-xsim": ("xsim", "_parser"),
}  # fmt: skip
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)


def slug(heading):
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip())
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def anchors(path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return {slug(line.lstrip("#")) for line in text.split("\n") if line.startswith("#")}


def commands(path):
    """The commands in the fenced blocks of a page that has no language named, line ends with a backslash joined."""
    for language, block in FENCE.findall(path.read_text(encoding="utf-8")):
        if language in ("", "bash", "sh"):
            yield from block.replace("\\\n", " ").split("\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_every_link_to_a_heading_finds_it(page):
    broken = []
    for file, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        path = (page.parent / file).resolve() if file else page
        if path.suffix == ".md" and (not path.exists() or anchor not in anchors(path)):
            broken.append(f"{file}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_every_link_to_a_file_finds_it(page):
    links = re.findall(r"\]\((?!\w+:)([^)\s#]+)", FENCE.sub("", page.read_text(encoding="utf-8")))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_python_in_the_pages_imports_what_there_is():
    found = set()
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            for node in ast.walk(ast.parse(block)) if language == "python" else ():
                if isinstance(node, ast.ImportFrom) and node.module.startswith("fairseq_distill"):
                    found |= {(node.module, alias.name) for alias in node.names}
    missing = [name for name in sorted(found) if not hasattr(importlib.import_module(name[0]), name[1])]
    assert missing == [] and found


def options_of(words):
    """The options of a command line, as far as they are its own: not those after a lone ``--``."""
    words = words[: words.index("--")] if "--" in words else words
    return [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word) and not re.match(r"-\d", word)]


def known_options(program):
    if program in PARSERS:
        module, name = PARSERS[program]
        parser = getattr(importlib.import_module(f"fairseq_distill.cli.{module}"), name)()
        return {option for action in parser._actions for option in action.option_strings}
    text = (REPO / program).read_text(encoding="utf-8")  # a recipe or a step: every option that stands in it
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text)) | {"--quiet", "--version", "--help"}


def test_every_command_has_only_options_that_exist():
    seen, wrong = set(), []
    for page in PAGES:
        for line in commands(page):
            line = re.split(r"\s+[|>]\s+|\s+#\s", line.replace("…", "").replace("[", "").replace("]", ""))[0]
            try:
                words = shlex.split(line)
            except ValueError:
                continue
            while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] in ("bash", "python")):
                words = words[1:]
            if not words or not (words[0] in PARSERS or re.fullmatch(r"(recipes|data_prep)/[\w/]+\.(sh|py)", words[0])):
                continue
            if "FAMILY" in words[0] or "/run.sh" in words[0]:
                continue
            seen.add(words[0])
            unknown = [option for option in options_of(words[1:]) if option not in known_options(words[0])]
            wrong += [f"{page.name}: {words[0]} {option}" for option in unknown]
    assert wrong == []
    assert len(seen) > 15 and set(PARSERS) - {"fairseq-xsim"} <= seen, "the commands were found at all"


# Threads of users of LASER, fairseq and their kin that docs/faq.md answers.
THREADS = {
    "facebookresearch/fairseq": (1309, 2644, 3064, 3540, 3705, 4409, 5012, 5191, 5310, 5329, 5603, 5610, 5634),
    "facebookresearch/LASER": (
        47, 48, 49, 57, 70, 110, 127, 145, 150, 192, 198, 200, 203, 212, 214, 215, 226, 228, 229, 247, 250, 260, 268, 270, 280, 284,
    ),
    "facebookresearch/SONAR": (17, 49, 59, 77, 82),
    "facebookresearch/stopes": (3, 5, 7),
    "facebookresearch/faiss": (2678, 3720),
    "UKPLab/sentence-transformers": (604, 1164),
    "yannvgn/laserembeddings": (17, 34),
    "raymondhs/fairseq-laser": (2, 4),
}  # fmt: skip


@pytest.mark.parametrize("repository", THREADS)
def test_the_questions_of_these_threads_are_answered(repository):
    text = (REPO / "docs" / "faq.md").read_text(encoding="utf-8")
    linked = {
        int(number) for number in re.findall(rf"\(https://github\.com/{repository}/(?:issues|pull)/(\d+)\)", text)
    }
    assert linked == set(THREADS[repository])
    for number in THREADS[repository]:  # a link to the thread names its number, alone or behind the repository's
        assert re.search(rf"\[(?:[\w -]+ )?{number}\]\(https://github\.com/{repository}/", text)


def test_a_post_outside_github_is_answered_too():
    assert "(https://lydianishimwe.ke/blog/fairseq-overwrite)" in (REPO / "docs" / "faq.md").read_text(encoding="utf-8")


def test_the_figures_are_those_that_the_script_draws():
    script = (REPO / "docs" / "figures" / "make.py").read_text(encoding="utf-8")
    drawn = set(re.findall(r'save\(figure, "(\w+)"\)', script))
    here = {path.stem for path in (REPO / "docs" / "figures").glob("*.svg")}
    shown = set(re.findall(r"\(figures/(\w+)\.svg\)", (REPO / "docs" / "explained.md").read_text(encoding="utf-8")))
    assert drawn == here == shown and all(
        (REPO / "docs" / "figures" / f"{name}.svg").stat().st_size < 60_000 for name in here
    )


def test_every_page_is_in_the_table_of_contents():
    index = (REPO / "docs" / "README.md").read_text(encoding="utf-8")
    assert [
        page.name for page in (REPO / "docs").glob("*.md") if f"({page.name})" not in index and page.name != "README.md"
    ] == []
