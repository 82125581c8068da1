"""What customers choose is data to a recipe's programs: no option, no code, and never stored in another form."""

import os
import pwd
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from services.installer.sites.archive.judging import judge_file
from services.installer.sites.archive.variables import INVENTED, Words
from services.installer.sites.programs.php import Php
from tests.services.installer.sites.test_archive import FILL, App, app, step  # noqa: F401
from tests.support.installing import assert_untouched, databases_of, new_job, quietly

pytest_plugins = ("tests.support.web_host",)

# ruff: noqa: F811


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (["echo", "{{ title }}"], "argument 1 is '-It"),
        (["echo", "x", "{{ email }}"], r"argument 2 is \"-o'neil"),
        (["sh", "-c", "echo {{ title }}"], "argument 2 is code with a customer's title in it"),
        (["/bin/bash", "-ec", "mail {{ email | sh }}"], "argument 2 is code with a customer's email"),
        (["php", "-r", "echo '{{ login.username }}';"], "argument 2 is code with a customer's login"),
        (["python3", "-c", "print('''{{ title }}''')"], "argument 2 is code"),
    ],
)
def test_a_recipe_that_runs_what_customers_choose_is_found_by_the_doctor_and_never_installed(
    web_host: LocalServer, app: App, run: list[str], said: str
) -> None:
    installer = app.installer(step("", run=run))
    for act in (lambda: installer.check(web_host), lambda: installer.install(new_job(web_host), web_host, quietly)):
        with pytest.raises(Failed, match="recipe_wrong") as failure:
            act()
        assert said.replace("\\", "") in str(failure.value).replace("\\", "")


def test_a_script_on_stdin_with_customers_words_in_it_is_code_too(web_host: LocalServer, app: App) -> None:
    with pytest.raises(Failed, match="stdin is code with a customer's title"):
        app.installer(step("", run=["sh", "-e"], stdin="echo {{ title }}")).check(web_host)


@pytest.mark.parametrize(
    "run",
    [
        ["printf", "%s", "--", "{{ title }}"],
        ["echo", "--title={{ title }}", "{{ url }}"],
        ["sh", "-c", 'printf %s "$1" > said', "sh", "x{{ title }}"],
        ["sh", "-c", "echo {{ account }} {{ domain }}"],
    ],
)
def test_values_that_can_only_be_data_are_handed_over(web_host: LocalServer, app: App, run: list[str]) -> None:
    installer = app.installer(step("", run=run))
    installer.check(web_host)
    installer.install(new_job(web_host, title="-rf $(touch /tmp/no) `x` ; 'y'"), web_host, quietly)


def test_a_value_that_the_application_stored_in_another_form_ends_the_install(web_host: LocalServer, app: App) -> None:
    stores = step(
        "", run=["sh", "-c", "cat"], stdin='{"ok": true, "stored": {"email": "jrgen@example.org"}}', answers=True
    )
    job = replace(new_job(web_host), admin_email="jürgen@example.org")
    with pytest.raises(Failed, match="email_unsupported: step 'shell' cannot store the ordered email unchanged"):
        app.installer(stores).install(job, web_host, quietly)
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ('{"ok": false, "field": "email"}', "email_unsupported"),
        ('{"ok": false, "field": "title"}', "value_unsupported: .* ordered title"),
        ('{"ok": true, "stored": {"title": "B"}}', "value_unsupported: .* ordered title"),
        ('{"ok": true, "stored": {"username": "root"}}', "value_unsupported: .* ordered username"),
        ('{"ok": true, "stored": {"nonsense": 1}}', "value_unsupported: .* ordered nonsense"),
    ],
)
def test_what_a_step_says_of_the_order_is_believed(web_host: LocalServer, app: App, answer: str, code: str) -> None:
    with pytest.raises(Failed, match=code):
        app.installer(step("", run=["cat"], stdin=answer, answers=True)).install(new_job(web_host), web_host, quietly)


def test_what_is_stored_as_ordered_goes_on(web_host: LocalServer, app: App) -> None:
    stored = '{{ {"ok": true, "stored": {"email": email, "title": title, "username": login.username}} | tojson }}'
    app.installer(step("", run=["cat"], stdin=stored, answers=True)).install(new_job(web_host), web_host, quietly)


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("config.php", "<?php return '{{ title }}';", "<?php return {{ title | php }};"),
        ("config.php", '<?php return "{{ title }}";', "<?php return {{ email | php }};"),
        ("conf/site.json", '{"title": "{{ title }}"}', '{"title": {{ title | tojson }}}'),
        ("setup.sh", "title='{{ title }}'", "title={{ title | sh }}"),
    ],
)
def test_a_template_that_a_quote_breaks_is_found_by_the_doctor(name: str, bad: str, good: str) -> None:
    words = Words(Path("app.toml"), INVENTED, {})
    judge_file(name, "here", words, words.render("here", good), Php())
    with pytest.raises(Failed, match=r"recipe_wrong: .*here: with the title .*; write {{ title | "):
        judge_file(name, "here", words, words.render("here", bad), Php())


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("useradd") is None, reason="takes root and useradd")
@pytest.mark.parametrize(
    "line", ['php = ["{{ recipe }}/tell.php"]', 'run = ["{{ recipe }}/tell.sh"]'], ids=["a script of PHP", "a program"]
)
def test_a_recipes_script_runs_as_the_customer_though_he_may_not_walk_to_it(
    web_host: LocalServer, database_server: MariaDatabases, tmp_path: Path, line: str
) -> None:
    assert database_server.socket is not None
    for folder in (web_host.root, database_server.socket.parent):
        folder.chmod(0o711)
    tmp_path.chmod(0o700)
    (tmp_path / "tell.php").write_text("<?php file_put_contents('told', posix_getuid());")
    (tmp_path / "tell.sh").write_text("#!/bin/sh\nid -u > told\n")
    (tmp_path / "tell.sh").chmod(0o700)
    server = replace(web_host, linux_users=True)
    job = new_job(server)
    steps = f'[[steps]]\nname = "tell"\n{line}\n{FILL}'
    try:
        App(tmp_path).installer(steps).install(job, server, quietly)
        www = server.home(job.username) / "www"
        assert int((www / "told").read_text()) == pwd.getpwnam(job.username).pw_uid
        assert list(www.glob(".sitecrew-*")) == []
    finally:
        subprocess.run(["userdel", job.username], check=False, capture_output=True)
