import asyncio
import json
import os
import shutil
import signal
import threading
from functools import partial

import pytest

from tests.fitted import fit_both
from titles.core.errors import InputError
from titles.serving.dynamic_batcher import OverloadedError
from titles.serving.loaded_model import load_model
from titles.serving.reload import reload_on_sighup
from titles.serving.schemas import MAX_TITLE_CHARACTERS, MAX_TITLES
from titles.serving.service import MAX_QUEUED_CHARACTERS, TITLE_OVERHEAD_CHARACTERS, Service

LONG = [f"palabra{number} {'a' * 900}" for number in range(400)]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return fit_both(tmp_path_factory.mktemp("fitted"))


@pytest.fixture
def folder(fitted, tmp_path):
    return shutil.copytree(fitted / "mlp", tmp_path / "model")


@pytest.fixture
def service(folder):
    return Service(partial(load_model, folder, None))


def run(service, function):
    async def process():
        async with service.batcher.running():
            return await function()

    return asyncio.run(process())


def test_a_request_uses_the_model_of_its_arrival_and_the_next_one_the_new_model(service, folder, fitted):
    has_begun, may_end = threading.Event(), threading.Event()
    old, sizes = service.model, []
    top_k_per_network = old.classifier.top_k_per_network

    def blocked(titles, top):
        has_begun.set()
        assert may_end.wait(60)
        sizes.append(len(titles))
        return top_k_per_network(titles, top)

    old.classifier.top_k_per_network = blocked

    async def send():
        first = asyncio.create_task(service.predict(LONG, 1))
        await asyncio.to_thread(has_begun.wait, 60)
        shutil.copytree(fitted / "cnn", folder, dirs_exist_ok=True)
        new = await service.reload()
        second = asyncio.create_task(service.predict(["palabra1"], 1))
        may_end.set()
        return new, await first, await second

    new, first, second = run(service, send)
    assert (first[0], second[0]) == (old, new)
    assert old.hash != new.hash
    assert [json.loads(content)["model"] for _, content in (first, second)] == [old.identity, new.identity]
    # The request took several batches.
    assert len(sizes) > 1 and sum(sizes) == len(LONG)


def test_a_small_request_does_not_wait_for_a_large_one(folder, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    service = Service(partial(load_model, folder, None))
    ended = []

    async def send():
        async def predict(titles):
            _, content = await service.predict(titles, 1)
            ended.append(len(titles))
            return json.loads(content)["predictions"]

        return await asyncio.gather(predict(LONG), predict(["palabra1"]))

    long, short = run(service, send)
    assert ended == [len(LONG), 1][::-1]
    assert [[one["title"] for one in predictions] for predictions in (long, short)] == [LONG, ["palabra1"]]
    expected = service.model.classifier.predict(LONG).category.tolist()
    assert [one["networks"]["model"][0]["category"] for one in long] == expected


def test_if_the_reload_fails_the_old_model_stays_in_use(service, folder):
    old = service.model
    (folder / "weights.safetensors").write_bytes(b"")

    async def send():
        with pytest.raises(InputError, match="is not a complete model folder"):
            await service.reload()
        return await service.predict(["palabra1"], 1)

    assert run(service, send)[0] is old


@pytest.mark.parametrize(
    ("error", "logged"), [(InputError("models is broken"), "models is broken"), (MemoryError(), "MemoryError")]
)
def test_a_failed_reload_on_sighup_is_logged_and_the_old_model_stays_in_use(
    service, monkeypatch, caplog, error, logged
):
    old = service.model

    def fail():
        raise error

    async def send():
        reload_on_sighup(service)
        os.kill(os.getpid(), signal.SIGHUP)
        while "the old model stays in use" not in caplog.text:
            await asyncio.sleep(0)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        return await service.predict(["palabra1"], 1)

    monkeypatch.setattr(service, "load", fail)
    assert run(service, send)[0] is old
    assert logged in caplog.text


def test_the_longest_request_is_admitted_if_no_work_is_pending():
    assert MAX_TITLES * (MAX_TITLE_CHARACTERS + TITLE_OVERHEAD_CHARACTERS) <= MAX_QUEUED_CHARACTERS


@pytest.mark.parametrize(
    ("title", "passes"), [("", 1), ("palabra1", 2), ("palabra1 palabra5 zzz", 4), (" ".join("ab" * 100), 65)]
)
def test_the_work_of_an_explanation_is_its_number_of_forward_passes(service, monkeypatch, title, passes):
    works = []
    admit = service.batcher.admit
    monkeypatch.setattr(service.batcher, "admit", lambda work: works.append(work) or admit(work))
    run(service, lambda: service.explain(title))
    assert works == [passes * (len(title) + TITLE_OVERHEAD_CHARACTERS)]


def test_long_titles_count_by_their_characters(service):
    long = ["a" * MAX_TITLE_CHARACTERS] * MAX_TITLES

    async def send():
        with service.batcher.admit(MAX_QUEUED_CHARACTERS - len(long) * MAX_TITLE_CHARACTERS):
            assert service.is_ready
            with pytest.raises(OverloadedError):
                await service.predict(long, 1)
            return await service.predict(long[:1], 1)

    assert run(service, send)[0] is service.model


def test_the_service_is_not_ready_if_the_longest_title_would_be_refused(service):
    longest = MAX_TITLE_CHARACTERS + TITLE_OVERHEAD_CHARACTERS
    with service.batcher.admit(MAX_QUEUED_CHARACTERS - longest):
        assert service.is_ready
        with service.batcher.admit(1):
            assert not service.is_ready
    assert service.is_ready
