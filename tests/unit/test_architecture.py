"""The plan of the house: who imports whom, read from the sources; what runs without fairseq; no default without a reader.

The way of a sentence goes down the table: nothing imports what stands below it, and there is no cycle.
"""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path
from typing import AbstractSet, Dict, Iterator, List, Set, Tuple

import pytest

REPO = Path(__file__).parents[2]
PACKAGE = "fairseq_distill"

# Part of the house: the parts it may import beside itself, and the packages from elsewhere.
# A part is a module or a folder; the longest name that fits counts ("data/fairseq_datasets" before "data").
GROUND = {"", "errors", "defaults", "languages", "progress", "cpu"}  # "" is the package itself, for its version
FILES = GROUND | {"formats", "text", "encoder"}
MODELS = FILES | {"data", "modules", "teachers"}
MINING = FILES | {"mining", "evaluation"}
FAIRSEQ = {"fairseq", "omegaconf", "hydra", "numpy", "torch"}
RULES: Dict[str, Tuple[Set[str], Set[str]]] = {
    "": (set(), set()),  # docs/README.md, "Registration", says why
    "errors": (set(), set()),
    "defaults": (set(), set()),
    "progress": (set(), set()),
    "cpu": (set(), set()),
    "languages": (GROUND, set()),
    "language_codes": (GROUND, {"mtdata"}),
    "machine": (GROUND, set()),
    "environment": (GROUND | {"machine"}, set()),  # loads what it looks at by name, so that nothing missing stops it
    "formats": (GROUND, {"numpy"}),
    "text": (GROUND | {"formats"}, {"numpy", "sentencepiece", "sacremoses"}),
    "encoder": (GROUND | {"formats"}, {"numpy"}),
    "data": (FILES, {"numpy"}),
    "modules": (FILES | {"data"}, {"numpy", "torch"}),
    "teachers": (FILES | {"data", "modules"}, {"numpy", "torch"}),
    "teachers/sbert": (
        FILES | {"data", "modules", "teachers"},
        {"numpy", "torch", "sentence_transformers", "transformers", "huggingface_hub"},
    ),
    "teachers/sbert_tokenizer": (FILES | {"teachers/sbert"}, {"tokenizers", "huggingface_hub"}),
    "mining": (FILES, {"numpy", "torch"}),
    "evaluation": (FILES | {"mining"}, {"numpy"}),
    "embedding": (MODELS, {"numpy", "torch", "safetensors"}),
    "export": (MODELS | {"embedding"}, {"torch", "safetensors"}),
    "export/onnx_encode": (
        set(),
        {"numpy", "sentencepiece", "onnxruntime"},
    ),  # is copied into each folder, and runs alone
    "data/fairseq_datasets": (FILES | {"data"}, FAIRSEQ),
    "models": (MODELS, FAIRSEQ),
    "criterions": (MODELS, FAIRSEQ),
    "optimizers": (GROUND, FAIRSEQ),
    "tasks": (MODELS | MINING | {"data/fairseq_datasets", "embedding", "models", "criterions", "optimizers"}, FAIRSEQ),
    "cli": (MODELS | MINING | {"environment", "machine", "teachers/sbert", "embedding", "export"}, {"numpy"}),
}
for _part in ("embedding", "teachers"):  # both load a teacher of any kind
    RULES[_part][0].add("teachers/sbert")
# The programs of data_prep and of the recipes, which nobody imports; one of them lets the teacher embed its side.
PROGRAMS = {
    "data_prep": (
        FILES | {"language_codes", "data", "cli", "embedding", "teachers", "teachers/sbert_tokenizer"},
        {"numpy", "sentencepiece", "sacremoses"},
    ),
    "recipes": (
        MODELS | MINING | {"language_codes", "cli", "embedding"},
        {"numpy", "torch", "mtdata", "mteb", "datasets", "sentence_transformers"},
    ),
    "recipes/ablation": (MODELS | MINING | {"cli", "embedding"}, {"numpy", "torch", "sentencepiece"}),
    "recipes/nmt": (
        FILES | {"evaluation", "cli"},
        {"sentencepiece", "sacrebleu", "spm_training"},
    ),  # one of data_prep's
}
WITH_FAIRSEQ = {"data/fairseq_datasets", "models", "criterions", "optimizers", "tasks"}

SOURCES = sorted((REPO / PACKAGE).rglob("*.py"))
STEPS = sorted(path for folder in PROGRAMS for path in (REPO / folder).glob("*.py"))


def module_name(path: Path) -> str:
    """``formats.lines`` for ``fairseq_distill/formats/lines.py``; a package has its folder's name."""
    parts = path.relative_to(REPO / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


def part_of(module: str) -> str:
    """The row of the table that a module falls under."""
    name = module.replace(".", "/")
    while name not in RULES:
        assert "/" in name, f"{module} is in no part of the table: give it a row"
        name = name.rpartition("/")[0]
    return name


def imported(path: Path) -> Iterator[Tuple[int, str]]:
    """(line, dotted name) of every import of a file, those inside functions and by ``import_module`` too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = inner.startswith(f"{PACKAGE}.") and inner[len(PACKAGE) + 1 :] in MODULES
                yield node.lineno, inner if is_module else node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)


def violations(
    path: Path, own: str, allowed: Set[str], packages: Set[str], beside: AbstractSet[str] = frozenset()
) -> List[str]:
    """What a file imports against its row of the table."""
    found = []
    for line, name in imported(path):
        top = name.partition(".")[0]
        if top == PACKAGE:
            part = part_of(name[len(PACKAGE) + 1 :])
            good = part == own or part in allowed
        else:
            good = top in sys.stdlib_module_names or top in packages or top in beside
        if not good:
            found.append(f"{path.name}:{line} imports {name}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module or PACKAGE)
def test_a_module_imports_only_what_its_row_allows(module):
    part = part_of(module)
    assert violations(MODULES[module], part, *RULES[part]) == []


@pytest.mark.parametrize("path", STEPS, ids=lambda path: str(path.relative_to(REPO)))
def test_a_program_imports_only_what_its_row_allows(path):
    beside = {step.stem for step in STEPS if step.parent == path.parent}
    folder = path.parent.relative_to(REPO).as_posix()
    assert violations(path, folder, *PROGRAMS[folder], beside=beside) == []


def test_a_violation_is_found_wherever_it_hides(tmp_path):
    path = tmp_path / "lines.py"
    path.write_text(
        "import os, numpy\n"
        "from fairseq_distill.errors import DataError\n"
        "def late():\n"
        "    import fairseq.data\n"
        "    from fairseq_distill.mining import margin\n"
        "    return __import__('torch')\n"
    )
    expected = ["fairseq.data", "fairseq_distill.mining.margin", "torch"]
    assert [line.split()[-1] for line in violations(path, "formats", *RULES["formats"])] == expected


def test_every_row_of_the_table_is_there():
    parts = {part_of(module) for module in MODULES}
    assert parts == set(RULES)


def test_the_table_itself_goes_one_way():
    assert tuple(
        graphlib.TopologicalSorter(
            {part: row[0] - {part, "teachers/sbert"} for part, row in RULES.items()}
        ).static_order()
    )


def test_no_cycle_of_modules():
    graph = {
        module: {
            name[len(PACKAGE) + 1 :]
            for _line, name in imported(path)
            if name.startswith(f"{PACKAGE}.") and name[len(PACKAGE) + 1 :] != module
        }
        for module, path in MODULES.items()
    }
    assert tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the cycle


def test_no_cycle_of_programs():
    names = {step.stem for step in STEPS}
    graph = {step.stem: {name for _line, name in imported(step) if name in names} for step in STEPS}
    assert tuple(graphlib.TopologicalSorter(graph).static_order())


def test_the_package_itself_imports_nothing():
    assert list(imported(REPO / PACKAGE / "__init__.py")) == []
    program = "import sys; before = set(sys.modules); import fairseq_distill; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPO)
    assert loaded.stdout.split() == [PACKAGE]


def test_everything_but_the_plugin_runs_without_fairseq():
    names = [f"{PACKAGE}.{module}" for module in MODULES if module and part_of(module) not in WITH_FAIRSEQ]
    program = (
        "import importlib, sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('fairseq', 'fairseq_cli', 'hydra', 'omegaconf'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=False, cwd=REPO)
    assert ran.returncode == 0, ran.stderr


# --- defaults


def defaults_defined() -> Set[str]:
    tree = ast.parse((REPO / PACKAGE / "defaults.py").read_text(encoding="utf-8"))
    names = set()
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def defaults_read() -> Dict[str, str]:
    """Name -> a place that reads it, in the package, in data_prep, and in shell scripts (as ``defaults.NAME``)."""
    found = {}
    for path in [*SOURCES, *STEPS]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "defaults":
                found[node.attr] = f"{path}:{node.lineno}"
    for folder in ("recipes", "data_prep"):
        for path in (REPO / folder).rglob("*.sh"):
            for word in path.read_text(encoding="utf-8").split("defaults.")[1:]:
                name = word.split()[0] if word.split() else ""
                found["".join(c for c in name if c.isalnum() or c == "_")] = str(path)
    return found


def test_every_default_has_a_reader():
    inside = ast.parse((REPO / PACKAGE / "defaults.py").read_text(encoding="utf-8"))
    used_inside = {
        node.id for node in ast.walk(inside) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert defaults_defined() - set(defaults_read()) - used_inside == set()


def test_every_default_that_is_read_exists():
    tree = ast.parse((REPO / PACKAGE / "defaults.py").read_text(encoding="utf-8"))
    known = defaults_defined() | {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    missing = {
        name: place for name, place in defaults_read().items() if name not in known and not place.endswith(".sh")
    }
    assert missing == {}
