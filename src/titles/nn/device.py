"""The device for training and prediction, chosen by the environment variable TITLES_DEVICE."""

import os

import torch

from titles.core.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")


def chosen_device() -> torch.device:
    """The device of this process. `auto`, the default, is CUDA if available, else MPS, else the CPU.

    Raise InputError for an unsupported name, or for a device that torch does not find.
    """
    name = os.environ.get("TITLES_DEVICE", "auto")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name not in DEVICES:
        raise InputError(f"TITLES_DEVICE is {name!r}; allowed: {', '.join(DEVICES)}")
    if name == "auto":
        name = next(device for device, is_available in available.items() if is_available)
    if not available[name]:
        raise InputError(
            f"TITLES_DEVICE is {name}, but torch {torch.__version__} finds none; unset it or install a torch for {name}"
        )
    if name == "cuda":
        # The index is given explicitly, because other threads of this process start with device 0.
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(local_rank)
        # TF32: 10 bits of mantissa, where bfloat16 has 7.
        torch.set_float32_matmul_precision("high")
        return torch.device(name, local_rank)
    return torch.device(name)
