"""Install stylemap and compile its native libraries.

Environment (see stylemap/_build.py): STYLEMAP_NATIVE=auto|0|1, STYLEMAP_CUDA=auto|0|1,
STYLEMAP_CUDA_ARCHS, CXX, CUDA_HOME.
Install torch first: without it at install time the libraries are compiled at first use.
"""

import importlib.util
import sys
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("_build", HERE / "stylemap" / "_build.py")
native = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native)


class BuildWithNative(build_py):
    """Compile the libraries into the package: in place for an editable install, else into the build tree."""

    def run(self):
        super().run()
        package = HERE / "stylemap" if self.editable_mode else Path(self.build_lib) / "stylemap"
        try:
            libraries = native.wanted_libraries()
            if libraries and not native.has_torch():
                print("stylemap: torch is not installed; the native libraries will be compiled at first use")
                return
            for name in libraries:
                target = package / "lib" / native.library_path(name).name
                if not native.is_current(target, name):
                    native.build(name, target)
        except native.MissingToolError as error:
            if native.choice_of("STYLEMAP_NATIVE") == "1":
                sys.exit(f"stylemap: {error}")
            print(f"stylemap: {error}; {native.WITHOUT}")
        except native.BuildError as error:
            sys.exit(f"stylemap: {error}\nstylemap: STYLEMAP_NATIVE=0 installs it without native libraries")


class PlatformWheel(bdist_wheel):
    """The libraries depend on the platform, not on the Python version (LibTorch stable ABI)."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class NativeDistribution(Distribution):
    def has_ext_modules(self):
        return True


# stylemap/export and stylemap/benchmarks are links to folders here, for the tools that read paths alone.
links = ["stylemap.export", "stylemap.benchmarks"]
packages = find_packages(
    include=["stylemap", "stylemap.*"], exclude=[*links, *(f"{name}.*" for name in links)]
)
packages += ["stylemap.export", *(f"stylemap.export.{name}" for name in find_packages("export"))]
packages += ["stylemap.benchmarks", "stylemap.benchmarks.gpu"]

setup(
    packages=[*packages, "stylemap._csrc"],
    package_dir={
        "stylemap": "stylemap",
        "stylemap.export": "export",
        "stylemap.benchmarks": "benchmarks",
        "stylemap._csrc": "csrc",
    },
    package_data={
        "stylemap": ["py.typed", "assets/*", "lib/*.so", "lib/*.json", "editor/static/**/*"],
        "stylemap.benchmarks": ["*.json"],
        "stylemap._csrc": ["**/*.h", "**/*.cuh", "**/*.cpp", "**/*.cu"],
    },
    distclass=NativeDistribution,
    cmdclass={"build_py": BuildWithNative, "bdist_wheel": PlatformWheel},
)
