<?php

declare(strict_types=1);

namespace Sitecrew\Whmcs;

/** The API refused a request, and says why. */
final class Refused extends \RuntimeException
{
    /** @param array<string, mixed> $problem the problem details (RFC 9457) */
    public function __construct(public readonly int $status, public readonly array $problem)
    {
        parent::__construct(self::told($problem), $status);
    }

    /** Everything that the API says is wrong, and what to do, in one line. */
    private static function told(array $problem): string
    {
        $errors = array_map(
            static fn (array $error): string => "{$error['field']}: {$error['message']}",
            $problem['errors'] ?? []
        );
        $told = array_filter([$problem['title'] ?? 'refused', ...$errors, $problem['remedy'] ?? '']);
        $sentences = array_map(static fn (string $one): string => rtrim($one, '.') . '.', $told);
        return implode(' ', $sentences) . (isset($problem['code']) ? " ({$problem['code']})" : '');
    }
}

/** The API did not answer, or is not ready: the same request can be sent again. */
final class Unreachable extends \RuntimeException
{
}

/** Speaks to Sitecrew's HTTP API. */
final class Client
{
    private const CONNECT_SECONDS = 5;
    private const SECONDS = ['GET' => 10, 'POST' => 30]; // people wait for pages

    public function __construct(private readonly string $base, private readonly string $token)
    {
    }

    /**
     * The client for a server as WHMCS knows it: host name, port, secure connection, and the token as access hash.
     *
     * @param array<string, mixed> $params a module function's parameters
     */
    public static function of(array $params): self
    {
        $scheme = !empty($params['serversecure']) ? 'https' : 'http';
        $host = $params['serverhostname'] ?: ($params['serverip'] ?? '');
        $port = !empty($params['serverport']) ? ":{$params['serverport']}" : '';
        return new self("{$scheme}://{$host}{$port}", trim((string) $params['serveraccesshash']));
    }

    /**
     * Send a request; return the answer's document.
     *
     * @param array<string, mixed>|null $body sent as JSON
     * @param array<string, string> $headers
     * @return array<string, mixed>
     * @throws Refused if the API says why it won't
     * @throws Unreachable if sending the same again later is the thing to do
     */
    public function send(string $method, string $path, ?array $body = null, array $headers = []): array
    {
        [$status, $text] = $this->exchange($method, $path, $body, $headers);
        $document = json_decode($text, true);
        $this->log($method, $path, $body, $status, $document ?? $text);
        if ($status === 0 || $status === 429 || $status >= 500) {
            throw new Unreachable($status === 0 ? $text : "Sitecrew's API answers {$status}");
        }
        if ($status >= 400 || !is_array($document)) {
            throw new Refused($status, is_array($document) ? $document : ['title' => 'This is not Sitecrew\'s API.']);
        }
        return $document;
    }

    /** @return array{int, string} status (0: no answer) and text */
    private function exchange(string $method, string $path, ?array $body, array $headers): array
    {
        $headers += ['Accept' => 'application/json', 'Authorization' => "Bearer {$this->token}"];
        if ($body !== null) {
            $headers['Content-Type'] = 'application/json';
        }
        $handle = curl_init($this->base . $path);
        curl_setopt_array($handle, [
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_FOLLOWLOCATION => false, // the token is for this host alone
            CURLOPT_CONNECTTIMEOUT => self::CONNECT_SECONDS,
            CURLOPT_TIMEOUT => self::SECONDS[$method],
            CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
            CURLOPT_HTTPHEADER => array_map(
                static fn (string $name, string $value): string => "{$name}: {$value}",
                array_keys($headers),
                $headers
            ),
        ]);
        if ($body !== null) {
            curl_setopt($handle, CURLOPT_POSTFIELDS, json_encode($body, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE));
        }
        $text = curl_exec($handle);
        $status = (int) curl_getinfo($handle, CURLINFO_RESPONSE_CODE);
        return $text === false ? [0, 'Sitecrew\'s API does not answer: ' . curl_error($handle)] : [$status, $text];
    }

    /** Write the exchange to WHMCS's module log, without the token and without the link that only the customer has. */
    private function log(string $method, string $path, ?array $body, int $status, mixed $answer): void
    {
        if (function_exists('logModuleCall')) {
            $link = is_array($answer) ? $answer['customer_status_url'] ?? '' : '';
            $masked = array_filter([$this->token, $link]);
            logModuleCall('sitecrew', "{$method} {$path}", $body, ['status' => $status], $answer, $masked);
        }
    }
}
