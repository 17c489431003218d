"""Package of acsgreg_tf; the console commands are the same code as scripts/*.py."""

from pathlib import Path

from setuptools import find_packages, setup

BASE = [
    line
    for line in Path(__file__).with_name("requirements-base.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
COMMANDS = ("register", "warp", "train", "test", "generate", "prepare", "studies")

setup(
    name="acsgreg_tf",
    version="0.1.0",
    description="Joint affine and diffeomorphic registration of lumbar vertebrae in CT (ACSGRegNet) in Keras 3 / TensorFlow",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    packages=[*find_packages(include=["acsgreg_tf", "acsgreg_tf.*"]), "acsgreg_tf.models"],
    # The shipped network travels inside the package, so that an installed acsgreg-register needs no --model.
    package_dir={"acsgreg_tf.models": "models"},
    package_data={"acsgreg_tf.models": ["*.h5", "README.md"]},
    include_package_data=False,
    install_requires=[
        *BASE,
        "tensorflow>=2.18",
        "voxelmorph>=0.2,<0.3",
        "neurite>=0.2,<0.3",
        "packaging",  # voxelmorph imports it without asking for it
        "tensorboard",  # train.py writes its logs; TensorFlow no longer brings it
    ],
    extras_require={
        # Other registration tools, measured beside the networks by test.py --method.
        "peers": ["antspyx>=0.5", "itk-elastix>=0.20"],
        # Surfaces (STL, PLY, VTK) in warp.py; large, so only where it is wanted.
        "surfaces": ["vtk>=9.3"],
        "test": [
            "antspyx>=0.5",  # the real tool that transforms are handed to
            "hypothesis>=6.80",
            "import-linter>=2.0",
            "medpy>=0.5",  # an oracle of the tests alone: it is GPL
            "mypy>=1.10",
            "pillow",
            "pytest>=7.4",
            "pytest-cov>=5.0",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
            "scikit-image>=0.22",
            "trimesh>=4.0",
            "vtk>=9.3",
        ],
    },
    entry_points={"console_scripts": [f"acsgreg-{name} = acsgreg_tf.cli.{name}:main" for name in COMMANDS]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
