<?php
/*
 * Asked for once over HTTP, right after a tree was put in place, under a name that nobody can guess.
 *
 * PHP's opcache knows scripts by their path, and looks for a change every two seconds, or never. Until then
 * the web server would answer with the old tree's code and configuration, whose database is about to go.
 * Only a process of the web server can make that cache forget.
 */

$forgotten = true;
$status = function_exists('opcache_get_status') ? @opcache_get_status() : false;
if ($status !== false) {
    foreach (array_keys($status['scripts'] ?? []) as $script) {
        if (str_starts_with($script, __DIR__ . '/')) {
            $forgotten = opcache_invalidate($script, true) && $forgotten;
        }
    }
} elseif (filter_var(ini_get('opcache.enable'), FILTER_VALIDATE_BOOLEAN)) {
    $forgotten = false;
}
if (!$forgotten) {
    // opcache.restrict_api keeps us out: then the change has to be noticed.
    sleep((int) ini_get('opcache.revalidate_freq') + 1);
}

header('Content-Type: text/plain; charset=utf-8');
header('Cache-Control: no-store');
echo 'fresh: ', basename(__FILE__), "\n";
unlink(__FILE__);
