"""Where networks are trained and used: TITLES_DEVICE, which is auto, cpu, cuda or mps."""

import os

import torch

from titles.core.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")


def chosen_device() -> torch.device:
    """The device of this process; `auto` is CUDA, else MPS, else the CPU.

    Raises InputError for an unknown device, or one that torch does not find.
    """
    name = os.environ.get("TITLES_DEVICE", "auto")
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name not in DEVICES:
        raise InputError(f"TITLES_DEVICE is {name!r}; allowed: {', '.join(DEVICES)}")
    if name == "auto":
        name = next(device for device, is_there in found.items() if is_there)
    if not found[name]:
        raise InputError(f"TITLES_DEVICE is {name}, and torch {torch.__version__} finds none; unset it or change torch")
    if name == "cuda":
        # What torchrun calls the number of a process on its host. Named, as a thread that is started has the first.
        number = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(number)
        # Multiplications in TF32, whose 10 bits are more than those of bf16.
        torch.set_float32_matmul_precision("high")
        return torch.device(name, number)
    return torch.device(name)
