"""Health check for container engines: exits with 0 if the server in this container is healthy, else with 1."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT = 4.0  # seconds; the engine's own limit is 5


def main() -> int:
    """Return 0 if `/healthz` answers 200 within `TIMEOUT`, else 1."""
    port = int(os.environ.get("TAILRACE_PORT") or "8080")
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, HTTPException) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
