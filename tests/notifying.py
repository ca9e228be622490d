"""A real registry that tells the console of what is pushed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.registries import RegistryServer


@dataclass
class NotifyingRegistry(RegistryServer):
    """`hook`: where it tells; `secret`: what it shows there."""

    hook: str = ""
    secret: str = ""

    def _configuration(self, folder: Path) -> dict[str, Any]:
        told = {
            "name": "console",
            "url": self.hook,
            "headers": {"Authorization": [f"Bearer {self.secret}"]},
            "timeout": "2s",
            "threshold": 5,
            "backoff": "1s",
            "ignore": {"actions": ["pull", "mount"], "mediatypes": ["application/octet-stream"]},
        }
        return super()._configuration(folder) | {"notifications": {"endpoints": [told]}}
