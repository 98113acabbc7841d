"""Where files lie. Apart from the settings, because the launcher has none: it starts Django."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("TOKENBOOK_DATA") or BASE_DIR / "var").expanduser().resolve()
POSTGRES_DIR = DATA_DIR / "postgres"
STATIC_DIR = DATA_DIR / "static"
MAIL_DIR = DATA_DIR / "mail"
PULSE_DIR = DATA_DIR / "run"

SECRET_KEY_FILE = DATA_DIR / "secret_key"
ADMIN_PASSWORD_FILE = DATA_DIR / "admin_password"
DEMO_TOKEN_FILE = DATA_DIR / "demo_token"
LOCK_FILE = DATA_DIR / "lock"
