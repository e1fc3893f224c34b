"""What belongs together among the settings of both services, and how what does not is told."""

import os
import subprocess
import sys

import pytest

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


def test_a_key_that_asks_for_a_passphrase_is_refused_instead_of_asked_for(tmp_path):
    from cryptography.hazmat.primitives import serialization

    certificate, key = Authority(tmp_path).certificate("client")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )

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
