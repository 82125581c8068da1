#!/usr/bin/env php
<?php
// Places an order with Sitecrew, through php-amqplib (`composer require php-amqplib/php-amqplib`, or Debian's package
// of that name).
//
//     place_order.php ORDER_ID SITE_TYPE DOMAIN NAME EMAIL [TITLE]
//
// AMQP_URL in the environment is the broker's URL: amqps://USER:PASSWORD@HOST/VHOST, percent-encoded, so the virtual
// host `/` is %2F. Exits with 0 once the broker has confirmed the order, with 1 if something must be fixed first, and with
// 75 if the outcome is unknown: then run it again. Sending the same order again changes nothing.

declare(strict_types=1);

use PhpAmqpLib\Connection\AMQPConnectionConfig;
use PhpAmqpLib\Connection\AMQPConnectionFactory;
use PhpAmqpLib\Exception\AMQPExceptionInterface;
use PhpAmqpLib\Message\AMQPMessage;

ini_set('zend.exception_ignore_args', '1'); // a trace would show the password
$composer = __DIR__ . '/vendor/autoload.php';
require is_file($composer) ? $composer : 'PhpAmqpLib/autoload.php';

// Your program's name as a URI reference. It identifies events together with their id, so never change it.
const SOURCE = '/shop';
const PATIENCE = 30; // seconds to wait for an answer, such as the confirm

const NO_QUEUE = 'no queue takes orders there. Run `sitecrew topology declare`, then send it again.';
const CHECK = 'Check user, password and virtual host in AMQP_URL, what the user may do, and whether Sitecrew is set up'
    . ' there.';
const AGAIN = 'Send the same order again: if it was placed, that changes nothing.';

// The event. Its id is derived from its content: the same order is the same event whenever it is sent.
function orderPlaced(
    string $orderId,
    string $siteType,
    string $domain,
    string $name,
    string $email,
    string $title = ''
): array {
    $data = [
        'order_id' => $orderId,
        'site_type' => $siteType,
        'domain' => $domain,
        'customer' => ['name' => $name, 'email' => $email],
    ];
    if ($title !== '') {
        $data['blog_name'] = $title;
    }
    $hash = hash('sha256', json_encode($data, JSON_THROW_ON_ERROR));
    return [
        'specversion' => '1.0',
        'id' => "$orderId-placed-" . substr($hash, 0, 16),
        'source' => SOURCE,
        'type' => 'sitecrew.order.placed.v1',
        'subject' => $orderId,
        'data' => $data,
    ];
}

function message(array $event): AMQPMessage
{
    return new AMQPMessage(json_encode($event, JSON_THROW_ON_ERROR), [
        'content_type' => 'application/cloudevents+json',
        'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT,
        'message_id' => $event['id'],
        'correlation_id' => $event['subject'],
        'type' => $event['type'],
    ]);
}

function config(array $url): AMQPConnectionConfig
{
    $secure = $url['scheme'] === 'amqps';
    $config = new AMQPConnectionConfig();
    if ($secure) {
        $config->setIsSecure(true);
        $config->setNetworkProtocol('tls'); // without these two it would speak in the clear
        $config->setSslVerify(true);
    }
    $config->setHost($url['host']);
    $config->setPort($url['port'] ?? ($secure ? 5671 : 5672));
    $config->setUser(rawurldecode($url['user'] ?? 'guest'));
    $config->setPassword(rawurldecode($url['pass'] ?? 'guest'));
    $config->setVhost(rawurldecode(substr($url['path'] ?? '', 1)) ?: '/');
    $config->setReadTimeout(PATIENCE);
    $config->setWriteTimeout(PATIENCE);
    $config->setChannelRPCTimeout(10); // also for closing a connection that is dead
    return $config;
}

// Returns the broker's answer: 'confirmed', 'returned' or 'refused' (nack).
function publish(array $url, AMQPMessage $message): string
{
    $outcome = 'confirmed';
    $connection = AMQPConnectionFactory::create(config($url));
    $channel = $connection->channel();
    $channel->confirm_select();
    $channel->set_return_listener(function () use (&$outcome) { $outcome = 'returned'; });
    $channel->set_nack_handler(function () use (&$outcome) { $outcome = 'refused'; });
    $channel->basic_publish($message, 'orders', 'order.placed.v1', true); // true: return it if no queue takes it
    $channel->wait_for_pending_acks_returns(PATIENCE);
    $connection->close();
    return $outcome;
}

// The exit code and a message.
function place(array $url, AMQPMessage $message): array
{
    try {
        return match (publish($url, $message)) {
            'confirmed' => [0, 'placed: the broker has it.'],
            'returned' => [1, 'not placed: ' . NO_QUEUE],
            'refused' => [75, 'perhaps not placed: the broker could not store it (nack). ' . AGAIN],
        };
    } catch (AMQPExceptionInterface $error) {
        $reason = $error->getMessage();
        return in_array($error->getCode(), [403, 404, 530], true) // access refused, not found, not allowed
            ? [1, "not placed: the broker refuses: $reason. " . CHECK]
            : [75, "perhaps not placed: $reason. " . AGAIN];
    }
}

if ($argc < 6 || $argc > 7) {
    fwrite(STDERR, "usage: place_order.php ORDER_ID SITE_TYPE DOMAIN NAME EMAIL [TITLE]\n");
    exit(2);
}
$url = parse_url((string) getenv('AMQP_URL'));
if (!isset($url['host']) || !in_array($url['scheme'] ?? '', ['amqp', 'amqps'], true)) {
    // Do not print it: it contains the password.
    fwrite(STDERR, "AMQP_URL must be the broker's address: amqps://USER:PASSWORD@HOST/VHOST, percent-encoded.\n");
    exit(1);
}
[$code, $outcome] = place($url, message(orderPlaced(...array_slice($argv, 1))));
fwrite($code ? STDERR : STDOUT, "Order $argv[1] is $outcome\n");
exit($code);
