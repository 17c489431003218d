"""NiiVue's code and licence, from the installed package ipyniivue.

ipyniivue carries NiiVue inside a Jupyter widget (`static/widget.js`, an ES module that exports the widget alone). Here
the module also hands out the class, so that a page can use NiiVue's own documented interface.
"""

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from acsgreg_tf.errors import InputError

__all__ = ["NiiVue", "check_niivue", "read_niivue"]

_INSTALL = "pip install ipyniivue scikit-image (from a clone: pip install '.[report]')"
# The widget makes its one instance with `new CLASS(options)`, behind this line of its log.
_CLASS = re.compile(r'console\.log\("Creating new Niivue instance"\);.{0,200}?=new ([\w$]+)\(', re.DOTALL)
_VERSION = re.compile(r'"(0\.\d{2}\.\d+)"')


class NiiVue(NamedTuple):
    """What a page needs of NiiVue.

    Attributes:
        script: Code of a module that sets `globalThis.Niivue` to the class.
        licence: Its text.
        version: In words, with the package that it came from.
    """

    script: str
    licence: str
    version: str


def check_niivue() -> None:
    """Raise InputError where a package that the report needs is missing; before any work."""
    for module in ("ipyniivue", "skimage"):
        if importlib.util.find_spec(module) is None:
            raise InputError(f"report: needs the Python package {module}; {_INSTALL}")


def read_niivue() -> NiiVue:
    """NiiVue as a page holds it; nothing of ipyniivue is imported, its files are read.

    Raises:
        InputError: ipyniivue is not installed, or is a version that holds NiiVue in another way.
    """
    check_niivue()
    files = importlib.metadata.distribution("ipyniivue")
    spec = importlib.util.find_spec("ipyniivue")
    assert spec is not None and spec.origin is not None
    code = (Path(spec.origin).parent / "static" / "widget.js").read_text(encoding="utf-8")
    found = _CLASS.search(code)
    if found is None:
        raise InputError(f"ipyniivue {files.version}: holds no NiiVue where it was looked for; install ipyniivue 2.4.4")
    versions = _VERSION.findall(code)
    number = f"NiiVue {versions[0]}" if len(set(versions)) == 1 else "NiiVue"
    # Inside a page this word would end the script.
    code = code.replace("</script", "<\\/script")
    script = f"{code}\nglobalThis.Niivue = {found[1]};\n"
    return NiiVue(script, _licence(files), f"{number} (ipyniivue {files.version})")


def _licence(files: importlib.metadata.Distribution) -> str:
    for file in files.files or ():
        if file.name.upper().startswith("LICENSE"):
            return Path(str(files.locate_file(file))).read_text(encoding="utf-8")
    raise InputError(f"ipyniivue {files.version}: comes without its licence, which a page must hold")
