"""What setup.py, the requirement files and the scripts promise is there, and they say the same."""

import ast
import re
import runpy
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("recipes", "data_prep", "tests", "benchmarks", ".ci")
    for path in (REPO / folder).rglob("*")
    if path.suffix == ".sh" or path == REPO / ".ci" / "run"
)
SCRIPT_IDS = [str(path.relative_to(REPO)) for path in SCRIPTS]


@pytest.fixture(scope="module")
def metadata():
    """The arguments that setup.py hands to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    given = {}
    original = setuptools.setup
    setuptools.setup = lambda **arguments: given.update(arguments)
    try:
        runpy.run_path(str(REPO / "setup.py"))
    finally:
        setuptools.setup = original
    return given


def test_every_console_script_has_its_function(metadata):
    scripts = metadata["entry_points"]["console_scripts"]
    assert len(scripts) >= 5
    for script in scripts:
        name, module, function = re.fullmatch(r"(\S+) = (\S+):(\S+)", script).groups()
        path = REPO / (module.replace(".", "/") + ".py")
        assert path.is_file(), f"{name}: {path} is missing"
        defined = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert function in defined, f"{name}: {module} has no {function}"


def test_every_command_has_its_console_script(metadata):
    scripts = " ".join(metadata["entry_points"]["console_scripts"])
    for path in (REPO / "fairseq_distill" / "cli").glob("*.py"):
        if "def cli_main(" in path.read_text():
            assert f"fairseq-{path.stem} = fairseq_distill.cli.{path.stem}:cli_main" in scripts


def test_every_folder_with_modules_is_packaged(metadata):
    folders = {path.parent.relative_to(REPO) for path in (REPO / "fairseq_distill").rglob("*.py")}
    assert {".".join(folder.parts) for folder in folders} == set(metadata["packages"])


def test_every_other_file_of_the_package_is_packaged(metadata):
    package = REPO / "fairseq_distill"
    packaged = {path for pattern in metadata["package_data"]["fairseq_distill"] for path in package.glob(pattern)}
    others = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == packaged


def name_of(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def lines(name: str) -> list:
    stripped = [line.split("#")[0].strip() for line in (REPO / name).read_text().splitlines()]
    return [line for line in stripped if line]


def test_every_requirement_has_one_tested_version():
    pins = [name_of(line) for line in lines("constraints.txt") if re.fullmatch(r"\S+==\S+", line)]
    assert len(pins) == len(set(pins)) == len(lines("constraints.txt"))
    assert {name_of(line) for line in lines("requirements.txt")} - set(pins) == set()


def test_requirement_files_leave_torch_and_fairseq_to_the_set_up():
    for name in ("requirements.txt", "constraints.txt"):
        assert not {"torch", "torchaudio", "fairseq", "fairseq-fixed"} & {name_of(line) for line in lines(name)}


def test_setup_and_set_up_name_the_same_fairseq(metadata):
    script = (REPO / "recipes" / "setup_env.sh").read_text()
    spec = re.search(r'^FAIRSEQ_SPEC="(.+)"$', script, re.M)[1]
    assert spec in metadata["extras_require"]["train"]


def test_what_the_set_up_installs_covers_all_extras(metadata):
    installed = {name_of(line) for line in lines("requirements.txt")} | {"torch", "fairseq-fixed"}
    wanted = {name_of(line) for line in [*metadata["install_requires"], *metadata["extras_require"]["all"]]}
    assert wanted - installed == set()


@pytest.mark.parametrize("path", SCRIPTS, ids=SCRIPT_IDS)
def test_every_script_is_strict(path):
    text = path.read_text(encoding="utf-8")
    if path.name == "config.sh":  # recipes/family_config.py reads it with strict settings
        assert not re.search(r"^set |^source |[`$]\(", text, re.M)
        return
    sources_common = re.search(r'^\s*(source|\.) .*(common|family)\.sh"?$', text, re.M)
    assert re.search(r"^set -euo pipefail$", text, re.M) or sources_common


@pytest.mark.parametrize("path", SCRIPTS, ids=SCRIPT_IDS)
def test_every_script_parses(path):
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_top_level_holds_only_what_it_should():
    tracked = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=False)
    if tracked.returncode or not tracked.stdout:
        pytest.skip("no git checkout")
    allowed = re.compile(
        r"fairseq_distill|recipes|data_prep|tests|docs|benchmarks|setup\.(py|cfg)|pyproject\.toml|MANIFEST\.in|README\.md|LICENSE"
        r"|CHANGELOG\.md|CITATION\.cff|CONTRIBUTING\.md|\.ci|\.git.*|\.editorconfig|(requirements|constraints).*\.txt"
    )
    tops = {line.partition("/")[0] for line in tracked.stdout.splitlines()}
    assert {top for top in tops if not allowed.fullmatch(top)} == set()


PAGES = [
    path
    for path in [*REPO.glob("*.md"), *REPO.glob("*/*.md"), *REPO.glob("recipes/*/*.md")]
    if ".venv" not in path.parts
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_files_that_the_readme_names_are_there():
    text = (REPO / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:fairseq_distill|recipes|data_prep|tests|docs)/[\w/.]+)`", text))
    assert len(named) > 5
    assert [name for name in named if not (REPO / name).exists()] == []


def test_functions_that_the_readme_names_are_there():
    text = (REPO / "README.md").read_text(encoding="utf-8")
    for module, function in re.findall(r"`(fairseq_distill(?:\.\w+)+)\.(\w+)`", text):
        tree = ast.parse((REPO / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}, (
            f"{module}.{function}"
        )
