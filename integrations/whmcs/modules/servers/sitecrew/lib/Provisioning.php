<?php

declare(strict_types=1);

namespace Sitecrew\Whmcs;

use WHMCS\Database\Capsule;

/** What the module does: place a service's order, follow it, and ask for more. */
final class Provisioning
{
    private const WAIT_SECONDS = 20;
    private const ENDED = ['installed', 'cancelled', 'resolved'];

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
            $this->place($order);
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
        $headers = ['Idempotency-Key' => $order->order_id, 'Prefer' => 'wait=' . self::WAIT_SECONDS];
        $answer = $this->client->send('POST', '/v1/orders', $body, $headers);
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

    /** Ask for something; the API answers at once, the service later. */
    public function ask(string $path, array $data = []): array
    {
        return $this->client->send('POST', $path, $data);
    }

    /** Store what is known of the account in WHMCS's service. */
    private function note(object $order, array $answer): void
    {
        $state = (string) ($answer['state'] ?? '');
        $site = (string) ($answer['install_state'] ?? '');
        $ended = in_array($site, self::ENDED, true) || $state === 'cancelled';
        Orders::change($order->order_id, ['state' => $site ?: $state, 'followed' => !$ended]);
        if ($state === 'created' && !empty($answer['username'])) {
            Capsule::table('tblhosting')->where('id', $order->serviceid)->update(array_filter([
                'username' => $answer['username'],
                'domain' => $answer['domain'] ?? null,
                'dedicatedip' => $answer['address'] ?? null,
            ]));
        }
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
    private static function instance(): string
    {
        $setting = Capsule::table('tbladdonmodules')->where('module', 'sitecrew')->where('setting', 'instance');
        return preg_replace('/[^A-Za-z0-9_-]/', '', (string) $setting->value('value')) ?: 'whmcs';
    }

    public static function say(string $message): void
    {
        logActivity("Sitecrew: {$message}");
    }
}
