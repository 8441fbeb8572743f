"""The steps of stage 2 around the training of the vocabulary: choose its size before, measure it afterwards."""

from pathlib import Path
from typing import Dict, List, Tuple

import sentencepiece
from deduplicate import STEP as DEDUPLICATE
from deduplicate import student_sides
from plan_file import Plan
from spm_training import DICTIONARY, MODEL
from stamps import HERE, PACKAGE, Stamps, Step
from teacher_vocabulary import teacher_vocabulary, vocabulary_files
from vocabulary_advice import LanguageText, advise_by_size, compare, sample, split_text, training_frequency
from vocabulary_statistics import SpmVocabulary, Vocabulary, measure
from vocabulary_table import log_table

from fairseq_distill import defaults
from fairseq_distill.embedding.registry import parse_spec
from fairseq_distill.formats.dictionary import read_dictionary
from fairseq_distill.formats.lines import count_lines, iter_lines
from fairseq_distill.formats.vocabulary import NAME, VocabularyReport, read_vocabulary_report, write_vocabulary_report
from fairseq_distill.text import NORMALISER

CANDIDATES = "vocabulary.candidates.json"
_CODE = (
    "vocabulary_steps.py",
    "vocabulary_advice.py",
    "vocabulary_statistics.py",
    "spm_training.py",
    "teacher_vocabulary.py",
)


def language_texts(plan: Plan, data: Path, stamps: Stamps) -> Dict[str, LanguageText]:
    """Training and held-out text of each language of a plan.

    Held out are the validation sets; where they are too small, lines of the training text, which the candidates are
    then not trained on (the student's own vocabulary is).
    """
    n_out = {count["corpus"]: count["n_out"] for count in stamps.result(DEDUPLICATE)}
    sides = student_sides(plan, stamps)
    most = max(defaults.ADVICE_SENTENCES // len(sides), defaults.ADVICE_HELDOUT)
    texts = {}
    for lang, train in sides.items():
        total = sum(n_out[source.name] for source, _ in train)
        files = [data / "clean" / f"{source.name}.{side}" for source, side in train]
        lines = sample((line for file in files for line in iter_lines(file)), total, most)
        valid = _valid_files(plan, data, lang)
        n_valid = sum(map(count_lines, valid))
        if n_valid < defaults.ADVICE_LEAST_HELDOUT:
            texts[lang] = split_text(lines, total)
        else:
            kept = (line for file in valid for line in iter_lines(file))
            texts[lang] = LanguageText(lines, sample(kept, n_valid, defaults.ADVICE_HELDOUT), total, "valid")
    return texts


def _valid_files(plan: Plan, data: Path, lang: str) -> List[Path]:
    """Clean validation text of a language of the student, the teacher's too."""
    return [
        data / "clean" / f"{source.name}.{side}"
        for source in plan.split("valid")
        for side, _ in source.sides()
        if (side if side in plan.languages else plan.teacher_lang) == lang
    ]


def _step(name: str, output: str, plan: Plan, data: Path, stamps: Stamps, inputs: List[Path]) -> Step:
    sides = student_sides(plan, stamps)
    texts = [data / "clean" / f"{source.name}.{side}" for train in sides.values() for source, side in train]
    texts += [file for lang in sides for file in _valid_files(plan, data, lang)]
    options = {
        "languages": list(sides),
        "teacher": plan.teacher,
        "temperature": plan.spm_temperature,
        "normaliser": NORMALISER,
        "sentencepiece": sentencepiece.__version__,
        "limits": [
            defaults.ADVICE_SIZES, defaults.ADVICE_SENTENCES, defaults.ADVICE_HELDOUT, defaults.ADVICE_LEAST_HELDOUT,
            defaults.RARE_PIECE, defaults.ADVICE_RARE_SHARE, defaults.ADVICE_GAIN, defaults.ADVICE_DEDICATED,
            defaults.ADVICE_UNKNOWN, defaults.SPM_CHARACTER_COVERAGE, defaults.PLAN_SPM_SIZES, defaults.PLAN_SPM_LARGEST,
        ],
    }  # fmt: skip
    code = [*(HERE / file for file in _CODE), PACKAGE / "text.py", PACKAGE / "formats/vocabulary.py"]
    return Step(name, [*texts, *inputs, *vocabulary_files(parse_spec(plan.teacher))], [data / output], options, code)


def advice_step(plan: Plan, data: Path, stamps: Stamps) -> Step:
    """The step that compares candidates, for ``--spm-size auto``."""
    return _step("advise_vocabulary", CANDIDATES, plan, data, stamps, [])


def write_advice(plan: Plan, data: Path, stamps: Stamps) -> None:
    """Compare candidates on the plan's text; rows and advice go to ``vocabulary.candidates.json``."""
    texts = language_texts(plan, data, stamps)
    report = compare(texts, defaults.ADVICE_SIZES, plan.spm_temperature)
    write_vocabulary_report(data / CANDIDATES, report)


def advised_size(data: Path) -> int:
    """The size of the student's vocabulary that the comparison ends with: of the joint one of all its languages."""
    size = read_vocabulary_report(data / CANDIDATES).size
    assert size is not None
    return size


def measure_step(plan: Plan, data: Path, stamps: Stamps) -> Step:
    """The step that measures the student's vocabulary and the teacher's."""
    candidates = [data / CANDIDATES] if _advised(plan) else []
    return _step("measure_vocabulary", NAME, plan, data, stamps, [data / MODEL, data / DICTIONARY, *candidates])


def measure_student(plan: Plan, data: Path, stamps: Stamps) -> None:
    """Measure the vocabulary that the student gets, beside the teacher's; ``vocabulary.json`` holds all rows."""
    texts = language_texts(plan, data, stamps)
    student = SpmVocabulary((data / MODEL).read_bytes(), MODEL, read_dictionary(data / DICTIONARY))
    compared: List[Tuple[str, Vocabulary]] = [("student", student)]
    teacher = teacher_vocabulary(plan.teacher)
    if teacher is not None:
        compared.append(("teacher", teacher))
    rows = []
    for kind, vocabulary in compared:
        frequency = training_frequency(vocabulary, texts) if isinstance(vocabulary, SpmVocabulary) else None
        rows += [measure(vocabulary, lang, text.heldout, kind, frequency) for lang, text in texts.items()]
    report = VocabularyReport(
        rows,
        origin=plan.spm_model or "trained",
        temperature=None if plan.spm_model else plan.spm_temperature,
        heldout={lang: text.source for lang, text in texts.items()},
    )
    if _advised(plan):
        candidates = read_vocabulary_report(data / CANDIDATES)
        report.rows += candidates.rows
        report.advice, report.size = candidates.advice, candidates.size
    elif rows:
        report.advice = [advise_by_size(rows, sum(text.total for text in texts.values()))]
    write_vocabulary_report(data / NAME, report)
    log_table(report)


def _advised(plan: Plan) -> bool:
    return plan.spm_size == 0 and not plan.spm_model
