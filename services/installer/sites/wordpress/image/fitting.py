"""Which orders an image serves: those whose values WordPress stores unchanged, or changed in a way that is known."""

import re
from urllib.parse import urlsplit

from services.installer.sites import Job
from services.installer.sites.wordpress.image.templates import Unfit

_EMAIL = re.compile(r"[A-Za-z0-9._+-]+@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])?")
_USERNAME = re.compile(r"[a-z0-9]+")
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~-]+)*/")
_ENTITY = re.compile(r"&[#\w]+;")


def require_fitting(job: Job) -> None:
    """Raise `Unfit` for a job whose values only WordPress itself can judge, or that was tried before: what
    failed may be the image."""
    for fits, what in (
        (_EMAIL.fullmatch(job.admin_email), "the email address has letters that WordPress might drop"),
        (_USERNAME.fullmatch(job.username), "the username is not of letters and digits alone"),
        (_URL.fullmatch(job.url), "the URL is not plain"),
        (not _ENTITY.search(job.title), "the title looks escaped already"),
        (
            job.title.isprintable() and job.title == job.title.strip(),
            "the title has spaces around it, or letters that cannot be seen",
        ),
        (job.fence == 1, "the install is tried again"),
        (any(map(str.isalnum, job.title)), "the title has neither letters nor digits"),
    ):
        if not fits:
            raise Unfit(what)


def stored_title(title: str) -> str:
    """A title without entities, as WordPress stores it (`esc_html`)."""
    for letter, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#039;")):
        title = title.replace(letter, escaped)
    return title


def path_of(url: str) -> str:
    """The path of a site's URL, `/` for a site that has its domain to itself."""
    return urlsplit(url).path
