<?php
/*
 * Gives a staged WordPress what its site type adds. The order, in $sitecrew:
 *   path, url (no slash at its end), permalinks, as for install.php;
 *   plugins: main files, in the order of activation; theme, '' for the one that is active;
 *   options: text by name; prefixes: what names of the plugins' own options begin with;
 *   default_content: false to be without WordPress's sample post, page and comment.
 * `ok: true` is said only after everything was read back and compared.
 */

define('WP_ADMIN', true);
$_SERVER['HTTP_HOST'] = parse_url($sitecrew['url'], PHP_URL_HOST);
$_SERVER['REQUEST_URI'] = '/wp-admin/plugins.php';
$_SERVER['REQUEST_METHOD'] = 'GET';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';

/* What a plugin's or theme's code ends is that one's failure, and not WordPress's. */
$sitecrew_doing = '';
register_shutdown_function(function () {
    if ($GLOBALS['sitecrew_doing'] !== '') {
        $last = error_get_last();
        $fatal = $last && $last['type'] & (E_ERROR | E_PARSE | E_COMPILE_ERROR | E_USER_ERROR);
        $said = $fatal ? strtok($last['message'], "\n") : 'it ended PHP';
        sitecrew_refuse_extra('extra_failed', "{$GLOBALS['sitecrew_doing']}: $said");
    }
});

require $sitecrew['path'] . '/wp-load.php';
require ABSPATH . 'wp-admin/includes/admin.php';

/* WordPress's own jobs are planned by the first page view, whatever the extras. */
$sitecrew_jobs = array_keys(array_merge([], ...array_values(_get_cron_array() ?: [])));
wp_set_current_user(get_users(['role' => 'administrator', 'number' => 1])[0]->ID);

if (!$sitecrew['default_content']) {
    foreach (get_posts(['post_type' => ['post', 'page'], 'numberposts' => -1]) as $sitecrew_post) {
        wp_delete_post($sitecrew_post->ID, true);
    }
}

foreach ($sitecrew['plugins'] as $sitecrew_plugin) {
    $sitecrew_doing = 'plugin ' . dirname($sitecrew_plugin);
    $sitecrew_result = activate_plugin($sitecrew_plugin);
    if (is_wp_error($sitecrew_result) && $sitecrew_result->get_error_code() !== 'unexpected_output') {
        sitecrew_reject($sitecrew_result);
    }
}

if ($sitecrew['theme'] !== '' && $sitecrew['theme'] !== get_stylesheet()) {
    $sitecrew_doing = "theme {$sitecrew['theme']}";
    $sitecrew_theme = wp_get_theme($sitecrew['theme']);
    foreach ([$sitecrew_theme->errors(), validate_theme_requirements($sitecrew['theme'])] as $sitecrew_result) {
        if (is_wp_error($sitecrew_result)) {
            sitecrew_reject($sitecrew_result);
        }
    }
    switch_theme($sitecrew['theme']);
}
$sitecrew_doing = '';

foreach ($sitecrew['options'] as $sitecrew_name => $sitecrew_value) {
    sitecrew_set_option($sitecrew_name, $sitecrew_value);
}

/* The rules of plugins' own pages are made by the first page view, with all of them loaded. */
create_initial_taxonomies();
delete_option('rewrite_rules');
array_map('wp_unschedule_hook', $sitecrew_jobs);
set_transient('doing_cron', sprintf('%.22F', microtime(true)));

wp_cache_flush();
$sitecrew_active = get_option('active_plugins', []);
foreach ($sitecrew['plugins'] as $sitecrew_plugin) {
    if (!in_array($sitecrew_plugin, $sitecrew_active, true)) {
        sitecrew_refuse_extra('extra_failed', 'plugin ' . dirname($sitecrew_plugin) . ': it is not active afterwards');
    }
}
if ($sitecrew['theme'] !== '' && get_option('stylesheet') !== $sitecrew['theme']) {
    sitecrew_refuse_extra('extra_failed', "theme {$sitecrew['theme']}: it is not active afterwards");
}
foreach ($sitecrew['options'] as $sitecrew_name => $sitecrew_value) {
    $sitecrew_stored = get_option($sitecrew_name);
    if (!is_scalar($sitecrew_stored) || sitecrew_plain($sitecrew_stored) !== sitecrew_plain($sitecrew_value)) {
        $sitecrew_kept = json_encode($sitecrew_stored);
        sitecrew_refuse_extra('option_wrong', "$sitecrew_name: WordPress keeps $sitecrew_kept of '$sitecrew_value'");
    }
}

sitecrew_tell();

/* WordPress escapes some options, as it does titles. */
function sitecrew_plain($text)
{
    return html_entity_decode((string) $text, ENT_QUOTES | ENT_HTML5, 'UTF-8');
}

function sitecrew_reject(WP_Error $error)
{
    $code = preg_match('/incompatible|dependenc|no_plugin|invalid/', $error->get_error_code()) ? 'extra_unfit' : 'extra_failed';
    if (preg_match('/^theme_(no_parent|not_found|parent)/', $error->get_error_code())) {
        $code = 'theme_missing';
    }
    sitecrew_refuse_extra($code, "{$GLOBALS['sitecrew_doing']}: " . $error->get_error_message());
}

/* An option that is not there is a typing mistake, unless a plugin may make it later. */
function sitecrew_set_option($name, $value)
{
    $before = get_option($name, null);
    if ($before !== null && !is_scalar($before)) {
        sitecrew_refuse_extra('option_wrong', "$name: it is no text, but has several parts");
    }
    $own = array_filter($GLOBALS['sitecrew']['prefixes'], fn ($prefix) => strpos($name, $prefix) === 0);
    if ($before === null && !$own) {
        $near = '';
        foreach (array_keys(wp_load_alloptions()) as $known) {
            if (levenshtein($name, $known) < min(4, levenshtein($name, $near ?: $name . '????'))) {
                $near = $known;
            }
        }
        sitecrew_refuse_extra('option_wrong', "unknown option $name" . ($near === '' ? '' : "; did you mean $near?"));
    }
    update_option($name, $value);
}
