"""What a file is by its first bytes, whatever its name says; for what is not read, the command that makes it so."""

import io
import re
import shlex
import zipfile
from pathlib import Path
from typing import IO

from titles.core.errors import InputError
from titles.io.records import READ_ERRORS

SAMPLE_BYTES, CHUNK_BYTES = 1 << 20, 1 << 14
# The second of zst begins what pzstd writes.
COMPRESSION_SIGNATURES = {
    "gz": (b"\x1f\x8b",),
    "bz2": (b"BZh",),
    "zst": (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"),
}
PARQUET = b"PAR1"
ZIP, OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
ARCHIVES = {"xz": b"\xfd7zXZ\x00", "7-Zip": b"7z\xbc\xaf\x27\x1c", "RAR": b"Rar!\x1a\x07"}
UTF_32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
LFS_POINTER = b"version https://git-lfs"
WEB_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
JSON_ARRAY, PRETTY_PRINTED_JSON = re.compile(rb"\s*\[\s*\{"), re.compile(rb"\s*\{\s*\n")
JSON_LINES = ("jsonl", "json", "ndjson")
JSON_LINE = re.compile(rb'\s*\{\s*"')
# The package with which pandas reads a kind of workbook.
EXCEL_ENGINES = {"xlsx": "openpyxl", "xls": "xlrd"}
EXCEL_TO_CSV = (
    "import pandas, sys; pandas.read_excel(sys.argv[1], dtype=str, na_filter=False).to_csv(sys.argv[2], index=False)"
)
COMPRESSION_TOOLS = {"gz": "gzip", "bz2": "bzip2", "zst": "zstd"}


class _Utf8Transcoder(io.RawIOBase):
    """The bytes of a text file as UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self.text = io.TextIOWrapper(stream, encoding, errors="surrogatepass", newline="")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            # A letter takes at most four bytes.
            content = self.text.read(len(buffer) // 4).encode(errors="surrogatepass")
        except UnicodeDecodeError as error:
            raise OSError(str(error)) from None
        buffer[: len(content)] = content
        return len(content)


def transcode_to_utf8(stream: io.BufferedReader) -> io.BufferedReader:
    """`stream`, or what it says in UTF-8 if it is UTF-16, as Excel and PowerShell write it."""
    head = stream.peek(4)[:4]
    if head.startswith(UTF_32):
        return stream
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return io.BufferedReader(_Utf8Transcoder(stream, "utf-16"), 1 << 18)
    # Without a mark at the start, ASCII letters at the start tell it.
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if zeros == b"\0\0" and head.count(0) == 2:
            return io.BufferedReader(_Utf8Transcoder(stream, encoding), 1 << 18)
    return stream


def first_bytes(stream: IO[bytes], size: int = SAMPLE_BYTES) -> bytes:
    """The first bytes, fewer where the stream ends or is damaged before.

    Raises what the stream raises where nothing can be read.
    """
    pieces: list[bytes] = []
    try:
        while size > 0 and (piece := stream.read(min(size, CHUNK_BYTES))):
            pieces.append(piece)
            size -= len(piece)
    except READ_ERRORS:
        if not pieces:
            raise
    return b"".join(pieces)


def check_compression(head: bytes, path: Path, compression: str) -> None:
    """Raises InputError where the file does not begin as one of its compression does."""
    if compression and not head.startswith(COMPRESSION_SIGNATURES[compression]):
        raise InputError(f"{path}: damaged, or not compressed as .{compression}; fetch it again, or rename it")


def check_type(sample: bytes, path: Path, format_name: str, compression: str) -> None:
    """Raises InputError where a file that is named as one of the format `name` begins as something else does."""
    if other := _binary_mismatch(sample, path, format_name, compression):
        raise InputError(f"{path} {other}")
    if format_name == "parquet":
        return
    if text := _text_mismatch(sample, format_name):
        what, command = text
        raise InputError(f"{path} {what}{_conversion_command(command, path, compression) if command else ''}")


def _binary_mismatch(sample: bytes, path: Path, format_name: str, compression: str) -> str:
    """What the file is instead, and what to do; nothing where it may be what its name says."""
    for kind, signatures in COMPRESSION_SIGNATURES.items():
        if sample.startswith(signatures):
            if compression:
                return "is compressed twice; unpack it once"
            return f"is compressed; rename it: mv {shlex.quote(str(path))} {shlex.quote(f'{path}.{kind}')}"
    if sample.startswith(ZIP):
        return _workbook_message(path, "xlsx") if _contains_workbook(path) else "is a zip archive; unpack it"
    if sample.startswith(OLD_EXCEL):
        return _workbook_message(path, "xls")
    if archive := next((kind for kind, signature in ARCHIVES.items() if sample.startswith(signature)), None):
        return f"is an archive of {archive}; unpack it"
    if sample.startswith(PARQUET) and format_name != "parquet":
        return "is Parquet; rename it, so that its name ends in .parquet"
    if sample.startswith(LFS_POINTER):
        return "only points to a file of Git LFS; fetch that: git lfs pull"
    if WEB_PAGE.match(sample):
        return "is a web page or XML; download the file of titles itself"
    return ""


def _text_mismatch(sample: bytes, format_name: str) -> tuple[str, str] | None:
    """What a text file is instead, and the command that converts its content, if one does."""
    if sample.startswith(UTF_32):
        return "is UTF-32; convert it: ", "iconv -f UTF-32 -t UTF-8"
    if not _is_utf8(sample):
        return "is not UTF-8, but probably Windows-1252; convert it: ", "iconv -f CP1252 -t UTF-8"
    if format_name in JSON_LINES and JSON_ARRAY.match(sample):
        return "is one JSON array; write an object a line: ", "jq -c '.[]'"
    if format_name in JSON_LINES and PRETTY_PRINTED_JSON.match(sample):
        return "has JSON objects over several lines; write an object a line: ", "jq -c ."
    if format_name not in JSON_LINES and JSON_LINE.match(sample):
        return "is JSON Lines; rename it, so that its name ends in .jsonl", ""
    return None


def check_not_workbook(path: Path, format_name: str) -> None:
    """Raises InputError with the command that makes CSV of a workbook, if the end of its name, `name`, is of one."""
    if format_name in EXCEL_ENGINES:
        raise InputError(f"{path} {_workbook_message(path, format_name)}")


def _workbook_message(path: Path, extension: str) -> str:
    book, table = path.with_suffix(f".{extension}"), path.with_suffix(".csv")
    rename = "" if path.suffix.lower() == book.suffix else f"mv {shlex.quote(str(path))} {shlex.quote(str(book))} && "
    book = book if rename else path
    return (
        f"is an Excel workbook; convert its first sheet: {rename}pip install {EXCEL_ENGINES[extension]} && "
        f'python -c "{EXCEL_TO_CSV}" {shlex.quote(str(book))} {shlex.quote(str(table))}; then keep the workbook elsewhere'
    )


def _contains_workbook(path: Path) -> bool:
    """Whether a zip archive holds a workbook; it is taken for one where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/") for name in archive.namelist())
    except zipfile.BadZipFile:
        return True


def _is_utf8(sample: bytes) -> bool:
    """False where lines that are no UTF-8 outnumber those that are and go beyond ASCII, and are more than a few."""
    try:
        sample.decode()
    except UnicodeDecodeError:
        lines = [line for line in sample.split(b"\n")[:-1] if not line.isascii()]
        broken = sum(line.decode(errors="ignore").encode() != line for line in lines)
        return broken < 2 or broken * 2 <= len(lines) or broken * 100 < sample.count(b"\n")
    return True


def _conversion_command(command: str, path: Path, compression: str) -> str:
    """The shell command that puts the content of the file through `command`."""
    file, unfinished = shlex.quote(str(path)), shlex.quote(f"{path}.converted")
    move = f"{unfinished} && mv -f {unfinished} {file}"
    if tool := COMPRESSION_TOOLS.get(compression):
        return f"{tool} -dc {file} | {command} | {tool} > {move}"
    return f"{command} {file} > {move}"
