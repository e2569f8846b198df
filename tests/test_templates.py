"""Pages from templates: text is escaped where it is written, and nothing is left out in silence."""

import jinja2
import pytest
from markupsafe import Markup

from snn_deploy.templates import open_templates


@pytest.fixture
def templates() -> jinja2.Environment:
    return open_templates("snn_deploy.report", lambda text: text.replace("\x1b", "ESC"))


def test_text_is_escaped_and_shown_and_markup_is_not(templates: jinja2.Environment) -> None:
    page = templates.from_string("<p title='{{ text }}'>{{ text }}{{ drawn }}{{ number }}</p>")
    shown = page.render(text="<b>'\x1b&", drawn=Markup("<svg/>"), number=3)
    assert shown == "<p title='&lt;b&gt;&#x27;ESC&amp;'>&lt;b&gt;&#x27;ESC&amp;<svg/>3</p>"


def test_a_value_that_is_not_given_is_an_error(templates: jinja2.Environment) -> None:
    with pytest.raises(jinja2.UndefinedError, match="'text' is undefined$"):
        templates.from_string("{{ text }}").render()
