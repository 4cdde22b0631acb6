"""State in a text of ours: from one state to another and back, byte for byte; and the text around it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbsync.kit.seal import body_of, seal_of
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync_nginx.layout import main_file
from lbsync_nginx.render import moved, render, structure_of
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import (
    LINKS,
    NO_LEAF,
    NginxState,
    answer_of,
    state_of,
    stateless,
    with_state,
)
from tests.nginx.samples import BRIDGED, HTTP, LEAF, OFFLOADED, OLD, OTHER, SPEC, STREAM, VARIABLE, WAYS, state, text_of

every_way = pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))
OFFLOADABLE = [service for service, spec in SERVICES.items() if spec.offloadable]


@st.composite
def states(draw: st.DrawFn, way: NginxSettings) -> NginxState:
    """Any state that a text may be brought to."""
    modes = {service: draw(st.sampled_from(Mode)) for service in OFFLOADABLE} | {Service.MRSPROXY: Mode.BRIDGE}
    leaf = None if way.certificate_form == "variable" else draw(st.sampled_from([LEAF, OTHER, NO_LEAF]))
    down = draw(st.sets(st.sampled_from([member.name for member in SPEC.members])))
    link = draw(st.sampled_from(LINKS)) if leaf is None else LINKS[0]
    return NginxState(structure=state(way).structure, leaf=leaf, modes=modes, down=tuple(sorted(down)), link=link)


@every_way
@given(data=st.data())
@settings(deadline=None)  # a busy machine is no defect
def test_a_text_comes_back_byte_for_byte(way: NginxSettings, data: st.DataObject) -> None:
    """Into any other state and back it is the same text, and each state is read from it again."""
    text = body_of(text_of(way, state(way)))
    before = state_of(text)
    assert before is not None
    other = data.draw(states(way))
    there = with_state(text, other)
    assert state_of(there) == other
    assert with_state(there, before) == text
    assert with_state(there, other) == there


def test_a_text_names_the_link_that_its_workers_read() -> None:
    """One of two, and the state says which; the structure is the same with either."""
    files = render(SPEC, VARIABLE, OLD, state(VARIABLE))
    other = moved(files, main_file(VARIABLE), state(VARIABLE, link="live2"))
    text = other[main_file(VARIABLE)] or ""
    assert "root /etc/nginx/lbsync/certs-shared/live2.pem; # link" in text
    found = state_of(text)
    assert found is not None
    assert found.link == "live2"
    assert structure_of(other) == structure_of(files)


def test_members_move_together() -> None:
    """Some out, others back, the rest as it was; whoever is in both is out."""
    down = state(HTTP, down=("EX01", "EX03")).moving(out=("EX02",), back=("EX01", "EX02")).down
    assert down == ("EX02", "EX03")


def test_the_text_says_what_the_state_does_in_http() -> None:
    """Each service by its own line, each member in both upstreams, the leaf in both lines, and all of it as JSON."""
    text = with_state(body_of(text_of(HTTP)), state(HTTP, leaf=OTHER, modes=OFFLOADED, down=("EX02",)))
    assert '"1 owa" http://lbsync_plain; # mode owa' in text
    assert "mrsproxy; # mode" not in text
    assert text.count("server 10.0.0.12:8080 down; # member EX02") == 1
    assert text.count("server 10.0.0.12:8443 down; # member EX02") == 1
    assert text.count("server 10.0.0.11:80; # member EX01") == 1
    assert text.count(f"/etc/nginx/lbsync/certs/{OTHER}.pem; # leaf") == 2
    assert '"down":["EX02"]' in text
    assert text.count("down;") == 2


def test_the_text_says_what_the_state_does_in_stream() -> None:
    """One upstream for all, plain or with TLS; MRSProxy's own upstream drains with the others."""
    text = body_of(text_of(STREAM))
    assert "proxy_pass lbsync_tls; # listener\n    proxy_ssl on; # listener" in text
    text = with_state(text, state(STREAM, modes=OFFLOADED, down=("EX03",)))
    assert "proxy_pass lbsync_plain; # listener\n    proxy_ssl off; # listener" in text
    assert text.count("down; # member EX03") == 3


@every_way
def test_moving_files_keeps_their_seals_and_what_has_no_state(way: NginxSettings) -> None:
    """The seal is made anew, the other files are left alone, and the structure is the one of before."""
    files = render(SPEC, way, OLD, state(way))
    there = moved(files, main_file(way), state(way, down=("EX01",)))
    assert {name for name in files if files[name] != there[name]} == {main_file(way)}
    assert [seal_of(text) for text in there.values() if text] == ["intact"] * len(
        [text for text in files.values() if text]
    )
    assert structure_of(there) == structure_of(files)
    assert moved({main_file(way): None}, main_file(way), state(way)) == {main_file(way): None}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "server { listen 80; return 200 'hello'; }",
        "return 200 'lbsync $pid {}\\n';",
        "return 200 'lbsync $pid not json\\n';",
        """return 200 'lbsync $pid {"structure":"x","modes":{"owa":"sideways"}}\\n';""",
        """return 200 'lbsync $pid {"structure":"x","modes":{"telnet":"bridge"}}\\n';""",
        """return 200 'lbsync $pid {"structure":"x","more":1}\\n';""",
        """return 200 'lbsync $pid {"structure":"x","down":"EX01"}\\n';""",
        """return 200 'lbsync 12 {"structure":"x"}\\n';""",
        """return 200 'lbsync $pid {"structure":"x"}';""",
    ],
)
def test_another_text_has_no_state(text: str | None) -> None:
    """Somebody's own file, one of another time, or one that was cut off."""
    assert state_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lbsync $pid {}",
        'lbsync {"structure":"x"}',
        'lbsync 7 {"structure":1}',
        "<html>lbsync 7 {</html>",
        "lbsync 7 {",
    ],
)
def test_another_answer_is_none_of_ours(text: str) -> None:
    """Whoever else listens on that port says something else."""
    assert answer_of(text) is None


@every_way
def test_a_workers_answer_is_read(way: NginxSettings) -> None:
    """Process id and state, within an HTTP response or alone."""
    now = state(way, down=("EX01", "EX02"))
    text = with_state(body_of(text_of(way)), now)
    said = text[text.index("lbsync $pid ") : text.index("\\n'", text.index("lbsync $pid "))].replace("$pid", "4711")
    assert answer_of(f"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n{said}\n") == (4711, now)
    assert answer_of(f"{said}\n") == (4711, now)


def test_a_mark_of_no_service_stays_as_it_is() -> None:
    """In a file that somebody edited: it is told as such, and nothing fails on the way."""
    assert with_state("x https://lbsync_tls; # mode telnet\n", state(HTTP)) == "x https://lbsync_tls; # mode telnet\n"


def test_states_are_made_from_states() -> None:
    """Members go out and come back, once; services change their mode; the rest stays."""
    now = NginxState(structure="s", leaf=LEAF, modes=BRIDGED)
    assert now.with_down("EX02", down=True).with_down("EX01", down=True).down == ("EX01", "EX02")
    assert now.with_down("EX01", down=True).with_down("EX01", down=True).with_down("EX01", down=False) == now
    there = now.with_modes({Service.OWA: Mode.OFFLOAD})
    assert (there.modes[Service.OWA], there.modes[Service.EWS]) == (Mode.OFFLOAD, Mode.BRIDGE)
    assert stateless(there.with_down("EX01", down=True)) == stateless(now.model_copy(update={"leaf": OTHER}))
    assert stateless(now.model_copy(update={"leaf": None})).leaf is None


def test_equal_states_are_equal_texts() -> None:
    """Whatever order the services were named in; no quote that NGINX would end the text at."""
    there = NginxState(structure="s", leaf=LEAF, modes=dict(reversed(BRIDGED.items())))
    assert there.json_text == NginxState(structure="s", leaf=LEAF, modes=BRIDGED).json_text
    assert "'" not in there.json_text
