"""Puts style sheets into `style` attributes: many mail programs know no other styles."""

import re

import css_inline

_INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_HIDDEN = re.compile(r"(?:<|&lt;)!--(\d+)--(?:>|&gt;)")


def inlined(html: str) -> str:
    """The page with its own style sheet inlined. Raises ValueError if that cannot be understood."""
    return _INLINER.inline(html)


def inlined_template(source: str, css: str) -> str:
    """The template of a page, or of parts of one, with `css` inlined: done once, instead of in every letter.

    Jinja's tags pass through the HTML parser as comments, so they may stand where comments or attributes' values may,
    and what `css` says of an element must not depend on them.
    """
    tags: list[str] = []

    def hidden(tag: re.Match[str]) -> str:
        tags.append(tag[0])
        return f"<!--{len(tags) - 1}-->"

    page = _JINJA.sub(hidden, source.replace('{% include "styles.css.j2" %}', css))
    done = inlined(page) if "<html" in page else _INLINER.inline_fragment(page, css)
    return _HIDDEN.sub(lambda mark: tags[int(mark[1])], done)
