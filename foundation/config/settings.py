"""Every setting, in one frozen object that is built at start.

Sources in order of precedence: environment variables `SITECREW_...` (`__` nests; `..._FILE` reads the value from a
file), `sitecrew.toml`, the defaults here. docs/settings.md lists every setting; a test keeps the two in agreement.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    Secret,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from foundation.addresses import SCHEME_PORTS, HostPort, host_only
from foundation.broker.address import fault_of
from foundation.broker.tls import Tls
from foundation.clock import utc_now
from foundation.config import sources
from foundation.config.problems import explained
from foundation.config.section import Count, Section
from foundation.config.sources import CONFIG_VARIABLE, PREFIX
from foundation.config.wordpress import WordPressExtras
from foundation.errors import ConfigurationError
from schemas.values import Domain, Email, Line, Locale, Permalinks, SiteType, TimeZone

__all__ = ["CONFIG_VARIABLE", "PREFIX", "Section", "Settings", "chosen", "known", "load", "origins", "variables"]


def _cron(expression: str) -> str:
    try:
        CronSim(expression, utc_now())
    except CronSimError as error:
        raise ValueError(f"is not a valid cron expression ({error}); every five minutes is '*/5 * * * *'") from None
    return expression


def _zone(name: str) -> str:
    try:
        zone_of(name)
    except (LookupError, ValueError, OSError):
        raise ValueError("is not in this machine's IANA time zone database; use a name such as Europe/Berlin") from None
    return name


def zone_of(name: str) -> tzinfo:
    """Look up a time zone by name. UTC needs no time zone database."""
    return UTC if name == "UTC" else ZoneInfo(name)


def _host_port(text: str) -> str:
    return str(HostPort.parse(text))


def _listen(text: str) -> str:
    """`off` and the empty string both disable listening."""
    return "" if text.strip().lower() in {"", "off"} else _host_port(text)


def _plugin_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError("must be a plug-in's name: up to 64 letters, digits, dots, underscores and dashes")
    return name


def _database_url(secret: SecretStr) -> SecretStr:
    if not re.match(r"(sqlite(\+pysqlite)?|postgres(ql)?(\+psycopg)?)://", secret.get_secret_value().strip()):
        raise ValueError("must begin with sqlite:/// or postgresql://; other databases are not supported")
    return secret


def _web_url(url: str) -> str:
    if not re.match(r"https?://[^/\s]+", url):
        raise ValueError("must be a URL that begins with https:// or http://")
    return url


def _secret_web_url(url: SecretStr) -> SecretStr:
    return SecretStr(_web_url(url.get_secret_value())) if url.get_secret_value() else url


Zone = Annotated[str, AfterValidator(_zone)]
Cron = Annotated[str, AfterValidator(_cron)]
Seconds = Annotated[float, Field(ge=0, le=100_000_000)]
"""At most about three years: a larger number could overflow a date, and would fail only when first used."""

Address = Annotated[str, AfterValidator(_host_port)]
"""host:port, with an IPv6 address in brackets."""
Listen = Annotated[str, AfterValidator(_listen), sources.KEEPS_EMPTY]
"""An `Address`, where port 0 means any free port; empty disables listening."""
Host = Annotated[str, AfterValidator(host_only)]
"""A host without a port. Brackets around an IPv6 address are removed."""
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
SecretWebUrl = Annotated[SecretStr, AfterValidator(_secret_web_url)]
"""A `WebUrl` that may contain a password; may be empty."""


def _header(name: str) -> str:
    # Variable names can't contain dashes, and web servers drop headers whose names contain underscores.
    name = name.replace("_", "-")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name) or name.lower() in ("host", "connection", "content-length"):
        raise ValueError("is not a header that can be sent with a request")
    return name


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII")
    return value


Header = Annotated[str, AfterValidator(_header)]
HeaderValue = Annotated[SecretStr, AfterValidator(_header_value)]


class Delay(Section):
    """The delay ladder. Before changing either setting, drain and delete the `delay.*` queues."""

    unit_ms: Count = Field(1000, description="delay of the ladder's lowest level, milliseconds")
    levels: int = Field(20, ge=1, le=28, description="number of levels; the longest delay is unit * 2^levels")


class Keys(Section):
    """The mailer's key pair; `sitecrew keys generate` makes one."""

    public: str = Field("", description="seals passwords; order intake and installer need it")
    private: SecretStr = Field(SecretStr(""), description="opens them; only the mailer needs it")
    previous: tuple[SecretStr, ...] = Field(
        (), description="private keys of earlier pairs, newest first; they open what was sealed to those"
    )

    @field_validator("previous", mode="before")
    @classmethod
    def _one_a_line(cls, given: Any) -> Any:
        """Accept a list, or text with one key per line, as a file holds them."""
        parts = given if isinstance(given, list | tuple) else [given]
        return [key for part in parts for key in (part.split() if isinstance(part, str) else [part])]


class OrderIntake(Section):
    store_url: DatabaseUrl = Field(
        SecretStr("sqlite:///var/order_intake.db"), description="database of orders and accounts"
    )
    listen: Listen = Field("127.0.0.1:9411", description="address for health checks and metrics; off: none")
    capacity: Count = Field(200, description="orders in progress at a time")
    threads: Count = Field(8, description="accounts created at a time")
    timeout_seconds: float = Field(
        300,
        ge=1,
        le=100_000,
        description="creating an account that takes longer counts as hung and is left to another attempt",
    )


Limit = Annotated[int, Field(ge=0, le=1_000_000)]


class Programs(Section):
    """Resource limits of a program that runs for an install: PHP or a recipe's step; with `linux_users`, as the
    customer."""

    address_space_mib: Limit = Field(
        4096,
        description="address space of one process that runs for an install (PHP, or a recipe's step), MiB; 0: no limit",
    )
    file_size_mib: Limit = Field(4096, description="size of one file that it writes, MiB; 0: no limit")
    processes: Limit = Field(
        512, description="with linux_users: processes of the customer's user at a time; 0: no limit"
    )
    cpu_seconds: Limit = Field(
        0, description="processor time of one process; 0: as long as the install or the step may take"
    )
    output_kib: int = Field(
        256,
        ge=1,
        le=1_000_000,
        description="how much it may print to each of stdout and stderr, KiB; then it is stopped (step_failed)",
    )


class Domains(Section):
    """Which domains can be ordered."""

    reserved: list[str] = Field(
        default_factory=list, description="names that nobody can order, nor any name under them; a list"
    )
    allow_nested: bool = Field(
        False, description="accept names under or above another customer's domain, and under the host's own"
    )


class Limits(Section):
    """Rate limits per producer and per customer."""

    orders_per_minute: Limit = Field(
        0,
        description="per user, and for all who set no user_id together; further orders wait their turn. 0: no limit",
    )
    reinstalls_per_hour: Limit = Field(10, description="per order, by its producer; more are rejected. 0: no limit")
    letters_per_hour: Limit = Field(60, description="welcome emails to one address; further ones wait. 0: no limit")


class Installer(Section):
    store_url: DatabaseUrl = Field(SecretStr("sqlite:///var/installer.db"), description="database of installs")
    listen: Listen = Field("127.0.0.1:9412", description="address for health checks and metrics; off: none")
    concurrency: Count = Field(4, description="installs at a time in one replica")
    batch_size: Limit = Field(0, description="installs that one batch takes at most, in each replica. 0: no limit")
    max_attempts: Count = Field(6, description="attempts before an install fails for good")
    retry_first_seconds: Seconds = Field(60, description="pause after the first failed attempt; doubles each time")
    retry_longest_seconds: Seconds = Field(3600, description="longest pause between attempts")
    timeout_seconds: Seconds = Field(300, description="an install that takes longer gives up and is retried")
    waiting_hours: Seconds = Field(
        72,
        description="hours that an install waits for what is missing (its server, DNS, a certificate) until it fails",
    )
    lease_seconds: float = Field(
        15, ge=1, le=3600, description="a worker that has been silent for this long loses its install"
    )
    php: str = Field("php", description="PHP's command-line interpreter")
    wordpress_core: Path = Field(Path("/usr/share/wordpress"), description="directory with WordPress's own files")
    archives: Path = Field(
        Path("var/archives"), description="directory in which applications' archives are unpacked, once each"
    )
    images: Path = Field(
        Path("var/images"), description="directory of WordPress's images, from which sites are copied; some 100 MB each"
    )
    programs: Programs = Programs()
    wordpress_images: bool = Field(
        True, description="copy sites from an image that is made once; off: install each of them step by step"
    )
    wordpress_isolated: bool = Field(False, description="sites make no outgoing requests and run no cron of their own")


class Timer(Section):
    every: Cron = Field(
        "*/5 * * * *", description="cron expression of the ticks; with six fields, the first is seconds"
    )
    timezone: Zone = Field("UTC", description="time zone of the expression, such as Europe/Berlin")
    jitter_seconds: Seconds = Field(5, description="replicas start up to this long after the tick")
    budget_seconds: Seconds = Field(240, description="a batch starts no new install after this time")

    def first_tick(self, moment: datetime) -> datetime:
        """Return the first tick at or after a moment (timezone-aware)."""
        return next(self.ticks(moment - timedelta(microseconds=1)))

    def ticks(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a moment (timezone-aware), in UTC.

        Daylight saving follows Debian's cron: a tick that falls into the skipped hour comes right after it; a tick in
        the repeated hour comes once, unless the expression matches every hour.
        """
        for tick in CronSim(self.every, after.astimezone(zone_of(self.timezone))):
            # In a repeated hour, CronSim may start over at its first occurrence.
            if (moment := tick.astimezone(UTC)) > after:
                yield moment


class Smtp(Section):
    host: Host = Field("localhost", description="the SMTP server")
    port: int = Field(25, ge=1, le=65535, description="its port")
    security: Literal["auto", "none", "starttls", "tls"] = Field(
        "auto",
        description="encryption; auto: tls on port 465, otherwise starttls where offered, and always if there is a"
        " username",
    )
    ca_file: Path | None = Field(None, description="CAs (PEM) that vouch for it, if not the system's")
    username: str | None = Field(None, description="username, if it requires a login; UTF-8")
    password: SecretStr | None = Field(None, description="its password; UTF-8")
    helo: str | None = Field(
        None,
        description="name to greet it with; empty: this machine's fully qualified name, or else the sender's domain",
    )
    timeout_seconds: Seconds = Field(30, gt=0, description="how long to wait for each answer")
    deadline_seconds: Seconds = Field(240, gt=0, description="how long sending one email may take in all")
    letters_per_connection: Count = Field(50, description="emails per connection; 1: one connection each")


class Mailer(Section):
    store_url: DatabaseUrl = Field(SecretStr("sqlite:///var/mailer.db"), description="database of mails")
    listen: Listen = Field("127.0.0.1:9413", description="address for health checks and metrics; off: none")
    smtp: Smtp = Smtp()
    sender: str = Field("Your hosting team <welcome@localhost>", description="From line of the emails")
    brand: str = Field("Your hosting team", description="name of the hosting company in the emails")
    support: str | None = Field(None, description="address or URL that the email gives for help")
    templates: Path | None = Field(None, description="directory with templates that replace ours")
    locale: Locale = Field("en", description="language of emails to customers whose orders name none")
    nameservers: tuple[Domain, ...] = Field(
        (), description="your nameservers, which the email offers customers for their domains"
    )
    dns_records: bool = Field(
        True, description="the email lists the DNS records that point to the site; false: you set them yourself"
    )
    capacity: Count = Field(50, description="emails in progress at a time")
    threads: Count = Field(4, description="emails sent at a time")
    max_attempts: Count = Field(8, description="attempts before a mail fails for good")
    retry_first_seconds: Seconds = Field(30, description="pause after the first failed attempt; doubles each time")
    retry_longest_seconds: Seconds = Field(3600, description="longest pause between attempts")


class Api(Section):
    """The HTTP API and the staff's console."""

    store_url: DatabaseUrl = Field(
        SecretStr("sqlite:///var/api.db"), description="database of what the events have told, of staff and tokens"
    )
    listen: Listen = Field("127.0.0.1:9414", description="address for health checks and metrics; off: none")
    address: Address = Field("127.0.0.1:8080", description="address of the HTTP API and the console")
    public_url: WebUrl | None = Field(
        None, description="URL under which people and programs reach them, if there is a proxy in front"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses of proxies whose X-Forwarded-For and -Proto are believed"
    )
    tls_certificate: Path | None = Field(None, description="certificate chain for https without a proxy, PEM")
    tls_key: Path | None = Field(None, description="its private key, PEM; empty: it is in the certificate's file")
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="encrypts the secrets of webhooks and makes the links of status pages: any long random text",
    )
    requests_per_minute: Limit = Field(
        600, description="per API token and replica; further ones are refused (429). 0: none"
    )
    session_hours: Seconds = Field(12, gt=0, description="sign-ins to the console end after so many hours")
    activity_days: Seconds = Field(400, gt=0, description="the activity log is kept for so many days")
    status_page_days: Seconds = Field(
        30, gt=0, description="a customer's status page ends so many days after the email was sent"
    )
    webhooks_to_private: bool = Field(
        False, description="webhooks may go to loopback, link-local and private addresses"
    )


class Alerts(Section):
    """How staff are told of what needs them. The api looks, the mailer sends."""

    to: tuple[Email, ...] = Field((), description="email addresses of staff; empty: no alerts by email")
    every_minutes: Count = Field(15, description="at most one such email each so many minutes")


Options = dict[str, Secret[Any]]
"""Settings of a plug-in, validated by the plug-in's own model. Only the plug-in knows which of them are secret, so all
are treated as secrets."""

PluginName = Annotated[str, AfterValidator(_plugin_name)]


Name = Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$")]
"""A file name pattern: `*`, `?` and `[...]` are wildcards."""


class Site(Section):
    """One type of site."""

    sold: bool = Field(True, description="accept orders for it")
    installer: PluginName | None = Field(
        None,
        description="wordpress, static, archive, or a plug-in's; empty: the one named like the type",
    )
    recipe: Path | None = Field(None, description="for installer archive: the application's recipe, a TOML file")
    options: Options = Field(default_factory=dict, description="a plug-in's own settings for this type of site")

    locale: Locale | None = Field(
        None,
        description="language of sites whose orders name none, such as de_DE; empty: English. WordPress's own files"
        " must include it (Debian: wordpress-l10n); the email follows it, too",
    )
    timezone: TimeZone | None = Field(
        None, description="time zone of sites whose orders name none, such as Europe/Berlin; empty: UTC"
    )
    permalinks: Permalinks | None = Field(
        None,
        description="permalink structure, if the order names none, such as /%postname%/; empty: ?p=1. Requires a web"
        " server that passes non-existent files to WordPress: Apache by the .htaccess that is written, nginx"
        " by try_files $uri $uri/ /index.php?$args",
    )
    wordpress: WordPressExtras = WordPressExtras()
    keep: list[Name] = Field(
        [".well-known", "cgi-bin", ".htaccess", ".htpasswd", ".user.ini", ".ftpquota"],
        description="names at the top of a document root that do not belong to the site: they do not make it count as"
        " occupied, and they stay there, also at re-installs; * matches any characters",
    )
    replace: list[Name] = Field(
        [], description="names there that a first install may replace, such as a panel's placeholder index.html"
    )
    require: list[Literal["dns", "tls"]] = Field(
        [],
        description="what must be there before a site is installed: dns: its domain leads to the server; tls: the web"
        " server has a certificate for it. Until then the install waits",
    )
    stage: bool = Field(True, description="true: installed by the timer's batch; false: at once")
    settle_seconds: Seconds = Field(0, description="an install is not due until its account is this old")
    welcome_email: bool = Field(True, description="send the welcome email")
    display_control_panel_login: bool = Field(True, description="the email also shows the hosting account's login")
    address: Literal["domain", "temporary"] = Field(
        "domain", description="the site answers under its domain, or under the server's temporary URL"
    )
    www: bool = Field(
        True, description="the site also answers under www. plus the domain, unless somebody else has that name"
    )
    blog_name: Line = Field("My new site", description="title of a site whose order names none")


class Databases(Section):
    """The MariaDB server that a hosting server's sites use."""

    socket: Path | None = Field(None, description="Unix socket of its database server; takes precedence over host")
    host: Host = Field("127.0.0.1", description="host of its database server")
    port: int = Field(3306, ge=1, le=65535, description="port of its database server")
    username: str = Field("root", description="a user there that may create databases and users")
    password: SecretStr = Field(SecretStr(""), description="that user's password")
    user_host: str = Field(
        "",
        pattern=r"^[A-Za-z0-9.:%_/-]*$",
        description="host part of the sites' users, as in 'shop'@'10.0.0.%'; empty: this machine, as the server sees"
        " it, if the server is on this machine, otherwise any host",
    )
    tls: Literal["auto", "require", "verify"] = Field(
        "auto",
        description="auto: sites connect encrypted if the server requires it; require: always; verify: always, and the"
        " server's certificate is checked",
    )
    ca_file: Path | None = Field(
        None, description="for verify: certificate of the CA to trust, PEM; empty: the system's CAs"
    )


class HostingServer(Section):
    """One hosting server."""

    driver: PluginName = Field("local", description="how Sitecrew talks to it: local, or a plug-in's")
    options: Options = Field(default_factory=dict, description="a plug-in's own settings for this server")
    root: Path = Field(Path("/srv/hosting"), description="driver local: directory of the accounts")
    address: Host = Field("127.0.0.1", description="external IP address, for DNS and temporary URLs")
    web_address: Address = Field(
        "127.0.0.1:80", description="host:port at which sites are verified; the default port is 443 for https"
    )
    scheme: Literal["http", "https"] = Field("http", description="of the sites' URLs: http or https")
    public_port: int | None = Field(
        None, ge=1, le=65535, description="port in the sites' URLs; empty: 80 for http, 443 for https"
    )
    breaker_failures: Limit = Field(
        5, description="after so many failures of its own in a row it is left alone for a while. 0: never"
    )
    web_scheme: Literal["http", "https"] | None = Field(
        None,
        description="how web_address is requested; empty: like the sites. http if a proxy terminates TLS in front"
        " of it",
    )
    web_check_certificates: bool = Field(True, description="over https, the site's certificate must be valid")
    web_ca_file: Path | None = Field(None, description="certificate of the CA to trust, PEM; empty: the system's CAs")
    web_headers: dict[Header, HeaderValue] = Field(
        default_factory=dict,
        description="sent with each verification request, such as Authorization, User-Agent or a filter's token",
    )
    control_panel_url: WebUrl | None = Field(None, description="where customers log in to their account")
    concurrency: Count | None = Field(
        None,
        description="installs at a time on it, and accounts created at a time, over all replicas; further ones wait"
        " their turn. empty: no limit",
    )
    linux_users: bool = Field(False, description="driver local: create a Linux user for each account (needs root)")
    databases: Databases | None = Field(None, description="none: only sites without a database")

    @model_validator(mode="before")
    @classmethod
    def _port_of_the_scheme(cls, given: Any) -> Any:
        if isinstance(given, dict) and "https" in (given.get("web_scheme"), given.get("scheme")):
            scheme = given.get("web_scheme") or given.get("scheme")
            return {"web_address": f"127.0.0.1:{SCHEME_PORTS[scheme]}"} | given if scheme in SCHEME_PORTS else given
        return given

    @model_validator(mode="after")
    def _settings_of_the_driver(self) -> "HostingServer":
        if self.driver == "local" and self.options:
            raise ValueError("options belong to a plug-in; driver local has none")
        if self.driver != "local" and (wrong := self.model_fields_set & {"root", "linux_users"}):
            raise ValueError(
                f"{' and '.join(sorted(wrong))}: only for driver local; set a plug-in's settings under options"
            )
        return self


class AmqpTls(Section):
    """For amqps://. The broker's certificate and name are always verified."""

    ca_file: Path | None = Field(None, description="certificate of the CA to trust, PEM; empty: the system's CAs")
    certificate: Path | None = Field(None, description="our own certificate, if the broker requires one, PEM")
    key: Path | None = Field(None, description="its private key, PEM; empty: it is in the certificate's file")
    server_name: str = Field("", description="name in the broker's certificate; empty: the host in amqp_url")

    def files(self) -> Tls:
        """Return the settings as the broker client takes them."""
        return Tls(self.ca_file, self.certificate, self.key, self.server_name)


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe level to log")


class Tracing(Section):
    endpoint: SecretWebUrl = Field(
        SecretStr(""),
        description="OTLP endpoint (HTTP) that spans are sent to, such as http://127.0.0.1:4318; empty: no spans",
    )


class Settings(Section):
    """All settings of all services."""

    amqp_url: SecretStr = Field(
        SecretStr("amqp://guest:guest@localhost:5672/"),
        description="RabbitMQ, amqp:// or amqps://; several nodes of a cluster separated by commas",
    )
    amqp_timeout_seconds: float = Field(
        15, gt=0, le=3600, description="skip a node that has not answered for this long"
    )
    amqp_probe_timeout_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="leave a node for another when it has not reached a majority of its cluster for this long",
    )
    amqp_tls: AmqpTls = AmqpTls()
    amqp_vouching_users: tuple[str, ...] = Field(
        ("sitecrew-api", "sitecrew-staff"),
        description="users of the broker, besides a service's own, who may say who asked for an order (authid)",
    )
    amqp_management_url: SecretWebUrl = Field(
        SecretStr(""),
        description="RabbitMQ's management API, such as http://host:15672, from which doctor reads policies and"
        " replicas",
    )
    delay: Delay = Delay()
    keys: Keys = Keys()
    order_intake: OrderIntake = OrderIntake()
    installer: Installer = Installer()
    timer: Timer = Timer()
    mailer: Mailer = Mailer()
    api: Api = Api()
    alerts: Alerts = Alerts()
    domains: Domains = Domains()
    limits: Limits = Limits()
    sites: dict[SiteType, Site] = Field(default_factory=dict, validate_default=True)
    servers: dict[str, HostingServer] = Field(default_factory=dict, validate_default=True)
    default_server: str = Field(
        "local",
        validate_default=True,
        description="server of orders that name none; if only one is configured, that one",
    )
    log: Log = Log()
    tracing: Tracing = Tracing()

    def vouching(self, own: str) -> frozenset[str]:
        """Return the broker's users who may say who asked for something; `own` is the service's."""
        return frozenset(filter(None, (*self.amqp_vouching_users, own)))

    @field_validator("amqp_url")
    @classmethod
    def _addresses(cls, url: SecretStr) -> SecretStr:
        if fault := fault_of(url.get_secret_value()):
            raise ValueError(fault)
        return url

    @field_validator("sites")
    @classmethod
    def _known_site_types(cls, sites: dict[str, Site]) -> dict[str, Site]:
        return {"wordpress": Site(), "static": Site()} | sites

    @field_validator("servers")
    @classmethod
    def _at_least_one_server(cls, servers: dict[str, HostingServer]) -> dict[str, HostingServer]:
        return servers or {"local": HostingServer()}

    @model_validator(mode="before")
    @classmethod
    def _the_only_server(cls, given: Any) -> Any:
        servers = given.get("servers") if isinstance(given, Mapping) else None
        if isinstance(servers, Mapping) and len(servers) == 1:
            return {"default_server": next(iter(servers)), **given}
        return given

    @field_validator("default_server")
    @classmethod
    def _default_server_is_there(cls, name: str, known: ValidationInfo) -> str:
        servers = known.data.get("servers", {name})
        if name not in servers:
            raise ValueError(f"must be one of the configured servers: {', '.join(sorted(servers))}")
        return name


def load(
    path: Path | None = None, *, environment: bool = True, flags: Mapping[str, tuple[str, Any]] | None = None
) -> Settings:
    """Read and validate the settings.

    `flags` maps dotted names to (name of the command-line flag, value); flags take precedence over all other sources.
    Raises ConfigurationError, with one line per wrong setting: where it is set, what is wrong, what to do.
    """
    given = [sources.Variable(name, setting, value) for setting, (name, value) in (flags or {}).items()]
    return _validated(sources.read(path, known(), environment, given))


def chosen(allowed: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the environment's settings that match the patterns, as dotted name -> value, and the names of all other
    variables with our prefix. Raises ConfigurationError for wrong values."""
    found, others = sources.read_only(allowed, known())
    _validated(found)
    return {variable.setting: variable.value for variable in found.variables}, others


def origins(path: Path | None = None, *, environment: bool = True) -> dict[str, str]:
    """Return where each setting comes from, as dotted name -> name of a variable or path of the file. Settings that
    are not in it have their default."""
    found = sources.read(path, known(), environment)
    given = dict.fromkeys(sources.leaves(found.document), str(found.place))
    return given | {variable.setting: variable.name for variable in found.variables}


def _validated(found: sources.Sources) -> Settings:
    try:
        settings = Settings.model_validate(found.merged())
    except ValidationError as error:
        raise ConfigurationError(explained(found, known(), error)) from None
    if found.unknown or found.problems:
        raise ConfigurationError(explained(found, known(), None))
    return settings


def variables() -> dict[str, str]:
    """Return the environment variables that are settings, with their raw values."""
    return sources.own_variables()


def known() -> dict[str, FieldInfo]:
    """Return every setting by its dotted name; `*` stands for the name of a site type or server."""
    return dict(_walk(Settings, ""))


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        inner: Any = info.annotation
        path = f"{prefix}{name}"
        if get_origin(inner) is dict:
            inner, path = get_args(inner)[1], f"{path}.*"
        inner = next((kind for kind in (*get_args(inner), inner) if _is_section(kind)), inner)
        if _is_section(inner):
            yield from _walk(inner, f"{path}.")
        else:
            yield path, info


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
