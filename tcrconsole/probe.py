"""Asks the web server of this machine whether it is alive: `python -m tcrconsole.probe`, a container's HEALTHCHECK."""

import os
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException

SECONDS = 4


def main() -> int:
    """0 when it answers, else 1 with a sentence."""
    port = int(os.environ.get("PORT") or 8000)
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        print(f"Nothing answers on port {port}: {error}.")
        return 1
    print(f"/healthz says {status}.")
    return int(status != 200)


if __name__ == "__main__":
    sys.exit(main())
