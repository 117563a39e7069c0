# SPDX-License-Identifier: GPL-2.0
"""Parses KTAP with the kernel's parser, whose directory is in PYTHONPATH.

Input: a JSON list of texts. Output: the leaf results and the errors of each text.
"""

import json
import sys

from kunit_parser import Test, TestStatus, parse_run_tests
from kunit_printer import Printer

STATUS = {TestStatus.SUCCESS: "passed", TestStatus.SKIPPED: "skipped"}


class Errors(Printer):
    """Keeps the errors of the parser, and drops its other output."""

    def __init__(self) -> None:
        super().__init__(print=False)
        self.lines: list[str] = []

    def print_with_timestamp(self, message: str) -> None:
        if message.startswith("[ERROR]"):
            self.lines.append(message.removeprefix("[ERROR]").strip())


def leaves(test: Test, prefix: str):
    """Yields the results without subtests."""
    for sub in test.subtests:
        name = f"{prefix}{sub.name}"
        if sub.subtests:
            yield from leaves(sub, f"{name}.")
            continue
        status = STATUS.get(sub.status, "failed")
        reason = sub.skip_reason
        if status == "failed":
            reason = " ".join(" ".join(line.strip("# \t") for line in sub.log[-4:]).split())
            if sub.status is not TestStatus.FAILURE:
                reason = f"{sub.status.name.lower()} {reason}".rstrip()
        yield {"name": name, "status": status, "reason": reason}


def read(text: str):
    errors = Errors()
    test = parse_run_tests(text.splitlines(), errors)
    if test.status is TestStatus.FAILURE_TO_PARSE_TESTS:
        return {"results": [], "errors": []}
    return {"results": list(leaves(test, "")), "errors": errors.lines}


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
