"""Fuzzing that is led by coverage: atheris changes valid files so that a reader takes new ways; our own errors alone may come out.

    pip install atheris                                        # CPython 3.11 to 3.13
    python tests/faults/fuzz_atheris.py [--seconds 30] [--corpus DIR] [FORMAT …]

Each format has a process of its own, and a folder DIR/FORMAT with the valid file and what atheris has found on new ways, from which the
next run goes on. A finding (another exception, no answer for 20 s, more than 4 GB) is printed with its traceback and stays in
DIR/findings. Exit code 1 where there is one.
"""

import argparse
import logging
import os
import random
import re
import sys
import tempfile
from pathlib import Path

import atheris
import numpy
import sentencepiece  # noqa: F401 (imported here so as not to be instrumented)
import torch

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "data_prep"), str(REPO / "recipes"), str(REPO / "recipes" / "ablation")]
OURS = [
    "fairseq_distill",
    "catalogue_files",
    "iterate_round",
    "add_mining",
    "plan_families",
    "corpora_root",
    "corpora_lock",
    "family_config",
]
OURS += ["language_table", "plan_file", "plan_training", "run_records"]
with atheris.instrument_imports(include=OURS, enable_loader_override=False):
    for _module in OURS:
        __import__(_module)
    from fairseq_distill.errors import DistillError
    from tests.faults.formats import FORMATS, write_formats

from tests.faults.test_fuzz import EDITS, TOKENS, changed  # noqa: E402 (after the modules that are instrumented)


def plain(name):
    """A format's name as that of a folder."""
    return re.sub(r"\W+", "_", name)


def escaped(token):
    """Bytes as libFuzzer's lists of words have them."""
    return "".join(f"\\x{byte:02x}" for byte in token)


def mutated(data, most, seed):
    """The bytes changed as libFuzzer does, or numbers, texts and brackets exchanged for what may be taken for such."""
    drawn = random.Random(seed)
    if drawn.random() < 0.5:
        return atheris.Mutate(data, most)
    edits = [(drawn.choice(EDITS), drawn.random(), drawn.choice(TOKENS)) for _ in range(drawn.randint(1, 3))]
    return changed(data, edits)[:most]


def fuzz(name, made, corpus, seconds):
    """Fuzz one reader in this process, which ends with it."""
    file, _, read = FORMATS[name]
    path, own = made / file, corpus / plain(name)
    own.mkdir(parents=True, exist_ok=True)
    (own / "valid").write_bytes(path.read_bytes())

    def one(data):
        path.write_bytes(data)
        try:
            read(path)
        except DistillError:
            pass
        except BaseException:
            Path(f"{finding}exception").write_bytes(data)  # libFuzzer keeps what was too slow or too large by itself
            raise

    finding = corpus / "findings" / f"{plain(name)}."
    options = [f"-max_total_time={seconds}", f"-dict={corpus / 'words'}", f"-artifact_prefix={finding}"]
    options += ["-timeout=20", "-rss_limit_mb=4096", "-max_len=65536", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(own)], one, custom_mutator=mutated)
    atheris.Fuzz()


def fuzzed(name, made, corpus, seconds):
    """Fuzz one reader in a process of its own; what it has said, empty where it found nothing."""
    said = corpus / f"{plain(name)}.log"
    child = os.fork()
    if not child:
        stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for standard in (1, 2):
            os.dup2(stream, standard)
        try:
            fuzz(name, made, corpus, seconds)
        finally:
            os._exit(1)  # unless atheris has ended the process
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "" if code == 0 else said.read_text(errors="replace")[-6000:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "formats", nargs="*", metavar="FORMAT", help="names of tests/faults/formats.py; all if none is given"
    )
    parser.add_argument("--seconds", type=int, default=30, metavar="S", help="for each format")
    parser.add_argument(
        "--corpus", type=Path, metavar="DIR", help="kept for the next run; a temporary folder if not given"
    )
    args = parser.parse_args()
    corpus = args.corpus or Path(tempfile.mkdtemp(prefix="fuzz."))
    (corpus / "findings").mkdir(parents=True, exist_ok=True)
    (corpus / "words").write_text(
        "".join(f'"{escaped(token)}"\n' for token in TOKENS if len(token) < 64), encoding="ascii"
    )
    logging.disable(logging.CRITICAL)
    numpy.seterr(all="ignore")
    torch.set_num_threads(1)  # threads are not copied with a process
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        made = write_formats(Path(folder))
        for name in args.formats or FORMATS:
            whole = (made / FORMATS[name][0]).read_bytes()
            said = fuzzed(name, made, corpus, args.seconds)
            (made / FORMATS[name][0]).write_bytes(whole)
            print(
                f"{name}: {'FINDING' if said else 'sound'} | {len(list((corpus / plain(name)).glob('*')))} ways",
                flush=True,
            )
            if said:
                failed.append(name)
                print(said, file=sys.stderr)
    sys.exit(f"{len(failed)} findings ({', '.join(failed)}); files in {corpus / 'findings'}" if failed else 0)


if __name__ == "__main__":
    main()
