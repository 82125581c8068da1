<?php
/*
 * Gives a staged DokuWiki, whose folder this runs in, its administrator. On stdin, JSON: username, password, email.
 * The answer on stdout is JSON: `ok: true` only if the password opens, and what DokuWiki has stored of the order.
 */

$order = json_decode(stream_get_contents(STDIN), true, 4, JSON_THROW_ON_ERROR);

define('DOKU_INC', getcwd() . '/');
define('NOSESSION', 1);
require DOKU_INC . 'inc/init.php';
auth_setup();

$made = [$order['username'], $order['password'], $order['username'], $order['email'], ['admin', 'user']];
$ok = $auth->triggerUserMod('create', $made) && $auth->checkPass($order['username'], $order['password']);

$stored = $auth->getUserData($order['username']);
echo "\n", json_encode(['ok' => $ok, 'stored' => ['email' => $stored['mail'] ?? null]]), "\n";
exit($ok ? 0 : 1);
