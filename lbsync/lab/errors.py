"""How a script of the lab fails: what PowerShell's error record would have said."""

from __future__ import annotations


class ScriptError(Exception):
    """An error record: message, FullyQualifiedErrorId, category and target name."""

    def __init__(self, message: str, *, fqid: str, category: str, target: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fqid = fqid
        self.category = category
        self.target = target

    @classmethod
    def thrown(cls, message: str) -> ScriptError:
        """What ``throw 'message'`` makes of it."""
        return cls(message, fqid=message, category="OperationStopped", target=message)

    @classmethod
    def unconvertible(cls, name: str) -> ScriptError:
        """A parameter of the wrong type."""
        return cls(
            f"Cannot process argument transformation on parameter '{name}'.",
            fqid="ParameterArgumentTransformationError",
            category="InvalidData",
            target=name,
        )
