import pytest
import torch

from titles.core.errors import InputError
from titles.nn.device import chosen_device


def test_titles_device_chooses_the_device(monkeypatch):
    monkeypatch.setenv("TITLES_DEVICE", "cpu")
    assert chosen_device() == torch.device("cpu")


@pytest.mark.parametrize(("found", "expected"), [({}, "cpu"), ({"mps"}, "mps"), ({"mps", "cuda"}, "cuda")])
def test_auto_is_the_fastest_that_torch_finds(monkeypatch, found, expected):
    monkeypatch.delenv("TITLES_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in found)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in found)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda _: None)
    assert chosen_device().type == expected


def test_each_process_of_a_host_has_a_gpu_of_its_own(monkeypatch):
    chosen = []
    monkeypatch.setenv("TITLES_DEVICE", "cuda")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", chosen.append)
    assert chosen_device() == torch.device("cuda", 3)
    assert chosen == [3, "high"]


@pytest.mark.parametrize(("name", "said"), [("gpu", "allowed: auto, cpu, cuda, mps"), ("cuda", "finds none")])
def test_a_device_that_is_unknown_or_missing_is_refused(monkeypatch, name, said):
    monkeypatch.setenv("TITLES_DEVICE", name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"TITLES_DEVICE is .*{said}"):
        chosen_device()
