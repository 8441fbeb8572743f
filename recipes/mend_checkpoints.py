"""Make a checkpoint folder whole again after a kill: the newest checkpoint is the last one, and the best is the best.

    python recipes/mend_checkpoints.py FOLDER

A kill between the writing of a numbered checkpoint and its copying to checkpoint_last.pt and checkpoint_best.pt leaves a last
that is not the last, or a best that is not the best; fairseq without this plugin also leaves half a file under a final name.
"""

import argparse
import logging
import shutil
import sys
from pathlib import Path
from typing import Any, Dict

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.embedding.student import load_checkpoint
from fairseq_distill.errors import CheckpointError
from fairseq_distill.formats.atomic import atomic_path

logger = logging.getLogger(__name__)


def _updates(checkpoint: Dict[str, Any]) -> int:
    return int(checkpoint["optimizer_history"][-1]["num_updates"])


def mend(folder: Path) -> None:
    """Remove what is damaged or temporary, then let ``checkpoint_last.pt`` and ``checkpoint_best.pt`` be what they say."""
    for leftover in folder.glob("*.tmp"):
        leftover.unlink()
    whole: Dict[Path, Dict[str, Any]] = {}
    for path in sorted(folder.glob("checkpoint*.pt")):
        try:
            checkpoint = load_checkpoint(path)
            whole[path] = {"updates": _updates(checkpoint), **checkpoint["extra_state"]}
        except (CheckpointError, KeyError, IndexError):
            logger.warning(f"mend | {path} is damaged and was removed")
            path.unlink()
    if not whole:
        return
    newest = max(whole, key=lambda path: whole[path]["updates"])
    _copy(newest, folder / "checkpoint_last.pt", whole)
    best = whole[newest].get("best")
    fitting = [path for path in whole if best is not None and whole[path].get("val_loss") == best]
    if fitting:
        # fairseq lets the later of two equals be the best.
        _copy(max(fitting, key=lambda path: whole[path]["updates"]), folder / "checkpoint_best.pt", whole)


def _copy(source: Path, target: Path, whole: Dict[Path, Dict[str, Any]]) -> None:
    if target in whole and whole[target]["updates"] == whole[source]["updates"]:
        return
    logger.info(f"mend | {target} from {source}")
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def cli_main() -> int:
    parser = make_parser(
        "mend_checkpoints.py", __doc__.splitlines()[0], "python recipes/mend_checkpoints.py work/checkpoints"
    )
    parser.add_argument("folder", help="checkpoint folder of fairseq-train; nothing happens when it does not exist")

    def main(args: argparse.Namespace) -> None:
        mend(Path(args.folder))

    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
