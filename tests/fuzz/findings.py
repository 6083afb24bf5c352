"""Images that break the promise, each kept as a file that shows it again."""

from __future__ import annotations

import hashlib
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
FINDINGS = ROOT / ".fuzz" / "findings"


def keep(image: bytes, error: Exception) -> Path | None:
    """Save the image, under a name that says what it does; None where one that does the same is
    there.
    """
    origin = error.__cause__ or error  # the survey says of an error that it is undocumented
    frames = traceback.extract_tb(origin.__traceback__)[-3:]
    places = [f"{Path(frame.filename).stem}-{frame.lineno}" for frame in frames]
    fault = "-".join([type(origin).__name__, *places])
    if next(FINDINGS.glob(f"{fault}-*"), None) is not None:
        return None
    FINDINGS.mkdir(parents=True, exist_ok=True)
    finding = FINDINGS / f"{fault}-{hashlib.sha256(image).hexdigest()[:8]}.sqfs"
    finding.write_bytes(image)
    print(f"{finding.name}: {error}\n    {replay_command(finding)}", flush=True)
    return finding


def replay_command(finding: Path) -> str:
    """What shows the finding again, from the root of the checkout."""
    return f"python -m tests.fuzz --replay {finding.relative_to(ROOT)}"
