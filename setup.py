"""What pyproject.toml cannot say of the package: where models/ travels, and the README's links outside of the clone."""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

# Such as https://github.com/OWNER/acsgreg_tf, for releases. On a package index a relative link leads nowhere: without
# this its text stays alone.
REPOSITORY = os.environ.get("ACSGREG_REPOSITORY", "").rstrip("/")


def description():
    """The README with links and pictures that lead somewhere from a package index."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    relative = r"\]\((?![a-z]+:|#)([^)\s]+)\)"
    if REPOSITORY:
        text = re.sub(rf"(!\[[^\]]*){relative}", rf"\1]({REPOSITORY}/raw/main/\2)", text)
        return re.sub(relative, rf"]({REPOSITORY}/blob/main/\1)", text)
    text = re.sub(rf"!\[[^\]]*{relative}\n*", "", text)
    return re.sub(rf"\[([^\]]*){relative}", r"\1", text)


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    project_urls={"Source": REPOSITORY, "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md"} if REPOSITORY else {},
    packages=[*find_packages(include=["acsgreg_tf", "acsgreg_tf.*"]), "acsgreg_tf.models"],
    # The shipped network is part of the package, so that an installed acsgreg-register needs no --model.
    package_dir={"acsgreg_tf.models": "models"},
    package_data={
        "acsgreg_tf": ["py.typed"],
        "acsgreg_tf.registration": ["*.json"],
        "acsgreg_tf.report": ["*.json", "assets/*"],
        "acsgreg_tf.models": ["*.h5", "README.md"],
    },
    include_package_data=False,
)
