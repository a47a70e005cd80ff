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
NOT_ASCII = "[^\\x00-\\x7F]"


def _folded(letter: str) -> str:
    """`letter` without its marks where that leaves one ASCII letter or digit (é, ª, ²), else nothing."""
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return base if len(base) == 1 and base.isascii() and base.isalnum() else ""


# Decompositions never change once published, so this table is the same under every Python.
_LETTERS = {letter: _folded(letter) for letter in map(chr, range(0x80, 0x180)) if _folded(letter)}
_LETTERS |= dict(zip("æÆœŒøØđĐðÐłŁßıħĦþÞ", "aAoOoOdDdDlLsihHtT", strict=True))
# The full-width forms in which East Asian keyboards write Latin.
_LETTERS |= {letter: _folded(letter) for letter in map(chr, range(0xFF10, 0xFF5B)) if _folded(letter)}
# The soft hyphen, zero-width spaces and joiners, marks of direction, selectors of variants, the byte order mark.
ZERO_WIDTH = "\u00ad\u061c\u180e\ufeff" + "".join(
    map(chr, [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)])
)
# These, and the marks of decomposed text (e + U+0301), vanish instead of splitting the word.
_DELETED = "".join(map(chr, range(0x300, 0x370))) + ZERO_WIDTH

FOLDED = "".join(_LETTERS) + _DELETED
ONTO = "".join(_LETTERS.values())

# What Spanish and Portuguese write. Engines prepare a table anew for each title, so that a short one is soon done.
USUAL = "áéíóúñçãõâêôàüÁÉÍÓÚÑÇÃÕÂÊÔÀÜºª"
UNUSUAL = f"[^\\x00-\\x7F{USUAL}]"

# A batch of titles is padded to its longest, so that one endless title would take the memory of all.
MOST_WORDS = 64

# All that decides what is read of a title, for a model to keep.
RULES = {
    "character_reference": CHARACTER_REFERENCE,
    "folded": FOLDED,
    "onto": ONTO,
    "separators": SEPARATORS,
    "most_words": MOST_WORDS,
}

_TABLE = {ord(letter): base for letter, base in _LETTERS.items()} | dict.fromkeys(map(ord, _DELETED))
_SEPARATORS = re.compile(SEPARATORS)
_CHARACTER_REFERENCE = re.compile(CHARACTER_REFERENCE)


def clean(title: str) -> str:
    """`" Teléfono MÓVIL 32GB!"` becomes `"telefono movil 32gb"`; a title with no Latin letter or digit, `""`."""
    return _SEPARATORS.sub(" ", unescape(title).translate(_TABLE)).strip(" ").lower()


def unescape(title: str) -> str:
    """`title` with the characters that HTML's references stand for: `Tel&eacute;fono &#50;` becomes `Teléfono 2`.

    Unlike `html.unescape` it wants the semicolon, so that `rock&reggae` stays, and takes `&EACUTE;` of titles that
    were upper-cased afterwards.
    """
    return _CHARACTER_REFERENCE.sub(_referred, title) if "&" in title else title


def _referred(reference: re.Match[str]) -> str:
    name = f"{reference[1]};"
    if name.startswith("#"):
        return html.unescape(f"&{name}")
    return html5.get(name) or html5.get(name.lower()) or reference[0]


def cleaned(title: "ir.StringColumn") -> "ir.StringColumn":
    """`clean` of titles that went through `unescape`, as an expression for any engine Ibis speaks to."""
    usual = title.translate(USUAL, "".join(map(_folded, USUAL)))
    folded = title.re_search(UNUSUAL).ifelse(title.translate(FOLDED, ONTO), usual)
    # Folding costs the most, and a title of ASCII alone needs none.
    return title.re_search(NOT_ASCII).ifelse(folded, title).re_replace(SEPARATORS, " ").strip().lower()
