"""What a title looks like to the pipeline: unaccented lower-case Latin words and digits, one space between them.

Engines and Python lower-case, compose and strip differently, so nothing here leaves it to them: one table
folds code points, one expression says what separates words, and lower-casing happens on ASCII alone.
"""

import re
import unicodedata
from typing import TYPE_CHECKING

# A model in use cleans titles too, and needs no engine.
if TYPE_CHECKING:
    import ibis.expr.types as ir

SEPARATORS = "[^0-9A-Za-z]+"
NOT_ASCII = "[^\\x00-\\x7F]"


def _folded(letter: str) -> str:
    """`letter` without its marks where that leaves one ASCII letter or digit (é, ª, ²), else nothing."""
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return base if len(base) == 1 and base.isascii() and base.isalnum() else ""


# Decompositions never change once published, so this table is the same under every Python.
_LETTERS = {letter: _folded(letter) for letter in map(chr, range(0x80, 0x180)) if _folded(letter)}
_LETTERS |= dict(zip("æÆœŒøØđĐðÐłŁßıħĦþÞ", "aAoOoOdDdDlLsihHtT", strict=True))
# Marks of decomposed text (e + U+0301) and the soft hyphen vanish instead of splitting the word.
_DELETED = "\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327\u00ad"

FOLDED = "".join(_LETTERS) + _DELETED
ONTO = "".join(_LETTERS.values())

# What Spanish and Portuguese write. Engines prepare a table anew for each title, so that a short one is soon done.
USUAL = "áéíóúñçãõâêôàüÁÉÍÓÚÑÇÃÕÂÊÔÀÜºª"
UNUSUAL = f"[^\\x00-\\x7F{USUAL}]"

# A batch of titles is padded to its longest, so that one endless title would take the memory of all.
MOST_WORDS = 64

# All that decides what is read of a title, for a model to keep.
RULES = {"folded": FOLDED, "onto": ONTO, "separators": SEPARATORS, "most_words": MOST_WORDS}

_TABLE = {ord(letter): base for letter, base in _LETTERS.items()} | dict.fromkeys(map(ord, _DELETED))
_SEPARATORS = re.compile(SEPARATORS)


def clean(title: str) -> str:
    """`" Teléfono MÓVIL 32GB!"` becomes `"telefono movil 32gb"`; a title with no Latin letter or digit, `""`."""
    return _SEPARATORS.sub(" ", title.translate(_TABLE)).strip(" ").lower()


def cleaned(title: "ir.StringColumn") -> "ir.StringColumn":
    """`clean` as an expression for any engine Ibis speaks to."""
    usual = title.translate(USUAL, "".join(map(_folded, USUAL)))
    folded = title.re_search(UNUSUAL).ifelse(title.translate(FOLDED, ONTO), usual)
    # Folding costs the most, and a title of ASCII alone needs none.
    return title.re_search(NOT_ASCII).ifelse(folded, title).re_replace(SEPARATORS, " ").strip().lower()
