"""What a user can cause, as exceptions that a command turns into one sentence on stderr and exit code 1."""


class DistillError(Exception):
    """Base of all errors that a user can mend; the message says what is wrong, where, and what to do."""


class DataError(DistillError):
    """A text, binarised, embedding or manifest file is missing, damaged or does not fit its neighbours."""


class ConfigError(DistillError):
    """Options that contradict each other or name something that does not exist."""


class CheckpointError(DistillError):
    """A checkpoint that cannot be loaded safely, or does not hold what this command needs."""
