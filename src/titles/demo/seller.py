"""The generator of titles: combines the words of a category as sellers do on a marketplace, and adds typos."""

import random
import re
import unicodedata
from collections.abc import Callable

from titles.demo.catalogue import Category, shop

PLACEHOLDER = re.compile(r"\{([^}]*)\}")
CONFUSED_LETTERS = {
    "b": "v",
    "v": "b",
    "s": "z",
    "z": "s",
    "c": "s",
    "y": "i",
    "i": "y",
    "q": "k",
    "j": "g",
    "g": "j",
    "x": "s",
}
LETTERS, DIGITS = "abcdefghjklmnprstvwxz", "0123456789"
CODES = ["@@-####", "@###", "@@####", "###@", "@@@-##", "@##@", "####", "@#", "@@ ###", "@-###", "##@@", "@@@####"]

# The shares of titles without accents, with a misspelling, with two joined words, and with more than 60 characters.
WITHOUT_ACCENTS, MISSPELT, RUN_TOGETHER, LONG = 0.45, 0.05, 0.03, 0.004


def _capitalize_words(title: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in title.split(" "))


CASES: dict[Callable[[str], str], float] = {
    _capitalize_words: 0.72,
    str.lower: 0.11,
    str.upper: 0.10,
    str.capitalize: 0.07,
}


class Seller:
    """A generator of titles. All random choices come from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def title(self, category: Category, language: str) -> str:
        """Generate a title of the category in the language `es` or `pt`."""
        phrases = self._compose_phrases(category, language)
        return self._add_typos(" ".join(phrases))

    def _compose_phrases(self, category: Category, language: str) -> list[str]:
        """Sample the head, then as many details as the length of the title allows, in the order typical of sellers."""
        rng = self.rng
        head = [
            *self._sample_at_most_one(category.before[language]),
            self._sample_frequent(category.nouns[language]),
            *self._sample_at_most_one(category.after[language]),
        ]
        tail: list[str] = []
        remaining = self._sample_length() - sum(map(len, head)) - len(head)
        for detail in self._sample_details(category, language):
            if len(detail) < remaining:
                tail.append(detail)
                remaining -= len(detail) + 1
            elif remaining < 6:
                break
        if tail and rng.random() < 0.12:
            head, tail = [tail[0], *head], tail[1:]
        if tail and rng.random() < 0.15:
            tail.insert(rng.randrange(len(tail)), rng.choice(shop()["linking"][language]))
        return head + tail

    def _sample_details(self, category: Category, language: str) -> list[str]:
        """Sample more details than a title can hold."""
        rng = self.rng
        words = rng.sample(category.words[language], 5)
        details = [words[0]]
        if rng.random() < 0.62:
            details.append(self._sample_frequent(category.brands))
        if rng.random() < 0.48:
            details.append(rng.choice(category.models))
        if category.fits and rng.random() < 0.8:
            details += rng.sample(category.fits, rng.choice([1, 1, 2, 3]))
        if rng.random() < 0.2:
            details.append(self._sample_code())
        if rng.random() < 0.4:
            details.append(self._fill_placeholders(rng.choice(category.sizes)))
        if rng.random() < 0.5:
            rng.shuffle(details)
        details += words[1:4]
        if rng.random() < 0.22:
            details.insert(rng.randrange(len(details)), rng.choice(shop()["colours"][language]))
        if rng.random() < 0.2:
            details.insert(rng.choice([0, 1, 2, 3]), rng.choice(shop()["selling"][language]))
        return [*details, self._fill_placeholders(rng.choice(category.sizes)), words[4]]

    def _sample_at_most_one(self, words: list[str]) -> list[str]:
        return [self.rng.choice(words)] if words else []

    def _sample_frequent(self, words: list[str]) -> str:
        """Sample a word; the first words are the most frequent."""
        return words[min(self.rng.randrange(len(words)), self.rng.randrange(len(words)))]

    def _sample_length(self) -> float:
        """Sample a number of characters: most titles nearly fill the 60 that a marketplace allows, a few are longer."""
        if self.rng.random() < LONG:
            return min(120, 62 + self.rng.expovariate(1 / 15))
        return max(8, min(60, 62 - self.rng.expovariate(1 / 10)))

    def _sample_code(self) -> str:
        pattern = self.rng.choice(CODES)
        return "".join(self.rng.choice({"@": LETTERS, "#": DIGITS}[mark]) if mark in "@#" else mark for mark in pattern)

    def _fill_placeholders(self, pattern: str) -> str:
        """Replace the placeholders: `{400..1200:50} w` becomes `650 w`, `{s|m|l}` one of its alternatives."""
        return PLACEHOLDER.sub(lambda choice: self._sample_placeholder(choice[1]), pattern)

    def _sample_placeholder(self, choice: str) -> str:
        if ".." not in choice:
            return self.rng.choice(choice.split("|"))
        bounds, _, step = choice.partition(":")
        low, high = map(int, bounds.split(".."))
        return str(self.rng.randrange(low, high + 1, int(step or 1)))

    def _add_typos(self, title: str) -> str:
        rng = self.rng
        if rng.random() < WITHOUT_ACCENTS:
            title = "".join(point for point in unicodedata.normalize("NFD", title) if not unicodedata.combining(point))
        if rng.random() < MISSPELT:
            title = self._misspell(title)
        if rng.random() < RUN_TOGETHER:
            title = "".join(title.partition(" ")[::2] if rng.random() < 0.5 else title.rpartition(" ")[::2])
        (case,) = rng.choices(list(CASES), list(CASES.values()))
        return case(title)

    def _misspell(self, title: str) -> str:
        """Swap one letter with the next, double it, delete it, or replace it by one that it is confused with."""
        position = self.rng.randrange(1, max(2, len(title) - 1))
        before, letter, after = title[:position], title[position], title[position + 1 :]
        if not letter.isalpha() or not after:
            return title
        confused = CONFUSED_LETTERS.get(letter, "")
        return before + self.rng.choice([after[0] + letter + after[1:], letter * 2 + after, after, confused + after])
