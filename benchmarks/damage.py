"""Typical damages of titles, such as missing accents and swapped letters."""

import random
import unicodedata
from collections.abc import Callable
from itertools import pairwise

SEED = 2019
SELLING_WORDS = ["oferta", "envío gratis", "nuevo", "12 cuotas"]


def remove_accents(title: str, rng: random.Random) -> str:
    """Remove the combining marks of all letters."""
    return "".join(char for char in unicodedata.normalize("NFD", title) if not unicodedata.combining(char))


def swap_letters(title: str, rng: random.Random) -> str:
    """Swap two different adjacent letters of one word."""
    positions = [
        index
        for index, (left, right) in enumerate(pairwise(title))
        if left.isalpha() and right.isalpha() and left.lower() != right.lower()
    ]
    if not positions:
        return title
    index = rng.choice(positions)
    return title[:index] + title[index + 1] + title[index] + title[index + 2 :]


def join_words(title: str, rng: random.Random) -> str:
    """Remove the space between two adjacent words."""
    words = title.split()
    if len(words) < 2:
        return title
    index = rng.randrange(1, len(words))
    return " ".join([*words[: index - 1], words[index - 1] + words[index], *words[index + 1 :]])


def shuffle_words(title: str, rng: random.Random) -> str:
    """Shuffle the words."""
    words = title.split()
    return " ".join(rng.sample(words, len(words)))


def add_selling_words(title: str, rng: random.Random) -> str:
    """Add selling words before or after the title."""
    texts = [title, rng.choice(SELLING_WORDS)]
    return " ".join(rng.sample(texts, 2))


def drop_word(title: str, rng: random.Random) -> str:
    """Remove one word of a title of several words."""
    words = title.split()
    if len(words) > 1:
        words.pop(rng.randrange(len(words)))
    return " ".join(words)


DAMAGES: dict[str, Callable[[str, random.Random], str]] = {
    "intact": lambda title, _: title,
    "without accents": remove_accents,
    "in capitals": lambda title, _: title.upper(),
    "two letters swapped": swap_letters,
    "two words run together": join_words,
    "words in random order": shuffle_words,
    "selling words added": add_selling_words,
    "one word left out": drop_word,
}


def damage_titles(titles: list[str], damage: str) -> list[str]:
    """Apply a damage to each title, with a fixed seed, so that every model gets the same titles."""
    rng = random.Random(SEED)
    return [DAMAGES[damage](title, rng) for title in titles]
