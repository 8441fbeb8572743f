import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import catalogues
import pytest
from catalogue_files import read_mo, read_po, read_registry
from catalogue_text import clean_message, fill_placeholders, strip_accelerators, strip_markup

from fairseq_distill.cli.common import run_command
from fairseq_distill.errors import DataError

HEADER = "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n"


def mo_bytes(messages, header=HEADER, order="<", encoding="utf-8"):
    """A compiled catalogue, as msgfmt lays it out."""
    pairs = [(key.encode(encoding), value.encode(encoding)) for key, value in sorted({"": header, **messages}.items())]
    n = len(pairs)
    tables, body, place = [b"", b""], b"", 28 + 16 * n
    for side in (0, 1):
        for pair in pairs:
            tables[side] += struct.pack(f"{order}2I", len(pair[side]), place)
            body += pair[side] + b"\0"
            place += len(pair[side]) + 1
    return struct.pack(f"{order}7I", 0x950412DE, 0, n, 28, 28 + 8 * n, 0, 0) + tables[0] + tables[1] + body


def run(*options):
    return run_command(catalogues._parser(), catalogues.main, ["--quiet", *map(str, options)])


@pytest.mark.parametrize("order", ["<", ">"])
def test_contexts_plurals_and_both_byte_orders(tmp_path, order):
    path = tmp_path / "x.mo"
    messages = {"menu\x04Open": "Vula", "%d file\0%d files": "ifayela %d\0amafayela %d", "Close": ""}
    path.write_bytes(mo_bytes(messages, order=order))
    pairs = {(source, target) for source, target, _ in read_mo(path).pairs()}
    assert pairs == {("Open", "Vula"), ("%d file", "ifayela %d"), ("%d files", "amafayela %d"), ("Close", "")}


def test_plural_forms_are_those_of_the_language(tmp_path):
    (tmp_path / "sl.mo").write_bytes(
        mo_bytes(
            {"%d day\0%d days": "dni\0dan\0dneva\0dnevi"},
            "Content-Type: text/plain; charset=UTF-8\n"
            "Plural-Forms: nplurals=4; plural=(n%100==1 ? 1 : n%100==2 ? 2 : n%100==3 || n%100==4 ? 3 : 0);\n",
        )
    )
    assert list(read_mo(tmp_path / "sl.mo").pairs()) == [("%d day", "dan", False), ("%d days", "dni", False)]
    (tmp_path / "one.mo").write_bytes(
        mo_bytes(
            {"%d day\0%d days": "hari"},
            "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=1; plural=0;\n",
        )
    )
    assert list(read_mo(tmp_path / "one.mo").pairs()) == [("%d days", "hari", False)]


def test_other_character_sets(tmp_path):
    header = "Content-Type: text/plain; charset=ISO-8859-1\n"
    (tmp_path / "x.mo").write_bytes(mo_bytes({"Hello there": "Olá você"}, header, encoding="iso-8859-1"))
    assert list(read_mo(tmp_path / "x.mo").pairs()) == [("Hello there", "Olá você", False)]
    (tmp_path / "x.mo").write_bytes(mo_bytes({"Hello there": "Olá você"}, encoding="iso-8859-1"))
    with pytest.raises(DataError, match="character set"):
        read_mo(tmp_path / "x.mo")


def test_damaged_catalogues_are_refused(tmp_path):
    whole = mo_bytes({"Open": "Vula", "Close": "Vala"})
    for name, content in (("cut", whole[:-12]), ("header", whole[:30]), ("other", b"PNG" + whole)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_mo(tmp_path / name)


PO = r"""
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

# comment
#: file.c:12
msgid "Open the \"file\""
msgstr ""
"Vula "
"ifayela\tlapha"

#, fuzzy, c-format
#| msgid "old"
msgctxt "menu"
msgid "Close"
msgstr "Vala"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "ifayela"
msgstr[1] "amafayela"

#~ msgid "gone"
#~ msgstr "hambile"
"""


def test_po(tmp_path):
    (tmp_path / "x.po").write_text(PO)
    assert list(read_po(tmp_path / "x.po").pairs()) == [
        ('Open the "file"', "Vula ifayela\tlapha", False),
        ("Close", "Vala", True),
        ("%d file", "ifayela", False),
        ("%d files", "amafayela", False),
    ]
    (tmp_path / "x.po").write_text(PO + "\nnonsense\n")
    with pytest.raises(DataError, match=rf"x\.po, line {PO.count(chr(10)) + 2}"):
        read_po(tmp_path / "x.po")


@pytest.mark.parametrize(
    "source, target, expected",
    [
        ("_File", "_Ifayela", ("File", "Ifayela")),
        ("Save _As", "檔案(_F)", ("Save As", "檔案")),
        ("Con~tour", "~Kontu", ("Contour", "Kontu")),
        ("&Open && close", "&Vula && vala", ("Open & close", "Vula & vala")),
        ("Centre", "~Phakathi", ("Centre", "Phakathi")),
        ("AT&T", "AT&T", ("AT&T", "AT&T")),
        ("_Open file_name", "_Vula file_name", ("Open file_name", "Vula file_name")),
        ("a_b and c_d", "a_b futhi c_d", ("a_b and c_d", "a_b futhi c_d")),
        ("R&D &amp; more", "R&D &amp; nokunye", ("R&D &amp; more", "R&D &amp; nokunye")),
    ],
)
def test_accelerators(source, target, expected):
    assert strip_accelerators(source, target) == expected


@pytest.mark.parametrize(
    "source, target, expected",
    [
        ("%s: %d files", "%2$d ku %1$s", ("X: 4 files", "4 ku X", 2)),
        ("%(name)s has %(n)d", "%(n)d: %(name)s", ("X has 4", "4: X", 2)),
        ("{0} of {name}", "{name} {0}", ("X of Y", "Y X", 2)),
        ("%1 of %2 in %PRODUCTNAME", "%2, %1, %PRODUCTNAME", ("X of Y in LibreOffice", "Y, X, LibreOffice", 2)),
        ("$1 and ${x} and $(ARG1)", "$(ARG1) $1 ${x}", ("X and Y and Z", "Z X Y", 3)),
        ("The directory $name$", "Ushicilelo lwe-$name$", ("The directory X", "Ushicilelo lwe-X", 1)),
        ("Line %LINENUMBER", "%LINENUMBER ulayini", ("Line X", "X ulayini", 1)),
        ("the '%value' of %num%", "%num% '%value'", ("the 'X' of Y", "Y 'X'", 2)),
        ("%5.2f%% done, %lld KB", "%5.2f%%, %lld KB", ("3% done, 4 KB", "3%, 4 KB", 2)),
        ("%sBuilt for %s", "%sKwenzelwe %s", ("XBuilt for Y", "XKwenzelwe Y", 2)),
        ("50% sure, $1,000", "50% x, $1,000", ("50% sure, $1,000", "50% x, $1,000", 0)),
        ("%s is not %s", "%s", None),
        ("Save {name}", "Gcina {igama}", None),
    ],
)
def test_placeholders_are_filled_alike_on_both_sides(source, target, expected):
    assert fill_placeholders(source, target) == expected


def test_markup():
    assert strip_markup('Click <a href="x y">here</a>,<br/>or <b>&quot;there&quot;</b> &lt;none&gt;').split() == (
        'Click here, or "there" <none>'.split()
    )
    assert strip_markup("a < b and <unknown>") == "a < b and <unknown>"


@pytest.mark.parametrize(
    "source, target, reason",
    [
        ("Open the file", "", "untranslated"),
        ("Open the file", "_Open the file", "untranslated"),
        ("licence information", "license information", "nearly_untranslated"),
        ("OK", "EY", "too_short"),
        ("%s: %s", "%s - %s", "too_short"),
        ("Row %d", "Umugqa %d", "mostly_placeholders"),
        ("Use -v or --verbose", "Sebenzisa -v", "command_line"),
        ("config.file_name", "ifayela.igama", "identifier"),
        ("1: + 2: * 3 abc", "1: + 2: * 3 xyz", "mostly_symbols"),
        ("%s is not %s here", "akuyona %s", "placeholder_mismatch"),
        ("Open the file", "Vula ifayela", ""),
    ],
)
def test_each_reason_for_dropping_a_message(source, target, reason):
    assert [r for _, _, r in clean_message(source, target)] == [reason]


def test_paragraphs_are_pairs_of_their_own_when_they_match():
    both = list(clean_message("First\nline.\n\nSecond one.", "Owokuqala\numugqa.\n\nOwesibili."))
    assert both == [("First line.", "Owokuqala umugqa.", ""), ("Second one.", "Owesibili.", "")]
    one = list(clean_message("First.\n\nSecond.", "Konke ndawonye."))
    assert one == [("First. Second.", "Konke ndawonye.", "")]
    assert [r for _, _, r in clean_message("Open it", "Vula", fuzzy=True)] == ["fuzzy"]


def registry(values):
    rows = "".join(
        f'<node oor:name="{name}"><prop oor:name="Label"><value xml:lang="x">{text}</value></prop></node>'
        for name, text in values.items()
    )
    return (
        '<oor:data xmlns:oor="http://openoffice.org/2001/registry"><oor:component-data oor:package="p" oor:name="n">'
        f"{rows}</oor:component-data></oor:data>"
    )


def test_command_reads_folders_and_counts_every_message(tmp_path):
    for code, word in (("zu", "Vula"), ("xh", "Xhosa")):
        folder = tmp_path / "locale" / code / "LC_MESSAGES"
        folder.mkdir(parents=True)
        messages = {
            "_Open": f"_{word}",
            "a\x04Open": word,
            "Close": "Close",
            "Save the whole file": "Gcina ifayela lonke",
        }
        (folder / "app.mo").write_bytes(mo_bytes({**messages, "Never done": ""}))
    (tmp_path / "locale" / "registry_en-GB.xcd").write_text(registry({"a": "~Colour of lines", "b": "Extra"}))
    (tmp_path / "locale" / "registry_zu.xcd").write_text(registry({"a": "~Umbala wemigqa", "c": "Okunye"}))
    assert run("--lang", "zul", "--output", tmp_path / "out" / "all", tmp_path / "locale") == 0
    english = (tmp_path / "out" / "all.eng").read_text().splitlines()
    zulu = (tmp_path / "out" / "all.zul").read_text().splitlines()
    assert sorted(zip(english, zulu)) == [
        ("Colour of lines", "Umbala wemigqa"),
        ("Open", "Vula"),
        ("Save the whole file", "Gcina ifayela lonke"),
    ]
    report = json.loads((tmp_path / "out" / "all.json").read_text())
    assert report["messages"] == 6 and report["kept"] == 3 and report["duplicate"] == 1 and report["untranslated"] == 2


def test_nothing_translated_says_what_to_do(tmp_path, capsys):
    (tmp_path / "x.mo").write_bytes(mo_bytes({"Open": ""}))
    assert run("--lang", "zul", "--output", tmp_path / "all", tmp_path / "x.mo") == 1
    assert "--bitext eng-LANG=PREFIX" in capsys.readouterr().err
    assert not (tmp_path / "all.eng").exists()


def test_places_of_a_registry(tmp_path):
    (tmp_path / "r.xcd").write_text(registry({"a": "x"}))
    assert read_registry(tmp_path / "r.xcd") == {("p", "n", "a", "Label", "value"): "x"}
    (tmp_path / "r.xcd").write_text("<a><b></a>")
    with pytest.raises(DataError, match="r.xcd"):
        read_registry(tmp_path / "r.xcd")


def test_gettext_codes():
    codes = [
        catalogues.gettext_code(lang) for lang in ("zul", "xho", "ssw", "nbl", "nso", "tsn", "tso", "ven", "sot", "ast")
    ]
    assert codes == ["zu", "xh", "ss", "nr", "nso", "tn", "ts", "ve", "st", "ast"]


def catalogues_sh(folder, *options, apt):
    """catalogues.sh with an apt-get that does ``apt`` instead, and a machine's catalogues under ``folder/locale``."""
    fake = folder / "bin" / "apt-get"
    fake.parent.mkdir(exist_ok=True)
    fake.write_text(f"#!/bin/sh\n{apt}\n")
    fake.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{fake.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FAIRSEQ_DISTILL_VENV": "none",
        "FAIRSEQ_DISTILL_LOCALES": str(folder / "locale"),
    }
    command = [
        "bash",
        str(Path(catalogues.__file__).parent / "catalogues.sh"),
        "--output",
        str(folder / "out"),
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_without_packages_the_machines_catalogues_are_read(tmp_path, made_up):
    folder = tmp_path / "locale" / "zu" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "app.mo").write_bytes(mo_bytes(dict(made_up(30))))
    done = catalogues_sh(tmp_path, "--dev", "4", "zul", apt="exit 100")
    assert done.returncode == 0, done.stderr
    assert "zul | 30 pairs" in done.stderr
    parts = {
        part: (tmp_path / "out" / "eng-zul" / f"{part}.zul").read_text().splitlines()
        for part in ("all", "train", "dev")
    }
    assert len(parts["dev"]) == 4 and sorted(parts["dev"] + parts["train"]) == sorted(parts["all"])
    again = catalogues_sh(tmp_path, "--dev", "4", "zul", apt="exit 100")
    assert again.stderr.count("unchanged") == 2


@pytest.mark.slow
def test_where_nothing_is_to_be_had_one_sentence_names_the_way_out(tmp_path):
    done = catalogues_sh(tmp_path, "zul", apt="exit 100")
    assert done.returncode == 1
    assert "--bitext eng-zul=PREFIX" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out" / "eng-zul").exists()


@pytest.mark.slow
def test_a_fetched_package_is_unpacked_once(tmp_path, made_up):
    tree = tmp_path / "tree"
    folder = tree / "usr/lib/libreoffice/program/resource/zu/LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "sw.mo").write_bytes(mo_bytes(dict(made_up(12))))
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: n\nDescription: d\n"
    )
    if not shutil.which("dpkg-deb"):
        pytest.skip("no dpkg-deb on this machine")
    subprocess.run(["dpkg-deb", "-b", tree, tmp_path / "zu.deb"], check=True, capture_output=True)
    apt = f'case "$*" in *download*-l10n-zu) echo x >>"{tmp_path}/fetched"; cp "{tmp_path}/zu.deb" .;; *) exit 1;; esac'
    for _ in range(2):
        done = catalogues_sh(tmp_path, "zul", apt=apt)
        assert done.returncode == 0, done.stderr
    assert "zul | 12 pairs" in done.stderr
    assert (tmp_path / "fetched").read_text() == "x\n"
    assert not list((tmp_path / "out" / "packages").glob("new.*"))
