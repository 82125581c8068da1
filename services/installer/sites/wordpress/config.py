"""wp-config.php: the one file of a WordPress site that holds its secrets."""

import secrets
from pathlib import Path

from foundation.hosting import Database
from foundation.hosting.disk import write_new
from services.installer.sites.programs import Owner
from services.installer.sites.programs.php import quoted

_SALTS = (
    "AUTH_KEY",
    "SECURE_AUTH_KEY",
    "LOGGED_IN_KEY",
    "NONCE_KEY",
    "AUTH_SALT",
    "SECURE_AUTH_SALT",
    "LOGGED_IN_SALT",
    "NONCE_SALT",
)
_ISOLATION = """
/* This server has no way out, and page views start no background work. */
defined('DISABLE_WP_CRON') || define('DISABLE_WP_CRON', true);
defined('WP_HTTP_BLOCK_EXTERNAL') || define('WP_HTTP_BLOCK_EXTERNAL', true);
"""
_TLS = {
    "require": "define('MYSQL_CLIENT_FLAGS', MYSQLI_CLIENT_SSL);\n",
    "verify": "define('MYSQL_CLIENT_FLAGS', MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_VERIFY_SERVER_CERT);\n",
}
"""mysqli encrypts without verifying the certificate unless it is told to."""

_PROXIED = """
/* What is in front of this server may end the encryption: WordPress would send visitors in a circle. */
if (($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') {
    $_SERVER['HTTPS'] = 'on';
}
"""

_END = """
$table_prefix = 'wp_';

if (!defined('ABSPATH')) {
    define('ABSPATH', __DIR__ . '/');
}
require_once ABSPATH . 'wp-settings.php';
"""


def write_config(
    stage: Path, database: Database, *, isolated: bool, https: bool = False, owner: Owner | None = None
) -> None:
    """Write the tree's wp-config.php (0640), with new salts. `https`: whether the site's URLs are."""
    extra = _TLS.get(database.tls, "") + (_PROXIED if https else "") + (_ISOLATION if isolated else "")
    write_new(stage / "wp-config.php", _config(database, extra), 0o640, owner)


def _config(database: Database, extra: str) -> str:
    constants = {
        "DB_NAME": database.name,
        "DB_USER": database.username,
        "DB_PASSWORD": database.password,
        "DB_HOST": database.host,
        "DB_CHARSET": "utf8mb4",
        "DB_COLLATE": "",
        **{name: secrets.token_urlsafe(48) for name in _SALTS},
    }
    lines = "".join(f"define('{name}', {quoted(value)});\n" for name, value in constants.items())
    return f"<?php\n{lines}{extra}{_END}"
