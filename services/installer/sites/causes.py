"""Causes of failed installs, and what an operator does about them."""

from foundation.causes import Causes, Meaning
from foundation.hosting.causes import HOSTING_CAUSES
from schemas.values import CauseKind

SITE_CAUSES = Causes(
    HOSTING_CAUSES,
    {
        "account_missing": Meaning(
            CauseKind.CONFLICT,
            "The account's directories are gone from this server. Restore them, or place the order again.",
        ),
        "docroot_not_empty": Meaning(
            CauseKind.CONFLICT,
            "The document root contains files that Sitecrew did not put there. Move them away, then retry; list names"
            " that are always there in the site type's settings, `keep` or `replace`.",
        ),
        "docroot_linked": Meaning(
            CauseKind.CONFIGURATION,
            "Sites are exchanged as whole directories, which does not work through a link. Replace the link in the"
            " detail with a real directory; to use another disk, mount it at the server's root. Then retry.",
        ),
        "docroot_mounted": Meaning(
            CauseKind.CONFIGURATION,
            "Sites are exchanged as whole directories, which does not work for a mount point. Mount the disk at the"
            " account's home or at the server's root instead of the document root, then retry.",
        ),
        "superseded": Meaning(
            CauseKind.CONFLICT,
            "Nothing to do: a later run for this account has taken over, and this one has cleaned up after itself.",
        ),
        "exchange_unsupported": Meaning(
            CauseKind.CONFIGURATION,
            "Keep the server's root on a file system that can exchange two directories in one step"
            " (ext4, XFS, Btrfs, tmpfs; not NFS).",
        ),
        "db_unset": Meaning(
            CauseKind.CONFIGURATION,
            "This site type needs a database: configure one in the server's settings.",
        ),
        "php_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Install PHP's command line (Debian: php-cli) on this machine, or correct `installer.php`.",
        ),
        "php_ext": Meaning(
            CauseKind.CONFIGURATION,
            "Install the PHP extensions named in the detail (Debian: php-mysql for mysqli).",
        ),
        "php_fatal": Meaning(
            CauseKind.PERMANENT,
            "Read PHP's error in the detail; it comes from the application's own code or from its configuration.",
        ),
        "core_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Install the complete application, with a theme (Debian: wordpress, wordpress-theme-twentytwentythree,"
            " ca-certificates), or correct `installer.wordpress_core`.",
        ),
        "locale_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Add the language's files to WordPress (Debian: wordpress-l10n), or correct `locale` in the site"
            " type's settings, then retry; or place the order again with another locale.",
        ),
        "recipe_wrong": Meaning(
            CauseKind.CONFIGURATION,
            "Correct the recipe at the place named in the detail, check it with `sitecrew doctor`, then retry.",
        ),
        "archive_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Put the archive where the recipe or the site type's settings say, readable by the installer, then retry.",
        ),
        "archive_changed": Meaning(
            CauseKind.CONFIGURATION,
            "The archive is not the one that the recipe or the site type's settings were written for. Restore the right"
            " one; or, if you trust this one, test it and put its checksum there. Then retry.",
        ),
        "archive_unsafe": Meaning(
            CauseKind.CONFIGURATION,
            "Find out why the archive contains what is named in the detail before you trust it. If it is harmless,"
            " raise the limit in the recipe or the site type's settings, or repack the archive without such entries"
            " (tar: --dereference).",
        ),
        "archive_broken": Meaning(
            CauseKind.CONFIGURATION,
            "Download the archive again from the application's publisher, and compare the checksum given there.",
        ),
        "extra_unfit": Meaning(
            CauseKind.CONFIGURATION,
            "Use a release of the plugin or theme that fits this WordPress and PHP, as its publisher packs it, or"
            " update those; put its archive and checksum into the site type's settings, then retry.",
        ),
        "extra_failed": Meaning(
            CauseKind.CONFIGURATION,
            "Read the plugin's or theme's error in the detail. Use another release of it, or set `active = false` for"
            " it in the site type's settings, then retry.",
        ),
        "theme_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Add the theme in the detail to `wordpress.themes` in the site type's settings, with its archive, or to"
            " WordPress's own files; or correct `wordpress.theme`. Then retry.",
        ),
        "option_wrong": Meaning(
            CauseKind.CONFIGURATION,
            "Correct the option named in the detail in the site type's settings, `wordpress.options`, check it with"
            " `sitecrew doctor`, then retry.",
        ),
        "email_unsupported": Meaning(
            CauseKind.PERMANENT,
            "The application cannot store the customer's address unchanged, and would write to someone else's mailbox."
            " Ask the customer for a plain ASCII address of ordinary length (WordPress: up to 100 characters), and"
            " place the order again with it.",
        ),
        "value_unsupported": Meaning(
            CauseKind.PERMANENT,
            "The application cannot store the value named in the detail unchanged. Place the order again with another"
            " one.",
        ),
        "program_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Install the program named in the detail on this machine, or correct the recipe's step, then retry.",
        ),
        "step_failed": Meaning(
            CauseKind.PERMANENT,
            "Read the program's error in the detail; fix its cause or the recipe's step, then retry.",
        ),
        "not_configured": Meaning(
            CauseKind.CONFIGURATION,
            "Correct the setting named in the detail, check it with `sitecrew doctor`, restart the installer, then"
            " retry.",
        ),
        "timeout": Meaning(
            CauseKind.TRANSIENT,
            "Check whether the database or the disk is overloaded.",
        ),
        "web_down": Meaning(
            CauseKind.TRANSIENT,
            "Start the web server that the detail names, and make sure that this machine can reach it, or correct"
            " `servers.<name>.web_address`. The previous site is in place again.",
            blames_server=True,
        ),
        "web_silent": Meaning(
            CauseKind.TRANSIENT,
            "Look at the load of the web server that the detail names, and at the database that its sites use: it took"
            " the connection, and did not answer in time. The previous site is in place again.",
            blames_server=True,
        ),
        "verify_failed": Meaning(
            CauseKind.TRANSIENT,
            "Request the URL in the detail with that Host header, and read the web server's error log."
            " The previous site is in place again.",
        ),
    },
)
"""Every cause that a site installer raises, by its code."""

failed = SITE_CAUSES.failed
