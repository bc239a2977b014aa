"""Settings, all of them from the environment; `.env.example` lists every name.

Nothing here decides anything about mail. Without DATABASE_URL the embedded
PostgreSQL of `manage.py up` is meant; `mailrouting.embedded` knows its address.
"""

from ipaddress import ip_network
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from gateway import smarthost
from gateway.postfix import configuration
from gateway.smtpd.content import MOST_IN_MEMORY_OCTETS, SHARE_OCTETS
from mailrouting import csp, unfold
from mailrouting.embedded import data_root, database_url, secret_key
from mailrouting.environment import (
    Env,
    dkim_keys,
    endpoint,
    filter_url,
    folder,
    header_value,
    mail_server,
    postfix_place,
    watched_folder,
    webhook_secret,
)
from mailrouting.schedule import every

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(BASE_DIR / ".env")

# True only for the try-out that `manage.py up` starts; production settings refuse it.
EMBEDDED = env.bool("EMBEDDED", default=not env.str("DATABASE_URL", default=""))
DATA_DIR = data_root()

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY and not (EMBEDDED or DEBUG):
    raise ImproperlyConfigured(
        "SECRET_KEY is not set: with a database of your own, give it 50 random characters."
    )
SECRET_KEY = SECRET_KEY or secret_key()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Proxies before the panel, whose X-Forwarded-For says who a client is; nobody else's does.
PANEL_PROXY_NETWORKS = env.words("PANEL_PROXY_NETWORKS", default=[], check=ip_network)

INSTALLED_APPS = [
    "mailrouting",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "mailrouting.site.PanelAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "pgtrigger",
    "pghistory",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "rest_framework",
    "django_celery_beat",
    "django_structlog",
    "csp",
    "tenants",
    "gateway",
    "gateway.watch",
]

MIDDLEWARE = [
    "mailrouting.proxies.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "mailrouting.csp.AdminPolicyMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "mailrouting.second_factor.SecondFactorMiddleware",
    "mailrouting.proxies.LogMiddleware",
]

ROOT_URLCONF = "mailrouting.urls"
WSGI_APPLICATION = "mailrouting.wsgi.application"
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
            ],
        },
    },
]

# --- database -------------------------------------------------------------
DATABASES = {
    "default": {
        **env.db_url("DATABASE_URL", default=database_url()),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
    }
}
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 2)
# A socket's folder comes as an option of the URL; `dbshell` looks for it here.
if "host" in DATABASES["default"]["OPTIONS"]:
    DATABASES["default"]["HOST"] = DATABASES["default"]["OPTIONS"].pop("host")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PGHISTORY_APPEND_ONLY = True

# --- sign-in --------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_REDIRECT_URL = "/admin/"
LOGIN_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_ADAPTER = "mailrouting.accounts.ClosedSignupAdapter"
SOCIALACCOUNT_ADAPTER = "mailrouting.sign_in_secrets.SealedApps"
MFA_ADAPTER = "mailrouting.sign_in_secrets.SealedFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Mail routing"
# Accounts are made by staff, so nobody can reserve another's address by signing up with it.
MFA_ALLOW_UNVERIFIED_EMAIL = True
ACCOUNT_EMAIL_VERIFICATION = "none"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = EMBEDDED  # http://localhost of the try-out
# Staff may use the panel only with a second factor; the try-out may lift it.
STAFF_MFA_REQUIRED = env.bool("STAFF_MFA_REQUIRED", default=True)

# An address of 100 targets sends 1,000 fields, and its rules more: a save is cut off by its octets
# (2.5 MB) before it is by these.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

# --- broker and schedules -------------------------------------------------
BROKER_URL = env.str("BROKER_URL", default="filesystem://localhost")
CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "data_folder_in": str(DATA_DIR / "broker" / "queue"),
        "data_folder_out": str(DATA_DIR / "broker" / "queue"),
        "control_folder": str(DATA_DIR / "broker" / "control"),
        "store_processed": False,
        "polling_interval": 0.2,
    }
    if BROKER_URL.startswith("filesystem://")
    else {}
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # however long the broker is away
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_TIMEZONE = "UTC"
PURGE_SECONDS = env.number("PURGE_SECONDS", default=3600)
CELERY_BEAT_SCHEDULE = {
    "sweep deliveries that are due": every(
        env.number("SWEEP_SECONDS", default=5), "gateway.tasks.sweep"
    ),
    "expire addresses": every(
        env.number("EXPIRE_SECONDS", default=30), "tenants.tasks.expire_addresses"
    ),
    "reconcile DNS": every(
        env.number("DNS_RECONCILE_SECONDS", default=900), "tenants.tasks.reconcile_dns"
    ),
    "sweep jobs that are due": every(
        env.number("JOB_SWEEP_SECONDS", default=5), "tenants.tasks.sweep_jobs"
    ),
    "forget jobs by retention": every(PURGE_SECONDS, "tenants.tasks.forget_jobs"),
    "forget sessions that are over": every(PURGE_SECONDS, "tenants.tasks.forget_sessions"),
    "look over addresses": every(
        env.number("LOOK_OVER_SECONDS", default=600), "gateway.tasks.look_over"
    ),
    "purge by retention": every(PURGE_SECONDS, "gateway.tasks.purge"),
    "count traffic": every(
        env.number("TRAFFIC_SECONDS", default=60), "gateway.watch.tasks.count_traffic"
    ),
    "look for trouble": every(
        env.number("ALARM_SECONDS", default=60), "gateway.watch.tasks.look_for_trouble"
    ),
    "tell of alarms": every(
        env.number("ALARM_TELL_SECONDS", default=15), "gateway.watch.tasks.tell"
    ),
}

# A job whose worker did not note progress for so long is taken over by another one.
JOB_LEASE_SECONDS = env.number("JOB_LEASE_SECONDS", default=60)

# --- DNS ------------------------------------------------------------------
# "host" or "host:port" of recursive resolvers; empty means the system's.
DNS_RESOLVERS = env.words("DNS_RESOLVERS", default=[], check=endpoint)
# Port on which authoritative servers answer; other than 53 only in tests.
DNS_AUTHORITATIVE_PORT = env.port("DNS_AUTHORITATIVE_PORT", default=53)
# Whether name servers in private networks are asked: whoever claims a domain names its servers.
DNS_ALLOW_PRIVATE_ADDRESSES = env.bool("DNS_ALLOW_PRIVATE_ADDRESSES", default=False)

# --- gateway --------------------------------------------------------------
GATEWAY_HOSTNAME = env.domain("GATEWAY_HOSTNAME", default="localhost")
GATEWAY_HOST = env.str("GATEWAY_HOST", default="127.0.0.1")
GATEWAY_PORT = env.port("GATEWAY_PORT", default=2525)
GATEWAY_SHARES_PORT = env.bool("GATEWAY_SHARES_PORT", default=False)
GATEWAY_TLS_CERTIFICATE = env.str("GATEWAY_TLS_CERTIFICATE", default="")
GATEWAY_TLS_KEY = env.str("GATEWAY_TLS_KEY", default="")
GATEWAY_MAX_MESSAGE_OCTETS = env.number(
    "GATEWAY_MAX_MESSAGE_OCTETS",
    default=50_000_000,
    least=64 * 1024,
    most=1_000_000_000,
    why="what every server takes (RFC 5321 §4.5.3.1.7) and what the database can store",
)
GATEWAY_MAX_RECIPIENTS = env.number(
    "GATEWAY_MAX_RECIPIENTS",
    default=1000,
    least=100,
    why="as every server takes them (RFC 5321 §4.5.3.1.8)",
)
GATEWAY_DATA_BUDGET_OCTETS = env.number(
    "GATEWAY_DATA_BUDGET_OCTETS",
    default=256 * 1024 * 1024,
    least=MOST_IN_MEMORY_OCTETS + SHARE_OCTETS,
    why="so that one message fits",
)
# Connections open at a time in each process; of one client (IPv4 address or IPv6 /64).
GATEWAY_MAX_CONNECTIONS = env.number("GATEWAY_MAX_CONNECTIONS", default=2000)
GATEWAY_MAX_CONNECTIONS_PER_CLIENT = env.number("GATEWAY_MAX_CONNECTIONS_PER_CLIENT", default=100)
# Permanent refusals that a client may collect in ten minutes; 0 means any number.
GATEWAY_CLIENT_ERRORS = env.number("GATEWAY_CLIENT_ERRORS", default=100, least=0)
# Networks whose clients none of these limits holds for.
GATEWAY_EXEMPT_NETWORKS = env.words("GATEWAY_EXEMPT_NETWORKS", default=[], check=ip_network)
# Load balancers that begin each connection with a PROXY header; nobody else may.
GATEWAY_PROXY_NETWORKS = env.words("GATEWAY_PROXY_NETWORKS", default=[], check=ip_network)
# What happens to a message with a bare CR or LF: refused with 550 5.5.2, or made CR LF.
GATEWAY_BARE_LINE_ENDS = env.choice(
    "GATEWAY_BARE_LINE_ENDS", default="refuse", among=("refuse", "normalise")
)
# Whether senders may ask for delivery reports: only where every next hop and relay makes them.
GATEWAY_OFFERS_DSN = env.bool("GATEWAY_OFFERS_DSN", default=False)
# A message with a Message-ID that comes again within this time is answered as the first one.
GATEWAY_REPEAT_SECONDS = env.number("GATEWAY_REPEAT_SECONDS", default=3600, least=0)
# Where messages over 1 MiB wait while they come in, as files without a name.
GATEWAY_SPOOL_DIR = env.text("GATEWAY_SPOOL_DIR", default="", check=folder) or None
# Our name in Authentication-Results: the same for every gateway of an installation.
AUTHSERV_ID = env.domain("AUTHSERV_ID", default=GATEWAY_HOSTNAME)
# Whether SPF, DKIM and DMARC are looked up for every message, or only where an address asks.
AUTHENTICATE_ALL_MAIL = env.bool("AUTHENTICATE_ALL_MAIL", default=False)
# Less free space than this on its disks, and no mail is begun (452); 0 never refuses.
GATEWAY_DISK_RESERVE_OCTETS = env.number(
    "GATEWAY_DISK_RESERVE_OCTETS", default=512 * 1024 * 1024, least=0
)
# Further folders whose disks have to have it: PostgreSQL's, where it is on this machine.
GATEWAY_DISK_FOLDERS = env.words("GATEWAY_DISK_FOLDERS", default=[], check=watched_folder)
# Environments that this gateway serves; empty means every one.
GATEWAY_ENVIRONMENTS = env.list("GATEWAY_ENVIRONMENTS", default=[])
# The names mail hosts publish for this installation; shown on the domain page.
MX_HOSTS = env.list("MX_HOSTS", default=[GATEWAY_HOSTNAME])
# Keys that customers' domains publish for us, as selector:base64,…; DKIM is checked for each.
DKIM_PUBLIC_KEYS = env.text("DKIM_PUBLIC_KEYS", default="", check=dkim_keys)
SPF_INCLUDE = env.str("SPF_INCLUDE", default="")
# Domain of rewritten return paths (SRS) and of <postmaster> without a domain.
BOUNCE_DOMAIN = env.domain("BOUNCE_DOMAIN", default=f"bounce.{GATEWAY_HOSTNAME}")
# Newest first; older ones are still accepted on the way back.
SRS_SECRETS = env.list("SRS_SECRETS", default=[]) or [SECRET_KEY]
# What seals secrets in the database, newest first; older ones still open what they sealed.
ENCRYPTION_KEYS = env.list("ENCRYPTION_KEYS", default=[]) or [SECRET_KEY]
# smtp://user:password@host:port of the relay for forwards; empty means forwards wait.
SMARTHOST_URL = env.text("SMARTHOST_URL", default="", check=smarthost.parse)
# http(s)://host:port of Rspamd's normal worker; empty means that no content is filtered.
CONTENT_FILTER_URL = env.text("CONTENT_FILTER_URL", default="", check=filter_url)
CONTENT_FILTER_PASSWORD = env.text("CONTENT_FILTER_PASSWORD", default="", check=header_value)
CONTENT_FILTER_SECONDS = env.number("CONTENT_FILTER_SECONDS", default=10, most=120)
# So many octets of a message are sent, from its beginning.
CONTENT_FILTER_MAX_OCTETS = env.number("CONTENT_FILTER_MAX_OCTETS", default=20_000_000)
# What becomes of a message that the filter does not judge: the sender has to wait, or it is marked.
CONTENT_FILTER_FAILURE = env.choice(
    "CONTENT_FILTER_FAILURE", default="defer", among=("defer", "mark")
).lower()
# Rules of the filter that mean a virus.
CONTENT_FILTER_VIRUS_SYMBOLS = env.list("CONTENT_FILTER_VIRUS_SYMBOLS", default=["CLAM_VIRUS"])
# How long RCPT may wait for a next hop that is asked whether it has the mailbox; how long a mailbox
# that is there is not asked for again, and how long one that is gone.
CALL_AHEAD_SECONDS = env.number("CALL_AHEAD_SECONDS", default=3, most=60)
CALL_AHEAD_POSITIVE_SECONDS = env.number("CALL_AHEAD_POSITIVE_SECONDS", default=3600)
CALL_AHEAD_NEGATIVE_SECONDS = env.number("CALL_AHEAD_NEGATIVE_SECONDS", default=60)
CALL_AHEAD_CONNECTIONS_PER_HOP = env.number("CALL_AHEAD_CONNECTIONS_PER_HOP", default=5)
RETRY_FIRST_SECONDS = env.number("RETRY_FIRST_SECONDS", default=300, least=0)
DELIVERY_ATTEMPT_SECONDS = env.number("DELIVERY_ATTEMPT_SECONDS", default=720)
# A worker that has not settled within its lease counts as crashed. Beyond its one try a claimed
# delivery waits for its turn, and for the outcome to be written.
DELIVERY_LEASE_SECONDS = env.number(
    "DELIVERY_LEASE_SECONDS",
    default=780,
    least=DELIVERY_ATTEMPT_SECONDS + 30,
    why="30 seconds more than DELIVERY_ATTEMPT_SECONDS",
)
DELIVERY_CONNECTIONS_PER_HOP = env.number("DELIVERY_CONNECTIONS_PER_HOP", default=10)
# A file of authorities that next hops' certificates may come from, besides the system's.
DELIVERY_TLS_CA_FILE = env.str("DELIVERY_TLS_CA_FILE", default="")
# How long what happened to mail can be looked up: refusals and single tries from their moment on,
# messages with their records and deliveries from receipt and the last delivery on. These never
# leave before their body, which the tenant's retention keeps.
RECORD_RETENTION_DAYS = env.number("RECORD_RETENTION_DAYS", default=90)

# --- behind a Postfix: `manage.py postfix_lookups` -------------------------
POSTFIX_LOOKUPS_HOST = env.str("POSTFIX_LOOKUPS_HOST", default="127.0.0.1")
# 0 is no TCP port; without a socket either there is nothing to serve, and `up` starts nothing.
POSTFIX_LOOKUPS_PORT = env.number("POSTFIX_LOOKUPS_PORT", default=0, least=0, most=65535)
POSTFIX_LOOKUPS_SOCKET = env.str("POSTFIX_LOOKUPS_SOCKET", default="")
# Where Postfix hands over what it does not deliver itself; unset, the gateway's own address.
POSTFIX_GATEWAY = env.text(
    "POSTFIX_GATEWAY",
    default=f"[{GATEWAY_HOST}]:{GATEWAY_PORT}"
    if ":" in GATEWAY_HOST
    else f"{GATEWAY_HOST}:{GATEWAY_PORT}",
    check=configuration.parse_gateway,
)

# --- moving in ------------------------------------------------------------
# Postfixes of the workers' machine that shadow mode may ask live from the panel, as
# name=/configuration/directory; the panel offers the names alone.
SHADOW_POSTFIX = env.named("SHADOW_POSTFIX", check=postfix_place)

# --- probes and metrics: one small HTTP listener per process ---------------
PROBE_HOST = env.str("PROBE_HOST", default="127.0.0.1")
GATEWAY_PROBE_PORT = env.port("GATEWAY_PROBE_PORT", default=9101)
WORKER_PROBE_PORT = env.port("WORKER_PROBE_PORT", default=9102)
BEAT_PROBE_PORT = env.port("BEAT_PROBE_PORT", default=9103)
POSTFIX_LOOKUPS_PROBE_PORT = env.port("POSTFIX_LOOKUPS_PROBE_PORT", default=9104)
# Who may read /metrics of the web process, directly and not through a proxy.
METRICS_NETWORKS = env.words(
    "METRICS_NETWORKS", default=["127.0.0.0/8", "::1/128"], check=ip_network
)
WEB_HOST = env.str("WEB_HOST", default="127.0.0.1")
WEB_PORT = env.port("WEB_PORT", default=8000)

# --- logs: each process calls mailrouting.logging.configure with its name ---
LOGGING_CONFIG = None
LOG_FORMAT = env.choice("LOG_FORMAT", default="logfmt", among=("logfmt", "json"))
LOG_LEVEL = env.choice("LOG_LEVEL", default="INFO", among=("DEBUG", "INFO", "WARNING", "ERROR"))

# --- web ------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "mailrouting.formats"
USE_TZ = True
STATIC_URL = "static/"
# Where `collectstatic` gathers files for production; unset, they are served from the packages.
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None
STATICFILES_DIRS: list[Path] = []
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
# The try-out speaks plain HTTP on loopback; everywhere else TLS ends at gunicorn or its proxy.
SPEAKS_TLS = not (EMBEDDED or DEBUG)
SECURE_SSL_REDIRECT = SPEAKS_TLS
SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz|metrics)$"]
SECURE_HSTS_SECONDS = env.number("HSTS_SECONDS", default=31_536_000, least=0) if SPEAKS_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SPEAKS_TLS
SECURE_HSTS_PRELOAD = SPEAKS_TLS
SESSION_COOKIE_SECURE = SPEAKS_TLS
CSRF_COOKIE_SECURE = SPEAKS_TLS
SESSION_COOKIE_HTTPONLY = True
SESSION_ENGINE = "mailrouting.sessions"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = csp.CONTENT_SECURITY_POLICY
UNFOLD = unfold.UNFOLD
# No page sends mail through Django; whatever would, is neither sent nor printed into the log.
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

# --- what the panel itself sends: alarms -----------------------------------
# Where the panel is reached, for links in what it sends; empty leaves them out.
PANEL_URL = env.str("PANEL_URL", default="")
# smtp://user:password@host:port of the server that takes the panel's own mail; empty: none is sent.
PANEL_MAIL_URL = env.text("PANEL_MAIL_URL", default="", check=mail_server)
PANEL_MAIL_FROM = env.str("PANEL_MAIL_FROM", default=f"alarms@{GATEWAY_HOSTNAME}")
# whsec_… with which webhooks are signed; empty: they are not.
ALARM_WEBHOOK_SECRET = env.words("ALARM_WEBHOOK_SECRET", default=[], check=webhook_secret)
ALARM_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES = env.bool(
    "ALARM_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES", default=False
)
