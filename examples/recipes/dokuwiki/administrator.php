<?php
/*
 * Gives a staged DokuWiki, whose folder this runs in, its administrator. On stdin, JSON: username, password, email.
 * The last line on stdout is JSON; `ok: true` only if the password opens.
 */

$order = json_decode(stream_get_contents(STDIN), true, 4, JSON_THROW_ON_ERROR);

define('DOKU_INC', getcwd() . '/');
define('NOSESSION', 1);
require DOKU_INC . 'inc/init.php';
auth_setup();

$made = [$order['username'], $order['password'], $order['username'], $order['email'], ['admin', 'user']];
$ok = $auth->triggerUserMod('create', $made) && $auth->checkPass($order['username'], $order['password']);

echo "\n", json_encode(['ok' => $ok]), "\n";
exit($ok ? 0 : 1);
