"""Standard output that neither blocks nor fails."""

import os
import sys
import threading
from collections.abc import Callable
from io import TextIOBase
from queue import SimpleQueue

LAST_WORDS_SECONDS = 0.5


class Screen(TextIOBase):
    """Standard output for those who must neither wait for it nor fail with it: a thread of its own prints.

    When nobody can read any more (a closed pipe or terminal), that thread calls `lost` and ends.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        sys.stdout.flush()
        self._output = sys.stdout
        self._lost = lost
        self._texts: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._print, daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        self._texts.put(text)
        return len(text)

    def isatty(self) -> bool:
        return self._output.isatty()

    def finish(self) -> None:
        """Print what is left, unless the output takes nothing."""
        self._texts.put(None)
        self._thread.join(LAST_WORDS_SECONDS)

    def _print(self) -> None:
        try:
            while (text := self._texts.get()) is not None:
                data = text.encode(self._output.encoding, "replace")
                while data:
                    data = data[os.write(self._output.fileno(), data) :]
        except OSError:
            self._lost()
