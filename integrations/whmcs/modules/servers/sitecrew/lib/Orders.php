<?php

declare(strict_types=1);

namespace Sitecrew\Whmcs;

use WHMCS\Database\Capsule;

/**
 * The orders behind WHMCS's services. A row is written before an order is sent, so that no order is lost: what could
 * not be sent, or has not ended, is followed up by WHMCS's cron job.
 */
final class Orders
{
    public const TABLE = 'mod_sitecrew_orders';
    public const IMPORTED = 0; // the number of an order that was imported; others count from 1

    /** Make sure that the table is there. */
    public static function prepare(): void
    {
        if (Capsule::schema()->hasTable(self::TABLE)) {
            return;
        }
        Capsule::schema()->create(self::TABLE, static function ($table): void {
            $table->string('order_id', 64)->primary();
            $table->integer('serviceid')->index();
            $table->integer('number');
            $table->text('body'); // of the order, as it was sent first
            $table->boolean('sent')->default(false);
            $table->boolean('followed')->default(true)->index(); // until it has ended
            $table->boolean('terminated')->default(false); // or it came to nothing: the next one gets another number
            $table->string('state', 32)->default('');
            $table->text('status_url')->nullable();
            $table->integer('checked_at')->default(0);
            $table->dateTime('created_at');
        });
    }

    /** The order that a service has now; null before the first. */
    public static function current(int $service): ?object
    {
        self::prepare();
        return Capsule::table(self::TABLE)->where('serviceid', $service)->orderBy('number', 'desc')->first();
    }

    /**
     * The order to send for a service: the one that it has, or its next one after a termination.
     *
     * @param array<string, mixed> $data the order without its id
     */
    public static function toSend(string $instance, int $service, array $data): object
    {
        $order = self::current($service);
        if ($order !== null && !$order->terminated) {
            return $order;
        }
        $number = ($order->number ?? 0) + 1;
        $id = "{$instance}.{$service}.{$number}";
        Capsule::table(self::TABLE)->insert([
            'order_id' => $id,
            'serviceid' => $service,
            'number' => $number,
            'body' => json_encode(['order_id' => $id] + $data, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE),
            'created_at' => date('Y-m-d H:i:s'),
        ]);
        return self::current($service);
    }

    /** Note an order that was placed for a service by `sitecrew order import`. */
    public static function adopt(string $id, int $service): object
    {
        $known = ['order_id' => $id, 'serviceid' => $service, 'number' => self::IMPORTED];
        Capsule::table(self::TABLE)->insert($known + ['body' => '', 'sent' => true, 'created_at' => date('Y-m-d H:i:s')]);
        return self::current($service);
    }

    /** @param array<string, mixed> $changes */
    public static function change(string $order, array $changes): void
    {
        Capsule::table(self::TABLE)->where('order_id', $order)->update($changes);
    }

    /** The order of this id, if it is ours. */
    public static function find(string $order): ?object
    {
        self::prepare();
        return Capsule::table(self::TABLE)->where('order_id', $order)->first();
    }

    /** @return iterable<object> orders that have not ended, those first that were not looked at for longest */
    public static function followed(): iterable
    {
        self::prepare();
        return Capsule::table(self::TABLE)->where('followed', true)->orderBy('checked_at')->limit(200)->get();
    }
}
