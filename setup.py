"""What pyproject.toml cannot say of the package: the folder models/ travels as acsgreg_tf.models."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["acsgreg_tf", "acsgreg_tf.*"]), "acsgreg_tf.models"],
    # The shipped network is part of the package, so that an installed acsgreg-register needs no --model.
    package_dir={"acsgreg_tf.models": "models"},
    package_data={
        "acsgreg_tf": ["py.typed"],
        "acsgreg_tf.report": ["*.json", "assets/*"],
        "acsgreg_tf.models": ["*.h5", "README.md"],
    },
    include_package_data=False,
)
