"""Bitext from translated message catalogues: ``PREFIX.eng``, ``PREFIX.LANG`` and ``PREFIX.json`` with counts by reason.

Reads .mo and .po files, folders of them (of ``/usr/share/locale`` the language's own folder), and an unpacked
``libreoffice-l10n-*`` package; that one's .xcd registry too where the British English one lies beside it.
"""

import argparse
import json
import logging
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple

from catalogue_files import Catalogue, read_mo, read_po, read_registry
from catalogue_text import clean_message

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import disk_error, write_text
from fairseq_distill.formats.lines import write_lines
from fairseq_distill.languages import parse_language
from fairseq_distill.progress import Progress

logger = logging.getLogger(__name__)

ENGLISH = "eng"
SENTENCE_WORDS = 5  # English words from which on a message counts as a sentence
ENGLISH_REGISTRY = "registry_en-GB.xcd"
# gettext's names of languages that have a two-letter code; all others go by their three letters.
GETTEXT = dict(
    entry.split("=")
    for entry in (
        "aar=aa afr=af aka=ak amh=am ara=ar arg=an asm=as aze=az bam=bm bel=be ben=bn bod=bo bos=bs bre=br bul=bg "
        "cat=ca ces=cs cor=kw cos=co cym=cy dan=da deu=de dzo=dz ell=el epo=eo est=et eus=eu ewe=ee fao=fo fas=fa "
        "fin=fi fra=fr fry=fy ful=ff gla=gd gle=ga glg=gl glv=gv grn=gn guj=gu hat=ht hau=ha heb=he hin=hi hrv=hr "
        "hun=hu hye=hy ibo=ig ind=id isl=is ita=it jav=jv jpn=ja kan=kn kas=ks kat=ka kaz=kk khm=km kik=ki kin=rw "
        "kir=ky kor=ko kur=ku lao=lo lat=la lav=lv lim=li lin=ln lit=lt ltz=lb lug=lg mal=ml mar=mr mkd=mk mlg=mg "
        "mlt=mt mon=mn mri=mi msa=ms mya=my nbl=nr nde=nd nep=ne nld=nl nno=nn nob=nb nya=ny oci=oc ori=or orm=om "
        "oss=os pan=pa pol=pl por=pt pus=ps que=qu roh=rm ron=ro run=rn rus=ru san=sa sag=sg sin=si slk=sk slv=sl "
        "sna=sn snd=sd som=so sot=st spa=es sqi=sq srd=sc srp=sr ssw=ss sun=su swa=sw swe=sv swh=sw tah=ty tam=ta "
        "tat=tt tel=te tgk=tg tgl=tl tha=th tir=ti ton=to tsn=tn tso=ts tuk=tk tur=tr twi=tw uig=ug ukr=uk urd=ur "
        "uzb=uz ven=ve vie=vi wln=wa wol=wo xho=xh yid=yi yor=yo zha=za zul=zu"
    ).split()
)


def gettext_code(lang: str) -> str:
    """What gettext calls a language: ``zu`` for ``zul``, ``ast`` for ``ast``."""
    iso = parse_language(lang).iso
    return GETTEXT.get(iso, iso)


def find_files(paths: Sequence[str], lang: str) -> Tuple[List[Path], List[Path]]:
    """The catalogues and the registries under some files and folders, sorted; of other languages' none.

    Args:
        paths: files (taken as they are) and folders (searched). In a folder with ``XX/LC_MESSAGES`` for several
            languages, XX must be this language's.
        lang: the translations' language.

    Raises:
        DataError: a path does not exist.
    """
    catalogues: Dict[Path, None] = {}
    registries: Dict[Path, None] = {}
    code = gettext_code(lang)
    for name in paths:
        path = Path(name)
        if path.is_file():
            (registries if path.suffix == ".xcd" else catalogues)[path] = None
        elif path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix in (".mo", ".po") and _of_language(file, path, code):
                    catalogues[file] = None
                elif file.name in (ENGLISH_REGISTRY, f"registry_{code}.xcd"):
                    registries[file] = None
        else:
            raise DataError(f"{path} does not exist; name catalogues (.mo, .po) or folders that hold some.")
    return list(catalogues), list(registries)


def _of_language(file: Path, root: Path, code: str) -> bool:
    if file.parent.name == "LC_TIME":
        return False  # a link to the same catalogue under LC_MESSAGES
    if file.parent.name != "LC_MESSAGES" or root in (file.parent, file.parent.parent):
        return True  # no folder of many languages, or this language's own
    # zu, zu_ZA, zu_ZA.UTF-8; not sr@latin, which is another way of writing it
    return re.fullmatch(rf"{code}(_[A-Z]{{2}})?(\.[\w-]+)?", file.parent.parent.name) is not None


def read_catalogue(path: Path) -> Catalogue:
    """The messages of a .mo or .po file; see :mod:`catalogue_files` for its errors."""
    return read_po(path) if path.suffix in (".po", ".pot") else read_mo(path)


def registry_pairs(registries: Iterable[Path]) -> Iterator[Tuple[str, str, bool]]:
    """Pairs of the texts at one place of the English and another registry; none when one of them is missing."""
    english = [path for path in registries if path.name == ENGLISH_REGISTRY]
    others = [path for path in registries if path.name != ENGLISH_REGISTRY]
    if not english:
        return
    source = read_registry(english[0])
    for path in others:
        for place, text in read_registry(path).items():
            if place in source:
                yield source[place], text, False


def extract(files: Sequence[Path], registries: Sequence[Path]) -> Tuple[List[Tuple[str, str]], "Counter[str]"]:
    """The distinct clean pairs of some catalogues, in their order, and how many messages were dropped for what.

    Returns:
        (English, translation) pairs; counts with ``messages`` in, ``kept`` out, and a number for each reason.
    """
    kept: Dict[Tuple[str, str], Tuple[str, str]] = {}
    counts: "Counter[str]" = Counter()
    progress = Progress("catalogues", len(files), unit="files")

    def add(pairs: Iterable[Tuple[str, str, bool]]) -> None:
        for pair in pairs:
            for source, target, reason in clean_message(*pair):
                counts["messages"] += 1
                key = (source.lower(), target.lower())
                if not reason and key in kept:
                    reason = "duplicate"
                counts[reason or "kept"] += 1
                if not reason:
                    kept[key] = (source, target)

    for file in files:
        add(read_catalogue(file).pairs())
        progress.add(1)
    add(registry_pairs(registries))
    return list(kept.values()), counts


def main(args: argparse.Namespace) -> None:
    """Write the pairs and their counts."""
    if args.print_code:
        print(gettext_code(args.lang))
        return
    if not args.output or not args.paths:
        raise ConfigError("--output PREFIX and at least one FILE_OR_FOLDER are needed; see --help.")
    files, registries = find_files(args.paths, args.lang)
    pairs, counts = extract(files, registries)
    if not pairs:
        raise DataError(
            f"No translated message of {args.lang} in {len(files)} catalogues under {', '.join(args.paths)}; "
            "to use bitext of your own, give student.sh a --bitext eng-LANG=PREFIX."
        )
    sentences = sum(len(source.split()) >= SENTENCE_WORDS for source, _ in pairs)
    try:
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, args.output) from error
    write_lines(f"{args.output}.{ENGLISH}", (source for source, _ in pairs))
    write_lines(f"{args.output}.{args.lang}", (target for _, target in pairs))
    report = {"language": args.lang, "files": len(files) + len(registries), "sentences": sentences, **counts}
    write_text(f"{args.output}.json", json.dumps(report, indent=1) + "\n")
    dropped = ", ".join(f"{reason} {n:,}" for reason, n in counts.most_common() if reason not in ("messages", "kept"))
    logger.info(
        f"catalogues | {args.lang} | {len(files)} files, {counts['messages']:,} messages | {len(pairs):,} pairs, "
        f"{sentences:,} of at least {SENTENCE_WORDS} words | dropped: {dropped}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "catalogues.py",
        "Make bitext from translated message catalogues.",
        "python data_prep/catalogues.py --lang gle --output work/gle/catalogue /usr/share/locale/ga",
    )
    parser.add_argument("--lang", required=True, metavar="LANG", help="language of the translations (ISO 639-3)")
    parser.add_argument("--output", metavar="PREFIX", help=f"writes PREFIX.{ENGLISH}, PREFIX.LANG, PREFIX.json")
    parser.add_argument("--print-code", action="store_true", help="print gettext's name of the language, and stop")
    parser.add_argument("paths", nargs="*", metavar="FILE_OR_FOLDER", help=".mo, .po or .xcd files, or folders of them")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(_parser(), main))
