"""Detect the type of a file from its first bytes; for an unsupported type, name the command that converts it."""

import io
import re
import shlex
import zipfile
from pathlib import Path
from typing import IO

from titles.core.errors import InputError
from titles.io.records import READ_ERRORS

SAMPLE_BYTES, CHUNK_BYTES = 1 << 20, 1 << 14
# The second signature of zst is that of files written by pzstd.
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
# The packages pandas needs to read workbooks.
EXCEL_ENGINES = {"xlsx": "openpyxl", "xls": "xlrd"}
EXCEL_TO_CSV = (
    "import pandas, sys; pandas.read_excel(sys.argv[1], dtype=str, na_filter=False).to_csv(sys.argv[2], index=False)"
)
COMPRESSION_TOOLS = {"gz": "gzip", "bz2": "bzip2", "zst": "zstd"}


class _Utf8Transcoder(io.RawIOBase):
    """Raw stream that decodes a text file and re-encodes it as UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self.text = io.TextIOWrapper(stream, encoding, errors="surrogatepass", newline="")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            # A character takes at most four bytes of UTF-8.
            content = self.text.read(len(buffer) // 4).encode(errors="surrogatepass")
        except UnicodeDecodeError as error:
            raise OSError(str(error)) from None
        buffer[: len(content)] = content
        return len(content)


def transcode_to_utf8(stream: io.BufferedReader) -> io.BufferedReader:
    """Transcode `stream` to UTF-8 if it is UTF-16, as written by Excel and PowerShell; else return it as it is."""
    head = stream.peek(4)[:4]
    if head.startswith(UTF_32):
        return stream
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return io.BufferedReader(_Utf8Transcoder(stream, "utf-16"), 1 << 18)
    # Without a byte order mark, zero bytes beside two ASCII characters reveal the encoding.
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if zeros == b"\0\0" and head.count(0) == 2:
            return io.BufferedReader(_Utf8Transcoder(stream, encoding), 1 << 18)
    return stream


def first_bytes(stream: IO[bytes], size: int = SAMPLE_BYTES) -> bytes:
    """Read the first `size` bytes, or fewer if the stream ends or is damaged before.

    Raise the error of the stream if nothing can be read.
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
    """Raise InputError if the first bytes are not the signature of the compression."""
    if compression and not head.startswith(COMPRESSION_SIGNATURES[compression]):
        raise InputError(f"{path}: damaged, or not compressed as .{compression}; fetch it again, or rename it")


def check_type(sample: bytes, path: Path, format_name: str, compression: str) -> None:
    """Raise InputError if the first bytes belong to another type of file than its name claims."""
    if other := _binary_mismatch(sample, path, format_name, compression):
        raise InputError(f"{path} {other}")
    if format_name == "parquet":
        return
    if text := _text_mismatch(sample, format_name):
        description, command = text
        raise InputError(f"{path} {description}{_conversion_command(command, path, compression) if command else ''}")


def _binary_mismatch(sample: bytes, path: Path, format_name: str, compression: str) -> str:
    """Describe the actual type and what to do, or return "" if the name may be right."""
    for actual, signatures in COMPRESSION_SIGNATURES.items():
        if sample.startswith(signatures):
            if compression:
                return "is compressed twice; unpack it once"
            return f"is compressed; rename it: mv {shlex.quote(str(path))} {shlex.quote(f'{path}.{actual}')}"
    if sample.startswith(ZIP):
        return _workbook_message(path, "xlsx") if _contains_workbook(path) else "is a zip archive; unpack it"
    if sample.startswith(OLD_EXCEL):
        return _workbook_message(path, "xls")
    if archive := next((name for name, signature in ARCHIVES.items() if sample.startswith(signature)), None):
        return f"is a {archive} archive; unpack it"
    if sample.startswith(PARQUET) and format_name != "parquet":
        return "is Parquet; rename it, so that its name ends in .parquet"
    if sample.startswith(LFS_POINTER):
        return "is a pointer of Git LFS; fetch the file it points to: git lfs pull"
    if WEB_PAGE.match(sample):
        return "is a web page or XML; download the file of titles itself"
    return ""


def _text_mismatch(sample: bytes, format_name: str) -> tuple[str, str] | None:
    """Describe the actual type of a text file and the command that converts it ("" if none), or return None."""
    if sample.startswith(UTF_32):
        return "is UTF-32; convert it: ", "iconv -f UTF-32 -t UTF-8"
    if not _is_utf8(sample):
        return "is not UTF-8, but probably Windows-1252; convert it: ", "iconv -f CP1252 -t UTF-8"
    if format_name in JSON_LINES and JSON_ARRAY.match(sample):
        return "is one JSON array; write one object per line: ", "jq -c '.[]'"
    if format_name in JSON_LINES and PRETTY_PRINTED_JSON.match(sample):
        return "has JSON objects over several lines; write one object per line: ", "jq -c ."
    if format_name not in JSON_LINES and JSON_LINE.match(sample):
        return "is JSON Lines; rename it, so that its name ends in .jsonl", ""
    return None


def check_not_workbook(path: Path, format_name: str) -> None:
    """Raise InputError with the command that converts a workbook to CSV, if `format_name` is the extension of one."""
    if format_name in EXCEL_ENGINES:
        raise InputError(f"{path} {_workbook_message(path, format_name)}")


def _workbook_message(path: Path, extension: str) -> str:
    book, table = path.with_suffix(f".{extension}"), path.with_suffix(".csv")
    rename = "" if path.suffix.lower() == book.suffix else f"mv {shlex.quote(str(path))} {shlex.quote(str(book))} && "
    book = book if rename else path
    return (
        f"is an Excel workbook; convert its first sheet: {rename}pip install {EXCEL_ENGINES[extension]} && "
        f'python -c "{EXCEL_TO_CSV}" {shlex.quote(str(book))} {shlex.quote(str(table))}; then move the workbook away'
    )


def _contains_workbook(path: Path) -> bool:
    """Whether a zip archive holds a workbook. A damaged archive counts as one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/") for name in archive.namelist())
    except zipfile.BadZipFile:
        return True


def _is_utf8(sample: bytes) -> bool:
    """Whether the sample is UTF-8, up to a few broken lines.

    False if invalid lines outnumber the valid lines that are not ASCII, and are at least two and 1 % of all lines.
    """
    try:
        sample.decode()
    except UnicodeDecodeError:
        lines = [line for line in sample.split(b"\n")[:-1] if not line.isascii()]
        num_invalid = sum(line.decode(errors="ignore").encode() != line for line in lines)
        return num_invalid < 2 or num_invalid * 2 <= len(lines) or num_invalid * 100 < sample.count(b"\n")
    return True


def _conversion_command(command: str, path: Path, compression: str) -> str:
    """The shell command that replaces the content of the file by the output of `command`."""
    file, unfinished = shlex.quote(str(path)), shlex.quote(f"{path}.converted")
    move = f"{unfinished} && mv -f {unfinished} {file}"
    if tool := COMPRESSION_TOOLS.get(compression):
        return f"{tool} -dc {file} | {command} | {tool} > {move}"
    return f"{command} {file} > {move}"
