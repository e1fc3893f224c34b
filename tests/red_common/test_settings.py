"""What belongs together among the settings of both services, and how what does not is told."""

import os
import subprocess
import sys

import pytest

from red_service.settings import Settings as RedSettings
from red_stats.settings import Settings
from tests.locked_kafka import Authority

PASSWORD = "hunter-two"
SASL = {
    "RED_KAFKA": "kafka:9093",
    "RED_KAFKA_SECURITY": "SASL_SSL",
    "RED_KAFKA_MECHANISM": "PLAIN",
    "RED_KAFKA_USERNAME": "red",
    "RED_KAFKA_PASSWORD": PASSWORD,
}


def without(name):
    return {one: value for one, value in SASL.items() if one != name}


def told(*module, **environment):
    """The exit code and stderr of a program that reads its settings and then fails for another reason."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("RED_")} | environment
    done = subprocess.run(
        [sys.executable, "-m", *module], env=given, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


@pytest.mark.system
@pytest.mark.parametrize(
    ("given", "line"),
    [
        (without("RED_KAFKA_MECHANISM"), "RED_KAFKA_SECURITY=SASL_SSL needs RED_KAFKA_MECHANISM"),
        (without("RED_KAFKA_USERNAME"), "RED_KAFKA_SECURITY=SASL_SSL needs RED_KAFKA_USERNAME"),
        (without("RED_KAFKA_PASSWORD"), "RED_KAFKA_SECURITY=SASL_SSL needs RED_KAFKA_PASSWORD"),
        (without("RED_KAFKA"), "needs RED_KAFKA: "),
        (without("RED_KAFKA_SECURITY"), "RED_KAFKA_MECHANISM is for RED_KAFKA_SECURITY="),
        ({"RED_KAFKA_PASSWORD": PASSWORD}, "RED_KAFKA_PASSWORD is for RED_KAFKA_SECURITY="),
        (SASL | {"RED_KAFKA_SECURITY": "SSL"}, "RED_KAFKA_MECHANISM is for"),
        (SASL | {"RED_KAFKA_SECURITY": "TLS"}, "RED_KAFKA_SECURITY: Input should be 'PLAINTEXT', 'SSL'"),
        (SASL | {"RED_KAFKA_MECHANISM": "GSSAPI"}, "RED_KAFKA_MECHANISM: Input should be 'PLAIN'"),
        (SASL | {"RED_KAFKA_CA_FILE": "/nothing"}, "RED_KAFKA_CA_FILE: /nothing cannot be used"),
        (SASL | {"RED_KAFKA_CA_FILE": "/dev/null"}, "RED_KAFKA_CA_FILE: /dev/null cannot be used"),
        (SASL | {"RED_KAFKA_CERT_FILE": "/c"}, "RED_KAFKA_CERT_FILE and RED_KAFKA_KEY_FILE belong together"),
        (SASL | {"RED_KAFKA_KEY_FILE": "/k"}, "RED_KAFKA_CERT_FILE and RED_KAFKA_KEY_FILE belong together"),
        (SASL | {"RED_KAFKA_CERT_FILE": "/c", "RED_KAFKA_KEY_FILE": "/k"}, "/c with the key in /k cannot"),
        ({"RED_KAFKA_CA_FILE": "/nothing"}, "RED_KAFKA_CA_FILE is for RED_KAFKA_SECURITY=SSL or SASL_SSL"),
        (SASL | {"RED_KAFKA_PASSWORD_FILE": "/f"}, "RED_KAFKA_PASSWORD and RED_KAFKA_PASSWORD_FILE are both"),
        (without("RED_KAFKA_PASSWORD") | {"RED_KAFKA_PASSWORD_FILE": "/dev/null"}, "/dev/null is empty"),
    ],
)
@pytest.mark.parametrize("program", [("red_service",), ("red_stats", "doctor")])
def test_settings_that_do_not_fit_are_one_line_without_the_password(program, given, line):
    code, err = told(*program, **given)

    assert (code, len(err.splitlines())) == (2, 1), err
    assert line in err
    assert PASSWORD not in err


@pytest.mark.system
@pytest.mark.parametrize("program", [("red_service",), ("red_stats", "doctor")])
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"RED_TLS_KEY": ""}, "RED_TLS_CERT and RED_TLS_KEY belong together: one is missing"),
        ({"RED_TLS_CERT": ""}, "RED_TLS_CERT and RED_TLS_KEY belong together: one is missing"),
        ({"RED_TLS_CERT": "/nothing"}, "RED_TLS_CERT: /nothing cannot be read: No such file or directory"),
        ({"RED_TLS_KEY": "/nothing"}, "RED_TLS_KEY: /nothing cannot be read: No such file or directory"),
        ({"RED_TLS_CERT": "/"}, "RED_TLS_CERT: / cannot be read: Is a directory"),
        ({"RED_TLS_CERT": "/dev/null"}, "RED_TLS_CERT: /dev/null has no certificate in PEM"),
        ({"RED_TLS_KEY": "/dev/null"}, "with the key in /dev/null cannot be used: is each PEM?"),
        ({"RED_TLS_KEY": "another.key"}, "another.key is not the key of the certificate in"),
        (
            {"RED_TLS_KEY": "locked.key"},
            "locked.key is encrypted: nobody could type its password, decrypt it",
        ),
        ({"RED_TLS_CA": "/nothing"}, "RED_TLS_CA: /nothing cannot be read: No such file or directory"),
        ({"RED_TLS_CA": "/dev/null"}, "RED_TLS_CA: /dev/null cannot be used: is it PEM?"),
        ({"RED_TRUSTED_PROXIES": "10.0.0.1/8"}, "RED_TRUSTED_PROXIES: 10.0.0.1/8 has host bits set"),
        ({"RED_TRUSTED_PROXIES": "proxy"}, "RED_TRUSTED_PROXIES: 'proxy' does not appear to be an IPv4"),
    ],
)
def test_tls_settings_that_cannot_be_used_are_one_line(tmp_path, program, changes, line):
    authority = Authority(tmp_path)
    certificate, key = authority.certificate("red")
    _, another = authority.certificate("another")
    lock(another.rename(tmp_path / "locked.key"))
    authority.certificate("another")
    here = {
        name: str(tmp_path / value) if value.endswith(".key") else value for name, value in changes.items()
    }
    given = {"RED_TLS_CERT": str(certificate), "RED_TLS_KEY": str(key)} | here

    code, err = told(*program, **given)

    assert (code, len(err.splitlines())) == (2, 1), err
    assert line in err


def test_a_worker_that_speaks_https_advertises_no_http(tmp_path):
    certificate, key = Authority(tmp_path).certificate("red")
    tls = {"tls_cert": certificate, "tls_key": key}

    assert Settings(**tls, host="192.0.2.1").advertised_url == "https://192.0.2.1:6066"
    assert Settings(**tls, stats_url_advertised="https://live-1:6066").advertised_url == "https://live-1:6066"
    with pytest.raises(ValueError, match="RED_STATS_URL_ADVERTISED must begin with https://"):
        Settings(**tls, stats_url_advertised="http://live-1:6066")


def lock(key):
    """Put a passphrase on the key in a file."""
    from cryptography.hazmat.primitives import serialization

    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )


def test_a_key_that_asks_for_a_passphrase_is_refused_instead_of_asked_for(tmp_path):
    certificate, key = Authority(tmp_path).certificate("client")
    lock(key)

    with pytest.raises(ValueError, match="cannot be used"):
        Settings(kafka="k:1", kafka_security="SSL", kafka_cert_file=certificate, kafka_key_file=key)


def test_no_secret_shows_where_settings_are_shown():
    clickhouse = f"https://red:{PASSWORD}@stats.example"
    given = {name.removeprefix("RED_").lower(): value for name, value in SASL.items()}

    settings = Settings(secret_key=PASSWORD, clickhouse=clickhouse, **given)

    shown = f"{settings!r} {settings} {settings.connection!r} {settings.connection}"
    assert PASSWORD not in shown


def test_every_secret_is_read_from_the_file_that_its_setting_names(tmp_path, monkeypatch):
    texts = {"kafka_password": PASSWORD, "clickhouse": "https://red:x@stats.example", "secret_key": "ab" * 32}
    for name, value in without("RED_KAFKA_PASSWORD").items():
        monkeypatch.setenv(name, value)
    for name, text in texts.items():
        (tmp_path / name).write_text(f"{text}\n")
        monkeypatch.setenv(f"RED_{name.upper()}_FILE", str(tmp_path / name))

    settings = Settings()

    assert {name: getattr(settings, name) for name in texts} == texts


def test_whatever_may_hold_a_secret_is_marked_as_one():
    hidden = {name for name, field in Settings.model_fields.items() if not field.repr}
    files = {
        name for name, field in Settings.model_fields.items() if field.json_schema_extra == {"secret": True}
    }

    assert hidden == files == {"kafka_password", "clickhouse", "secret_key"}


PAGES = "https://stats.example, http://localhost:6066"


def test_the_pages_that_may_call_red_are_those_of_this_machine_or_those_that_are_named():
    assert "http://127.0.0.1:6066" in RedSettings().origins
    assert RedSettings(page_origins=PAGES).origins == {"https://stats.example", "http://localhost:6066"}


@pytest.mark.parametrize(("port", "origin"), [(80, "http://[::1]"), (443, "http://[::1]:443")])
def test_a_port_that_browsers_leave_out_is_left_out_of_the_page_of_this_machine(port, origin):
    settings = RedSettings(host="::1", stats_port=port)
    assert origin in settings.origins
    assert all(RedSettings(page_origins=one).origins == {one} for one in settings.origins)


@pytest.mark.parametrize(
    "origin", ["https://a:80", "http://a:443", "http://a:1", "https://a:65535", "http://127.0.0.1:8080",
               "http://[::1]:8080", "https://x_y.example", "http://1.a"],
)  # fmt: skip
def test_what_browsers_send_is_an_origin(origin):
    assert RedSettings(page_origins=origin).origins == {origin}
    assert Settings(page_red_url=origin).page_red_url == origin


@pytest.mark.parametrize(
    "origin", [
        "*", "stats.example", "https://a.example/", "https://A.example", "https://a; x", "https://a:443",
        "http://a:80", "https://a:99999", "https://a:65536", "http://a:0", "http://a:08080", "http://a:",
        "http://[0:0::1]", "http://[::1", "http://[1.2.3.4]", "http://127.1", "http://999.1.1.1", "http://.",
        "ftp://a", "null",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_before_anything_starts(origin):
    with pytest.raises(ValueError, match="is no origin"):
        RedSettings(page_origins=origin)
    with pytest.raises(ValueError, match="is no origin"):
        Settings(page_red_url=origin)
