"""Normalization of titles to unaccented lower-case Latin words and digits, separated by single spaces.

Engines and Python lower-case, compose and strip Unicode text differently, so none of that is left to them. One table
maps code points to ASCII, one regular expression defines the separators, and lower-casing is applied to ASCII only.
"""

import html
import re
import unicodedata
from html.entities import html5
from typing import TYPE_CHECKING

# Inference normalizes titles too, and must not need Ibis.
if TYPE_CHECKING:
    import ibis.expr.types as ir

SEPARATORS = "[^0-9A-Za-z]+"
# HTML character references, which shops leave in their titles. `&` may be escaped several times: &amp;amp;eacute;
CHARACTER_REFERENCE = "&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
NON_ASCII = "[^\\x00-\\x7F]"


def _fold_to_ascii(letter: str) -> str:
    """Return `letter` without its marks if that is one ASCII letter or digit (é, ª, ²), else an empty string."""
    base = "".join(point for point in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(point))
    return base if len(base) == 1 and base.isascii() and base.isalnum() else ""


# Unicode never changes a published decomposition, so this table is the same in every version of Python.
_ASCII_FOLDING = {letter: _fold_to_ascii(letter) for letter in map(chr, range(0x80, 0x180)) if _fold_to_ascii(letter)}
_ASCII_FOLDING |= dict(zip("æÆœŒøØđĐðÐłŁßıħĦþÞ", "aAoOoOdDdDlLsihHtT", strict=True))
# Full-width forms, which East Asian keyboards use for Latin letters.
_ASCII_FOLDING |= {
    letter: _fold_to_ascii(letter) for letter in map(chr, range(0xFF10, 0xFF5B)) if _fold_to_ascii(letter)
}
# The soft hyphen, zero-width spaces and joiners, directional marks, variation selectors, the byte order mark.
ZERO_WIDTH = "\u00ad\u061c\u180e\ufeff" + "".join(
    map(chr, [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)])
)
# Zero-width characters and combining marks (e + U+0301) are deleted, because they do not separate words.
_DELETED = "".join(map(chr, range(0x300, 0x370))) + ZERO_WIDTH

TRANSLATE_FROM = "".join(_ASCII_FOLDING) + _DELETED
TRANSLATE_TO = "".join(_ASCII_FOLDING.values())

# The letters of Spanish and Portuguese. Engines build the table of `translate` for each title, so a short one is fast.
COMMON_LETTERS = "áéíóúñçãõâêôàüÁÉÍÓÚÑÇÃÕÂÊÔÀÜºª"
UNCOMMON_CHARACTER = f"[^\\x00-\\x7F{COMMON_LETTERS}]"

# Batches are padded to their longest title, so a single very long title would need too much memory.
MAX_WORDS = 64

# The rules of normalization and tokenization. Every model stores those it was trained with.
RULES = {
    "character_reference": CHARACTER_REFERENCE,
    "translate_from": TRANSLATE_FROM,
    "translate_to": TRANSLATE_TO,
    "separators": SEPARATORS,
    "max_words": MAX_WORDS,
}

_TRANSLATION_TABLE = {ord(letter): base for letter, base in _ASCII_FOLDING.items()} | dict.fromkeys(map(ord, _DELETED))
_SEPARATORS = re.compile(SEPARATORS)
_CHARACTER_REFERENCE = re.compile(CHARACTER_REFERENCE)


def clean(title: str) -> str:
    """Normalize a title: `" Teléfono MÓVIL 32GB!"` becomes `"telefono movil 32gb"`.

    A title without Latin letters and digits becomes an empty string.
    """
    return _SEPARATORS.sub(" ", unescape(title).translate(_TRANSLATION_TABLE)).strip(" ").lower()


def unescape(title: str) -> str:
    """Replace HTML character references by their characters: `Tel&eacute;fono &#50;` becomes `Teléfono 2`.

    Unlike `html.unescape`, a reference needs its semicolon, so `rock&reggae` stays, and `&EACUTE;` is accepted, because
    some titles were upper-cased after escaping.
    """
    return _CHARACTER_REFERENCE.sub(_replace_reference, title) if "&" in title else title


def _replace_reference(reference: re.Match[str]) -> str:
    name = f"{reference[1]};"
    if name.startswith("#"):
        return html.unescape(f"&{name}")
    return html5.get(name) or html5.get(name.lower()) or reference[0]


def clean_expression(title: "ir.StringColumn") -> "ir.StringColumn":
    """Return `clean` as an Ibis expression for any engine, for titles to which `unescape` was applied before."""
    common = title.translate(COMMON_LETTERS, "".join(map(_fold_to_ascii, COMMON_LETTERS)))
    folded = title.re_search(UNCOMMON_CHARACTER).ifelse(title.translate(TRANSLATE_FROM, TRANSLATE_TO), common)
    # Translating takes the most time, and titles that are pure ASCII do not need it.
    return title.re_search(NON_ASCII).ifelse(folded, title).re_replace(SEPARATORS, " ").strip().lower()
