"""Settings of the console, all from the environment. docs/operations.md explains each one."""

from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from tcrconsole.callers import check_networks
from tcrconsole.secrets import (
    check_credential_keys,
    check_issuer,
    make_credential_key,
    make_secret_key,
    read_files,
    read_or_make,
)

BASE_DIR = Path(__file__).resolve().parent.parent
read_files()
env = environ.Env()

DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or read_or_make(DATA_DIR / "secret_key", make_secret_key)
# The first key encrypts, all of them decrypt: a new key is put in front.
CREDENTIAL_KEYS = check_credential_keys(
    env.list("CREDENTIAL_KEYS", default=[]) or [read_or_make(DATA_DIR / "credential_key", make_credential_key)]
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# True where users reach the console by https (a proxy in front ends TLS and sets X-Forwarded-Proto).
HTTPS = env.bool("HTTPS", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
# Registries would follow with a GET, or take the redirect for success: the receiver and the API refuse by themselves.
SECURE_REDIRECT_EXEMPT = [r"^hooks/", r"^api/"]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=3600) if HTTPS else 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = env.int("SESSION_SECONDS", default=12 * 3600)
# Proxies in front, addresses or networks: what they say in X-Forwarded-For counts, what others say does not.
TRUSTED_PROXIES = check_networks(env.list("TRUSTED_PROXIES", default=[]))
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# HSTS for other names of the domain, and for lists in browsers, is for who owns the domain to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

INSTALLED_APPS = [
    # Before those whose commands it replaces.
    "tcrconsole",
    "tcrconsole.admin_site.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_rq",
    "guardian",
    "auditlog",
    "axes",
    "sync",
]

MIDDLEWARE = [
    "tcrconsole.headers.no_body_for_head",
    "tcrconsole.probes.answer_probes",
    "tcrconsole.callers.address_of_client",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tcrconsole.headers.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tcrconsole.callers.on_behalf_of_user",
    "tcrconsole.signin.SignInMiddleware",
    "tcrconsole.admin_site.queues_for_superusers",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "sync.concealing.conceal_hosts",
    # The last: it makes another page of what the form of sign-in answers.
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "tcrconsole.urls"
WSGI_APPLICATION = "tcrconsole.wsgi.application"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "sync.views.layout.layout",
            ]
        },
    }
]

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Writers queue for the lock instead of failing when a read turns into a write; readers never wait (WAL).
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
    DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default=f"unix://{DATA_DIR / 'valkey.sock'}?db=0")
# A task may run for hours: no time limit of the queue's own.
RQ_QUEUES = {
    name: {"URL": REDIS_URL, "DEFAULT_TIMEOUT": -1, "DEFAULT_RESULT_TTL": 0} for name in ("control", "push", "default")
}
RQ = {"COMMIT_MODE": "auto"}
# The worker pools that workers started with this environment serve, and whether they serve nothing else.
WORKER_POOLS = env.list("WORKER_POOLS", default=[])
WORKER_POOLS_ONLY = env.bool("WORKER_POOLS_ONLY", default=False)

# Single sign-on, if there is an issuer: tcrconsole.sso.
OIDC_ISSUER = check_issuer(env.str("OIDC_ISSUER", default=""))
OIDC_NAME = env.str("OIDC_NAME", default="single sign-on")
OIDC_ONLY = bool(OIDC_ISSUER) and env.bool("OIDC_ONLY", default=False)
OIDC_RP_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_RP_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="")
OIDC_RP_SCOPES = env.str("OIDC_SCOPES", default="openid profile email")
OIDC_USE_PKCE = True
OIDC_TIMEOUT = 10
OIDC_AUTHENTICATION_CALLBACK_URL = "sso-callback"
# What groups of the provider make of people here, at each sign-in; blank: nothing.
OIDC_GROUPS_CLAIM = env.str("OIDC_GROUPS_CLAIM", default="groups")
OIDC_ADMIN_GROUP = env.str("OIDC_ADMIN_GROUP", default="")
OIDC_STAFF_GROUP = env.str("OIDC_STAFF_GROUP", default="")
OIDC_CREATE_GROUPS = env.bool("OIDC_CREATE_GROUPS", default=False)
# Whether somebody may have the user of their name that was made here before.
OIDC_ADOPT_USERS = env.bool("OIDC_ADOPT_USERS", default=False)

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    *(["tcrconsole.sso.backend.SingleSignOn"] if OIDC_ISSUER else []),
    # Without it no password is taken; permissions are answered by the one before.
    *([] if OIDC_ONLY else ["django.contrib.auth.backends.ModelBackend"]),
    "guardian.backends.ObjectPermissionBackend",
]
# Nobody has rights without signing in.
ANONYMOUS_USER_NAME = None

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# So many wrong passwords for a name from one address, and it takes none for so long. Kept in the database, which all
# web processes share.
AXES_FAILURE_LIMIT = max(1, env.int("LOGIN_FAILURES", default=5))
AXES_COOLOFF_TIME = timedelta(minutes=max(1, env.int("LOGIN_LOCK_MINUTES", default=15)))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "tcrconsole.signin.Attempts"
AXES_LOCKOUT_CALLABLE = "tcrconsole.signin.locked_out"
AXES_WHITELIST_CALLABLE = "tcrconsole.signin.is_without_password"
# Who goes on trying makes it no longer; who succeeds begins anew.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# Names and addresses are in the log, for who looks where attempts come from; passwords never are.
AXES_SENSITIVE_PARAMETERS: list[str] = []

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
# Django prefers the format of a language to the DATETIME_FORMAT of settings.
FORMAT_MODULE_PATH = "tcrconsole.locale"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Served from where they lie: no collecting step between an upgrade and the right page.
WHITENOISE_USE_FINDERS = True

LOG_FORMAT = env.str("LOG_FORMAT", default="text")
if LOG_FORMAT not in ("text", "json"):
    raise ImproperlyConfigured(f"LOG_FORMAT is {LOG_FORMAT!r}: text or json is expected.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "sync.logs.Text", "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "json": {"()": "sync.logs.Json"},
    },
    "filters": {"complete": {"()": "sync.logs.Complete"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["complete"]}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    # Told for each job and for each refused form: nothing that anybody could act upon.
    "loggers": {"rq.cron": {"level": "WARNING"}, "django.request": {"level": "ERROR"}, "axes": {"level": "WARNING"}},
}

DEFAULT_EXCEPTION_REPORTER_FILTER = "tcrconsole.reporting.Filter"

# How much runs at once in one worker, and for how many seconds it keeps to one task before others get a turn.
CALLS_AT_ONCE = max(1, env.int("CALLS_AT_ONCE", default=32))
# No more than keeps those calls busy: what is begun early is looked at again before it is written.
RESOURCES_AT_ONCE = max(1, env.int("RESOURCES_AT_ONCE", default=4 * CALLS_AT_ONCE))
REPOSITORIES_AT_ONCE = max(1, env.int("REPOSITORIES_AT_ONCE", default=(CALLS_AT_ONCE + 1) // 2))
SLICE_SECONDS = env.float("SLICE_SECONDS", default=10.0)
MANIFEST_LIMIT_BYTES = env.int("MANIFEST_LIMIT_BYTES", default=4 * 1024 * 1024)
# Larger notifications are refused before they are read.
NOTIFICATION_LIMIT_BYTES = env.int("NOTIFICATION_LIMIT_BYTES", default=2 * 1024 * 1024)
# Workers claim a repository with more tags than this in pieces of so many.
TAGS_PER_CLAIM = env.int("TAGS_PER_CLAIM", default=250)
# A worker that gave no sign of life for so long is taken for dead; it gives six in that time.
SILENT_SECONDS = env.float("SILENT_SECONDS", default=30.0)
# A resource whose failure may heal is tried again after so many seconds, then after three times as many.
PUT_OFF_SECONDS = env.float("PUT_OFF_SECONDS", default=5.0)
# How long a task waits for an instance that does not answer before what waits fails.
OUTAGE_HOURS = env.float("OUTAGE_HOURS", default=24.0)
# Whether webhooks of rules may lead into networks of one's own, and go by plain http; cloud metadata is never told.
WEBHOOK_PRIVATE_ADDRESSES = env.bool("WEBHOOK_PRIVATE_ADDRESSES", default=False)
# Whether those who administer single instances, and are no platform administrators, may enter private addresses.
INSTANCE_PRIVATE_ADDRESSES = env.bool("INSTANCE_PRIVATE_ADDRESSES", default=False)
# Where users reach the console, for links in what webhooks tell: https://console.example. Blank: no links.
CONSOLE_URL = env.str("CONSOLE_URL", default="")
# Above so many lines a task's log takes only warnings and errors, above twice as many nothing more.
TASK_LOG_LINES = env.int("TASK_LOG_LINES", default=5000)
# Tasks that ended longer ago are deleted, but for the newest 20 of each rule; 0: none is.
TASK_DAYS = env.int("TASK_DAYS", default=90)
# Audit entries that are older are deleted; 0: none is.
AUDIT_DAYS = env.int("AUDIT_DAYS", default=365)
AUDITLOG_LOGENTRY_MODEL = "sync.AuditEntry"
# Ours takes the place of the only table that it would make; left empty, it would be in the way of the others.
MIGRATION_MODULES = {"auditlog": None}
AUDITLOG_USE_FK_STRING_REPRESENTATION = True
# What Prometheus shows as its bearer token; blank: figures are for signed-in platform administrators only.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# How many requests a token for pipelines may make in a minute; 0: any number.
API_REQUESTS_PER_MINUTE = max(0, env.int("API_REQUESTS_PER_MINUTE", default=60))
