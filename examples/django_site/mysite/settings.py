"""Settings of the example site; what differs from host to host comes from the environment.

``SITE_DATABASE`` is the path of the SQLite file, ``SITE_SECRET`` signs tokens,
``SITE_HOSTS`` lists the names the site answers to, ``SITE_DEBUG=1`` shows errors.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).parent.parent
RELEASE = "one"

DEBUG = os.environ.get("SITE_DEBUG") == "1"
SECRET_KEY = os.environ.get("SITE_SECRET", "only for the example, on this machine")
ALLOWED_HOSTS = os.environ.get("SITE_HOSTS", "localhost 127.0.0.1 [::1]").split()

INSTALLED_APPS = ["guestbook"]
MIDDLEWARE = [
    "mysite.middleware.signature",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SITE_DATABASE", BASE_DIR / "site.sqlite3"),
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",  # writers of several processes queue instead of failing
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
