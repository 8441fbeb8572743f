"""What every console script does alike: log to stderr, one sentence for a user's error, first what is run."""

import argparse
import io
import json
import logging
import platform
import re
import shlex
import sys
import time
from typing import Any, Callable, Dict, NoReturn, Optional, Sequence

from fairseq_distill import __version__
from fairseq_distill.errors import DistillError
from fairseq_distill.progress import ProgressLine, WipingHandler, wipe

logger = logging.getLogger("fairseq_distill")

_LONGEST_MESSAGE = 2000  # characters
LOG_FORMATS = ("text", "json")
_LARGEST_SEED = 2**31 - 1  # fairseq adds update numbers to it, and NumPy's own seeds end at 2**32


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and keeps the line breaks of the usage example."""

    def _get_help_string(self, action: argparse.Action) -> "str | None":
        if action.default is None or isinstance(action.default, bool):
            return action.help
        return super()._get_help_string(action)


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object in a line: time (UTC), level, message; progress with what, done, total, rate, eta."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return json_line(record.levelname, message, record.created, getattr(record, "progress", None))


def json_line(level: str, message: str, created: float, progress: Optional[Dict[str, Any]] = None) -> str:
    """One line of a JSON log."""
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(created))}.{int(created % 1 * 1000):03d}Z"
    line: Dict[str, Any] = {"time": stamp, "level": level, "message": message}
    return json.dumps({**line, "progress": progress} if progress is not None else line)


class Parser(argparse.ArgumentParser):
    """Says what is wrong with an option in one line, without the list of all options before it; exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def seed_number(text: str) -> int:
    """The value of ``--seed``: a whole number from 0 that every generator here takes.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) > _LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number from 0 to {_LARGEST_SEED:,}")
    return int(text)


def make_parser(prog: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with ``--quiet``, ``--log-format`` and ``--version``, whose ``--help`` ends with a usage example."""
    parser = Parser(prog=prog, description=description, epilog=f"example:\n  {example}", formatter_class=HelpFormatter)
    parser.add_argument("--quiet", action="store_true", help="log errors only")
    parser.add_argument(
        "--log-format",
        choices=LOG_FORMATS,
        default="text",
        help="of the log on standard error; json: one object in a line, progress too, with no line that is rewritten",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def one_line(message: str) -> str:
    """A message without what could move the cursor or fill the screen: it may quote a file that somebody else has written."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in message[: 2 * _LONGEST_MESSAGE]
    )
    return shown if len(shown) <= _LONGEST_MESSAGE else f"{shown[: _LONGEST_MESSAGE - 100]} … {shown[-95:]}"


def _lacks_memory(error: RuntimeError) -> bool:
    """Whether PyTorch says that memory ran out: it raises RuntimeErrors, of a class of its own on a GPU alone."""
    return re.search("can(no|')t allocate memory|(out of|not enough) memory", str(error), re.IGNORECASE) is not None


def _plain(error: Exception) -> str:
    """One sentence about what the system refused."""
    if isinstance(error, (MemoryError, RuntimeError)):
        return "There is not enough memory; give smaller files, or smaller --max-tokens or --max-memory."
    if isinstance(error, ImportError):
        return f"A package is missing or broken ({error}); fairseq-doctor names the command that mends it."
    assert isinstance(error, OSError)
    return f"{error.filename or 'The output'} cannot be read or written: {error.strerror or error}."


def _start_log(args: argparse.Namespace) -> None:
    """Log to standard error as ``--quiet`` and ``--log-format`` say."""
    handler = WipingHandler(sys.stderr)
    ProgressLine.records = args.log_format == "json"
    if args.log_format == "json":
        handler.setFormatter(JsonFormatter())
        logging.captureWarnings(True)
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.WARNING if args.quiet else logging.INFO, handlers=[handler])


def _end(prog: str, said: str, as_json: bool) -> None:
    """The last line on standard error: why there is no result."""
    wipe()
    print(json_line("ERROR", f"{prog}: {said}", time.time()) if as_json else f"{prog}: {said}", file=sys.stderr)


def run_command(
    parser: argparse.ArgumentParser,
    main: Callable[[argparse.Namespace], None],
    argv: Optional[Sequence[str]] = None,
) -> int:
    """Parse, configure logging, run; 0 when it went well, 1 after one sentence about a user's error, 2 about an option."""
    args = parser.parse_args(argv)
    as_json = args.log_format == "json"
    _start_log(args)
    words = shlex.join(list(argv) if argv is not None else sys.argv[1:])
    logger.info(f"{parser.prog} {words} | version {__version__} | python {platform.python_version()}")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout.reconfigure(errors="surrogateescape")  # a file's name may hold bytes that are not UTF-8
    try:
        main(args)
        sys.stdout.flush()  # a full disk behind it shows here
    except DistillError as error:
        _end(parser.prog, f"error: {one_line(str(error))}", as_json)
        return 1
    except BrokenPipeError:
        return 1
    except (
        ImportError,
        MemoryError,
        OSError,
        RuntimeError,
    ) as error:  # not of our making, but a user can mend these too
        if isinstance(error, RuntimeError) and not _lacks_memory(error):
            raise
        _end(parser.prog, f"error: {one_line(_plain(error))}", as_json)
        return 1
    except KeyboardInterrupt:
        _end(parser.prog, "interrupted", as_json)
        return 130
    return 0
