"""Surfaces on register.py's command line: a moving surface comes back with its vertices moved, in their order."""

from argparse import Namespace

from acsgreg_tf.errors import InputError
from acsgreg_tf.geometry import Transform
from acsgreg_tf.io.files import ending_of
from acsgreg_tf.registration import NO_MODEL, default_model, is_surface

__all__ = ["check", "choose_model", "takes_surface", "write_moved_surface"]


def takes_surface(options: Namespace) -> bool:
    """Whether --moved is a surface, which a moving surface can be written to."""
    return options.moved is not None and is_surface(options.moved) and is_surface(options.moving)


def choose_model(options: Namespace) -> None:
    """Fill in the network where none was named; without a CT on both sides there is none, and refinement alone.

    Raises:
        InputError: There is no network that comes with the package.
    """
    if options.model is not None:
        return
    shapes = any(side is None or is_surface(side) for side in (options.fixed, options.moving))
    if not shapes or not options.fit_affine:
        options.model = default_model()
        return
    options.model = NO_MODEL


def check(options: Namespace) -> None:
    """Raise InputError for a --moved that the moving side cannot become."""
    if options.moved is not None and is_surface(options.moved):
        if not is_surface(options.moving):
            raise InputError(f"{options.moved}: --moved is a surface, and --moving is none")
        if ending_of(options.moved) != ending_of(options.moving):
            raise InputError(f"{options.moved}: must end in {ending_of(options.moving)}, as --moving")
    for side in ("fixed", "moving"):
        if is_surface(getattr(options, side)) and getattr(options, f"{side}_seg") is not None:
            raise InputError(f"--{side}-seg {getattr(options, f'{side}_seg')}: does not go with a surface")


def write_moved_surface(options: Namespace, inverse: Transform) -> None:
    """Write the moving surface where the fixed scan has it.

    Args:
        options: The parsed command line.
        inverse: Moving RAS mm -> fixed RAS mm.
    """
    from acsgreg_tf.io.surfaces import read_surface

    surface = read_surface(options.moving)
    surface.write(options.moved, inverse.apply(surface.points))
