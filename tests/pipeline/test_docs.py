"""The documentation: its links, the blocks of the README, the examples of the data format."""

import ast
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fitted import MODEL, NETWORK_PARAMS, TRAIN
from tests.numbered import write_numbered
from titles.cli import main
from titles.io.file_discovery import find_files
from titles.training.fit import fit

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
# Why a shell block of the README is not run here: the second word of its info string.
NOT_RUN = {
    "network": "clones, installs packages and trains for minutes; test_experiments.py runs its DVC commands",
    "training": "trains for minutes; tests/pipeline/test_shapes.py runs other data folders",
    "server": "the server does not end by itself; tests/serving/test_server.py starts one",
}
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: the language, the second word of its info string, the text."""

    language: str
    mark: str
    text: str


class Command(NamedTuple):
    """A command of a console block, and the output that the block quotes."""

    command: str
    output: list[str]


def blocks(page: Path) -> list[Block]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(language, mark, text) for info, text in found for language, mark, *_ in [[*info.split(), "", ""]]]


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ "), []))
        else:
            found[-1].output.append(line)
    return found


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative_links() -> list[tuple[Path, str]]:
    links = [(page, link) for page in PAGES for link in LINK.findall(prose(page))]
    return [(page, link) for page, link in links if not re.match(r"[a-z]+:", link)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user of a trained model has it, with a small model."""
    folder = tmp_path_factory.mktemp("user")
    write_numbered(folder, train=120, validation=30)
    fit("mlp", folder / "embedded", folder / "vectors.npy", folder / "models/mlp", MODEL, NETWORK_PARAMS["mlp"], TRAIN)
    (folder / "titles.csv").write_text("sku,title\nA1,Funda Silicona Galaxy\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(("page", "link"), relative_links(), ids=lambda value: Path(value).name)
def test_a_relative_link_leads_to_a_file_and_an_anchor(page: Path, link: str) -> None:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


def test_every_page_is_linked_from_the_readme_or_from_a_page() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page, link in relative_links()}
    assert {page for page in PAGES if page.name != "README.md"} <= linked


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 170


def test_a_shell_block_of_the_readme_is_run_or_has_a_reason_not_to_be() -> None:
    shell = [block for block in blocks(ROOT / "README.md") if block.language in ("console", "bash", "sh", "shell")]
    assert {block.language for block in shell} == {"console"}
    assert {block.mark for block in shell} == {"", *NOT_RUN}


def command_lines(module: Path) -> set[str]:
    """The commands in a module: tuples and arguments of calls that consist of text, joined by spaces."""
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    groups = [node.args for node in nodes if isinstance(node, ast.Call)]
    groups += [node.elts for node in nodes if isinstance(node, ast.Tuple)]
    words = [[item.value for item in group if isinstance(item, ast.Constant)] for group in groups]
    return {" ".join(map(str, items)) for items, group in zip(words, groups, strict=True) if len(items) == len(group)}


def test_the_experiment_of_the_readme_is_among_the_commands_of_the_tests_of_experiments() -> None:
    (block,) = (block for block in blocks(ROOT / "README.md") if block.mark == "network")
    quoted = {command for command, _ in commands(block) if command.startswith("dvc ")}
    assert quoted == {"dvc exp run -S model.activation=sigmoid", "dvc metrics diff"}
    assert quoted <= command_lines(ROOT / "tests/pipeline/test_experiments.py")


def run(command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """What a command prints. The command `titles` runs in this process, which has loaded torch already."""
    before, is_piped, after = command.rpartition(" | ")
    if not after.startswith("titles "):
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    given = subprocess.run(["bash", "-c", before], capture_output=True, check=True).stdout if is_piped else b""
    arguments, _, target = after.partition(" > ")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    monkeypatch.setattr(sys, "argv", shlex.split(arguments))
    capfd.readouterr()
    main()
    printed = capfd.readouterr().out
    if target:
        Path(target).write_text(printed, encoding="utf-8")
    return "" if target else printed


def test_the_shell_blocks_of_the_readme_run_and_print_the_columns_they_quote(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    found = [block for block in blocks(ROOT / "README.md") if block.language == "console" and not block.mark]
    for command, quoted in [command for block in found for command in commands(block)]:
        # The scores are those of other models.
        assert run(command, monkeypatch, capfd).splitlines()[:1] == quoted[:1]
    assert (folder / "categories.parquet").exists() and (folder / "categories.csv").exists()


def test_the_python_blocks_of_the_readme_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    scripts = [block.text for block in blocks(ROOT / "README.md") if block.language == "python"]
    assert scripts
    for script in scripts:
        exec(script, {})


def test_the_examples_of_the_data_format_are_read(tmp_path: Path) -> None:
    examples = [block for block in blocks(ROOT / "docs/data_format.md") if "." in block.mark]
    for _, name, text in examples:
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = find_files(tmp_path)
    assert {file.path.name for file in files} == {block.mark for block in examples}
    rows = [row for file in files for batch in file.batches() for row in batch.to_pylist()]
    assert rows and all(row["title"] and row["fault"] is None for row in rows)
