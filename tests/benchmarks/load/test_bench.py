"""The benchmark itself runs, and delivers every token. Nothing here is about how fast."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.parent


def test_the_quick_benchmark_delivers_every_token_and_prints_its_table() -> None:
    """It ends well, counts no missing token, no overlap and no unanswered prompt, and shows every goal."""
    command = [sys.executable, "-m", "tests.benchmarks.load", "--quick"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    counts = dict(
        re.findall(
            r"^(tokens that.*?|storm: sessions.*?|storm: newest prompts.*?) {2,}(\d+) ", ran.stdout, re.M
        )
    )
    assert list(counts.values()) == ["0", "0", "0"], ran.stdout
    assert ran.stdout.count("≤") == 17, ran.stdout
