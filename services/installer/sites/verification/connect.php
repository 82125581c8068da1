<?php
/*
 * In WordPress's place behind a site's own wp-config.php: connects to the database as WordPress does (wpdb::db_connect,
 * wpdb::parse_db_host), and makes a table there. `$sitecrew` has: path, of the folder with wp-config.php.
 */

require $sitecrew['path'] . '/wp-config.php';

$sitecrew_host = DB_HOST;
$sitecrew_socket = null;
$sitecrew_port = null;
if (($sitecrew_at = strpos($sitecrew_host, ':/')) !== false) {
    $sitecrew_socket = substr($sitecrew_host, $sitecrew_at + 1);
    $sitecrew_host = substr($sitecrew_host, 0, $sitecrew_at);
} elseif (preg_match('#^(\[[0-9a-fA-F:]+\]|[^:]*):(\d+)$#', $sitecrew_host, $sitecrew_parts)) {
    [, $sitecrew_host, $sitecrew_port] = $sitecrew_parts;
}

mysqli_report(MYSQLI_REPORT_OFF);
$sitecrew_link = mysqli_init();
$sitecrew_flags = defined('MYSQL_CLIENT_FLAGS') ? MYSQL_CLIENT_FLAGS : 0;
if (!@mysqli_real_connect(
    $sitecrew_link,
    $sitecrew_host,
    DB_USER,
    DB_PASSWORD,
    DB_NAME,
    $sitecrew_port === null ? null : (int) $sitecrew_port,
    $sitecrew_socket,
    $sitecrew_flags
)) {
    sitecrew_say(['ok' => false, 'errno' => mysqli_connect_errno(), 'error' => mysqli_connect_error()]);
    exit(1);
}
foreach (['CREATE TABLE sitecrew_trial (n INT)', 'DROP TABLE sitecrew_trial'] as $sitecrew_query) {
    if (!mysqli_query($sitecrew_link, $sitecrew_query)) {
        sitecrew_say(['ok' => false, 'errno' => mysqli_errno($sitecrew_link), 'error' => mysqli_error($sitecrew_link)]);
        exit(1);
    }
}
sitecrew_say(['ok' => true]);
