<?php

/** Follows orders in WHMCS's cron job, and leaves the welcome letter to Sitecrew. */

declare(strict_types=1);

use Sitecrew\Whmcs\Orders;
use Sitecrew\Whmcs\Provisioning;
use Sitecrew\Whmcs\Refused;
use Sitecrew\Whmcs\Unreachable;
use WHMCS\Database\Capsule;

if (!defined('WHMCS')) {
    die('This file cannot be accessed directly');
}

require_once __DIR__ . '/lib.php';

/** Send what could not be sent, and note how far the others are. Webhooks may have been lost. */
add_hook('AfterCronJob', 1, static function (array $vars): void {
    foreach (Orders::followed() as $order) {
        try {
            (new Provisioning(sitecrew_client_for((int) $order->serviceid)))->follow($order);
        } catch (Refused $refused) {
            Provisioning::say("order {$order->order_id} (service {$order->serviceid}): {$refused->getMessage()}");
        } catch (Unreachable $unreachable) {
            Provisioning::say($unreachable->getMessage());
            return; // the others would not be answered either
        }
    }
});

/** The product's own welcome email would come before the site answers; Sitecrew's comes then, with the passwords. */
add_hook('EmailPreSend', 1, static function (array $vars): array {
    $service = Capsule::table('tblhosting')->join('tblproducts', 'tblproducts.id', '=', 'tblhosting.packageid')
        ->join('tblemailtemplates', 'tblemailtemplates.id', '=', 'tblproducts.welcomeemail')
        ->where('tblhosting.id', (int) ($vars['relid'] ?? 0))
        ->where('tblproducts.servertype', 'sitecrew')
        ->where('tblemailtemplates.name', (string) ($vars['messagename'] ?? ''))
        ->exists();
    return $service ? ['abortsend' => true] : [];
});
