"""Load test of `titles serve`: `python -m benchmarks.load MODEL FILE` prints throughput and latencies.

The clients run on this machine in a process of their own. Each sends its next request as soon as it has a response.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp
import numpy as np
import pandas as pd

from benchmarks.report import log_progress, markdown
from tests.servers import TitlesServer
from titles.inference.classifier import Classifier

CLIENTS, TITLES_PER_REQUEST = (1, 8, 64), (1, 100)
SECONDS, WARM_UP_SECONDS = 10.0, 2.0


async def latencies(address: str, titles: list[str], clients: int, batch_size: int, seconds: float) -> list[float]:
    """Return the seconds of each request; every client sends at least one, and more until the time is over."""
    durations: list[float] = []
    end = time.perf_counter() + seconds

    async def send_requests(session: aiohttp.ClientSession, client: int) -> None:
        position = client * 997
        is_over = False
        while not is_over:
            started = time.perf_counter()
            batch = [titles[(position + offset) % len(titles)] for offset in range(batch_size)]
            async with session.post(f"{address}/predict", json={"titles": batch}) as response:
                response.raise_for_status()
                await response.read()
            ended = time.perf_counter()
            durations.append(ended - started)
            is_over = ended >= end
            position += batch_size

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        await asyncio.gather(*(send_requests(session, client) for client in range(clients)))
    return durations


def measure(address: str, titles: list[str]) -> pd.DataFrame:
    """Return a row per number of clients and number of titles per request."""
    rows = []
    for batch_size in TITLES_PER_REQUEST:
        for clients in CLIENTS:
            asyncio.run(latencies(address, titles, clients, batch_size, WARM_UP_SECONDS))
            durations = np.array(asyncio.run(latencies(address, titles, clients, batch_size, SECONDS)))
            rate, (median, slow) = len(durations) / SECONDS, np.percentile(1000 * durations, [50, 99])
            rows.append([clients, batch_size, rate, rate * batch_size, median, slow])
            log_progress(f"{clients} clients, {batch_size} titles a request: {rate:,.0f} requests/s")
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
    print(f"opened in {time.perf_counter() - started:.2f} s, with torch already imported\n")
    with tempfile.TemporaryDirectory() as folder:
        server = TitlesServer(options.model, Path(folder) / "log")
        server.start()
        try:
            table = measure(server.uri, titles)
        finally:
            server.stop()
    formats = dict.fromkeys(table.columns, ",.0f") | {"p50, ms": ".1f", "p99, ms": ".1f"}
    print(markdown(table, formats))


if __name__ == "__main__":
    main()
