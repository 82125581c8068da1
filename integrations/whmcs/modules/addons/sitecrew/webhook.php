<?php

/**
 * Receives Sitecrew's webhooks (Standard Webhooks): checks signature, time and repetition, and then asks the API how far
 * the order is. What the request itself says is not trusted any further.
 */

declare(strict_types=1);

use Sitecrew\Whmcs\Provisioning;
use Sitecrew\Whmcs\Refused;
use Sitecrew\Whmcs\Unreachable;
use WHMCS\Database\Capsule;

const SITECREW_TOLERANCE = 300; // seconds
const SITECREW_MOST = 65536; // bytes

if (!defined('WHMCS')) {
    require_once dirname(__DIR__, 3) . '/init.php';
}

require_once __DIR__ . '/lib.php';

/** Handle one request; return the status to answer with. */
function sitecrew_receive(string $body, array $headers, int $now): int
{
    $setting = Capsule::table('tbladdonmodules')->where('module', 'sitecrew')->where('setting', 'webhook_secret');
    $secret = base64_decode(preg_replace('/^whsec_/', '', trim((string) $setting->value('value'))), true);
    $id = $headers['webhook-id'] ?? '';
    $at = $headers['webhook-timestamp'] ?? '';
    if (!$secret || strlen($body) > SITECREW_MOST || !ctype_digit($at) || abs($now - (int) $at) > SITECREW_TOLERANCE) {
        return 400;
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "{$id}.{$at}.{$body}", $secret, true));
    // While a secret is being rotated, there are two signatures.
    $given = explode(' ', $headers['webhook-signature'] ?? '');
    if (!array_filter($given, static fn (string $one): bool => hash_equals($expected, $one))) {
        return 401;
    }
    sitecrew_prepare_webhooks();
    if (Capsule::table(SITECREW_WEBHOOKS)->where('id', $id)->exists()) {
        return 200;
    }
    $event = json_decode($body, true);
    $order = Provisioning::toldOf((string) ($event['data']['order_id'] ?? $event['subject'] ?? ''));
    if ($order !== null) {
        try {
            (new Provisioning(sitecrew_client_for((int) $order->serviceid)))->follow($order);
        } catch (Refused $refused) {
            Provisioning::say("order {$order->order_id} (service {$order->serviceid}): {$refused->getMessage()}");
        } catch (Unreachable) {
            return 503; // it comes again
        }
    }
    Capsule::table(SITECREW_WEBHOOKS)->where('at', '<', $now - 7 * 86400)->delete();
    Capsule::table(SITECREW_WEBHOOKS)->insert(['id' => $id, 'at' => $now]);
    return 200;
}

if (PHP_SAPI !== 'cli') {
    $headers = [];
    foreach (['webhook-id', 'webhook-timestamp', 'webhook-signature'] as $name) {
        $headers[$name] = (string) ($_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? '');
    }
    http_response_code(sitecrew_receive((string) file_get_contents('php://input'), $headers, time()));
}
