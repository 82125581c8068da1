"""Recipes: what is said of wrong ones, what templates may name, and where a secret may never stand."""

import os
import string
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import Failed
from foundation.hosting import Database
from services.installer.sites.archive.reading import keys, read_recipe
from services.installer.sites.archive.recipe import Recipe
from services.installer.sites.archive.steps import rehearse
from services.installer.sites.archive.variables import INVENTED, INVENTED_DATABASE, Words, words_of
from services.installer.sites.programs.php import Php

DOCUMENTS = Path(__file__).parents[4] / "docs"
CANARY = "canary-8d2f"
_RECIPE = """
application = "App"
version = "1.2"
archive = { path = "app.tar.gz", sha256 = "%s" }
""" % ("0" * 64)
STEP = "[[steps]]\nname = 'x'\n"
LOGIN = "[login]\npath = 'x'\n"
_VERIFY = '\n[[verify]]\npath = ""\nshows = ["App"]\n'


def recipe(directory: Path, text: str = "") -> Recipe:
    path = directory / "app.toml"
    path.write_text(f"{_RECIPE}{text}{_VERIFY}")
    return read_recipe(path)


def refusal(directory: Path, text: str) -> str:
    with pytest.raises(Failed) as error:
        recipe(directory, text)
    assert error.value.cause.code == "recipe_wrong"
    assert str(directory / "app.toml") in str(error.value)
    return str(error.value)


def test_the_smallest_recipe_names_files_and_one_page(tmp_path: Path) -> None:
    read = recipe(tmp_path)
    assert (read.application, read.version, read.database, read.login, read.steps) == ("App", "1.2", False, None, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data_base = true", "unknown key data_base; did you mean database?"),
        ("[login]\npaht = 'x'", "unknown key login.paht; did you mean path?"),
        (
            LOGIN + "password.lenght = 9",
            "unknown key login.password.lenght; did you mean length?",
        ),
        ("[secrets.key]\nrandm = 9", "unknown key secrets.key.randm; did you mean random?"),
        (
            STEP + "write = 'y'\ntext = ''\nmod = '0640'",
            "unknown key steps.0.mod; did you mean mode?",
        ),
        (
            STEP + "run = ['y']\nsecnds = 9",
            "unknown key steps.0.secnds; did you mean seconds?",
        ),
        ("qqqq = 1", "unknown key qqqq"),
    ],
)
def test_an_unknown_key_names_the_nearest_that_is_known(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STEP, "steps.0: needs exactly one of write, run, php, remove"),
        (STEP + "run = ['a']\nremove = ['b']", "steps.0: needs exactly one of write, run, php, remove"),
        (STEP + "run = []", "steps.0.run: must not be empty"),
        (STEP + "php = ['a']", "a step runs PHP: say so with a section [php]"),
        ("[[steps]]\nwrite = 'a'\ntext = ''", "steps.0.name: must be given"),
        (STEP + "write = 'a'", "steps.0: needs either text or template"),
        (
            STEP + "write = '/etc/passwd'\ntext = ''",
            "steps.0.write: must stay inside the site",
        ),
        (
            STEP + "write = 'a/../../b'\ntext = ''",
            "steps.0.write: must stay inside the site",
        ),
        (STEP + "write = '.'\ntext = ''", "steps.0.write: must stay inside the site"),
        (STEP + "remove = ['../other']", "steps.0.remove.0: must stay inside the site"),
        (
            STEP + "write = 'a'\ntext = ''\nmode = '0644'",
            "steps.0.mode: must be one of 0600, 0640",
        ),
        (
            LOGIN + "password = { length = 8, letters = 'ab' }",
            "login.password: can be guessed",
        ),
        (
            LOGIN + "password.letters = 'äöü'",
            "login.password: letters must be printable ASCII",
        ),
        ("[secrets.key]", "secrets.key: needs either random or file"),
        ("[secrets.'no name']\nrandom = 9", "secrets.no name"),
        ("version = { file = 'V', pattern = '(' }", "Cannot overwrite a value"),
        ("[archive", "is not valid TOML"),
    ],
)
def test_what_cannot_be_is_told_by_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("{ file = 'V', pattern = '(' }", "version.pattern: is not a valid regular expression"),
        ("{ file = 'V', pattern = 'x' }", "version.pattern: needs one pair of parentheses"),
        ("{ fil = 'V' }", "unknown key version.fil; did you mean file?"),
        ("{ file = '../V' }", "version.file: must stay inside the site"),
        ("7", "version"),
    ],
)
def test_a_version_that_cannot_be_read_is_told_so(tmp_path: Path, version: str, said: str) -> None:
    (tmp_path / "app.toml").write_text(_RECIPE.replace('"1.2"', version) + _VERIFY)
    with pytest.raises(Failed, match="recipe_wrong") as error:
        read_recipe(tmp_path / "app.toml")
    assert said in str(error.value)


def test_all_that_is_wrong_is_said_at_once_and_no_value_is_repeated(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"database = '{CANARY}'\n[secrets.key]\nrandom = '{CANARY}'\n")
    assert "database:" in said
    assert "secrets.key.random:" in said
    assert CANARY not in said


def test_a_recipe_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"recipe_wrong: .*none\.toml: cannot be read: No such file"):
        read_recipe(tmp_path / "none.toml")


def test_every_key_says_what_it_means_and_is_documented() -> None:
    documented = (DOCUMENTS / "archive.md").read_text()
    assert [key for key, meaning in keys().items() if not meaning or f"`{key}`" not in documented] == []


# Templates


def words(directory: Path, text: str = "", **changes: Any) -> Words:
    """For a recipe with a login, a database and two secrets."""
    (directory / "license").write_text(f"{CANARY}\n")
    extra = "[login]\npath = ''\n[secrets]\nkey = { random = 32 }\nlicense = { file = 'license' }\n"
    database = Database(host="localhost:/run/db", name="ann_g1f1", username="ann_g1f1", password="db-password")
    return words_of(directory / "app.toml", recipe(directory, extra + text), {**INVENTED, **changes}, database)


def test_a_template_names_the_order_the_place_and_the_database(tmp_path: Path) -> None:
    named = words(tmp_path, title="A & B's")
    text = "{{ title }} {{ url }} {{ account }} {{ database.host }} {{ database.name }} {{ login.username }}"
    rendered = named.render("here", text)
    assert rendered == "A & B's http://shop.example/ shop localhost:/run/db ann_g1f1 shop"


def test_secrets_stand_where_they_may_and_nowhere_else(tmp_path: Path) -> None:
    named = words(tmp_path)
    for name in ("login.password", "database.password", "secrets.key", "secrets.license"):
        rendered = named.render("here", f"{{{{ {name} }}}}", confidential=True)
        assert rendered in set(named.secrets())
        for text in (f"{{{{ {name} }}}}", f"{{% if {name} == 'x' %}}{{% endif %}}", f"{{{{ {name} | length }}}}"):
            with pytest.raises(Failed, match=r"recipe_wrong: .*here: secrets are allowed") as error:
                named.render("here", text)
            assert rendered not in str(error.value)
        assert rendered not in named.render("here", "{{ login }} {{ database }} {{ secrets }}")


def test_secrets_are_new_each_time_but_for_those_of_files(tmp_path: Path) -> None:
    one, other = words(tmp_path), words(tmp_path)
    assert one.secret["secrets"]["license"] == other.secret["secrets"]["license"] == CANARY
    assert one.secret["secrets"]["key"] != other.secret["secrets"]["key"]
    assert one.secret["login"]["password"] != other.secret["login"]["password"]
    assert len(one.secret["secrets"]["key"]) == 32
    assert CANARY not in f"{one!r}"


def test_a_password_is_made_of_the_letters_that_the_application_takes(tmp_path: Path) -> None:
    read = recipe(tmp_path, "[login]\npath = ''\npassword = { length = 30, letters = 'abcdefgh' }\n")
    password = words_of(tmp_path / "app.toml", read, INVENTED, None).secret["login"]["password"]
    assert len(password) == 30
    assert set(password) <= set("abcdefgh")
    assert set("".join(words(tmp_path).secret["login"]["password"] for _ in range(50))) <= set(
        string.ascii_letters + string.digits
    )


def test_a_secret_whose_file_cannot_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    read = recipe(tmp_path, "[secrets.license]\nfile = 'nowhere'\n")
    with pytest.raises(Failed, match=r"recipe_wrong: .*secrets\.license: cannot read .*nowhere: No such file"):
        words_of(tmp_path / "app.toml", read, INVENTED, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ titel }}", "unknown variable 'titel'; did you mean 'title'?"),
        ("{{ qqqq }}", "unknown variable 'qqqq'; known: account, database, domain"),
        ("{{ database.pasword }}", "unknown 'pasword' in it; it has host, name, password, tls, username"),
        ("\n{% if %}", "line 2: "),
        ("{{ title | nofilter }}", "No filter named 'nofilter'"),
        ("{{ 1 / 0 }}", "cannot be rendered (ZeroDivisionError)"),
        ("{{ title.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{% include '/etc/passwd' %}", "cannot be rendered (TypeError)"),
        ("{{ {}[secrets.license] }}", "unknown '***' in it"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_told_by_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Failed, match="recipe_wrong") as error:
        words(tmp_path).render("steps.3 (settings).text", text, confidential=True)
    assert "app.toml: steps.3 (settings).text" in str(error.value)
    assert said in str(error.value)
    assert CANARY not in str(error.value)


@pytest.mark.parametrize("text", ["it's", "\\", "\\'", "a\nb", "$x {$y} ?>", "ümläut 🙂"])
def test_a_text_is_quoted_for_php(tmp_path: Path, text: str) -> None:
    assert words(tmp_path, title=text).render("here", "{{ title | php }}") == "'{}'".format(
        text.replace("\\", "\\\\").replace("'", "\\'")
    )


def test_a_database_that_is_not_wanted_has_no_name(tmp_path: Path) -> None:
    without = words_of(tmp_path / "app.toml", recipe(tmp_path), INVENTED, None)
    with pytest.raises(Failed, match="unknown variable 'database'"):
        without.render("here", "{{ database.host }}")
    assert os.fspath(tmp_path) == without.render("here", "{{ recipe }}")


def test_the_recipes_in_the_documents_are_right(tmp_path: Path) -> None:
    blocks = (DOCUMENTS / "archive.md").read_text().split("```toml\n")[1:]
    recipes = [block.partition("```")[0] for block in blocks if block.startswith("application")]
    assert len(recipes) == 2
    (tmp_path / "whmcs.license").write_text("none")
    for text in recipes:
        path = tmp_path / "app.toml"
        path.write_text(text)
        read = read_recipe(path)
        rehearse(read, words_of(path, read, INVENTED, INVENTED_DATABASE if read.database else None), Php())
    example = DOCUMENTS.parent / "examples/recipes/dokuwiki/dokuwiki.toml"
    assert example.read_text().partition("\n\n")[2] == recipes[0]
