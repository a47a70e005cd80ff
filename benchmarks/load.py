"""What `titles serve` bears: `python -m benchmarks.load MODEL FILE` prints requests a second and their latencies.

Clients on this machine, in a process of their own, each ask again as soon as they are answered.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp
import numpy as np
import pandas as pd

from benchmarks.report import markdown, say
from tests.servers import TitlesServer
from titles.inference.classifier import Classifier

CLIENTS, TOGETHER = (1, 8, 64), (1, 100)
SECONDS, WARM_UP_SECONDS = 10.0, 2.0


async def latencies(address: str, titles: list[str], clients: int, together: int, seconds: float) -> list[float]:
    """Return how long each request took; every client asks once, and again until those seconds are over."""
    found: list[float] = []
    end = time.perf_counter() + seconds

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        place = number * 997
        is_over = False
        while not is_over:
            started = time.perf_counter()
            asked = [titles[(place + offset) % len(titles)] for offset in range(together)]
            async with session.post(f"{address}/predict", json={"titles": asked}) as answer:
                answer.raise_for_status()
                await answer.read()
            answered = time.perf_counter()
            found.append(answered - started)
            is_over = answered >= end
            place += together

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        await asyncio.gather(*(ask(session, number) for number in range(clients)))
    return found


def measured(address: str, titles: list[str]) -> pd.DataFrame:
    """A row for each number of clients and of titles a request."""
    rows = []
    for together in TOGETHER:
        for clients in CLIENTS:
            asyncio.run(latencies(address, titles, clients, together, WARM_UP_SECONDS))
            took = np.array(asyncio.run(latencies(address, titles, clients, together, SECONDS)))
            rate, (median, slow) = len(took) / SECONDS, np.percentile(1000 * took, [50, 99])
            rows.append([clients, together, rate, rate * together, median, slow])
            say(f"{clients} clients, {together} titles a request: {rate:,.0f} requests/s")
    columns = ["clients", "titles a request", "requests a second", "titles a second", "p50, ms", "p99, ms"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.load", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("file", type=Path, help="CSV with a column title")
    options = parser.parse_args()
    titles = pd.read_csv(options.file, usecols=["title"], nrows=20_000, dtype="str").title.dropna().tolist()
    started = time.perf_counter()
    Classifier.load(options.model)
    print(f"opened in {time.perf_counter() - started:.2f} s, torch being imported\n")
    with tempfile.TemporaryDirectory() as folder:
        server = TitlesServer(options.model, Path(folder) / "log")
        server.start()
        try:
            table = measured(server.uri, titles)
        finally:
            server.stop()
    formats = dict.fromkeys(table.columns, ",.0f") | {"p50, ms": ".1f", "p99, ms": ".1f"}
    print(markdown(table, formats))


if __name__ == "__main__":
    main()
