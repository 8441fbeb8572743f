"""Every default number once, each with its source. Options, dataclasses and recipes take them from here."""

# --- text and vocabulary
SPM_SIZE = 8000  # the dedicated Ge'ez-script vocabulary of the NLLB paper (8k); a student covers few languages
SPM_CHARACTER_COVERAGE = 0.9999  # rare letters of a low-resource script are worth a piece
SAMPLING_TEMPERATURE = 2.0  # p^(1/T) over corpus sizes, T > 1 lifts the small ones; Arivazhagan et al. (2019) use up to 5
MAX_LENGTH_PIECES = 256  # longer sentences are cut, in training and in embedding alike

# --- cleaning (bitext)
MIN_WORDS = 1
MAX_CHARACTERS = 1000
MAX_LENGTH_RATIO = 5.0  # characters of the longer side over the shorter one
RATIO_FREE_CHARACTERS = 20  # sides shorter than this are not judged by their ratio
MIN_SCRIPT_SHARE = 0.5  # share of letters in the language's script

# --- mining and xsim
MARGIN = "ratio"  # as in LASER and NLLB
XSIM_MARGIN = "distance"  # as in the LASER3 paper; the NLLB paper uses ratio
NEIGHBOURHOOD = 4  # k of the margin; NLLB, section on xsim
MARGIN_THRESHOLD = 1.06  # ratio margin; best compromise for most languages (NLLB), as in stopes
RETRIEVAL = "max"  # as in LASER's mine_bitexts.py

# --- objective
MLM_WEIGHT = 0.09  # --lambda-mask of the fairseq nllb README
MASK_PROBABILITY = 0.15  # BERT
MASK_LEAVE_UNMASKED = 0.1  # of the chosen pieces; with MASK_RANDOM gives BERT's 80/10/10
MASK_RANDOM = 0.1
