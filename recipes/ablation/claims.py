"""What is compared: language groups, students (variants) and claims, as tables; and which runs they need.

A variant is the base student with some options changed. The base is the paper's training at a size that learns in minutes:
no lexical path, cosine loss, no masked language modelling, no curriculum, a vocabulary of its own, one student for the
languages of a group, pooled as its teacher pools. A claim compares variants with one of them; runs that several claims
need are made once.
"""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError

# Raise it when the same options would give other numbers, so that nothing old is mixed with something new.
VERSION = 1
INCREMENTS = defaults.CURRICULUM_INCREMENTS
MINILM, MAX_POOLED = "minilm", "max-pooled"  # teachers: sentence-transformers' MiniLM; the one of max_pooled_teacher.py
OWN, TEACHERS = "own", "teacher's"  # vocabularies
GROUP, SINGLE, ALL = "group", "single", "all"  # languages of one student


@dataclass(frozen=True)
class Group:
    """Languages that one student learns together, and the corpora whose training and development parts it uses."""

    name: str
    languages: Tuple[str, ...]
    corpora: Tuple[str, ...]


GROUPS = (
    Group("ethiopic", ("amh", "tir"), ("hornmt", "tico19", "ethiobible", "ethiolegal", "storybook")),
    Group("lakes", ("lug", "nyn"), ("salt", "mafand", "tico19", "storybook")),
    Group("volta_niger", ("yor", "ibo"), ("mafand", "menyo20k", "storybook")),
    Group("swahili", ("swa",), ("mafand", "tico19", "bible", "storybook")),
    Group("nilotic", ("ach", "teo"), ("salt", "storybook")),
    Group("cushitic", ("orm", "som", "aar"), ("hornmt", "tico19", "ethiolegal", "storybook")),
    Group("nguni", ("zul", "xho", "ssw", "nbl"), ("mafand", "tico19", "bible", "sona", "storybook")),
)
DEFAULT_GROUPS = ("ethiopic", "lakes", "volta_niger")
# What the max-pooled teacher learns to translate English into. Some are no student's: a teacher should know more than its
# students do; and volta_niger has none of them: a teacher need not know a student's language.
TEACHER_LANGUAGES = (
    "aar", "ach", "amh", "lgg", "lug", "nbl", "nyn", "orm", "som", "ssw", "swa", "teo", "tir", "xho", "zul",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        name: as tables and results call it.
        says: in the words of a table.
        options: of fairseq-train, by name without dashes, that differ from BASE_OPTIONS; "" as the value of a switch.
        teacher: MINILM or MAX_POOLED.
        vocabulary: OWN, or TEACHERS: the SentencePiece model of the teacher.
        languages: GROUP: one student a group; SINGLE: one a language; ALL: one for the languages of DEFAULT_GROUPS together.
    """

    name: str
    says: str
    options: Dict[str, str] = field(default_factory=dict, hash=False)  # its name tells it apart
    teacher: str = MINILM
    vocabulary: str = OWN
    languages: str = GROUP

    def training_options(self) -> Dict[str, str]:
        """All options that decide its training, but for its size."""
        pooling = "max" if self.teacher == MAX_POOLED else "mean"
        return {**BASE_OPTIONS, "pooling": pooling, **self.options}

    @property
    def increments(self) -> int:
        """Parts of a sentence that its data hold; a group's MiniLM students of as many parts share one data directory."""
        if self.teacher != MINILM or self.languages != GROUP:
            return 1
        return int(self.options.get("curriculum-increments", INCREMENTS))

    @property
    def validates(self) -> bool:
        """Whether its training needs validations: plateau goes by them."""
        return self.options.get("curriculum-pacing") == "plateau"


BASE_OPTIONS = {"lexical-path": "none", "distil-loss": "cosine", "mask-share": "0", "curriculum": "none"}
_MLM = {"mask-share": str(defaults.MASK_SHARE), "mlm-weight": str(defaults.MLM_WEIGHT)}
_CURRICULUM = {"curriculum": "progressive", "curriculum-pacing": "linear", "curriculum-increments": str(INCREMENTS)}
_STEP = {**_CURRICULUM, "curriculum-pacing": "step"}
_PACINGS = ("root", "step", "epoch", "mixed")  # beside linear, the plainest reading of the paper
_CONTRAST = {"distil-weight": "0", "contrastive-weight": "1"}
_QUEUE = {**_CONTRAST, "contrastive-queue": "4096"}
_DEFAULT = {"lexical-path": "fitted", **_QUEUE, "distil-weight": "1"}  # of recipes/student.sh

_VARIANTS = (
    Variant("base", "base: mean-pooled, cosine"),
    Variant("max", "max-pooled", {"pooling": "max"}),
    Variant("cls", "CLS", {"pooling": "cls"}),
    Variant("base-max-teacher", "max-pooled, own SPM", teacher=MAX_POOLED),
    Variant("mean-max-teacher", "mean-pooled", {"pooling": "mean"}, teacher=MAX_POOLED),
    Variant("cls-max-teacher", "CLS", {"pooling": "cls"}, teacher=MAX_POOLED),
    Variant("teacher-spm", "the teacher's SPM", teacher=MAX_POOLED, vocabulary=TEACHERS),
    Variant("mlm", "+ MLM", _MLM),
    Variant("mlm-light", "+ MLM, its weight 0.01", {**_MLM, "mlm-weight": "0.01"}),
    Variant("curriculum", "+ progressive curriculum", _CURRICULUM),
    Variant("mlm-curriculum", "+ MLM + curriculum", {**_MLM, **_CURRICULUM}),
    *(
        Variant(f"curriculum-{pacing}", f"pacing {pacing}", {**_CURRICULUM, "curriculum-pacing": pacing})
        for pacing in _PACINGS
    ),
    Variant(
        "curriculum-full-share",
        "pacing linear, whole sentences in 0.3",
        {**_CURRICULUM, "curriculum-full-share": "0.3"},
    ),
    Variant("curriculum-plateau", "pacing plateau", {**_CURRICULUM, "curriculum-pacing": "plateau"}),
    Variant("curriculum-pieces", "pacing step, cut at pieces", {**_STEP, "curriculum-unit": "pieces"}),
    Variant("curriculum-halves", "pacing step, 2 increments", {**_STEP, "curriculum-increments": "2"}),
    Variant("mlm-staged", "that, the monolingual text cut too", {**_MLM, **_CURRICULUM, "curriculum-mlm": ""}),
    Variant("single", "a student a language", languages=SINGLE),
    Variant("all", "one student for all languages", languages=ALL),
    Variant("mse", "MSE", {"distil-loss": "mse"}),
    Variant("contrastive", "contrastive, in the batch", _CONTRAST),
    Variant("contrastive-queue", "contrastive, queue of 4,096", _QUEUE),
    Variant("cosine-queue", "cosine and contrastive, queue of 4,096", {**_QUEUE, "distil-weight": "1"}),
    Variant("lexical", "lexical path, fitted", {"lexical-path": "fitted"}),
    Variant("lexical-queue", "that and the queue beside cosine: the default's objectives", _DEFAULT),
    Variant("lexical-queue-curriculum", "the default's objectives + curriculum", {**_DEFAULT, **_CURRICULUM}),
    Variant("lexical-queue-step", "the default's objectives + curriculum, pacing step", {**_DEFAULT, **_STEP}),
    Variant("lexical-queue-mlm", "the default's objectives + MLM", {**_DEFAULT, **_MLM}),
)
VARIANTS: Dict[str, Variant] = {variant.name: variant for variant in _VARIANTS}


@dataclass(frozen=True)
class Comparison:
    """Rows of one table, the first of which the others are compared with.

    Attributes:
        title: what is the same in all rows.
        variants: names, the base first.
        margins: of xsim; several of them make a row each, of one variant.
    """

    title: str
    variants: Tuple[str, ...]
    margins: Tuple[str, ...] = (defaults.XSIM_MARGIN,)


@dataclass(frozen=True)
class Claim:
    """One claim: a letter, what is asked, and the comparisons that answer."""

    letter: str
    question: str
    comparisons: Tuple[Comparison, ...]


_MINILM_BASE = "MiniLM, which is mean-pooled"
_MAX_BASE = "a max-pooled teacher (LASER2's layout, trained by max_pooled_teacher.py)"
_MARGINS = ("distance", "ratio", "absolute")

CLAIMS = (
    Claim(
        "a",
        "Max-pooling against CLS and mean",
        (
            Comparison(_MAX_BASE, ("base-max-teacher", "mean-max-teacher", "cls-max-teacher")),
            Comparison(_MINILM_BASE, ("base", "max", "cls")),
        ),
    ),
    Claim(
        "b",
        "Own SPM against the teacher's",
        (Comparison(f"{_MAX_BASE}; its SPM is 8,000 pieces of English alone", ("base-max-teacher", "teacher-spm")),),
    ),
    Claim("c", "With MLM", (Comparison(_MINILM_BASE, ("base", "mlm", "mlm-light")),)),
    Claim("d", "With a progressive curriculum", (Comparison(_MINILM_BASE, ("base", "curriculum")),)),
    Claim("e", "With both", (Comparison(_MINILM_BASE, ("base", "mlm", "curriculum", "mlm-curriculum")),)),
    Claim(
        "f",
        "A student for a family against one a language and one for all, each with equally many updates",
        (Comparison(_MINILM_BASE, ("base", "single", "all")),),
    ),
    Claim(
        "g",
        "Cosine against MSE against contrastive",
        (Comparison(_MINILM_BASE, ("base", "mse", "contrastive", "contrastive-queue", "cosine-queue")),),
    ),
    Claim(
        "h",
        "Three margins",
        (
            Comparison(f"{_MINILM_BASE}; student: the base", ("base",), _MARGINS),
            Comparison(f"{_MAX_BASE}; student: max-pooled", ("base-max-teacher",), _MARGINS),
        ),
    ),
    Claim(
        "i",
        "The default's objectives, with a fitted lexical path and a queue, against the paper's, in one student of one layer",
        (
            Comparison(_MINILM_BASE, ("base", "lexical", "lexical-queue")),
            Comparison(_MINILM_BASE, ("lexical-queue", "lexical-queue-mlm", "lexical-queue-curriculum")),
        ),
    ),
    Claim(
        "j",
        "Pacings of the progressive curriculum",
        (
            Comparison(
                _MINILM_BASE,
                ("base", "curriculum", *(f"curriculum-{pacing}" for pacing in _PACINGS), "curriculum-full-share"),
            ),
        ),
    ),
    Claim(
        "k",
        "Other forms of the progressive curriculum",
        (
            Comparison(
                _MINILM_BASE, ("curriculum-step", "curriculum-plateau", "curriculum-pieces", "curriculum-halves")
            ),
            Comparison(_MINILM_BASE, ("mlm-curriculum", "mlm-staged")),
            Comparison(_MINILM_BASE, ("lexical-queue", "lexical-queue-curriculum", "lexical-queue-step")),
        ),
    ),
)


@dataclass(frozen=True)
class Size:
    """How large and how long.

    Attributes:
        arch, updates, max_tokens, spm_size: of every student; updates, not minutes, so that the load of a machine changes nothing.
        teacher: options of max_pooled_teacher.py; its embeddings are as wide as the student, so that nothing follows the pooling.
        options: further options of fairseq-train.
        smallest_set: development sets with fewer sentences are left out.
    """

    arch: str
    updates: int
    max_tokens: int
    spm_size: int
    teacher: Dict[str, str]
    options: Dict[str, str] = field(default_factory=dict)
    smallest_set: int = 90


SIZES: Dict[str, Size] = {
    "tiny": Size(
        arch="student_encoder_tiny",
        updates=100,
        max_tokens=300,
        spm_size=150,
        teacher={"spm-size": "120", "target-spm-size": "150", "embed-dim": "16", "hidden": "32", "updates": "20"},
        options={"lr": "0.01"},
        smallest_set=1,
    ),
    # One layer and a small vocabulary: at this many updates what counts is how often each piece is seen.
    "cpu": Size(
        arch="student_encoder_small",
        updates=1500,
        max_tokens=1000,
        spm_size=4000,
        teacher={"updates": "6000"},
        options={"encoder-layers": "1", "lr": "0.002"},
    ),
    "gpu": Size(
        arch="student_encoder_laser3",
        updates=20_000,
        max_tokens=16_000,
        spm_size=8000,
        teacher={"hidden": "512", "layers": "3", "updates": "30000", "max-tokens": "8000", "rate": "0.0005"},
    ),
}


@dataclass(frozen=True)
class Run:
    """One training: a variant, for a group (ALL: for those of DEFAULT_GROUPS), of one language where ``lang`` is given, and a seed."""

    variant: Variant
    group: str
    seed: int
    lang: Optional[str] = None

    @property
    def name(self) -> str:
        """For logs: ``horn mlm seed 1``."""
        return " ".join([self.group, self.variant.name, *([self.lang] if self.lang else []), f"seed {self.seed}"])

    @property
    def languages(self) -> Tuple[str, ...]:
        """What its student learns."""
        if self.group == ALL:
            return tuple(lang for group in GROUPS if group.name in DEFAULT_GROUPS for lang in group.languages)
        return (self.lang,) if self.lang else group_named(self.group).languages


def group_named(name: str) -> Group:
    """The group of that name.

    Raises:
        ConfigError: there is none.
    """
    for group in GROUPS:
        if group.name == name:
            return group
    raise ConfigError(f"{name!r} is none of the groups {', '.join(group.name for group in GROUPS)}.")


def claims_named(letters: str) -> List[Claim]:
    """The claims of ``a,c`` or ``all``.

    Raises:
        ConfigError: there is none of that letter.
    """
    by_letter = {claim.letter: claim for claim in CLAIMS}
    wanted = list(by_letter) if letters == "all" else [letter for letter in letters.split(",") if letter]
    if not wanted or (unknown := [letter for letter in wanted if letter not in by_letter]):
        which = unknown[0] if wanted else letters
        raise ConfigError(f"--claim {which!r} is none of {', '.join(by_letter)}, or all.")
    return [by_letter[letter] for letter in wanted]


def runs_of(variant: Variant, group: Group, seed: int) -> List[Run]:
    """The trainings behind one variant's number for a group and a seed."""
    if variant.languages == ALL:
        return [Run(variant, ALL, seed)]
    if variant.languages == SINGLE:  # of a group of one language it would be the group's own student
        return [Run(variant, group.name, seed, lang) for lang in group.languages if len(group.languages) > 1]
    return [Run(variant, group.name, seed)]


def planned_runs(claims: Sequence[Claim], groups: Sequence[str], seeds: Sequence[int]) -> List[Run]:
    """Every run that claims need, each once: all of the first seed before those of the second, so that a table fills evenly."""
    found: Dict[Run, None] = {}
    for seed in seeds:
        for claim in claims:
            names = dict.fromkeys(name for comparison in claim.comparisons for name in comparison.variants)
            for name in names:
                for group in groups:
                    found.update(dict.fromkeys(runs_of(VARIANTS[name], group_named(group), seed)))
    return list(found)
