<?php
/*
 * Renders the home page of a staged WordPress to stdout, as its web server would.
 * The order, in $sitecrew: path, url (no slash at its end).
 */

$sitecrew_url = parse_url($sitecrew['url']);

$_SERVER['HTTP_HOST'] = $sitecrew_url['host'] . (isset($sitecrew_url['port']) ? ':' . $sitecrew_url['port'] : '');
$_SERVER['SERVER_NAME'] = $sitecrew_url['host'];
$_SERVER['SERVER_PORT'] = (string) ($sitecrew_url['port'] ?? 80);
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD'] = 'GET';
$_SERVER['REQUEST_URI'] = ($sitecrew_url['path'] ?? '') . '/';
$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $_SERVER['REQUEST_URI'] . 'index.php';
$_SERVER['SCRIPT_FILENAME'] = $sitecrew['path'] . '/index.php';
$_SERVER['HTTPS'] = $sitecrew_url['scheme'] === 'https' ? 'on' : '';

chdir($sitecrew['path']);
require $_SERVER['SCRIPT_FILENAME'];
