"""docs/commands.md has the options of every command, program and script, from their parsers and from the heads of the scripts.

python tests/unit/test_documented_commands.py     writes it again
"""

import argparse
import ast
import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

REPO = Path(__file__).resolve().parents[2]
DOCUMENT = REPO / "docs" / "commands.md"
COMMANDS = ast.literal_eval(re.search(r"^COMMANDS = (.*)$", (REPO / "setup.py").read_text(encoding="utf-8"), re.M)[1])
FOLDERS = ("data_prep", "recipes", "recipes/nmt", "recipes/ablation")
SCRIPTS_WITH_HELP = [
    path
    for folder in FOLDERS
    for path in sorted((REPO / folder).glob("*.sh"))
    if re.search(r"^ +show_help$", path.read_text(encoding="utf-8"), re.M)
]

HEAD = """# Options of every command

Written by `python tests/unit/test_documented_commands.py` from the parsers and from the heads of the scripts; a test compares.
What `fairseq-train` gets is in [options.md](options.md). Commands and programs also have `--help`, which ends with an example, `--version`,
`--quiet` (log errors only), and `--log-format json` (a JSON object in each line of standard error).
"""


class Parsed(BaseException):
    """Carries the parser that a program was about to use; no program catches it."""


def stop(parser, *_):
    raise Parsed(parser)


def parser_of(run):
    """The parser of a program; nothing of it runs beyond that."""
    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop), mock.patch.object(sys, "argv", ["program"]):
        try:
            run()
        except Parsed as parsed:
            return parsed.args[0]
    raise AssertionError("no parser")


def programs(folder):
    """The Python files of a folder that are run as programs."""
    return [
        path
        for path in sorted((REPO / folder).glob("*.py"))
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    ]


def cell(text):
    """Text for a cell of a table, without where this repository lies."""
    return " ".join(str(text).replace(f"{REPO}/", "").split()).replace("|", "\\|")


def prose(text):
    return cell(text).replace("<", "&lt;")


def shown_option(action):
    """``-k K, --neighbours K`` as in the help, in one code span; choices where there are any."""
    value = action.metavar or ("{%s}" % ",".join(map(str, action.choices)) if action.choices else action.dest)
    value = " ".join(value) if isinstance(value, tuple) else value
    if not action.option_strings:
        return f"`{cell(value)}`"
    value = value.upper() if value == action.dest else value
    return f"`{cell(', '.join(action.option_strings) + ('' if action.nargs == 0 else f' {value}'))}`"


def shown_default(action):
    if action.default is None or isinstance(action.default, bool) or action.default in ([], ""):
        return "required" if action.required and action.option_strings else ""
    return cell(action.default)


def table(parser):
    """The options of a parser but for those that all have; the name of a group of options is a row of its own."""
    rows = []
    for group in parser._action_groups:
        if group.title not in ("positional arguments", "options"):
            rows.append(f"| *{prose(group.title)}* | | |\n")
        for action in group._group_actions:
            if action.dest not in ("help", "version", "quiet", "log_format") and action.help is not argparse.SUPPRESS:
                said = prose((action.help or "") % {**vars(action), "prog": parser.prog})
                rows.append(f"| {shown_option(action)} | {shown_default(action)} | {said} |\n")
    head = "| option | default | what it is |\n| --- | --- | --- |\n"
    return f"{prose(parser.description)}\n\n" + (head + "".join(rows) if rows else "No options of its own.\n")


def usage(script):
    """What ``--help`` of a script prints: its help text, or the comment that it begins with; None where no command is in it."""
    text = script.read_text(encoding="utf-8")
    said = re.search(r"<<'HELP'\n(.*?)\nHELP\n", text, re.S)
    if said:
        return said.group(1)
    lines = []
    for line in text.split("\n")[1:]:
        if not line.startswith("#") or line.startswith("# shellcheck"):
            break
        lines.append(line[2:])
    return "\n".join(lines).strip() if "  bash " in "\n".join(lines) else None


def document():
    """docs/commands.md as it should be."""
    parts = [HEAD, "\n## Commands\n"]
    for name in COMMANDS:
        parser = parser_of(importlib.import_module(f"fairseq_distill.cli.{name}").cli_main)
        parts.append(f"\n### `{parser.prog}`\n\n{table(parser)}")
    parts.append("\n## Scripts\n")
    for folder in FOLDERS:
        for script in sorted((REPO / folder).glob("*.sh")):
            name = script.relative_to(REPO).as_posix()
            if (words := usage(script)) is not None:
                title = "recipes/FAMILY/run.sh" if name == "recipes/family.sh" else name
                parts.append(f"\n### `{title}`\n\n```text\n{words}\n```\n")
    parts.append("\n## Programs\n\nThe scripts call these; each can be called alone.\n")
    for folder in FOLDERS:
        for path in programs(folder):
            with mock.patch.object(sys, "path", [*(str(REPO / other) for other in FOLDERS), *sys.path]):
                parser = parser_of(lambda: runpy.run_path(str(path), run_name="__main__"))
            parts.append(f"\n### `{folder}/{path.name}`\n\n{table(parser)}")
    return "".join(parts)


def test_every_option_stands_in_the_document_as_the_parsers_have_it():
    assert DOCUMENT.read_text(encoding="utf-8") == document(), (
        f"write it again: python {Path(__file__).relative_to(REPO)}"
    )


@pytest.mark.parametrize("script", SCRIPTS_WITH_HELP, ids=lambda path: path.relative_to(REPO).as_posix())
def test_help_of_a_script_is_what_the_document_has(script):
    said = subprocess.run(["bash", str(script), "--help"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == usage(script) and said.stderr == ""


def test_what_was_found():
    """The page is no empty one: each kind of program is there, and the options of one of them."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert len(SCRIPTS_WITH_HELP) >= 10
    for name in (
        "fairseq-mine",
        "recipes/student.sh",
        "recipes/FAMILY/run.sh",
        "data_prep/clean.py",
        "recipes/nmt/score.py",
    ):
        assert f"\n### `{name}`\n" in text
    assert "| `--retrieval {fwd,bwd,intersect,max}` | max |" in text and str(REPO) not in text


if __name__ == "__main__":
    sys.path.insert(0, str(REPO))
    DOCUMENT.write_text(document(), encoding="utf-8")
