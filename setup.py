"""The C++ extensions; everything else about the package is in setup.cfg."""

import os
import platform

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "framework/bozzetto/kernels/cpp"
SOURCES = ("cpu", "hash_encode", "march", "composite", "limits", "rasterize", "rasterize_backward")
SOURCES += ("interpolate", "texture", "antialias", "mlp")
HEADERS = ("entries", "hash_cells", "parallel", "corners", "corner_grads", "pieces", "lanes")
# Never -ffast-math: it would change the rounding of denormal numbers in the whole process.
FLAGS = ["-O3", "-std=c++17", "-ffp-contract=off", "-fno-trapping-math", "-fvisibility=hidden"]
X86 = os.name == "posix" and platform.machine() in ("x86_64", "AMD64")
# What gains from AVX-512 is compiled once more, into a library of its own: no function of one can end up in the other.
WIDE_SOURCES = ("cpu", "hash_encode", "march", "mlp")
WIDE_FLAGS = ["-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
WIDE_FLAGS += ["-Wno-maybe-uninitialized", "-Wno-uninitialized"]  # GCC 12 warns about its own header


def library(name: str, sources: tuple[str, ...], flags: list[str]) -> Extension:
    """Looked for again, with the instructions it needs, when it is loaded."""
    return Extension(
        f"bozzetto.kernels.cpp.{name}",
        sources=[f"{FOLDER}/{source}.cpp" for source in sources],
        depends=[f"{FOLDER}/{header}.h" for header in HEADERS],
        extra_compile_args=FLAGS + flags,
        language="c++",
        optional=True,  # without a compiler the torch form runs, and says that it is slow
    )


class OneByOne(build_ext):
    """Never in parallel: the object files of both libraries have the same names."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = None


setup(
    cmdclass={"build_ext": OneByOne},
    ext_modules=[
        library("_native", SOURCES, ["-mavx2", "-mfma"] if X86 else []),
        *([library("_native_avx512", WIDE_SOURCES, WIDE_FLAGS)] if X86 else []),
    ],
)
