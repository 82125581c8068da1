<?php
/*
 * What keeps a WordPress that runs for the installer to itself: it asks nobody over HTTP, mails nobody,
 * and says in one line of JSON why it gives up. Loaded before WordPress.
 */

define('DISABLE_WP_CRON', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('WP_DISABLE_FATAL_ERROR_HANDLER', true);

/* WordPress builds its hooks from this array, so they are in place before its first line can fail. */
$GLOBALS['wp_filter'] = [
    'wp_die_handler' => [10 => [['function' => 'sitecrew_die_handler', 'accepted_args' => 1]]],
    'pre_http_request' => [10 => [['function' => 'sitecrew_no_http', 'accepted_args' => 0]]],
];

function sitecrew_die_handler($handler)
{
    return 'sitecrew_die';
}

/* WordPress switches `display_errors` off during an install, and so would hide what it died of. */
register_shutdown_function(function () {
    $last = error_get_last();
    if ($last && $last['type'] & (E_ERROR | E_PARSE | E_COMPILE_ERROR) && !ini_get('display_errors')) {
        $where = "{$last['file']} on line {$last['line']}";
        file_put_contents('php://stderr', "\nFatal error: {$last['message']} in $where\n");
    }
});

function sitecrew_no_http()
{
    return new WP_Error('sitecrew', 'no HTTP during an install');
}

function sitecrew_die($message)
{
    $text = $message instanceof WP_Error ? $message->get_error_message() : (string) $message;
    sitecrew_give_up($text);
}

/* `errno` is MariaDB's, 0 if the database is not what failed. */
function sitecrew_give_up($detail)
{
    $errno = mysqli_connect_errno();
    $error = (string) mysqli_connect_error();
    $handle = isset($GLOBALS['wpdb']) ? $GLOBALS['wpdb']->dbh : null;
    if ($errno === 0 && $handle instanceof mysqli) {
        $errno = mysqli_errno($handle);
        $error = mysqli_error($handle);
    }
    $doing = $GLOBALS['sitecrew_doing'] ?? '';
    if ($errno === 0 && $doing !== '') {
        sitecrew_refuse_extra('extra_failed', "$doing: $detail");
    }
    sitecrew_say(['ok' => false, 'errno' => $errno, 'error' => $error, 'detail' => sitecrew_line($detail)]);
    exit(1);
}

function sitecrew_line($text)
{
    $text = str_replace($GLOBALS['sitecrew']['path'] . '/', '', strip_tags($text));
    return substr(trim(preg_replace('/\s+/', ' ', $text)), 0, 600);
}

/* What is wrong with a plugin, a theme or an option of the site type's. */
function sitecrew_refuse_extra($cause, $detail)
{
    $GLOBALS['sitecrew_doing'] = '';
    sitecrew_say(['ok' => false, 'cause' => $cause, 'detail' => sitecrew_line($detail)]);
    exit(1);
}

/* A value of the order that WordPress can't store as it is: never in another form, which could be another person's. */
function sitecrew_refuse($field)
{
    sitecrew_say(['ok' => false, 'field' => $field]);
    exit(1);
}

/* Never part of an installed site: only this process has these instead of WordPress's own. */
function wp_mail()
{
    return true;
}

function wp_new_blog_notification()
{
}
