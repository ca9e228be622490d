"""A registry instance: source or target of rules."""

from cryptography import x509
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from sync.credentials import CredentialKeyMissing, decrypt, encrypt
from sync.models.reason import ReasonField
from sync.oci.reference import InvalidReference, is_loopback, normalize_address

NAME_HELP = "Lower-case letters, digits, “-”, “.” and “_”; the first character is a letter or a digit."
# No `$`: it would let a line break at the end pass.
name_validator = RegexValidator(r"\A[a-z0-9][a-z0-9._-]{0,63}\Z", NAME_HELP)


def is_name(text: str) -> bool:
    try:
        name_validator(text)
    except ValidationError:
        return False
    return True


LEAST_BYTES_PER_SECOND = 100_000
# So long before a password ends its instance and rules say so.
WARNED_DAYS = 14


def check_bytes_per_second(value: int) -> None:
    """With less, and many workers, a transfer would be silent for so long that registries give it up."""
    if 0 < value < LEAST_BYTES_PER_SECOND:
        raise ValidationError(f"A limit is at least {LEAST_BYTES_PER_SECOND} bytes per second, or 0 for none.")


class Instance(models.Model):
    class Kind(models.TextChoices):
        REGISTRY = "registry", "OCI registry"
        TCR = "tcr", "Tencent Container Registry (TCR)"
        HARBOR = "harbor", "Harbor"
        CHARTS = "charts", "Chart repository (index.yaml, ChartMuseum)"
        DOCKER_HUB = "dockerhub", "Docker Hub"
        GITHUB = "github", "GitHub Container Registry"
        GITLAB = "gitlab", "GitLab container registry"
        ECR = "ecr", "Amazon ECR"
        ACR = "acr", "Azure Container Registry"
        GOOGLE = "google", "Google Artifact Registry"
        QUAY = "quay", "Quay"

    name = models.CharField(max_length=64, unique=True, validators=[name_validator], help_text=NAME_HELP)
    region = models.CharField(max_length=64, help_text="Where it stands, for example ap-guangzhou or Frankfurt.")
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.REGISTRY)
    url = models.CharField("address", max_length=255, help_text="For example https://registry.example:5000")
    username = models.CharField(max_length=255, blank=True)
    encrypted_password = models.TextField(blank=True, editable=False)
    password_set_at = models.DateTimeField(null=True, editable=False)
    password_expires_on = models.DateField(
        "password ends on",
        null=True,
        blank=True,
        help_text="The last day of the password, where the registry sets one: rules warn from 14 days before.",
    )
    # Of a management API with a key of its own (TCR).
    api_key_id = models.CharField("SecretId", max_length=255, blank=True)
    encrypted_api_key = models.TextField(blank=True, editable=False)
    api_key_set_at = models.DateTimeField(null=True, editable=False)
    api_region = models.CharField(
        "region of the TCR instance", max_length=64, blank=True, help_text="For example ap-guangzhou."
    )
    registry_id = models.CharField("registry ID", max_length=64, blank=True, help_text="For example tcr-12345678.")
    api_address = models.CharField(
        "API address",
        max_length=255,
        blank=True,
        help_text="Blank: tcr.tencentcloudapi.com; international: tcr.intl.tencentcloudapi.com.",
    )
    ca_certificate = models.TextField(
        "CA certificate", blank=True, help_text="PEM. Trusted for this instance besides the authorities of the system."
    )
    proxy = models.CharField(
        max_length=255, blank=True, help_text="For example http://proxy.example:3128. No credentials here."
    )
    allow_plain_http = models.BooleanField(
        "allow plain HTTP",
        default=False,
        help_text="Credentials and images travel unencrypted. Not needed for loopback addresses.",
    )
    # Whether it, its proxy and where it leads may be in networks of one's own: by who entered its address.
    private_addresses = models.BooleanField("may have private addresses", default=True, editable=False)
    connect_timeout = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(300)],
        help_text="Seconds to wait for a connection.",
    )
    read_timeout = models.PositiveSmallIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
        help_text="Seconds to wait for the next byte of an answer.",
    )
    max_connections = models.PositiveSmallIntegerField(
        "connections at most",
        default=64,
        validators=[MinValueValidator(0), MaxValueValidator(1024)],
        help_text="Over all workers together; 0: no limit.",
    )
    max_bytes_per_second = models.PositiveBigIntegerField(
        "bytes per second at most",
        default=0,
        validators=[check_bytes_per_second],
        help_text="To and from it, over all workers together; 0: no limit.",
    )
    pool = models.CharField(
        "worker pool",
        max_length=64,
        blank=True,
        validators=[name_validator],
        help_text="Whose workers reach it, where not all of them do. Blank: the default pool's.",
    )
    checked_at = models.DateTimeField(null=True, editable=False)
    healthy = models.BooleanField(null=True, editable=False)
    health_reason = ReasonField(blank=True, editable=False)
    latency_ms = models.PositiveIntegerField(null=True, editable=False)
    # While it does not answer, its tasks wait: since when, why, and when one of them asks again.
    down_since = models.DateTimeField(null=True, editable=False)
    down_reason = ReasonField(blank=True, editable=False)
    next_try_at = models.DateTimeField(null=True, editable=False)
    # Of the secret with which its notifications come only the hash is kept: it is shown once.
    hook_secret_hash = models.CharField(max_length=64, blank=True, editable=False)
    hook_secret_set_at = models.DateTimeField(null=True, editable=False)
    notified_at = models.DateTimeField(null=True, editable=False)
    poll_minutes = models.PositiveSmallIntegerField(
        "poll every",
        default=0,
        validators=[MaxValueValidator(1440)],
        help_text="Minutes between two looks for news, for registries that cannot notify; 0: never.",
    )
    next_poll_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        # What each lets one do: sync.services.grants.
        permissions = [
            ("operate_instance", "Operator"),
            ("manage_rules", "Rule admin"),
            ("administer_instance", "Instance admin"),
            ("receive", "Receive"),
            ("receive_overwrite", "Receive, overwriting"),
            ("receive_delete", "Receive, deleting"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.region})"

    def get_additional_data(self) -> dict[str, int]:
        """What audit entries keep besides."""
        return {"instance": self.pk}

    def clean(self) -> None:
        """Brings the address to its normal form; refuses plain HTTP where it was not allowed. Tells all at once."""
        refused = {"url": self._refusal_of_address(), "proxy": self._refusal_of_proxy()}
        refused["api_address"] = self._refusal_of_api_address()
        refused["ca_certificate"] = self._refusal_of_certificate()
        if told := {field: problem for field, problem in refused.items() if problem}:
            raise ValidationError(told)

    def _refusal_of_address(self) -> str:
        try:
            self.url = normalize_address(self.url, with_path=self.kind == self.Kind.CHARTS)
        except InvalidReference as error:
            return str(error)
        if self.url.startswith("http://") and not (self.allow_plain_http or is_loopback(self.url)):
            return "Plain HTTP is off for this instance: use https://, or allow it if the network is trusted."
        return ""

    def _refusal_of_api_address(self) -> str:
        try:
            url = normalize_address(self.api_address) if self.api_address else ""
        except InvalidReference as error:
            return str(error)
        if url.startswith("http://") and not is_loopback(url):
            return "The management API is spoken to by https:// only."
        self.api_address = url.removeprefix("https://")
        return ""

    def _refusal_of_proxy(self) -> str:
        if self.proxy and ("@" in self.proxy or not self.proxy.startswith(("http://", "https://"))):
            return "Give the proxy as http://host:port, without credentials."
        return ""

    def _refusal_of_certificate(self) -> str:
        try:
            if self.ca_certificate:
                x509.load_pem_x509_certificates(self.ca_certificate.encode())
        except ValueError:
            return "Not a certificate in PEM form: it starts with -----BEGIN CERTIFICATE-----."
        return ""

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    @property
    def credential_days(self) -> int | None:
        """Days until the last one of the password, in UTC; None where that is not known, or there is none."""
        if self.password_expires_on is None or not self.encrypted_password:
            return None
        return (self.password_expires_on - timezone.now().date()).days

    @property
    def credential_warning(self) -> str:
        """In a few words, when it is time to set another password; blank before."""
        days = self.credential_days
        if days is None or days > WARNED_DAYS:
            return ""
        if days < 0:
            return "Credential ended"
        return f"Credential ends in {days} day{'' if days == 1 else 's'}" if days else "Credential ends today"

    @property
    def password(self) -> str:
        """Raises CredentialKeyMissing."""
        return decrypt(self.encrypted_password)

    @password.setter
    def password(self, secret: str) -> None:
        self.encrypted_password = encrypt(secret)

    @property
    def credential_fault(self) -> str:
        """Why nothing can be asked with what is stored, and what to do; blank where it can be decrypted."""
        try:
            decrypt(self.encrypted_password)
            decrypt(self.encrypted_api_key)
        except CredentialKeyMissing as missing:
            return str(missing)
        return ""

    @property
    def api_key(self) -> str:
        """Raises CredentialKeyMissing."""
        return decrypt(self.encrypted_api_key)

    @api_key.setter
    def api_key(self, secret: str) -> None:
        self.encrypted_api_key = encrypt(secret)
