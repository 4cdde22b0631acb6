"""Configuration files: what they mean, and what is said of broken ones."""

from __future__ import annotations

import json
import re
from datetime import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from lbsync.config import BrokenConfig, Config, Leaf, desired, load, load_service, modes, schema, windows
from lbsync.config.problems import did_you_mean
from lbsync.desired import Policy
from lbsync.errors import ConfigError
from lbsync.model import Mode
from lbsync.services import ALL_SERVICES, Service
from lbsync.watch.windows import Window

ROOT = Path(__file__).resolve().parents[2]

GOOD = r"""version = 1
[farm]
name = "contoso"
[farm.winrm]
user = 'CONTOSO\lbsync'
password = "env:PW"
[[servers]]
name = "EX01"
fqdn = "ex01.contoso.com"
[publish]
hosts = ["mail.contoso.com"]
"""


WINDOW = "[[watch.windows]]\nbegins = '22:00'\nends = '04:00'\n"


def faults(text: str) -> list[ConfigError]:
    """What is said of a broken configuration, in order."""
    with pytest.raises(BrokenConfig) as caught:
        load(text, file="f.toml")
    return list(caught.value.problems)


def only(text: str) -> ConfigError:
    """The one thing that is said of it."""
    (fault,) = faults(text)
    return fault


def swap(old: str, new: str) -> str:
    """The good configuration with one place changed."""
    assert old in GOOD
    return GOOD.replace(old, new)


def test_the_example_loads_and_shows_every_key() -> None:
    """The example is valid, also with every commented default and option switched on that can stand beside the rest."""
    text = (ROOT / "config.example.toml").read_text()
    example = load(text).config
    assert [server.name for server in example.servers] == ["EX01", "EX02"]
    named = set(re.findall(r"^#? ?([a-z_]+) = ", text, re.MULTILINE))
    for name, model in Config.model_json_schema()["$defs"].items():
        if name != "ModesSection":
            assert (
                set(model.get("properties", ())) - {"winrm", "listen", "settings", "windows", "oidc", "notices"}
                <= named
            ), name


def test_the_commented_defaults_of_the_example_are_the_defaults() -> None:
    """Uncommenting what the example calls a default changes nothing."""
    text = (ROOT / "config.example.toml").read_text()
    defaults = "max_unavailable|drain_timeout_s|on_drain_timeout|outlook_anywhere_wait_s|prove_within_s|parallel"
    defaults += (
        "|connect_timeout_s|allow_drift|trusted_leg|exchange|transport|scheme|https_port|http_port|allow_self_signed"
        "|rotate|warn_days|critical_days|every_s|jitter_s|retry_first_s|retry_most_s"
        "|approve|four_eyes|proposal_s|resume|drift_every_s|looks_at_once|look_within_s|idle_s|lasting_s|stop_within_s"
    )
    full = re.sub(rf"^# ({defaults}) =", r"\1 =", text, flags=re.MULTILINE)
    assert full != text
    assert load(full).config == load(text).config


def test_the_published_schema_is_current() -> None:
    """docs/config.schema.json is what `lbsync config schema` prints."""
    assert (ROOT / "docs" / "config.schema.json").read_text() == schema()


def test_the_schema_judges_as_the_loader_does() -> None:
    """An editor that knows the schema accepts the example's tables and refuses an unknown key."""
    import tomllib

    validator = Draft202012Validator(json.loads(schema()))
    tables = tomllib.loads((ROOT / "config.example.toml").read_text())
    assert not list(validator.iter_errors(tables))
    tables["farm"]["nmae"] = "x"
    assert list(validator.iter_errors(tables))


def test_the_default_mode_never_offloads_mrsproxy() -> None:
    """MRSProxy is bridged unless somebody names it, which the plan then refuses."""
    wanted = modes(load(GOOD + '[modes]\ndefault = "offload"\necp = "bridge"\n').config.modes)
    assert set(wanted) == ALL_SERVICES
    assert wanted[Service.MRSPROXY] is Mode.BRIDGE
    assert wanted[Service.ECP] is Mode.BRIDGE
    assert wanted[Service.OWA] is Mode.OFFLOAD
    assert modes(load(GOOD + '[modes]\nmrsproxy = "offload"\n').config.modes)[Service.MRSPROXY] is Mode.OFFLOAD


def test_what_is_wanted_carries_limits_and_outlook_anywhere() -> None:
    """Each part of the wish comes from its own table; an emptied host name stays empty."""
    extra = '[limits]\nmax_unavailable = 2\nparallel = 3\n[outlook_anywhere]\ninternal_hostname = ""\n'
    policy = '[policy]\nencrypt_inside = true\ntrusted_networks = ["10.0.0.0/24", "fd00::/8"]\n'
    policy += 'legacy_hosts = ["OLD.contoso.com"]\n'
    config = load(GOOD + extra + 'iis_authentication = ["Ntlm"]\n' + policy).config
    wish = desired(config, Leaf(None, problem="no leaf"))
    assert wish.tls_names == {"EX01": "mail.contoso.com"}
    assert wish.addresses == {"EX01": "ex01.contoso.com"}
    assert wish.policy == Policy(
        encrypt_inside=True, trusted_networks=("10.0.0.0/24", "fd00::/8"), legacy_hosts=("old.contoso.com",)
    )
    assert wish.limits.max_unavailable == 2
    assert wish.outlook_anywhere.internal_hostname == ""
    assert wish.outlook_anywhere.external_hostname is None
    assert wish.outlook_anywhere.iis_authentication == ("Ntlm",)
    assert wish.leaf_problem == "no leaf"
    assert config.limits.parallel == 3


def test_the_service_may_have_a_file_of_its_own() -> None:
    """It holds that table and nothing else, and is judged as it is beside the rest."""
    section = load_service('[service]\nlisten = "[::1]:8440"\n')
    assert (section.listen, section.approve, section.resume) == ("[::1]:8440", True, True)
    for text, where in (
        ("[farm]\n", "serve.toml:1: farm"),
        ("[service]\nkey_file = 'k'\n", "serve.toml:2: service.key_file"),
    ):
        with pytest.raises(BrokenConfig) as caught:
            load_service(text)
        assert caught.value.problems[0].where == where


def test_host_names_become_a_labels() -> None:
    """Names are written as people write them and kept as certificates carry them."""
    assert load(swap("mail.contoso.com", "Bücher.example")).config.publish.hosts == ("xn--bcher-kva.example",)


def test_a_thumbprint_copied_from_a_dialog_is_cleaned() -> None:
    """Windows copies an invisible mark and blanks along with a thumbprint."""
    written = "\u200e" + " ".join(["ab"] * 20)
    config = load(GOOD + f'[certificate]\nthumbprint = "{written}"\n').config
    assert config.certificate.thumbprint == "AB" * 20


def test_paths_start_from_the_configuration(tmp_path: Path) -> None:
    """A relative path means a file beside the configuration, an absolute one itself."""
    loaded = load(GOOD, base=tmp_path)
    assert loaded.path("ca.pem") == tmp_path / "ca.pem"
    assert loaded.path("/etc/ca.pem") == Path("/etc/ca.pem")


def test_an_unknown_key_names_its_line_and_a_guess() -> None:
    """A misspelt key is found, shown where it stands, and the right one offered."""
    fault = only(swap('name = "contoso"', 'name = "contoso"\ntrusted_lag = true'))
    assert fault.where == "f.toml:4: farm.trusted_lag"
    assert fault.message == "unknown key"
    assert fault.remedy == 'did you mean "trusted_leg"?'


def test_an_unknown_key_far_from_any_other_lists_what_there_is() -> None:
    """Where no guess is near, the keys of that table are told."""
    fault = only(swap('hosts = ["mail.contoso.com"]', 'hosts = ["mail.contoso.com"]\nzzz = 1'))
    assert fault.remedy == "known here: hosts, server_ca_file, client_ca_file"


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ('name = "contoso"', "name = 1", "f.toml:3: farm.name", "must be a text in quotes"),
        ('name = "EX01"', 'name = "EX01"\nhttps_port = "443"', "f.toml:9: servers.https_port", "must be a whole number"),
        ('name = "EX01"', 'name = "EX01"\nhttps_port = 0', "f.toml:9: servers.https_port", "must be greater than"),
        ('name = "EX01"', 'name = "EX 01"', "f.toml:8: servers.name", "must be a plain name"),
        ('name = "contoso"', 'name = "a"\ntrusted_leg = "yes"', "f.toml:4: farm.trusted_leg", "must be true or false"),
        ('["mail.contoso.com"]', '"mail.contoso.com"', "f.toml:11: publish.hosts", "must be a list"),
        ('["mail.contoso.com"]', "[]", "f.toml:11: publish.hosts", "must not be empty"),
        ('"mail.contoso.com"', '"*.contoso.com"', "f.toml:11: publish.hosts", "must be one DNS name"),
        ('"mail.contoso.com"', '"10.0.0.1"', "f.toml:11: publish.hosts", "must be one DNS name"),
        ('"mail.contoso.com"', '"https://mail"', "f.toml:11: publish.hosts", "must be one DNS name"),
        ('name = "EX01"\n', "", "f.toml:7: servers.name", "this key is missing"),
        ("version = 1", "version = 2", "f.toml:1: version", "must be one of: 1"),
        ("[publish]", "[certificate]\nthumbprint = 'AB'\n[publish]", "f.toml:11: certificate.thumbprint", "must be a SHA"),
        ("[publish]", "[limits]\ndrain_timeout_s = inf\n[publish]", "f.toml:11: limits.drain_timeout_s", "must be a finite"),
        ("[publish]", "[policy]\ntrusted_networks = ['10.0.0.5/24']\n[publish]", "f.toml:11: policy.trusted_networks",
         "must be a network"),
        ("[publish]", "[limits]\nparallel = 1.5\n[publish]", "f.toml:11: limits.parallel", "must be a"),
        ("[publish]", "[outlook_anywhere]\nexternal_authentication='Kerberos'\n[publish]",
         "f.toml:11: outlook_anywhere.external_authentication", "must be one of: Basic, Ntlm, Negotiate"),
        ("[publish]", f"{WINDOW}time_zone = 'Mars/Olympus'\n[publish]", "f.toml:13: watch.windows.time_zone",
         "must be a time zone"),
        ("[publish]", f"{WINDOW.replace('22:00', '24:00')}time_zone = 'UTC'\n[publish]", "f.toml:11: watch.windows.begins",
         "must be a time of day"),
        ("[publish]", f"{WINDOW}time_zone = 'UTC'\ndays = ['monday']\n[publish]", "f.toml:14: watch.windows.days",
         "must be one of: mon"),
        ("[publish]", "[watch]\nwarn_days = 5\n[publish]", "f.toml:10: watch.critical_days", "is more than warn_days"),
        ("[publish]", "[watch]\nretry_most_s = 100\n[publish]", "f.toml:10: watch.retry_first_s", "is more than retry_most_s"),
        ("[publish]", "[service]\nlisten = '127.0.0.1'\n[publish]", "f.toml:11: service.listen", "must be an address and a port"),
        ("[publish]", "[service]\nlisten = '::1:80'\n[publish]", "f.toml:11: service.listen", "must be an address and a port"),
        ("[publish]", "[service]\nlisten = 'lb:99999'\n[publish]", "f.toml:11: service.listen", "must be an address and a port"),
        ("[publish]", "[service]\nkey_file = 'k'\n[publish]", "f.toml:11: service.key_file", "goes with certificate_file only"),
        ("[publish]", "[service]\ncertificate_file = 'k'\n[publish]", "f.toml:11: service.certificate_file", "goes with"),
        ("[publish]", "[service]\nuser_header = 'X-User'\n[publish]", "f.toml:11: service.user_header", "goes with"),
    ],
)  # fmt: skip
def test_a_wrong_value_says_what_would_be_right(old: str, new: str, where: str, message: str) -> None:
    """Wrong types and values are told at their line, in words without pydantic's vocabulary."""
    fault = only(swap(old, new))
    assert fault.where == where
    assert fault.message.startswith(message)


def test_windows_are_read_by_their_own_clocks() -> None:
    """A window of the file as the watch uses it."""
    text = GOOD + f"{WINDOW}time_zone = 'Europe/Berlin'\ndays = ['sat']\n"
    assert windows(load(text).config.watch) == (
        Window(days=("sat",), begins=time(22), ends=time(4), zone="Europe/Berlin"),
    )
    assert windows(load(GOOD).config.watch) == ()


def test_a_table_that_is_a_value_is_told() -> None:
    """`winrm = "x"` where a table belongs."""
    text = GOOD.replace("[farm.winrm]\n", "").replace(
        "user = 'CONTOSO\\lbsync'\npassword = \"env:PW\"\n", 'winrm = "x"\n'
    )
    assert only(text).message == "must be a table"


def test_a_plain_secret_is_refused_and_not_repeated() -> None:
    """A password in the file is an error that says how to do it, and never shows the password."""
    fault = only(swap("env:PW", "hunter2-is-secret"))
    assert fault.where == "f.toml:6: farm.winrm.password"
    assert "reference" in fault.message
    assert 'write "env:NAME"' in fault.remedy
    assert "hunter2" not in str(fault)
    assert "hunter2" not in repr(fault.__dict__)
    assert "12345" not in str(only(swap('"env:PW"', "12345")))


@pytest.mark.parametrize("bad", ["env:", "keyring:service", "keyring:/user", "vault:path", "vault:#field", "ENV:x"])
def test_half_a_reference_is_refused(bad: str) -> None:
    """A reference names all it takes to find the secret."""
    assert only(swap("env:PW", bad)).where.endswith("farm.winrm.password")


@pytest.mark.parametrize("good", ["file:~/pw", "keyring:lbsync/CONTOSO\\\\svc", "vault:kv/ex/winrm#password"])
def test_whole_references_are_taken(good: str) -> None:
    """Each of the four ways to keep a secret."""
    load(swap("env:PW", good))


def test_all_faults_are_told_together_in_the_files_order() -> None:
    """One pass over the file is enough to mend it."""
    text = swap('name = "contoso"', 'nmae = "contoso"').replace('"EX01"', "7").replace("mail.contoso.com", "*")
    found = faults(text)
    assert [fault.where.split(":")[1] for fault in found] == ["2", "3", "8", "11"]
    with pytest.raises(BrokenConfig, match="4 faults") as caught:
        load(text)
    assert "nothing was changed" in caught.value.state
    assert caught.value.file == "lbsync.toml"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[farm]\nname = "a\n', "f.toml:2, column 10"),
        ("a = 1\na = [", "f.toml:2"),
        ("[farm]\n[farm]\n", "f.toml:2, column 6"),
    ],
)
def test_broken_toml_names_its_line(text: str, where: str) -> None:
    """A file that is no TOML at all."""
    fault = only(text)
    assert fault.where == where
    assert fault.message.startswith("not valid TOML: ")
    assert "(at" not in fault.message


BALANCER = '[[balancers]]\nname = "lb1"\nprovider = "haproxy"\n[balancers.listen]\naddress = "192.0.2.10"\n'


@pytest.mark.parametrize(
    ("text", "where", "part"),
    [
        (GOOD + BALANCER, "f.toml:10: publish.server_ca_file", "is missing"),
        (swap("user = 'CONTOSO\\lbsync'\n", ""), "f.toml:4: farm.winrm.user", "transport ntlm needs an account"),
        (swap('password = "env:PW"\n', ""), "f.toml:4: farm.winrm.password", "is missing"),
        (swap('password = "env:PW"', 'transport = "kerberos"'), "f.toml:4: farm.winrm.password", "explicit"),
        (swap('name = "contoso"', 'name = "a"\ndirectory_server = "EX02"'), "f.toml:4: farm.directory_server", "among"),
        (swap('name = "contoso"', 'name = "a"\nexchange = "delegated"'), "f.toml:4: farm.exchange", "delegates nothing"),
        (GOOD + '[certificate]\nfile = "a.pfx"\n', "f.toml:13: certificate.file", 'source = "file" only'),
        (GOOD + '[certificate]\npassword = "env:A"\n', "f.toml:13: certificate.password", 'source = "file" only'),
        (GOOD + '[certificate]\nsource = "file"\n', "f.toml:12: certificate.file", "is missing"),
        (GOOD + f'[certificate]\nsource = "file"\nfile="a"\nthumbprint = "{"A" * 40}"\n', "f.toml:15: certificate.thumbprint",
         'source = "server" only'),
        (swap('name = "EX01"', 'name = "Directory"'), "f.toml:8: servers.name", "lbsync's own"),
        (swap('["mail.contoso.com"]', '["a.test", "b.test", "A.test"]'), "f.toml:11: publish.hosts", "listed twice"),
        (GOOD + '[policy]\nlegacy_hosts = ["a.test", "A.test"]\n', "f.toml:13: policy.legacy_hosts", "listed twice"),
        (GOOD + '[[servers]]\nname = "ex01"\nfqdn = "ex02.contoso.com"\n', "f.toml:13: servers.name", "used twice"),
        (swap('name = "EX01"', 'name = "EX01"\ngroup = "ex01"'), "f.toml:9: servers.group", "name of a server"),
        (GOOD + '[[servers]]\nname = "EX02"\nfqdn = "EX01.contoso.com"\n', "f.toml:12: servers", "ex01.contoso.com:443"),
    ],
)  # fmt: skip
def test_keys_that_do_not_agree(text: str, where: str, part: str) -> None:
    """What each key alone could mean, and together they cannot."""
    fault = only(text)
    assert fault.where == where
    assert part in fault.message


def test_two_balancers_need_a_listener_each() -> None:
    """Two balancers on one address would both be asked about the same listener."""
    text = swap("[publish]", '[publish]\nserver_ca_file = "ca.pem"') + BALANCER + BALANCER.replace("lb1", "lb2")
    assert only(text).where.endswith("balancers.listen")


def test_client_certificates_need_tls_and_files() -> None:
    """Transport "certificate" names every file it lacks, and does without a password."""
    text = swap('password = "env:PW"', 'transport = "certificate"\nscheme = "http"').replace(
        'name = "contoso"', 'name = "contoso"\nexchange = "none"'
    )
    text = text.replace("user = 'CONTOSO\\lbsync'\n", "")
    assert [fault.where.rsplit(".", 1)[1] for fault in faults(text)] == ["certificate_file", "key_file", "scheme"]
    files = 'transport = "certificate"\ncertificate_file = "a"\nkey_file = "b"'
    load(text.replace('transport = "certificate"\nscheme = "http"', files))


def test_kerberos_may_do_without_an_account() -> None:
    """A ticket cache is enough where Exchange's cmdlets are reached by delegation."""
    text = swap('password = "env:PW"', 'transport = "kerberos"').replace("user = 'CONTOSO\\lbsync'\n", "")
    load(text.replace('name = "contoso"', 'name = "contoso"\nexchange = "delegated"'))


class Inner(BaseModel, extra="forbid"):
    """A table of a provider's settings."""

    port: int


class Settings(BaseModel, extra="forbid"):
    """A provider's settings with tables of free names, and a bare key without a description."""

    nodes: dict[str, Inner] = {}
    racks: dict[str, dict[str, Inner]] = {}
    user: str
    kind: Inner | None = None


def test_a_providers_settings_are_pointed_at_like_our_own() -> None:
    """Faults that a provider's own model finds carry the line of the configuration file."""
    text = swap("[publish]", '[publish]\nserver_ca_file = "ca.pem"') + BALANCER
    loaded = load(text + "[balancers.settings]\nnodes = { a = { prt = 1 } }\nkind = { prot = 3 }\n", file="f.toml")
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(loaded.config.balancers[0].settings)
    broken = loaded.faults(caught.value, Settings, ("balancers", 0, "settings"))
    told = {fault.where: (fault.message, fault.remedy) for fault in broken.problems}
    assert told["f.toml:19: balancers.settings.nodes.a.prt"] == ("unknown key", "known here: ")
    assert told["f.toml:20: balancers.settings.kind.prot"] == ("unknown key", 'did you mean "port"?')
    assert told["f.toml:20: balancers.settings.kind.port"] == ("this key is missing", 'add "port"')
    assert told["f.toml:18: balancers.settings.user"] == ("this key is missing", 'add "user"')


def test_a_fault_found_later_still_has_its_line() -> None:
    """A file that is not there is told where it was named."""
    fault = load(GOOD, file="f.toml").fault("no such file", ("farm", "winrm", "ca_file"), remedy="put it there")
    assert fault.where == "f.toml:4: farm.winrm.ca_file"
    assert load(GOOD, file="f.toml").fault("all of it", ()).where == "f.toml:1"


def test_a_key_that_is_missing_below_a_free_name_is_told() -> None:
    """A provider's table under a name of the administrator's choice lacks a key."""
    loaded = load(GOOD, file="f.toml")
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"user": "u", "nodes": {"a": {}}, "racks": {"r": {"a": {}}}})
    faults = loaded.faults(caught.value, Settings, ("farm",)).problems
    assert [fault.where for fault in faults] == ["f.toml:2: farm.nodes.a.port", "f.toml:2: farm.racks.r.a.port"]
    assert {fault.remedy for fault in faults} == {'add "port"'}


def test_did_you_mean_without_a_near_word_lists_all() -> None:
    """A guess only where one is near."""
    assert did_you_mean("offlaod", ["offload", "bridge"]) == 'did you mean "offload"?'
    assert did_you_mean("q", ["offload", "bridge"]) == "known here: offload, bridge"
