#!/bin/sh
# by_hand.sh CORE WWW NAME URL ADDRESS SOCKET: install WordPress as a careful administrator's script does it:
# files copied, a database with a user of its own, WordPress's own installer, the home and the login page looked at.
set -eu
core=$1 www=$2 name=$3 url=$4 address=$5 socket=$6
password=$(head -c 18 /dev/urandom | base64 | tr '+/' '-_')
host=${url#*://} host=${host%%/*}

cp -rL "$core/." "$www/"
rm -f "$www/.htaccess" "$www/wp-config.php"

mariadb --socket "$socket" --execute "
  CREATE DATABASE \`$name\` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
  CREATE USER '$name'@localhost IDENTIFIED BY '$password';
  GRANT ALL PRIVILEGES ON \`$name\`.* TO '$name'@localhost"

salt() { head -c 48 /dev/urandom | base64 -w 0 | tr '+/' '-_'; }
{
  echo "<?php"
  echo "define('DB_NAME', '$name'); define('DB_USER', '$name'); define('DB_PASSWORD', '$password');"
  echo "define('DB_HOST', 'localhost:$socket'); define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');"
  echo "define('DISABLE_WP_CRON', true); define('WP_HTTP_BLOCK_EXTERNAL', true);"
  for constant in AUTH_KEY SECURE_AUTH_KEY LOGGED_IN_KEY NONCE_KEY AUTH_SALT SECURE_AUTH_SALT LOGGED_IN_SALT NONCE_SALT
  do echo "define('$constant', '$(salt)');"; done
  echo "\$table_prefix = 'wp_'; defined('ABSPATH') || define('ABSPATH', __DIR__ . '/'); require_once ABSPATH . 'wp-settings.php';"
} > "$www/wp-config.php"

php -r '
  [, $www, $url, $name, $password] = $argv;
  define("WP_INSTALLING", true);
  define("WP_SITEURL", $url);
  $_SERVER["HTTP_HOST"] = parse_url($url, PHP_URL_HOST);
  function wp_mail() { return true; }
  require "$www/wp-load.php";
  require ABSPATH . "wp-admin/includes/upgrade.php";
  wp_install("By hand", $name, "ann@example.org", true, "", $password);
' "$www" "${url%/}" "$name" "$password"

curl -sf -H "Host: $host" "http://$address/${url#*://*/}" | grep -q "By hand"
curl -sf -H "Host: $host" "http://$address/${url#*://*/}wp-login.php" | grep -q 'id="loginform"'
