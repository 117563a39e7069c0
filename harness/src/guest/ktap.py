# SPDX-License-Identifier: GPL-2.0
"""Reads KTAP with the kernel's own parser (its directory is in PYTHONPATH).

Input: a JSON list of texts. Output: for each text its leaf results and the parser's errors.
"""

import json
import sys

from kunit_parser import Test, TestStatus, parse_run_tests
from kunit_printer import Printer

STATUS = {TestStatus.SUCCESS: "passed", TestStatus.SKIPPED: "skipped"}


class Errors(Printer):
    """Keeps the parser's errors and drops its other output."""

    def __init__(self) -> None:
        super().__init__(print=False)
        self.lines: list[str] = []

    def print_with_timestamp(self, message: str) -> None:
        if message.startswith("[ERROR]"):
            self.lines.append(message.removeprefix("[ERROR]").strip())


def leaves(test: Test, prefix: str):
    """Yields the results that have no results below them."""
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
