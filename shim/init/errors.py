"""How a job can fail by other means than the user's command, each with an exit code of its own.

Job: name them. Input: a class and a sentence. Output: exceptions. Must not: import anything.
"""

from __future__ import annotations

#: error.class in result.json → the container's exit code. The user's own codes are told apart by error.class.
EXIT_CODES = {"spec": 64, "input": 65, "output": 66, "disk": 67, "fenced": 68, "infrastructure": 69}
USAGE = 64
NOT_EXECUTABLE = 126
NOT_FOUND = 127


class ShimError(Exception):
    """The job cannot go on; `kind` is error.class of schemas/result, `str()` a sentence for people."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)

    @property
    def exit_code(self) -> int:
        """What the container leaves with."""
        return EXIT_CODES[self.kind]
