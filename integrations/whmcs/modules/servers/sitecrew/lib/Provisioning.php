<?php

declare(strict_types=1);

namespace Sitecrew\Whmcs;

use WHMCS\Database\Capsule;

/** What the module does: place a service's order, follow it, and ask for more. */
final class Provisioning
{
    private const WAIT_SECONDS = 20;
    private const ENDED = ['installed', 'cancelled', 'resolved'];
    private const NO_ENTRY = [401, 403];

    public function __construct(private readonly Client $client)
    {
    }

    /**
     * Place the order of a service. Placing it again is the same order, and changes nothing.
     *
     * @param array<string, mixed> $params
     * @throws Refused
     */
    public function create(array $params): void
    {
        $order = Orders::toSend(self::instance(), (int) $params['serviceid'], self::data($params));
        try {
            if ($order->state === 'failed') {
                $this->ask('/v1/orders/' . rawurlencode($order->order_id) . '/retry');
            }
            (int) $order->number === Orders::IMPORTED ? $this->follow($order) : $this->place($order);
        } catch (Unreachable $unreachable) {
            // It is written down, and the cron job sends it: for the customer nothing changes.
            self::say("order {$order->order_id} waits: {$unreachable->getMessage()}");
        } catch (Refused $refused) {
            // Nothing of it was kept there, so the next try may be corrected.
            Capsule::table(Orders::TABLE)->where('order_id', $order->order_id)->where('sent', false)->delete();
            throw $refused;
        }
    }

    /**
     * Send an order that may have been sent before, and note how far it is.
     *
     * @throws Refused
     * @throws Unreachable
     */
    public function place(object $order): void
    {
        $body = json_decode($order->body, true);
        // An order that was rejected may be corrected and sent again: that is another request.
        $key = "{$order->order_id}." . substr(hash('sha256', $order->body), 0, 16);
        $headers = ['Idempotency-Key' => $key, 'Prefer' => 'wait=' . self::WAIT_SECONDS];
        try {
            $answer = $this->client->send('POST', '/v1/orders', $body, $headers);
        } catch (Refused $refused) {
            if (!in_array($refused->status, self::NO_ENTRY, true)) {
                $this->giveUp($order);
            }
            throw $refused;
        }
        Orders::change($order->order_id, ['sent' => true, 'status_url' => $answer['customer_status_url'] ?? null]);
        $this->note($order, $answer);
    }

    /**
     * Ask how far an order is, and note it; send it first if that could not be done before.
     *
     * @throws Refused
     * @throws Unreachable
     */
    public function follow(object $order): void
    {
        if ($order->terminated) {
            return; // the service may have another one by now
        }
        Orders::change($order->order_id, ['checked_at' => time()]);
        if (!$order->sent) {
            $this->place($order);
        }
        $this->note($order, $this->order($order->order_id));
    }

    /** @return array<string, mixed> the order with its installs and letters */
    public function order(string $id): array
    {
        return $this->client->send('GET', '/v1/orders/' . rawurlencode($id));
    }

    /** @return list<array<string, mixed>> the newest lines of an order's activity log */
    public function activity(string $id): array
    {
        return $this->client->send('GET', '/v1/activity?limit=10&order_id=' . rawurlencode($id))['items'] ?? [];
    }

    /**
     * Ask for something, and wait a moment for the outcome; return whether it is known that it was done.
     *
     * @param array<string, mixed> $data
     * @throws Refused
     * @throws Unreachable
     */
    public function ask(string $path, array $data = []): bool
    {
        $command = $this->client->send('POST', $path, $data, ['Prefer' => 'wait=' . self::WAIT_SECONDS]);
        if (($command['outcome'] ?? '') === 'refused') {
            throw self::because($command['cause'] ?? []);
        }
        return ($command['outcome'] ?? '') === 'done';
    }

    /**
     * The order that a service has, also one that `sitecrew order import` placed for it as `<instance>.<service id>`.
     *
     * @throws Refused if it has none
     * @throws Unreachable
     */
    public function orderOf(int $service): object
    {
        $order = Orders::current($service);
        if ($order !== null) {
            return $order;
        }
        $id = self::instance() . ".{$service}";
        try {
            $this->order($id);
        } catch (Refused $refused) {
            throw $refused->status === 404
                ? new Refused(404, ['title' => 'This service has not been ordered yet: press Create.']) : $refused;
        }
        return Orders::adopt($id, $service);
    }

    /** The order of this id that Sitecrew told of: one of ours, or one that was imported for a service of ours. */
    public static function toldOf(string $id): ?object
    {
        $order = Orders::find($id);
        $service = (int) substr($id, strlen(self::instance()) + 1);
        if ($order !== null || $id !== self::instance() . ".{$service}" || Orders::current($service) !== null) {
            return $order;
        }
        $is_ours = Capsule::table('tblhosting')->join('tblproducts', 'tblproducts.id', '=', 'tblhosting.packageid')
            ->where('tblhosting.id', $service)->where('tblproducts.servertype', 'sitecrew')->exists();
        return $is_ours ? Orders::adopt($id, $service) : null;
    }

    /**
     * Store what is known of the account in WHMCS's service.
     *
     * @throws Refused if there is no account, and none will come by itself
     */
    private function note(object $order, array $answer): void
    {
        $state = (string) ($answer['state'] ?? '');
        $site = (string) ($answer['install_state'] ?? '');
        $ended = in_array($site, self::ENDED, true) || $state === 'cancelled';
        Orders::change($order->order_id, ['state' => $site ?: $state, 'followed' => !$ended]);
        if ($state === 'rejected') {
            $this->giveUp($order);
        }
        if ($state === 'failed') {
            // The next Create has it tried again, and so can Sitecrew's own staff.
            Orders::change($order->order_id, ['followed' => false]);
            self::move($order, 'Active', 'Pending');
        }
        if (in_array($state, ['rejected', 'failed'], true)) {
            throw self::because($answer['cause'] ?? []);
        }
        if ($order->state === 'failed') {
            self::move($order, 'Pending', 'Active');
        }
        if ($state === 'created' && !empty($answer['username'])) {
            Capsule::table('tblhosting')->where('id', $order->serviceid)->update(array_filter([
                'username' => $answer['username'],
                'domain' => $answer['domain'] ?? null,
                'dedicatedip' => $answer['address'] ?? null,
            ]));
        }
    }

    /** There is no account and will be none: staff correct the service and create it again, which is a new order. */
    private function giveUp(object $order): void
    {
        Orders::change($order->order_id, ['followed' => false, 'terminated' => true]);
        self::move($order, 'Active', 'Pending');
    }

    /** Change the status of an order's service, if it has the first one. */
    private static function move(object $order, string $from, string $to): void
    {
        Capsule::table('tblhosting')->where('id', $order->serviceid)->where('domainstatus', $from)
            ->update(['domainstatus' => $to]);
    }

    /** @param array<string, mixed> $cause as Sitecrew tells it */
    private static function because(array $cause): Refused
    {
        return new Refused(409, ['title' => $cause['detail'] ?? 'Sitecrew refused it.'] + $cause);
    }

    /** @return array<string, mixed> the order's data, as the product and the client have it */
    private static function data(array $params): array
    {
        $client = $params['clientsdetails'];
        $name = trim("{$client['firstname']} {$client['lastname']}") ?: ($client['companyname'] ?? '');
        return array_filter([
            'site_type' => $params['configoption1'] ?: 'wordpress',
            'domain' => $params['domain'],
            'customer' => ['name' => $name, 'email' => $client['email']],
            'server' => $params['configoption2'] ?? '',
            'blog_name' => $params['configoption3'] ?? '',
            'priority' => $params['configoption4'] ?? '',
            'locale' => self::locale((string) ($client['language'] ?? '')),
        ]);
    }

    /** The locale of a WHMCS language; empty for the site type's default. */
    private static function locale(string $language): string
    {
        $known = ['german' => 'de_DE', 'french' => 'fr_FR', 'spanish' => 'es_ES', 'dutch' => 'nl_NL', 'italian' => 'it_IT'];
        return $known[strtolower($language)] ?? '';
    }

    /** This installation's name in order ids: the addon's setting, or `whmcs`. */
    public static function instance(): string
    {
        $setting = Capsule::table('tbladdonmodules')->where('module', 'sitecrew')->where('setting', 'instance');
        return preg_replace('/[^A-Za-z0-9_-]/', '', (string) $setting->value('value')) ?: 'whmcs';
    }

    public static function say(string $message): void
    {
        logActivity("Sitecrew: {$message}");
    }
}
