"""What a title looks like to the pipeline: unaccented lower-case Latin words and digits, one space between them.

Engines and Python lower-case, compose and strip differently, so nothing here leaves it to them: one table
folds code points, one expression says what separates words, and lower-casing happens on ASCII alone.
"""

import html
import re
import unicodedata
from html.entities import html5
from typing import TYPE_CHECKING

# A model in use cleans titles too, and needs no engine.
if TYPE_CHECKING:
    import ibis.expr.types as ir

SEPARATORS = "[^0-9A-Za-z]+"
# What shops that escape titles for HTML leave in them; `&` may be escaped several times: &amp;amp;eacute;
CHARACTER_REFERENCE = "&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
NON_ASCII = "[^\\x00-\\x7F]"


def _fold_to_ascii(letter: str) -> str:
    """`letter` without its marks where that leaves one ASCII letter or digit (é, ª, ²), else nothing."""
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return base if len(base) == 1 and base.isascii() and base.isalnum() else ""


# Decompositions never change once published, so this table is the same under every Python.
_ASCII_FOLDING = {letter: _fold_to_ascii(letter) for letter in map(chr, range(0x80, 0x180)) if _fold_to_ascii(letter)}
_ASCII_FOLDING |= dict(zip("æÆœŒøØđĐðÐłŁßıħĦþÞ", "aAoOoOdDdDlLsihHtT", strict=True))
# The full-width forms in which East Asian keyboards write Latin.
_ASCII_FOLDING |= {
    letter: _fold_to_ascii(letter) for letter in map(chr, range(0xFF10, 0xFF5B)) if _fold_to_ascii(letter)
}
# The soft hyphen, zero-width spaces and joiners, marks of direction, selectors of variants, the byte order mark.
ZERO_WIDTH = "\u00ad\u061c\u180e\ufeff" + "".join(
    map(chr, [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)])
)
# These, and the marks of decomposed text (e + U+0301), vanish instead of splitting the word.
_DELETED = "".join(map(chr, range(0x300, 0x370))) + ZERO_WIDTH

TRANSLATE_FROM = "".join(_ASCII_FOLDING) + _DELETED
TRANSLATE_TO = "".join(_ASCII_FOLDING.values())

# What Spanish and Portuguese write. Engines prepare a table anew for each title, so that a short one is soon done.
COMMON_LETTERS = "áéíóúñçãõâêôàüÁÉÍÓÚÑÇÃÕÂÊÔÀÜºª"
UNCOMMON_CHARACTER = f"[^\\x00-\\x7F{COMMON_LETTERS}]"

# A batch of titles is padded to its longest, so that one endless title would take the memory of all.
MAX_WORDS = 64

# All that decides what is read of a title, for a model to keep.
RULES = {
    "character_reference": CHARACTER_REFERENCE,
    "folded": TRANSLATE_FROM,
    "onto": TRANSLATE_TO,
    "separators": SEPARATORS,
    "most_words": MAX_WORDS,
}

_TRANSLATION_TABLE = {ord(letter): base for letter, base in _ASCII_FOLDING.items()} | dict.fromkeys(map(ord, _DELETED))
_SEPARATORS = re.compile(SEPARATORS)
_CHARACTER_REFERENCE = re.compile(CHARACTER_REFERENCE)


def clean(title: str) -> str:
    """`" Teléfono MÓVIL 32GB!"` becomes `"telefono movil 32gb"`; a title with no Latin letter or digit, `""`."""
    return _SEPARATORS.sub(" ", unescape(title).translate(_TRANSLATION_TABLE)).strip(" ").lower()


def unescape(title: str) -> str:
    """`title` with the characters that HTML's references stand for: `Tel&eacute;fono &#50;` becomes `Teléfono 2`.

    Unlike `html.unescape` it wants the semicolon, so that `rock&reggae` stays, and takes `&EACUTE;` of titles that
    were upper-cased afterwards.
    """
    return _CHARACTER_REFERENCE.sub(_replace_reference, title) if "&" in title else title


def _replace_reference(reference: re.Match[str]) -> str:
    name = f"{reference[1]};"
    if name.startswith("#"):
        return html.unescape(f"&{name}")
    return html5.get(name) or html5.get(name.lower()) or reference[0]


def clean_expression(title: "ir.StringColumn") -> "ir.StringColumn":
    """`clean` of titles that went through `unescape`, as an expression for any engine Ibis speaks to."""
    usual = title.translate(COMMON_LETTERS, "".join(map(_fold_to_ascii, COMMON_LETTERS)))
    folded = title.re_search(UNCOMMON_CHARACTER).ifelse(title.translate(TRANSLATE_FROM, TRANSLATE_TO), usual)
    # Folding costs the most, and a title of ASCII alone needs none.
    return title.re_search(NON_ASCII).ifelse(folded, title).re_replace(SEPARATORS, " ").strip().lower()
