"""What a measured figure must say of itself: machine, date, versions and commit."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import acsgreg_tf

_PACKAGES = ("tensorflow", "keras", "numpy", "scipy")


def provenance() -> dict[str, str]:
    """Machine, its load by now, date, versions and commit, as words; what cannot be known says so."""
    versions = [f"acsgreg_tf {acsgreg_tf.__version__}", f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "machine": _machine(),
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "versions": ", ".join(versions),
        "commit": _commit(),
    }


def _machine() -> str:
    """Such as "2 cores, AMD EPYC (AVX-512), 16 GB, Linux"."""
    name, flags = platform.processor() or platform.machine(), ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        entries = {key.strip(): value.strip() for key, value in pairs}
        name, flags = entries.get("model name", name), entries.get("flags", "")
    except (OSError, ValueError):
        pass
    avx = " (AVX-512)" if "avx512f" in flags.split() else ""
    try:
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB"
    except (ValueError, OSError, AttributeError):
        memory = ""
    return f"{os.cpu_count()} cores, {name}{avx}{memory}, {platform.system()}"


def _commit() -> str:
    """The checkout's commit, with a word where files were changed since; "unknown" without git."""
    folder = Path(acsgreg_tf.__file__).resolve().parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=60)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "acsgreg_tf", "models")
    except (OSError, subprocess.SubprocessError):
        commit, changed = "", ""
    return (f"{commit} with changes" if changed else commit) if commit else "unknown"
