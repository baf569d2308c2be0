"""The C++ extensions and the page on a package index; everything else about the package is in setup.cfg."""

import os
import platform
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "framework/bozzetto/kernels/cpp"
SOURCES = ("cpu", "hash_encode", "march", "composite", "limits", "rasterize", "rasterize_backward")
SOURCES += ("interpolate", "texture", "antialias", "mlp")
HEADERS = ("entries", "hash_cells", "parallel", "corners", "corner_grads", "pieces", "lanes", "triples")
# Never -ffast-math: it would change the rounding of denormal numbers in the whole process.
FLAGS = ["-O3", "-std=c++17", "-ffp-contract=off", "-fno-trapping-math", "-fvisibility=hidden"]
X86 = os.name == "posix" and platform.machine() in ("x86_64", "AMD64")
# What gains from AVX-512 is compiled once more, into a library of its own: no function of one can end up in the other.
WIDE_SOURCES = ("cpu", "hash_encode", "march", "mlp")
WIDE_FLAGS = ["-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
WIDE_FLAGS += ["-Wno-maybe-uninitialized", "-Wno-uninitialized"]  # GCC 12 warns about its own header

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
NOTE = "*The commands and paths on this page are those of the source distribution.*"


def index_page(readme: str, source: str) -> str:
    """README.md for a package index, which knows nothing of the files beside it.

    `source` is the address of the repository, to which links and pictures then lead. Without one ("") the pictures are
    left out, and a link becomes its path in the source distribution.
    """

    def replace(link: re.Match[str]) -> str:
        mark, text, target = link.groups()
        if "://" in target or target.startswith("#"):
            return link[0]
        if source:
            return f"{mark}[{text}]({source}/{'raw' if mark else 'blob'}/HEAD/{target})"
        if mark:
            return ""
        return f"`{target}`" if text == target else f"{text} (`{target}`)"

    title, _, body = readme.partition("\n")
    return f"{title}\n\n{NOTE}\n{LINK.sub(replace, body)}"


def source_address(settings: Path) -> str:
    """What `project_urls` in setup.cfg gives as "Source", without a slash at the end; "" where it gives none."""
    parser = ConfigParser()
    parser.read(settings, encoding="utf-8")
    urls = [line.partition("=") for line in parser.get("metadata", "project_urls", fallback="").splitlines()]
    return next((url.strip().rstrip("/") for name, _, url in urls if name.strip() == "Source"), "")


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
        """Disable parallel compilation after reading the options."""
        super().finalize_options()
        self.parallel = None


setup(
    long_description=index_page(Path("README.md").read_text(encoding="utf-8"), source_address(Path("setup.cfg"))),
    cmdclass={"build_ext": OneByOne},
    ext_modules=[
        library("_native", SOURCES, ["-mavx2", "-mfma"] if X86 else []),
        *([library("_native_avx512", WIDE_SOURCES, WIDE_FLAGS)] if X86 else []),
    ],
)
