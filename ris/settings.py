"""Composition root: together with urls.py the only place in ``ris`` that names worklist and hl7."""

from pathlib import Path

from ris import environment

BASE_DIR = Path(__file__).resolve().parent.parent

DATA_DIR = environment.data_dir("SUNVIEW_DATA_DIR", BASE_DIR / "var")
HTTP_ADDRESS = environment.address("SUNVIEW_HTTP", "127.0.0.1:8000")
DICOM_ADDRESS = environment.address("SUNVIEW_DICOM", "127.0.0.1:11112")
STORE_ADDRESS = environment.address("SUNVIEW_STORE", "127.0.0.1:11113")
DICOM_TLS_ADDRESS = environment.address_if_set("SUNVIEW_DICOM_TLS", "0.0.0.0:2762")
STORE_TLS_ADDRESS = environment.address_if_set("SUNVIEW_STORE_TLS", "0.0.0.0:2763")
TLS_CONTEXT = environment.tls(
    "SUNVIEW_TLS_CERTIFICATE", "SUNVIEW_TLS_KEY", "SUNVIEW_TLS_CA", ["SUNVIEW_DICOM_TLS", "SUNVIEW_STORE_TLS"]
)
MLLP_ADDRESS = environment.address("SUNVIEW_MLLP", "127.0.0.1:2575")
AE_TITLE = environment.ae_title("SUNVIEW_AE_TITLE", "SUNVIEW")

SECRET_KEY = environment.secret_key("SUNVIEW_SECRET_KEY", DATA_DIR)
DEBUG = False
ALLOWED_HOSTS = sorted({HTTP_ADDRESS[0], "localhost", "127.0.0.1", *environment.words("SUNVIEW_HOSTS")})

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_filters",
    "django_q",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "rest_framework.authtoken",
    "ris",
    "worklist",
    "hl7",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "ris.urls"
WSGI_APPLICATION = "ris.wsgi.application"
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
            ]
        },
    }
]

DATABASES = {"default": environment.database("DATABASE_URL", DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FIXTURE_DIRS = [BASE_DIR / "fixtures"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "board"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = environment.time_zone("SUNVIEW_TIME_ZONE", "UTC")

STATIC_URL = "static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "PAGE_SIZE": 100,
    "EXCEPTION_HANDLER": "ris.api.errors.answer",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Sunview",
    "DESCRIPTION": "Modality worklist and RIS workflow broker",
    "VERSION": "1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
}

#: Sweeps only: nothing ordered and nothing on the path of an answer goes through it (stack.md, django-q2).
Q_CLUSTER = {
    "name": "sunview",
    "orm": "default",
    "workers": 2,
    "timeout": 60,
    "retry": 90,
    "ack_failures": True,
    "max_attempts": 1,
    "poll": 1,
    "bulk": 5,
    "queue_limit": 10,
    "save_limit": 0,
    "catch_up": False,
    "recycle": 500,
    "label": "Tasks",
}

#: Days for which messages are kept that were carried out or settled.
MESSAGE_DAYS = environment.days("SUNVIEW_MESSAGE_DAYS", "365")
#: Sweeps of the edges, beside those of ``ris.tasks``: task -> minutes between two runs.
SCHEDULES = {
    "hl7.tasks.settle_repeated": 10,
    "hl7.tasks.purge": 60,
    "worklist.mpps_tasks.forget_early_updates": 5,
    "worklist.mpps_tasks.purge_forwards": 60,
    "worklist.store.remove_left": 60,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # pynetdicom and pydicom write request identifiers and raw values, which are patient data.
    "loggers": {
        "pynetdicom": {"level": "CRITICAL"},
        "pydicom": {"level": "CRITICAL"},
        "django.request": {"level": "ERROR"},
    },
}
