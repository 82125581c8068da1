"""Why a site could not be installed, and what an operator does about it: the one table."""

from foundation.causes import Causes, Meaning
from foundation.hosting.causes import HOSTING
from schemas.values import CauseKind

CAUSES = Causes(
    HOSTING,
    {
        "account_missing": Meaning(
            CauseKind.CONFLICT,
            "The account's directories are gone from this server. Restore them, or place the order again.",
        ),
        "docroot_not_empty": Meaning(
            CauseKind.CONFLICT,
            "The document root holds files that Sitecrew did not put there. Move them away, then retry; names that are"
            " always there belong into the site type's settings, `keep` or `replace`.",
        ),
        "docroot_linked": Meaning(
            CauseKind.CONFIGURATION,
            "Sites are exchanged as whole directories, which can't be done through a link. Make the name in the detail"
            " a real directory; if it is to be on another disk, mount that at the server's root. Then retry.",
        ),
        "docroot_mounted": Meaning(
            CauseKind.CONFIGURATION,
            "Sites are exchanged as whole directories, and a mount point can't be. Mount the disk at the account's home"
            " or at the server's root instead of at the document root, then retry.",
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
            "This type of site needs a database: give the server one in its settings.",
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
            "Read PHP's complaint in the detail; it comes from the application's own code or from its configuration.",
        ),
        "core_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Install the application whole, with a theme (Debian: wordpress, wordpress-theme-twentytwentythree,"
            " ca-certificates), or correct `installer.wordpress_core`.",
        ),
        "locale_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Put the language's files into WordPress's own (Debian: wordpress-l10n), or correct `locale` in the site"
            " type's settings, then retry; or place the order again with another locale.",
        ),
        "recipe_wrong": Meaning(
            CauseKind.CONFIGURATION,
            "Correct the recipe at the place named in the detail, see that `sitecrew doctor` finds no fault with it,"
            " then retry.",
        ),
        "archive_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Put the application's archive where the recipe says, readable for the installer, then retry.",
        ),
        "archive_changed": Meaning(
            CauseKind.CONFIGURATION,
            "The archive is not the one that the recipe was written for. Put the right one back; or, if you know where"
            " this one comes from, try it and write its checksum into the recipe. Then retry.",
        ),
        "archive_unsafe": Meaning(
            CauseKind.CONFIGURATION,
            "Find out why the archive holds what is named in the detail before you trust it. If it is in order, raise"
            " the limit in the recipe, or pack the archive again without such entries (tar: --dereference).",
        ),
        "archive_broken": Meaning(
            CauseKind.CONFIGURATION,
            "Fetch the archive again from where the application is published, and compare the checksum given there.",
        ),
        "email_unsupported": Meaning(
            CauseKind.PERMANENT,
            "The application can't store the customer's address as it is, and would write to somebody else's mailbox."
            " Ask the customer for an address in plain ASCII that is not longer than usual (WordPress: 100 letters),"
            " and place the order again with it.",
        ),
        "value_unsupported": Meaning(
            CauseKind.PERMANENT,
            "The application can't store the value named in the detail as it was ordered. Place the order again with"
            " another one.",
        ),
        "program_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Install the program named in the detail on this machine, or correct the recipe's step, then retry.",
        ),
        "step_failed": Meaning(
            CauseKind.PERMANENT,
            "Read the program's complaint in the detail; correct what it complains about or the recipe's step,"
            " then retry.",
        ),
        "not_configured": Meaning(
            CauseKind.CONFIGURATION,
            "Correct the setting named in the detail, see that `sitecrew doctor` finds no fault with it, start the"
            " installer again, then retry.",
        ),
        "timeout": Meaning(
            CauseKind.TRANSIENT,
            "See whether the database or the disk is overloaded.",
        ),
        "verify_failed": Meaning(
            CauseKind.TRANSIENT,
            "Ask the address in the detail with that Host header and read the web server's error log."
            " The site that was there before is in place again.",
        ),
    },
)
"""Every cause that a site installer raises, by its code."""

failed = CAUSES.failed
