<?php

/**
 * Sitecrew provisioning module for WHMCS.
 *
 * A product's service becomes an order at Sitecrew: the hosting account exists at once, the site is installed in the
 * background, and Sitecrew sends the welcome letter once the site answers. Module functions return 'success', or one
 * sentence that says what is wrong and what to do.
 */

declare(strict_types=1);

use Sitecrew\Whmcs\Client;
use Sitecrew\Whmcs\Orders;
use Sitecrew\Whmcs\Provisioning;
use Sitecrew\Whmcs\Refused;
use Sitecrew\Whmcs\Unreachable;

if (!defined('WHMCS')) {
    die('This file cannot be accessed directly');
}

require_once __DIR__ . '/lib/Client.php';
require_once __DIR__ . '/lib/Orders.php';
require_once __DIR__ . '/lib/Provisioning.php';

function sitecrew_MetaData(): array
{
    return [
        'DisplayName' => 'Sitecrew',
        'APIVersion' => '1.1',
        'RequiresServer' => true,
        'DefaultNonSSLPort' => '8080',
        'DefaultSSLPort' => '443',
    ];
}

function sitecrew_ConfigOptions(): array
{
    return [
        'Site type' => [
            'Type' => 'text',
            'Size' => '25',
            'Default' => 'wordpress',
            'Description' => 'As in Sitecrew\'s settings: wordpress, static ...',
        ],
        'Server' => [
            'Type' => 'text',
            'Size' => '25',
            'Description' => 'A hosting server of Sitecrew\'s settings; empty: its default',
        ],
        'Blog name' => ['Type' => 'text', 'Size' => '40', 'Description' => 'The new site\'s title; empty: its default'],
        'Priority' => ['Type' => 'dropdown', 'Options' => 'normal,high,low', 'Description' => 'How urgent its installs are'],
    ];
}

/** Whether the address and the token of a server are right. */
function sitecrew_TestConnection(array $params): array
{
    try {
        $me = Client::of($params)->send('GET', '/v1/me');
    } catch (Refused | Unreachable $error) {
        return ['success' => false, 'error' => $error->getMessage()];
    }
    $is_admin = in_array('admin', $me['scopes'], true);
    $missing = $is_admin ? [] : array_diff(['orders:write', 'orders:read'], $me['scopes']);
    return $missing
        ? ['success' => false, 'error' => 'The token lacks ' . implode(' and ', $missing) . '.']
        : ['success' => true, 'error' => ''];
}

function sitecrew_CreateAccount(array $params): string
{
    return sitecrew_done(static fn (Provisioning $sitecrew) => $sitecrew->create($params), $params);
}

function sitecrew_SuspendAccount(array $params): string
{
    return sitecrew_cannot('suspend an account');
}

function sitecrew_UnsuspendAccount(array $params): string
{
    return sitecrew_cannot('unsuspend an account');
}

/** Nothing is deleted on the hosting server. If the site is not installed yet, it will not be. */
function sitecrew_TerminateAccount(array $params): string
{
    $order = Orders::current((int) $params['serviceid']);
    if ($order === null || $order->terminated) {
        return 'success';
    }
    if ($order->state === 'installed') {
        return sitecrew_cannot('delete an installed account');
    }
    return sitecrew_done(static function (Provisioning $sitecrew) use ($order): void {
        if ($order->sent) {
            $sitecrew->ask('/v1/orders/' . rawurlencode($order->order_id) . '/cancel', ['reason' => 'terminated in WHMCS']);
        }
        Orders::change($order->order_id, ['terminated' => true, 'followed' => false]);
    }, $params);
}

function sitecrew_ChangePackage(array $params): string
{
    return sitecrew_cannot('change an account\'s package');
}

function sitecrew_ChangePassword(array $params): string
{
    return sitecrew_cannot('change an account\'s password');
}

function sitecrew_AdminCustomButtonArray(): array
{
    return ['Re-install site' => 'reinstall', 'Resend letter' => 'resend', 'Refresh' => 'refresh'];
}

function sitecrew_reinstall(array $params): string
{
    return sitecrew_asks($params, 'reinstall');
}

function sitecrew_resend(array $params): string
{
    return sitecrew_asks($params, 'resend-letter');
}

function sitecrew_refresh(array $params): string
{
    $follow = static fn (Provisioning $sitecrew) => $sitecrew->follow($sitecrew->orderOf((int) $params['serviceid']));
    return sitecrew_done($follow, $params);
}

/** State, cause, remedy and activity, on the service's page in the admin area. */
function sitecrew_AdminServicesTabFields(array $params): array
{
    $order = Orders::current((int) $params['serviceid']);
    if ($order === null) {
        return ['Sitecrew' => 'Not ordered yet: press Create; or Refresh, if it was imported.'];
    }
    $lines = [];
    try {
        $sitecrew = new Provisioning(Client::of($params));
        $told = $sitecrew->order($order->order_id);
        $lines = $sitecrew->activity($order->order_id);
    } catch (Refused | Unreachable $error) {
        $told = ['state' => $order->state ?: 'not sent yet', 'cause' => ['detail' => $error->getMessage()]];
    }
    $site = $told['installs'][0] ?? [];
    $cause = $site['cause'] ?? $told['cause'] ?? $told['letter']['cause'] ?? null;
    $fields = [
        'Order at Sitecrew' => $order->order_id,
        'Account' => $told['state'] ?? '',
        'Site' => trim(($site['state'] ?? 'not staged yet') . ' ' . ($site['url'] ?? '')),
        'Letter' => $told['letter']['state'] ?? 'not due yet',
        'Cause' => $cause['detail'] ?? '',
        'What to do' => $cause['remedy'] ?? '',
    ];
    $fields = array_map(static fn (mixed $text): string => htmlspecialchars((string) $text), array_filter($fields));
    $shown = static fn (array $line): string => htmlspecialchars(trim(
        "{$line['at']} {$line['kind']} " . ($line['actor'] ?? '') . ' ' . ($line['cause']['detail'] ?? $line['detail'])
    ));
    return $fields + array_filter(['Activity' => implode('<br>', array_map($shown, $lines))]);
}

/** How far the site is, for the customer: no causes, no secrets. */
function sitecrew_ClientArea(array $params): array
{
    $order = Orders::current((int) $params['serviceid']);
    $told = [];
    if ($order !== null && $order->sent) {
        try {
            $told = (new Provisioning(Client::of($params)))->order($order->order_id);
        } catch (Refused | Unreachable) {
            // The page shows what is known here.
        }
    }
    $site = $told['installs'][0] ?? [];
    return [
        'templatefile' => 'templates/clientarea',
        'vars' => [
            'state' => $site['state'] ?? ($order->state ?? ''),
            'url' => $site['url'] ?? '',
            'panel' => $told['control_panel_url'] ?? '',
            'statusUrl' => $order->status_url ?? '',
        ],
    ];
}

/** Ask for something about a service's order. */
function sitecrew_asks(array $params, string $what): string
{
    return sitecrew_done(static function (Provisioning $sitecrew) use ($params, $what): void {
        $order = $sitecrew->orderOf((int) $params['serviceid']);
        $sitecrew->ask('/v1/orders/' . rawurlencode($order->order_id) . "/{$what}");
        Orders::change($order->order_id, ['followed' => true]);
    }, $params);
}

/** Run something; return what WHMCS wants to hear. */
function sitecrew_done(callable $work, array $params): string
{
    try {
        $work(new Provisioning(Client::of($params)));
    } catch (Refused | Unreachable $error) {
        return $error->getMessage();
    }
    return 'success';
}

function sitecrew_cannot(string $what): string
{
    return "Sitecrew cannot {$what} yet: do it on the hosting server.";
}
