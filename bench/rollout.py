"""x."""


def report(*, quick: bool) -> None:
    """X."""
