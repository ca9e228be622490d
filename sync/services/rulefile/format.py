"""What the file can say: each key, its type, and the field of the model that it stands for.

Loading, dumping and comparing go by these two tables alone: what joins a model joins the format by one line here. A key
that is left out means the default of the model's field.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sync.models import Instance, SyncRule

PASSWORD_VARIABLE = "TCRCONSOLE_PASSWORD_"  # noqa: S105
API_KEY_VARIABLE = "TCRCONSOLE_API_KEY_"
WEBHOOK_VARIABLE = "TCRCONSOLE_WEBHOOK_"
RESOURCES = {"image": "images", "chart": "charts", "other": "others"}


class Refused(Exception):
    """A value that cannot be taken, in a sentence; whoever knows its line adds it."""


def unknown_instance(name: str) -> str:
    """Also of one that is there, and that who loads the file may not see."""
    return f"there is no instance “{name}”, neither in the file nor in the console"


@dataclass(frozen=True)
class Field:
    """A key, with a dot inside the mapping of that name. `attribute` is given where the model has another word."""

    key: str
    kind: type
    attribute: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields of the model that it stands for."""
        return (self.attribute or self.key.rpartition(".")[2],)

    def default(self, model: type[Instance] | type[SyncRule]) -> Any:
        return self.read(model())

    def read(self, thing: Any) -> Any:
        """The value as the file says it. Browsers send other line ends than files have: they are no difference."""
        value = getattr(thing, self.columns[0])
        return value.replace("\r\n", "\n") if isinstance(value, str) else value

    def write(self, thing: Any, value: Any) -> None:
        """Raises Refused."""
        setattr(thing, self.columns[0], value)


class InstanceName(Field):
    """An instance by its name."""

    def default(self, model: type[Instance] | type[SyncRule]) -> str:
        return ""

    def read(self, thing: Any) -> str:
        name: str = getattr(thing, self.columns[0]).name
        return name

    def write(self, thing: Any, value: str) -> None:
        instance = Instance.objects.filter(name=value).first()
        if instance is None:
            raise Refused(unknown_instance(value))
        super().write(thing, instance)


class Resources(Field):
    """The types that travel, as a list of words."""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(RESOURCES.values())

    def read(self, thing: SyncRule) -> list[str]:
        return thing.resources

    def write(self, thing: SyncRule, value: list[str]) -> None:
        for word in value:
            if word not in RESOURCES:
                raise Refused(f"“{word}” is no type of resource; there are {', '.join(RESOURCES)}")
        for word, column in RESOURCES.items():
            setattr(thing, column, word in value)


class SecretReference(Field):
    """Where a secret is to be had. Loading finds and stores it; it never stands in a file."""

    def read(self, thing: Instance | SyncRule) -> str:
        if self.key.endswith("_env") and getattr(thing, self.attribute):
            return secret_variable(thing, of_api=self.attribute == "encrypted_api_key")
        return ""

    def write(self, thing: Instance | SyncRule, value: str) -> None:
        """Nothing: it is stored by who loads, when the rest is sound."""


def secret_variable(thing: Instance | SyncRule, *, of_api: bool = False) -> str:
    """The environment variable for a secret of an instance or of a rule; no two of them have the same one."""
    if isinstance(thing, Instance):
        return (API_KEY_VARIABLE if of_api else PASSWORD_VARIABLE) + _in_variable(thing.name)
    return f"{WEBHOOK_VARIABLE}{_in_variable(thing.source.name)}_rule_{_in_variable(thing.name)}"


def _in_variable(name: str) -> str:
    """Capitals stand for the letters of the name, small ones for what a variable's name cannot hold."""
    escapes = str.maketrans({"-": "_", ".": "_dot_", "_": "_low_"})
    return name.upper().translate(escapes)


INSTANCE_FIELDS = (
    Field("name", str),
    Field("region", str),
    Field("kind", str),
    Field("url", str),
    Field("username", str),
    SecretReference("password_env", str, "encrypted_password"),
    SecretReference("password_file", str, "encrypted_password"),
    Field("password_expires_on", date),
    Field("registry_id", str),
    Field("api_region", str),
    Field("api_address", str),
    Field("api_key_id", str),
    SecretReference("api_key_env", str, "encrypted_api_key"),
    SecretReference("api_key_file", str, "encrypted_api_key"),
    Field("proxy", str),
    Field("allow_plain_http", bool),
    Field("connect_timeout", int),
    Field("read_timeout", int),
    Field("max_connections", int),
    Field("max_bytes_per_second", int),
    Field("poll_minutes", int),
    Field("pool", str),
    Field("ca_certificate", str),
)
RULE_FIELDS = (
    Field("name", str),
    Field("description", str),
    InstanceName("source.instance", str, "source"),
    Field("source.namespace", str, "source_namespace"),
    Field("source.repositories", str),
    Field("source.exclude_repositories", str),
    Field("source.tags", str),
    Field("source.exclude_tags", str),
    Resources("resources", list),
    Field("with_referrers", bool),
    InstanceName("target.instance", str, "target"),
    Field("target.namespace", str, "target_namespace"),
    Field("overwrite", bool),
    Field("enabled", bool),
    Field("parallelism", int),
    Field("pool", str),
    Field("schedule", str),
    Field("schedule_zone", str),
    Field("delete_removed", bool),
    Field("removal_share", int),
    Field("webhook.url", str, "webhook_url"),
    Field("webhook.failures_only", bool, "webhook_failures_only"),
    SecretReference("webhook.secret_env", str, "encrypted_webhook_secret"),
    SecretReference("webhook.secret_file", str, "encrypted_webhook_secret"),
)
