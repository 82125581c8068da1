<?php
/*
 * Mass virtual hosting for PHP's built-in web server, for demonstrations and tests:
 *
 *     PHP_CLI_SERVER_WORKERS=4 php -S 127.0.0.1:8080 -t <root> router.php
 *
 *     /~username/...      <root>/accounts/<username>/www/...
 *     Host: <domain>      <root>/vhosts/<domain>/...
 *
 * Nothing outside a document root is served, whatever links lead there, and no name that begins with a dot.
 */

namespace Sitecrew\Web;

const TYPES = [
    'avif' => 'image/avif',
    'css' => 'text/css; charset=utf-8',
    'csv' => 'text/csv; charset=utf-8',
    'eot' => 'application/vnd.ms-fontobject',
    'gif' => 'image/gif',
    'htm' => 'text/html; charset=utf-8',
    'html' => 'text/html; charset=utf-8',
    'ico' => 'image/x-icon',
    'jpeg' => 'image/jpeg',
    'jpg' => 'image/jpeg',
    'js' => 'text/javascript; charset=utf-8',
    'json' => 'application/json',
    'map' => 'application/json',
    'mjs' => 'text/javascript; charset=utf-8',
    'mp3' => 'audio/mpeg',
    'mp4' => 'video/mp4',
    'otf' => 'font/otf',
    'pdf' => 'application/pdf',
    'png' => 'image/png',
    'svg' => 'image/svg+xml',
    'ttf' => 'font/ttf',
    'txt' => 'text/plain; charset=utf-8',
    'wasm' => 'application/wasm',
    'webm' => 'video/webm',
    'webmanifest' => 'application/manifest+json',
    'webp' => 'image/webp',
    'woff' => 'font/woff',
    'woff2' => 'font/woff2',
    'xml' => 'application/xml; charset=utf-8',
    'zip' => 'application/zip',
];

/** The PHP file to run, with $_SERVER as it expects it; null if the answer has been given already. */
function route(string $root): ?string
{
    $segments = segments();
    $site = $segments === null ? null : site($root, $segments);
    if ($site === null) {
        return refuse(404, 'There is no site here.');
    }
    [$www, $prefix, $rest] = $site;
    if ($rest === []) {
        // `/~username` itself, without the slash that makes the site's relative links work
        return redirect($prefix . '/');
    }
    $path = implode('/', $rest);
    $file = inside($www, $path);
    if ($file !== null && is_dir($file)) {
        if (end($rest) !== '') {
            return redirect("$prefix/" . encoded($rest) . '/');
        }
        [$file, $path] = index($www, $path);
    }
    if ($file === null) {
        // As most sites expect it: what is no file is a question to the site's own front page.
        [$file, $path, $info] = front($www, "/$path");
    }
    if ($file === null) {
        return refuse(404, 'There is no such page here.');
    }
    if (strtolower(pathinfo($file, PATHINFO_EXTENSION)) !== 'php') {
        return send($file);
    }
    $_SERVER['DOCUMENT_ROOT'] = $www;
    $_SERVER['SCRIPT_NAME'] = "$prefix/$path";
    $_SERVER['SCRIPT_FILENAME'] = $file;
    $_SERVER['PHP_SELF'] = "$prefix/$path" . ($info ?? '');
    unset($_SERVER['PATH_INFO']);
    if (($info ?? '') !== '') {
        $_SERVER['PATH_INFO'] = $info;
    }
    return $file;
}

/** The request's path in decoded parts, the last one '' if it ends with a slash; null if it is not to be served. */
function segments(): ?array
{
    $path = rawurldecode(strtok($_SERVER['REQUEST_URI'], '?#'));
    $parts = explode('/', $path);
    array_shift($parts);
    $last = array_pop($parts);
    $parts = [...array_filter($parts, fn ($part) => $part !== ''), $last];
    foreach ($parts as $part) {
        if (str_starts_with($part, '.') || strpbrk($part, "\0\\") !== false) {
            return null;
        }
    }
    return $parts;
}

/** Document root, URL prefix and remaining parts of the site that is asked for; null if there is none. */
function site(string $root, array $parts): ?array
{
    $host = strtolower(preg_replace('/:\d+$/', '', $_SERVER['HTTP_HOST'] ?? ''));
    if (preg_match('/^~([a-z][a-z0-9]{2,15})$/', $parts[0], $match)) {
        $www = realpath("$root/accounts/$match[1]/www");
        $prefix = "/$parts[0]";
        array_shift($parts);
    } elseif (preg_match('/^[a-z0-9][a-z0-9.-]*$/', $host)) {
        $www = realpath("$root/vhosts/$host");
        $prefix = '';
    } else {
        return null;
    }
    $accounts = realpath("$root/accounts");
    $ours = $www !== false && $accounts !== false && str_starts_with($www, "$accounts/") && basename($www) === 'www';
    return $ours && is_dir($www) ? [$www, $prefix, $parts] : null;
}

/** The file or directory of that name; null if there is none, or if links lead it out of the document root. */
function inside(string $www, string $path): ?string
{
    $file = realpath("$www/$path");
    return $file !== false && ($file === $www || str_starts_with($file, "$www/")) ? $file : null;
}

/** A directory's index file and its path. */
function index(string $www, string $path): array
{
    foreach (['index.php', 'index.html'] as $name) {
        $file = inside($www, $path . $name);
        if ($file !== null && is_file($file)) {
            return [$file, $path . $name];
        }
    }
    return [null, $path];
}

/** The site's front page, its path, and what follows it if it was asked for by name (`/index.php/a-post`). */
function front(string $www, string $asked): array
{
    $file = inside($www, 'index.php');
    $named = str_starts_with($asked, '/index.php/');
    return [$file !== null && is_file($file) ? $file : null, 'index.php', $named ? substr($asked, 10) : ''];
}

function send(string $file): ?string
{
    if (!in_array($_SERVER['REQUEST_METHOD'], ['GET', 'HEAD'], true)) {
        return refuse(405, 'This is a file: it can be read, and nothing else.');
    }
    header('Content-Type: ' . (TYPES[strtolower(pathinfo($file, PATHINFO_EXTENSION))] ?? 'application/octet-stream'));
    header('Content-Length: ' . filesize($file));
    header('Last-Modified: ' . gmdate('D, d M Y H:i:s', filemtime($file)) . ' GMT');
    header('X-Content-Type-Options: nosniff');
    if ($_SERVER['REQUEST_METHOD'] === 'GET') {
        readfile($file);
    }
    return null;
}

function redirect(string $path): ?string
{
    $query = parse_url('http://host' . strstr($_SERVER['REQUEST_URI'], '?'), PHP_URL_QUERY);
    header("Location: $path" . ($query === null || $query === false ? '' : "?$query"), true, 301);
    return null;
}

function refuse(int $status, string $reason): ?string
{
    http_response_code($status);
    header('Content-Type: text/plain; charset=utf-8');
    echo $reason, "\n";
    return null;
}

function encoded(array $parts): string
{
    return implode('/', array_map('rawurlencode', $parts));
}

/* This process answered for other trees before: a directory may have been exchanged since. */
clearstatcache(true);

/* The site's code runs here, outside any function: WordPress and others expect the global scope. */
if (route($_SERVER['DOCUMENT_ROOT']) !== null) {
    chdir(dirname($_SERVER['SCRIPT_FILENAME']));
    require $_SERVER['SCRIPT_FILENAME'];
}
