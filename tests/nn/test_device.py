import pytest
import torch

from titles.core.errors import InputError
from titles.nn.device import chosen_device


def test_titles_device_chooses_the_device(monkeypatch):
    monkeypatch.setenv("TITLES_DEVICE", "cpu")
    assert chosen_device() == torch.device("cpu")


@pytest.mark.parametrize(("available", "expected"), [({}, "cpu"), ({"mps"}, "mps"), ({"mps", "cuda"}, "cuda")])
def test_auto_is_the_fastest_available_device(monkeypatch, available, expected):
    monkeypatch.delenv("TITLES_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in available)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda _: None)
    assert chosen_device().type == expected


def test_each_process_of_a_host_has_its_own_gpu(monkeypatch):
    calls = []
    monkeypatch.setenv("TITLES_DEVICE", "cuda")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", calls.append)
    assert chosen_device() == torch.device("cuda", 3)
    assert calls == [3, "high"]


@pytest.mark.parametrize(("name", "message"), [("gpu", "allowed: auto, cpu, cuda, mps"), ("cuda", "finds none")])
def test_an_unsupported_or_unavailable_device_raises_an_error(monkeypatch, name, message):
    monkeypatch.setenv("TITLES_DEVICE", name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"TITLES_DEVICE is .*{message}"):
        chosen_device()
