<?php
/*
 * Fills the database of a staged WordPress. The order, in $sitecrew:
 *   path, url (no slash at its end), title, username, password, email;
 *   hash: another hash of the password, which WordPress must accept, or '';
 *   locale (of which the files are there), timezone, permalinks: '' for WordPress's own.
 * `ok: true` is said only after everything was read back and compared.
 */

define('ABSPATH', $sitecrew['path'] . '/');
define('WP_INSTALLING', true);
define('WP_SITEURL', $sitecrew['url']);
$_SERVER['HTTP_HOST'] = parse_url($sitecrew['url'], PHP_URL_HOST);
$_SERVER['REQUEST_URI'] = '/wp-admin/install.php';
$_SERVER['REQUEST_METHOD'] = 'GET';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';

require ABSPATH . 'wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';

/* WordPress cuts letters that it doesn't know out of an address, which leaves another person's mailbox. */
if (sanitize_email($sitecrew['email']) !== $sitecrew['email'] || !is_email($sitecrew['email'])) {
    sitecrew_refuse('email');
}

/* As WordPress's own installer does it: its first page and post are written in this language. */
if ($sitecrew['locale'] !== '') {
    load_default_textdomain($sitecrew['locale']);
    $GLOBALS['wp_locale'] = new WP_Locale();
}

wp_install(
    $sitecrew['title'],
    $sitecrew['username'],
    $sitecrew['email'],
    true,
    '',
    $sitecrew['password'],
    $sitecrew['locale']
);
if ($sitecrew['timezone'] !== '') {
    update_option('timezone_string', $sitecrew['timezone']);
}
$wp_rewrite->set_permalink_structure($sitecrew['permalinks']);
flush_rewrite_rules(false);

/* The first page views are our verification's: this lock keeps them from starting cron, which would ask outside. */
set_transient('doing_cron', sprintf('%.22F', microtime(true)));

/* WordPress goes on after a failed query. What it expects to fail is the look at a table before it is made. */
foreach ((array) ($GLOBALS['EZSQL_ERROR'] ?? []) as $sitecrew_failure) {
    if (!preg_match("/^Table '[^']+' doesn't exist$/", $sitecrew_failure['error_str'])) {
        sitecrew_give_up('a query failed: ' . $sitecrew_failure['error_str']);
    }
}

wp_cache_flush();
$sitecrew_user = get_user_by('login', $sitecrew['username']);
$sitecrew_tables = $wpdb->get_col('SHOW TABLES');
$sitecrew_plain = fn ($text) => html_entity_decode((string) $text, ENT_QUOTES | ENT_HTML5, 'UTF-8');
/* What was ordered, and what WordPress has stored of it: by field, read from the database. */
$sitecrew_stored = [
    'email' => [
        [$sitecrew['email'], $sitecrew_user ? $sitecrew_user->user_email : null],
        [$sitecrew['email'], get_option('admin_email')],
    ],
    /* WordPress escapes the title, and leaves alone what it takes for escaped already. */
    'title' => [[$sitecrew_plain(esc_html($sitecrew['title'])), $sitecrew_plain(get_option('blogname'))]],
    'username' => [[$sitecrew['username'], $sitecrew_user ? $sitecrew_user->user_login : null]],
    'locale' => [[$sitecrew['locale'], get_option('WPLANG', '')]],
    'timezone' => [[$sitecrew['timezone'], get_option('timezone_string')]],
    'permalinks' => [[$sitecrew['permalinks'], get_option('permalink_structure')]],
    'address' => [[$sitecrew['url'], get_option('home')], [$sitecrew['url'], get_option('siteurl')]],
];
$sitecrew_checks = [
    'the blog is installed' => is_blog_installed(),
    'every table exists' => !array_diff($wpdb->tables(), $sitecrew_tables),
    'the user exists' => $sitecrew_user instanceof WP_User,
    'the user is an administrator' => $sitecrew_user && in_array('administrator', $sitecrew_user->roles, true),
    'search engines may see it' => get_option('blog_public') === '1',
    'a hash of the usual form opens' => $sitecrew['hash'] === ''
        || wp_check_password($sitecrew['password'], $sitecrew['hash']),
    'the password opens' => $sitecrew_user
        && wp_check_password($sitecrew['password'], $sitecrew_user->user_pass, $sitecrew_user->ID),
];
foreach ($sitecrew_stored as $sitecrew_field => $sitecrew_pairs) {
    foreach ($sitecrew_pairs as [$sitecrew_ordered, $sitecrew_found]) {
        if ($sitecrew_found !== $sitecrew_ordered) {
            sitecrew_refuse($sitecrew_field);
        }
    }
}
foreach ($sitecrew_checks as $sitecrew_promise => $sitecrew_kept) {
    if (!$sitecrew_kept) {
        sitecrew_give_up("not so after wp_install: $sitecrew_promise");
    }
}

sitecrew_tell();
