<?php
/*
 * How a script says that a staged WordPress is as ordered, and what it looks like to visitors.
 */

function sitecrew_tell()
{
    global $sitecrew, $wp_rewrite, $wp_version;
    $plain = $sitecrew['permalinks'] === '';
    $page = get_post(2) ?: get_post(1);
    sitecrew_say([
        'ok' => true,
        'version' => $wp_version,
        'title' => get_bloginfo('name', 'display'),
        'pages' => $plain ? [] : [$page ? get_permalink($page) : get_category_link(get_option('default_category'))],
        'rewriting' => $plain ? '' : (string) $wp_rewrite->mod_rewrite_rules(),
    ]);
}
