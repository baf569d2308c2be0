"""A pretend accelerator in main memory: its tensors refuse to mix with CPU tensors, and host synchronisations are counted.

Real values on a device named `gpu`, which torch knows as a backend that is written in Python. It shows where a program
waits for a GPU or would fail on one; it says nothing about speed. Importing this and `install` change torch for the whole
process: use it in a process of its own.
"""

from __future__ import annotations

import collections
import traceback
from contextlib import contextmanager

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

backend_registration._setup_privateuseone_for_python_backend("gpu")
torch.gpu.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]  # asked for by checkpoints of activations
aten = torch.ops.aten
DEVICE, CPU = torch.device("gpu:0"), torch.device("cpu")
CROSSING = {aten._to_copy.default, aten.copy_.default, aten.copy.default}
INDEXING = {
    aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor,
    aten._index_put_impl_.default, aten._unsafe_index_put.default,
}  # fmt: skip
WAITING = {
    "_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "unique_dim", "bincount",
    "equal", "is_nonzero",
}  # fmt: skip
"""Operators whose result, or its size, the host needs."""

syncs: collections.Counter[tuple[str, str]] = collections.Counter()
"""Number of waits since the last `counting`, by what waited and where: file below the packages, and line."""
_counting = [False]


class MixedDevicesError(RuntimeError):
    """Raised where CUDA would refuse tensors of several devices."""


class PretendTensor(torch.Tensor):
    """Tensor on the pretend device; `inner` holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=DEVICE, layout=inner.layout, requires_grad=False,
        )  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), keywords=None):
        return dispatch(function, arguments, keywords or {})

    def __repr__(self):
        return f"PretendTensor({tuple(self.shape)})"

    def numpy(self, *arguments, **keywords):
        raise TypeError("can't convert a tensor of a device to numpy; use Tensor.cpu()")

    def __array__(self, *arguments, **keywords):
        raise TypeError("can't convert a tensor of a device to numpy; use Tensor.cpu()")

    def tolist(self):
        return self.cpu().tolist()

    def __deepcopy__(self, memo):
        return PretendTensor(self.inner.clone())

    def new_tensor(self, data, dtype=None, device=None, requires_grad=False):
        note("new_tensor")
        with _disable_current_modes():
            return PretendTensor(_tensor(data, dtype=dtype or self.dtype))

    def __getitem__(self, index):
        return torch.Tensor.__getitem__(self, _plain_index(index))


_tensor = torch._C._VariableFunctions.tensor


def _plain_index(index):
    def one(item):
        return _tensor(item, dtype=torch.long) if isinstance(item, list) else item

    return tuple(map(one, index)) if isinstance(index, tuple) else one(index)


def is_ours(device) -> bool:
    return device is not None and torch.device(device).type == "gpu"


def place() -> str:
    """Return the innermost line of the project that is being executed."""
    for frame in reversed(traceback.extract_stack(limit=60)):
        for package in ("/bozzetto/", "/bozzetto_plugins/"):
            if package in frame.filename:
                return f"{frame.filename.rpartition(package)[2]}:{frame.lineno}"
    return "?"


def note(what: str) -> None:
    if _counting[0]:
        syncs[what, place()] += 1


@contextmanager
def counting():
    """Count the host synchronisations within a context, from zero."""
    syncs.clear()
    _counting[0] = True
    try:
        yield syncs
    finally:
        _counting[0] = False


def _refuse_mixed(function, arguments, ours, others) -> None:
    if function in CROSSING or not ours or not others:
        return
    if function in INDEXING:
        if not isinstance(arguments[0], PretendTensor):
            raise MixedDevicesError(f"{function}: indices on the device, the indexed tensor on the CPU")
        values = [v for v in tree_leaves(arguments[2:]) if isinstance(v, torch.Tensor)]
        if any(not isinstance(value, PretendTensor) and value.ndim > 0 for value in values):
            raise MixedDevicesError(f"{function}: values on the CPU, self on the device")
    elif any(other.ndim > 0 for other in others):
        raise MixedDevicesError(
            f"{function}: tensors on both devices, {[tuple(one.shape) for one in (*ours, *others)]}"
        )


def _note_sync(function, arguments, keywords, ours, others) -> None:
    name, wanted = function._schema.name.split("::")[1], keywords.get("device")
    to_host = name == "_to_copy" and wanted is not None and not is_ours(wanted)
    if ours and name in WAITING:
        note(name)
    elif ours and (to_host or (name == "copy_" and not isinstance(arguments[0], PretendTensor))):
        note("copy to the host")
    elif ours and function in INDEXING and _has_mask(arguments[1]):
        note("boolean index")
    elif ours and name == "repeat_interleave" and keywords.get("output_size") is None:
        note(name)
    elif others and (
        (name == "_to_copy" and is_ours(wanted)) or (name == "copy_" and isinstance(arguments[0], PretendTensor))
    ):
        note("copy from the host")


def _has_mask(indices) -> bool:
    return any(isinstance(one, torch.Tensor) and one.dtype in (torch.bool, torch.uint8) for one in indices or [])


def dispatch(function, arguments, keywords):
    """Compute on the inner tensors; refuse what CUDA refuses."""
    ours, others = [], []

    def inner(value):  # as torch's tree_map, which would take most of the time of a test
        if isinstance(value, PretendTensor):
            ours.append(value)
            return value.inner
        if isinstance(value, torch.Tensor):
            others.append(value)
        elif isinstance(value, (list, tuple)):
            return type(value)(map(inner, value))
        return value

    inner_arguments = tuple(map(inner, arguments))
    inner_keywords = {key: inner(value) for key, value in keywords.items() if key != "pin_memory"}
    _refuse_mixed(function, arguments, ours, others)
    if _counting[0]:
        _note_sync(function, arguments, keywords, ours, others)
    wanted = keywords.get("device")
    result_is_ours = is_ours(wanted) if wanted is not None else bool(ours)
    if function is aten.copy_.default:
        result_is_ours = isinstance(arguments[0], PretendTensor)
    if is_ours(wanted):
        inner_keywords["device"] = CPU
    out = function(*inner_arguments, **inner_keywords)
    if function is aten._local_scalar_dense.default:
        return out
    known = {id(one.inner): one for one in ours}  # in-place operators return their own argument

    def wrapped(value):
        if isinstance(value, (list, tuple)):
            return type(value)(map(wrapped, value))
        if not isinstance(value, torch.Tensor) or isinstance(value, PretendTensor):
            return value
        if id(value) in known:
            return known[id(value)]
        return PretendTensor(value) if result_is_ours else value

    return wrapped(out)


class Mode(TorchDispatchMode):
    """Makes factories with `device="gpu"` work, as operators without a tensor argument need it."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        return dispatch(function, arguments, keywords or {})


class PretendGenerator:
    """Generator of either device."""

    def __init__(self, device="cpu"):
        self.inner, self.device = RealGenerator(), torch.device(device)

    def manual_seed(self, seed):
        self.inner.manual_seed(seed)
        return self

    def initial_seed(self):
        return self.inner.initial_seed()

    def get_state(self):
        return self.inner.get_state()

    def set_state(self, state):
        self.inner.set_state(state)
        return self


RealGenerator = torch.Generator


def _drawing(name: str):
    real = getattr(torch, name)

    def draw(*arguments, generator=None, device=None, **keywords):
        if not isinstance(generator, PretendGenerator):
            return real(*arguments, device=device, **keywords) if device is not None else real(*arguments, **keywords)
        if torch.device(device or "cpu").type != generator.device.type:
            raise MixedDevicesError(f"torch.{name}: a {device or 'cpu'} generator is expected, not {generator.device}")
        with _disable_current_modes():
            drawn = real(*arguments, generator=generator.inner, **keywords)
        return PretendTensor(drawn) if generator.device.type == "gpu" else drawn

    return draw


def _making(name: str):
    real = getattr(torch, name)

    def make(data, *arguments, device=None, **keywords):
        if isinstance(data, PretendTensor):
            return data if device is None else data.to(device)
        if not is_ours(device):
            return (
                real(data, *arguments, **keywords)
                if device is None
                else real(data, *arguments, device=device, **keywords)
            )
        note(f"torch.{name}")
        with _disable_current_modes():
            return PretendTensor(real(data, *arguments, **keywords))

    return make


def _unfused(kind):
    class Unfused(kind):
        def __init__(self, *arguments, fused=None, **keywords):
            super().__init__(*arguments, foreach=False, **keywords)

    Unfused.__name__ = kind.__name__
    return Unfused


def install() -> None:
    """Make the device known to torch; for the rest of this process."""
    torch.Generator = PretendGenerator
    for name in ("rand", "randn", "randint", "randperm"):
        setattr(torch, name, _drawing(name))
    for name in ("tensor", "as_tensor"):
        setattr(torch, name, _making(name))
    torch.optim.Adam, torch.optim.AdamW = _unfused(torch.optim.Adam), _unfused(torch.optim.AdamW)
