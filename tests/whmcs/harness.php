<?php

/**
 * Stands for WHMCS: its documented functions, its database layer and the tables that our modules use. No WHMCS was run.
 *
 *   php harness.php DIRECTORY setup JSON                 a server, a product, a client and a service
 *   php harness.php DIRECTORY module FUNCTION [JSON]     call a module function as WHMCS does, for service 1
 *   php harness.php DIRECTORY hook NAME [JSON]           run a hook
 *   php harness.php DIRECTORY webhook JSON               body, headers and now of a webhook request
 *   php harness.php DIRECTORY page [JSON]                the addon's page; JSON is what a form posts
 *
 * Prints what came of it as JSON.
 */

declare(strict_types=1);

namespace WHMCS\Database {
    require_once 'Illuminate/Database/autoload.php';

    class Capsule extends \Illuminate\Database\Capsule\Manager
    {
    }
}

namespace {
    use WHMCS\Database\Capsule;

    error_reporting(E_ALL & ~E_DEPRECATED); // Debian's Illuminate is older than its PHP
    set_error_handler(static function (int $level, string $message, string $file, int $line): bool {
        if (!(error_reporting() & $level)) {
            return false;
        }
        throw new ErrorException($message, 0, $level, $file, $line);
    });
    define('WHMCS', true);
    const MODULES = __DIR__ . '/../../integrations/whmcs/modules';
    [, $directory, $what] = $argv;
    $log = "{$directory}/log.jsonl";
    $hooks = [];

    $capsule = new Capsule();
    touch("{$directory}/whmcs.db");
    $capsule->addConnection(['driver' => 'sqlite', 'database' => "{$directory}/whmcs.db", 'prefix' => '']);
    $capsule->setAsGlobal();

    function note(string $kind, mixed $said): void
    {
        global $log;
        file_put_contents($log, json_encode([$kind, $said], JSON_UNESCAPED_UNICODE) . "\n", FILE_APPEND);
    }

    function logModuleCall($module, $action, $request, $response, $processed = '', $masked = []): void
    {
        $text = json_encode([$action, $request, $response, $processed], JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
        note('module', str_replace(array_filter($masked), '*****', $text));
    }

    function logActivity($message, $user = 0): void
    {
        note('activity', $message);
    }

    function add_hook($name, $priority, $function): void
    {
        global $hooks;
        $hooks[$name][] = $function;
    }

    function generate_token($type = 'form'): string
    {
        return '<input type="hidden" name="token" value="harness-token">';
    }

    function check_token($namespace = 'WHMCS.default'): void
    {
        if (($_POST['token'] ?? '') !== 'harness-token') {
            print(json_encode('Invalid token'));
            exit(0);
        }
    }

    function set_up(array $given): string
    {
        $schema = Capsule::schema();
        foreach (tables() as $name => $columns) {
            $schema->create($name, static function ($table) use ($columns): void {
                foreach ($columns as $column) {
                    $column === 'id' ? $table->increments('id') : $table->text($column)->nullable();
                }
            });
        }
        Capsule::table('tblservers')->insert($given['server'] + ['type' => 'sitecrew', 'disabled' => 0, 'active' => 1]);
        Capsule::table('tblemailtemplates')->insert(['name' => 'Hosting Account Welcome Email']);
        Capsule::table('tblproducts')->insert(['servertype' => 'sitecrew', 'welcomeemail' => 1]);
        Capsule::table('tblclients')->insert($given['client']);
        Capsule::table('tblhosting')->insert($given['service'] + [
            'server' => 1, 'packageid' => 1, 'userid' => 1, 'domainstatus' => 'Pending',
        ]);
        foreach ($given['addon'] ?? [] as $setting => $value) {
            Capsule::table('tbladdonmodules')->insert(['module' => 'sitecrew', 'setting' => $setting, 'value' => $value]);
        }
        return 'success';
    }

    function tables(): array
    {
        return [
            'tblservers' => ['id', 'type', 'hostname', 'ipaddress', 'port', 'secure', 'accesshash', 'disabled', 'active'],
            'tblproducts' => ['id', 'servertype', 'welcomeemail'],
            'tblemailtemplates' => ['id', 'name'],
            'tblclients' => ['id', 'firstname', 'lastname', 'companyname', 'email', 'language'],
            'tblhosting' => ['id', 'userid', 'packageid', 'server', 'domain', 'username', 'dedicatedip', 'domainstatus'],
            'tbladdonmodules' => ['id', 'module', 'setting', 'value'],
        ];
    }

    /** The parameters that WHMCS gives to a module function. */
    function parameters(): array
    {
        $service = Capsule::table('tblhosting')->where('id', 1)->first();
        $server = Capsule::table('tblservers')->where('id', $service->server)->first();
        return [
            'serviceid' => (int) $service->id,
            'domain' => $service->domain,
            'username' => (string) $service->username,
            'serverhostname' => $server->hostname,
            'serverip' => (string) $server->ipaddress,
            'serverport' => $server->port,
            'serversecure' => $server->secure === 'on',
            'serveraccesshash' => $server->accesshash,
            'configoption1' => 'static',
            'configoption2' => '',
            'configoption3' => '',
            'configoption4' => 'normal',
            'clientsdetails' => (array) Capsule::table('tblclients')->where('id', $service->userid)->first(),
        ];
    }

    /** Call a module function; WHMCS activates a service whose creation succeeds, and sends its welcome email. */
    function call_module(string $function, array $more): mixed
    {
        require_once MODULES . '/servers/sitecrew/sitecrew.php';
        require_once MODULES . '/addons/sitecrew/hooks.php';
        $result = in_array($function, ['MetaData', 'ConfigOptions'], true)
            ? ("sitecrew_{$function}")()
            : ("sitecrew_{$function}")($more + parameters());
        if ($function === 'CreateAccount' && $result === 'success') {
            Capsule::table('tblhosting')->where('id', 1)->update(['domainstatus' => 'Active']);
            $email = ['messagename' => 'Hosting Account Welcome Email', 'relid' => 1];
            $aborted = array_filter(run_hook('EmailPreSend', $email), static fn ($said) => !empty($said['abortsend']));
            note('email', $aborted ? 'aborted' : 'sent');
        }
        return $result;
    }

    function run_hook(string $name, array $vars): array
    {
        global $hooks;
        require_once MODULES . '/addons/sitecrew/hooks.php';
        return array_map(static fn (callable $hook): mixed => $hook($vars), $hooks[$name] ?? []);
    }

    function run_page(array $posted): string
    {
        require_once MODULES . '/addons/sitecrew/sitecrew.php';
        $_POST = $posted;
        $_SERVER['REQUEST_METHOD'] = $posted ? 'POST' : 'GET';
        ob_start();
        sitecrew_output(['modulelink' => 'addonmodules.php?module=sitecrew']);
        return (string) ob_get_clean();
    }

    function run_webhook(array $request): int
    {
        require_once MODULES . '/addons/sitecrew/webhook.php';
        return sitecrew_receive($request['body'], $request['headers'], $request['now']);
    }

    $given = static fn (int $place): array => json_decode($argv[$place] ?? '{}', true, 512, JSON_THROW_ON_ERROR);
    $result = match ($what) {
        'setup' => set_up($given(3)),
        'module' => call_module($argv[3], $given(4)),
        'hook' => run_hook($argv[3], $given(4)),
        'page' => run_page($given(3)),
        'webhook' => run_webhook($given(3)),
    };
    print(json_encode($result, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE));
}
