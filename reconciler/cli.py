"""The command line: parse arguments, run the stages, leave with the contract's exit code.

Job: read like the architecture. Input: argv. Output: exit code. Must not: decide, or talk to AWS itself.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script `bunnies`."""
