<?php

/** What the addon's page, its hooks and its webhook share. */

declare(strict_types=1);

use Sitecrew\Whmcs\Client;
use WHMCS\Database\Capsule;

foreach (['Client', 'Orders', 'Provisioning'] as $class) {
    require_once dirname(__DIR__, 2) . "/servers/sitecrew/lib/{$class}.php";
}

const SITECREW_WEBHOOKS = 'mod_sitecrew_webhooks';

/** The client for the server that uses our module: the default one, or else the first. */
function sitecrew_client(): Client
{
    $server = Capsule::table('tblservers')->where('type', 'sitecrew')->where('disabled', 0)
        ->orderBy('active', 'desc')->orderBy('id')->first();
    if ($server === null) {
        throw new \Sitecrew\Whmcs\Unreachable('No server of type Sitecrew is set up (Setup -> Servers).');
    }
    return sitecrew_client_of($server);
}

function sitecrew_client_of(object $server): Client
{
    return Client::of([
        'serverhostname' => $server->hostname,
        'serverip' => $server->ipaddress,
        'serverport' => $server->port,
        'serversecure' => $server->secure === 'on',
        'serveraccesshash' => $server->accesshash,
    ]);
}

/** The client for the server of a service. */
function sitecrew_client_for(int $service): Client
{
    $server = Capsule::table('tblservers')->join('tblhosting', 'tblhosting.server', '=', 'tblservers.id')
        ->where('tblhosting.id', $service)->select('tblservers.*')->first();
    return $server === null ? sitecrew_client() : sitecrew_client_of($server);
}

/** The deliveries of webhooks that were handled: each comes at least once. */
function sitecrew_prepare_webhooks(): void
{
    if (!Capsule::schema()->hasTable(SITECREW_WEBHOOKS)) {
        Capsule::schema()->create(SITECREW_WEBHOOKS, static function ($table): void {
            $table->string('id', 64)->primary();
            $table->integer('at')->index();
        });
    }
}
