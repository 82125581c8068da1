<?php

/**
 * Sitecrew addon for WHMCS: pending and failed installs, and what staff can do with them.
 *
 * Changes are made by POST with WHMCS's token only.
 */

declare(strict_types=1);

use Sitecrew\Whmcs\Client;
use Sitecrew\Whmcs\Orders;
use Sitecrew\Whmcs\Provisioning;
use Sitecrew\Whmcs\Refused;
use Sitecrew\Whmcs\Unreachable;
use WHMCS\Database\Capsule;

if (!defined('WHMCS')) {
    die('This file cannot be accessed directly');
}

require_once __DIR__ . '/lib.php';

function sitecrew_config(): array
{
    return [
        'name' => 'Sitecrew',
        'description' => 'Pending and failed installs, with their causes; follows orders that WHMCS placed.',
        'version' => '1.0',
        'author' => 'Sitecrew',
        'language' => 'english',
        'fields' => [
            'instance' => [
                'FriendlyName' => 'Instance',
                'Type' => 'text',
                'Size' => '20',
                'Default' => 'whmcs',
                'Description' => 'Begins the order ids of this WHMCS. Do not change it later.',
            ],
            'webhook_secret' => [
                'FriendlyName' => 'Webhook secret',
                'Type' => 'password',
                'Size' => '60',
                'Description' => 'Of the webhook that Sitecrew\'s console made for modules/addons/sitecrew/webhook.php',
            ],
        ],
    ];
}

function sitecrew_activate(): array
{
    Orders::prepare();
    sitecrew_prepare_webhooks();
    return ['status' => 'success', 'description' => 'Next: enter the instance and the webhook secret.'];
}

function sitecrew_deactivate(): array
{
    // The orders stay: they say which service is which order.
    return ['status' => 'success', 'description' => 'Orders keep their ids in ' . Orders::TABLE . '.'];
}

/** The page "Addons -> Sitecrew". */
function sitecrew_output(array $vars): void
{
    $said = $_SERVER['REQUEST_METHOD'] === 'POST' ? sitecrew_act($_POST) : '';
    echo $said === '' ? '' : '<div class="infobox">' . htmlspecialchars($said) . '</div>';
    try {
        $found = sitecrew_client()->send('GET', '/v1/installs?state=staged,installing,failed&limit=100');
        echo sitecrew_page($found['items'] ?? [], $vars['modulelink']);
    } catch (Refused | Unreachable $error) {
        echo '<div class="errorbox">' . htmlspecialchars($error->getMessage()) . '</div>';
    }
}

/** Do what a form asks for; return what to tell. */
function sitecrew_act(array $given): string
{
    check_token('WHMCS.admin.default'); // ends the request if the form is not ours
    $install = rawurlencode(is_string($given['install'] ?? '') ? $given['install'] ?? '' : '');
    $paths = [
        'remove' => "/v1/installs/{$install}/cancel",
        'retry' => "/v1/installs/{$install}/retry",
        'run' => '/v1/timer/run',
    ];
    $what = $given['what'] ?? '';
    if (!is_string($what) || !isset($paths[$what])) {
        return 'Nothing was done: unknown action.';
    }
    try {
        $body = $what === 'remove' ? ['reason' => 'removed in WHMCS'] : [];
        $is_done = (new Provisioning(sitecrew_client()))->ask($paths[$what], $body);
    } catch (Refused | Unreachable $error) {
        return $error->getMessage();
    }
    return $is_done ? 'Done.' : 'Asked; not answered yet. Reload the page in a moment to see the outcome.';
}

function sitecrew_page(array $installs, string $link): string
{
    $token = generate_token('form');
    $button = static fn (string $what, string $label, string $install = ''): string => sprintf(
        '<form method="post" action="%s" style="display:inline">%s<input type="hidden" name="install" value="%s">'
        . '<button name="what" value="%s" class="btn btn-default btn-sm">%s</button></form> ',
        htmlspecialchars($link),
        $token,
        htmlspecialchars($install),
        $what,
        $label
    );
    $rows = '';
    foreach ($installs as $install) {
        $cells = [
            $install['order_id'],
            $install['domain'] ?? '',
            $install['state'],
            isset($install['attempt']) ? $install['attempt'] . '/' . ($install['max_attempts'] ?? '?') : '',
            $install['cause']['detail'] ?? '',
            $install['cause']['remedy'] ?? '',
        ];
        $cells = array_map(static fn (mixed $text): string => '<td>' . htmlspecialchars((string) $text) . '</td>', $cells);
        $can = $install['state'] === 'installing' ? '' : $button('remove', 'Remove', $install['install_id'])
            . $button('retry', $install['state'] === 'failed' ? 'Retry' : 'Run next', $install['install_id']);
        $rows .= '<tr>' . implode('', $cells) . "<td>{$can}</td></tr>";
    }
    $heads = ['Order', 'Domain', 'State', 'Attempt', 'Cause', 'What to do', ''];
    $head = implode('', array_map(static fn (string $name): string => "<th>{$name}</th>", $heads));
    $table = $rows === '' ? '<p>No install is pending or has failed.</p>'
        : "<table class=\"datatable\" width=\"100%\"><tr>{$head}</tr>{$rows}</table>";
    return '<p>' . $button('run', 'Run the batch now') . '</p>' . $table;
}
