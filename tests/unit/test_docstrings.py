"""What docstrings point at exists: ``:func:`fairseq_distill.mining.knn.knn_both``` names a function that is there."""

import ast
import re
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
FOLDERS = ("fairseq_distill", "data_prep", "recipes")
ROLE = re.compile(r":(?:func|class|meth|mod|data):`~?([^`]+)`")


def defined(body, prefix=""):
    """Names that statements define or import, methods and fields as ``Class.name``."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield prefix + node.name
            yield from defined(node.body, f"{node.name}.") if isinstance(node, ast.ClassDef) else ()
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


def modules():
    """(dotted name, path) of each module; a program of data_prep or of the recipes has its file's name alone."""
    for path in sorted(path for folder in FOLDERS for path in (REPO / folder).rglob("*.py")):
        parts = path.relative_to(REPO).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        yield ".".join(parts if parts[0] == "fairseq_distill" else parts[-1:]), path


MODULES = dict(modules())
NAMES = {name: set(defined(ast.parse(path.read_text(encoding="utf-8")).body)) for name, path in MODULES.items()}


def exists(reference, module):
    """Whether ``reference``, in a docstring of ``module``, is a module or a name of one."""
    if reference.startswith("."):
        reference = module.rpartition(".")[0] + reference
    if reference in NAMES or reference in NAMES[module]:
        return True
    if any(name.endswith(f".{reference}") for name in NAMES[module]):  # a method, from inside its class
        return True
    return any(reference.startswith(f"{name}.") and reference[len(name) + 1 :] in NAMES[name] for name in NAMES)


@pytest.mark.parametrize("module", MODULES)
def test_what_docstrings_point_at_exists(module):
    found = ROLE.findall(MODULES[module].read_text(encoding="utf-8"))
    assert [reference for reference in found if not exists(reference, module)] == []


def test_a_reference_that_leads_nowhere_is_found():
    knn = "fairseq_distill.mining.knn"
    assert exists("fairseq_distill.mining.margin.margin_scores", knn) and exists("knn_both", knn) and exists(knn, knn)
    assert not exists("fairseq_distill.mining.margin.no_such_scores", knn) and not exists("no_such_name", knn)
    assert sum(len(ROLE.findall(path.read_text(encoding="utf-8"))) for path in MODULES.values()) > 100
