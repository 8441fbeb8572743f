"""Every default number once, each with its source. Options, dataclasses and recipes take them from here."""

from typing import Dict, NamedTuple

# --- text and vocabulary
SPM_SIZE = 8000  # the dedicated Ge'ez-script vocabulary of the NLLB paper (8k); a student covers few languages
SPM_CHARACTER_COVERAGE = 0.9999  # rare letters of a low-resource script are worth a piece
SPM_TEMPERATURE = 2.0  # of the languages' shares in a joint vocabulary's training text; as SAMPLING_TEMPERATURE
SPM_IDS = "spm+1"  # fairseq's own way; spm+4 is LASER2's, with three dead rows
EPOCH_SENTENCES = 1 << 22  # drawn in an epoch at the most: planning one takes 45 bytes a sentence
SAMPLING_TEMPERATURE = (
    2.0  # p^(1/T) over corpus sizes, T > 1 lifts the small ones; Arivazhagan et al. (2019) use up to 5
)
MAX_LENGTH_PIECES = 256  # longer sentences are cut, in training and in embedding alike

# --- advice on vocabularies: the rule of data_prep/vocabulary_advice.py, measured in docs/vocabulary.md
ADVICE_SIZES = (1000, 2000, 4000, 8000, 16000, 32000)
ADVICE_SENTENCES = 100_000  # training lines of a candidate: more change its pieces a word little
ADVICE_HELDOUT = 2000  # held-out sentences of a language
ADVICE_LEAST_HELDOUT = 50  # below, a validation set says too little, and training lines are kept back instead
RARE_PIECE = 10  # occurrences in the training text below which a piece's row stays badly trained
ADVICE_RARE_SHARE = 0.05  # of held-out pieces that may be so rare; xsim stops falling about there in five languages
ADVICE_GAIN = 0.03  # by which twice the pieces must shorten held-out text
ADVICE_DEDICATED = 0.1  # more pieces in the joint vocabulary than in one of its own, from which a language leaves it
ADVICE_UNKNOWN = 0.001  # more of its characters unknown there

# --- cleaning (bitext)
MAX_CHARACTERS = 1000
MAX_LENGTH_RATIO = 5.0  # characters of the longer side over the shorter one
RATIO_FREE_CHARACTERS = 20  # sides shorter than this are not judged by their ratio
MIN_SCRIPT_SHARE = 0.5  # share of letters in the language's script
MIN_LETTER_SHARE = (
    0.4  # share of letters among what is no white space; keeps dates and figures in a sentence, drops tables
)
SPM_MAX_SENTENCES = 4_000_000  # drawn for SentencePiece training; more text changes a vocabulary of this size little

# --- mining and xsim
MARGIN = "ratio"  # as in LASER and NLLB
XSIM_MARGIN = "distance"  # as in the LASER3 paper; the NLLB paper uses ratio
LOOKED_UP = 5  # neighbours that fairseq-embed --neighbours shows: a screenful for some typed sentences
NEIGHBOURHOOD = 4  # k of the margin; NLLB, section on xsim
MARGIN_THRESHOLD = 1.06  # ratio margin; best compromise for most languages (NLLB), as in stopes
RETRIEVAL = "max"  # as in LASER's mine_bitexts.py
RATIO_FLOOR = 0.01  # least neighbourhood mean that the ratio divides by; the mean of unrelated sentences lies above it
MAX_MEMORY = 256 << 20  # bytes of k-NN work buffers; larger blocks gain no speed
SEARCH = "auto"  # exact below EXACT_WORK, approximate above
EXACT_WORK = 2.5e14  # multiplications of a search beyond which auto is approximate: 500,000 x 500,000 x 1024; about half an hour on 2 cores
RECALL = 0.95  # wanted of an approximate search: share of sentences whose nearest neighbour is found
RECALL_SAMPLE = (
    2000  # sentences of each side that are searched exactly to measure it: 0.5 points of standard error at 0.95
)
CLUSTER_LEAST_ROWS = 8  # rows a cluster has on average at least
CLUSTER_SAMPLE = 32  # rows a cluster sees in training; faiss warns below 39 and takes 256 at most
CLUSTER_ROUNDS = 6  # of k-means; more bring rows little nearer to their centroids
SEARCH_SEED = 1  # of the rows that clusters are trained on and recall is measured with
PLAN_SHARE = (
    0.13  # of all pairs, that --plan lets an approximate search compare; as in benchmarks/approximate.py at 300,000
)
PLAN_WIDTH = 192  # dimensions that it lets these be compared in; as there
BOOTSTRAP_SAMPLES = 1000  # of an xsim interval, and of a calibration's
CALIBRATION_NEIGHBOURHOODS = (4, 8, 16)  # tried by recipes/calibrate.sh: NLLB's k, and up to that of stopes' mining
CALIBRATION_PRECISION = 0.9  # wanted of mined pairs: one wrong in ten
ITERATE_ROUNDS = 3  # of recipes/iterate.sh; each costs a training
ITERATE_NEW_SHARE = 0.02  # below this share of new pairs another round would train on the same text

# --- evaluation
NEAR_DUPLICATE = (
    0.7  # Jaccard index of n-grams from which lines count as near-duplicates; 0.7 to 0.8 is usual for web text
)
NEAR_DUPLICATE_CHARACTERS = 5  # n of these n-grams; as usual for short texts (Mining of Massive Datasets, 3.2)
LEAKAGE_LINES = (
    200_000  # training lines of a language, or mined pairs, that are looked through: 8 s a side at 26,000 a second
)
LEAKAGE_SECONDS = 120.0  # for all training text; where every line is of one template, 8,000 a second are looked at
LEAKAGE_EXAMPLES = 3  # shown of identical and of near lines
AUGMENT_PER_TYPE = (
    2  # near copies of a sentence and error type that recipes/augment_targets.py makes at most; our choice
)

# --- objective
DISTIL_WEIGHT = 1.0
MLM_WEIGHT = 0.09  # --lambda-mask of the fairseq nllb README
MASK_PROBABILITY = 0.15  # BERT
MASK_LEAVE_UNMASKED = 0.1  # of the chosen pieces; with MASK_RANDOM gives BERT's 80/10/10
MASK_RANDOM = 0.1
MASK_SHARE = 0.25  # share of an update's pieces that is monolingual text, when there is any; see docs/results.md
MASK_BLOCK_PIECES = 128  # two blocks fit the masked share of an update on a CPU; RoBERTa's 512 suit batches of millions
TLM_SHARE = 0.15  # share of an update's pieces that recipes/student.sh --tlm gives to masked pairs
SELF_SHARE = 0.2  # share of the distilled sentences that are the teacher's own language, when there is any

# --- numerics
AUTOCAST = "auto"  # bfloat16 on a CPU that multiplies it in hardware, see modules/precision.py


# --- embedding text with a teacher or a student
EMBED_MAX_TOKENS = (
    8192  # padded tokens of a batch; measured with benchmarks/teacher.py: larger is not faster on 2 cores
)
EMBED_CHUNK = 8192  # sentences between two savings: what a kill can cost, and what is sorted by length at a time
TEACHER_DTYPE = "float16"  # half the disk; cosine to float32 is above 0.999999, see docs/performance.md
EMBED_DTYPE = "float32"  # as LASER writes


# --- architectures: --arch NAME
class StudentSize(NamedTuple):
    """Depth and widths of a registered architecture."""

    layers: int
    dim: int
    ffn_dim: int
    heads: int
    pre_norm: bool


BASE = StudentSize(6, 512, 2048, 8, True)
SIZES: Dict[str, StudentSize] = {
    "student_encoder_laser3": StudentSize(12, 1024, 2048, 4, False),  # Heffernan et al. (2022)
    "student_encoder": BASE,
    "student_encoder_small": StudentSize(2, 384, 1024, 6, True),  # learns best in minutes on a CPU, see docs/results.md
    "student_encoder_tiny": StudentSize(1, 64, 128, 2, True),  # for tests
}
DROPOUT = 0.1

# --- contrastive term (LASER3-CO, Tan et al. 2023)
CONTRASTIVE_WEIGHT = 0.0
CONTRASTIVE_TEMPERATURE = 0.05
CONTRASTIVE_FILTER = 0.9
CONTRASTIVE_QUEUE = 0  # negatives of the batch itself; LASER3-CO has a queue of 4096
# What recipes/student.sh adds to the cosine distance: LASER3-CO's queue; a fifth fewer errors, docs/ablation.md, claim i.
STUDENT_CONTRASTIVE_WEIGHT = 1.0
STUDENT_CONTRASTIVE_QUEUE = 4096

# --- watching a training
GRADIENT_NORM_INTERVAL = 200  # costs a backward pass an objective: two or three in 200 updates
COLLAPSE_VARIANCE = (
    0.02  # share of the teacher's; students on the teacher's mean vector had 0.7 to 2 %, see docs/training.md
)
COLLAPSE_PATIENCE = 5  # validations; a healthy student without lexical path may need some, student.sh makes VALIDATIONS

# --- lexical path, see modules/lexical.py
LEXICAL_RIDGE = 1.0  # measured with the alignment's prior on five languages, docs/results.md
LEXICAL_WORD_RIDGE = 0.3  # of the fit of teacher-side words
LEXICAL_DROPOUT = 0.1  # of pieces in the bag; the fit knows its training pairs too well otherwise
LEXICAL_SENTENCES = 1_000_000  # the fit sees at most so many pairs: its table has long converged by then

# --- word alignment behind the lexical path, see data/alignment.py
ALIGNMENT_ITERATIONS = 5  # of expectation maximisation, as usual for model 1
ALIGNMENT_DIAGONAL = 2.0  # preference for the same relative place; measured on zul, docs/results.md
ALIGNMENT_NULL = 0.1  # chance of a word to come from no piece, against that of coming from one
ALIGNMENT_LENGTH = 80  # pieces and words of a sentence that take part
ALIGNMENT_CELLS = 16_000_000  # piece-word cells of the sentences aligned: about 0.8 GB and 10 seconds on one core

# --- curriculum
CURRICULUM_INCREMENTS = 4
CURRICULUM_PACING = "step"  # best of five in three groups, each with three seeds: docs/ablation.md, claim j
CURRICULUM_MIN_WORDS = 3  # one or two words are a name or an article; order differs too much to call them translations
CURRICULUM_PATIENCE = 1  # of the dozen validations of a run

MASK_REPEAT = 4.0  # monolingual text is drawn at most so often per visit of the sentence pairs, however little there is

# --- recipes/student.sh
SMALL_STUDENT_MINUTES = 60.0  # below, student_encoder_small learns more than student_encoder on 2 cores
TRAIN_MAX_TOKENS = 1000  # padded pieces an update on a CPU: many small updates teach more than few large ones
LEARNING_RATES = {"student_encoder_small": 1.5e-3, "student_encoder": 5e-4, "student_encoder_laser3": 5e-4}
LEARNING_RATE = 1e-3  # of other sizes
CLIP_NORM = 1.0
WARMUP_UPDATES = 200
VALIDATIONS = 12  # during one training, each with a checkpoint
TRIAL_UPDATES = 120  # from which the pace of a machine is read
BUDGET_SHARE = 0.95  # of --max-minutes that is planned; the rest is for validation and for a machine that gets slower

# --- recipes/<family>: which text a family's student is trained on and judged with
MIN_VALID = 50  # pairs of a dev set that xsim is measured on; in a smaller one a sentence is more than 2 points
HELDOUT = 500  # pairs held out of a language's most trusted download when it has no dev set
HELDOUT_SHARE = 0.2  # at most this part of a corpus
CORPUS_PAIRS = 1_000_000  # pairs taken from one download, evenly over the file: mined corpora of large languages have tens of millions
FETCH_ATTEMPTS = 5  # of one download; the waits between them double
FETCH_WAIT_S = 5.0  # before the second attempt
FETCH_TIMEOUT_S = 6 * 3600.0  # for one attempt

# --- recipes/plan.sh: what a family's config gets
PIVOT_PAIRS = (
    10_000  # a language with fewer leans on a sister: with some 10k pairs each, Tamasheq stayed above 20% xsim (NLLB)
)
PIVOT_RATIO = 3.0  # a sister is a pivot from so many times the pairs
CURRICULUM_PAIRS = 10_000  # below, the paper advises MLM and the curriculum ("very low-resource"); our reading of it
PLAN_LANGUAGES = 12  # of one student; a family with more is split by subgroup
PLAN_SPM_SIZES = (
    (20_000, 4000),
    (1_000_000, SPM_SIZE),
    (10_000_000, 16_000),
)  # (below so many lines, pieces); our choice
PLAN_SPM_LARGEST = 32_000
PLAN_TEMPERATURES = (
    (2.0, 1.0),
    (30.0, SAMPLING_TEMPERATURE),
    (100.0, 3.0),
)  # (up to so many times the smallest, T); our choice
PLAN_TEMPERATURE_LARGEST = 5.0  # Arivazhagan et al. (2019)

SLURM_POLL_S = 15.0  # recipes/all.sh --slurm asks the queue so often

# --- fairseq-doctor
DOCTOR_MEMORY_GB = 4.0  # below it warns; our choice
DOCTOR_DISK_GB = 5.0  # below it warns; our choice
