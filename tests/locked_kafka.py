"""A real Kafka that lets in only whom it knows, with certificates and users made for the test."""

import asyncio
import datetime
import ipaddress
import subprocess
from contextlib import contextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from red_stats.local.aot_cache import cache_file, compiler_options
from red_stats.local.kafka import JVM, Kafka, find_java
from red_stats.local.kafka_jars import cache_folder, ensure_jars, read_lock
from tests.conftest import free_port

LOCALHOST = x509.SubjectAlternativeName(
    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
)
SCRAM = "SCRAM-SHA-512"
EVERYTHING = "all"  # a user whom no ACL holds back
RESOURCES = {"--topic": 2, "--group": 3, "--cluster": 4, "--transactional-id": 5}
OPERATIONS = {
    "All": 2, "Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10, "IdempotentWrite": 12
}  # fmt: skip
ALLOW, LITERAL, PREFIXED = 3, 3, 4


class Authority:
    """A certificate authority in a folder, with its certificate in `ca.pem`."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _name("test authority")
        own = _certificate(self._name, self._name, self._key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def certificate(self, name):
        """The files of a certificate for 127.0.0.1 and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _certificate(_name(name), self._name, key.public_key())
        signed = signed.add_extension(LOCALHOST, critical=False).sign(self._key, hashes.SHA256())
        certificate, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(_pem(signed))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject, issuer, key):
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
    )


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def tls_of(files):
    """The settings of a service with a certificate of an Authority."""
    return {"RED_TLS_CERT": str(files[0]), "RED_TLS_KEY": str(files[1])}


class LockedKafka(Kafka):
    """A broker with three doors beside the one for the test: users with TLS, users without, certificates."""

    def __init__(self, folder, authority, users):
        port, controller = free_port(), free_port()
        cache = cache_file(find_java(), cache_folder(), JVM)
        super().__init__(
            folder, port, controller, ensure_jars(cache_folder(), read_lock()), compiler_options(cache)
        )
        self.authority, self.users = authority, users
        doors = {"SASL_SSL": free_port(), "SASL_PLAINTEXT": free_port(), "SSL": free_port()}
        self.doors = {name: f"127.0.0.1:{number}" for name, number in doors.items()}

    def settings(self, user, **changes):
        """How a process is let in as a user by PLAIN."""
        return {
            "RED_KAFKA": self.doors["SASL_SSL"],
            "RED_KAFKA_SECURITY": "SASL_SSL",
            "RED_KAFKA_MECHANISM": "PLAIN",
            "RED_KAFKA_USERNAME": user,
            "RED_KAFKA_PASSWORD": self.users.get(user, "nothing"),
            "RED_KAFKA_CA_FILE": str(self.authority.ca),
        } | changes

    def _format(self, properties):
        listeners = {
            "PLAINTEXT": self.bootstrap,
            "CONTROLLER": f"127.0.0.1:{self._controller_port}",
        } | self.doors
        told = ",".join(f"{name}://{where}" for name, where in listeners.items())
        protocols = ",".join(f"{name}:{name}" for name in ("PLAINTEXT", *self.doors))
        certificate, key = self.authority.certificate("broker")
        store = properties.with_name("broker.pem")
        store.write_bytes(key.read_bytes() + certificate.read_bytes())
        known = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        with properties.open("a") as file:
            file.write(
                f"listeners={told}\nadvertised.listeners={told}\n"
                f"listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}\n"
                f"ssl.keystore.type=PEM\nssl.keystore.location={store}\n"
                f"ssl.truststore.type=PEM\nssl.truststore.location={self.authority.ca}\n"
                "listener.name.ssl.ssl.client.auth=required\n"
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
                f"super.users=User:ANONYMOUS;User:{EVERYTHING};User:CN=certified\n"
            )
            for name in ("sasl_ssl", "sasl_plaintext"):
                modules = "org.apache.kafka.common.security"
                file.write(
                    f"listener.name.{name}.sasl.enabled.mechanisms=PLAIN,{SCRAM}\n"
                    f"listener.name.{name}.plain.sasl.jaas.config="
                    f"{modules}.plain.PlainLoginModule required {known};\n"
                    f"listener.name.{name}.{SCRAM.lower()}.sasl.jaas.config="
                    f"{modules}.scram.ScramLoginModule required;\n"
                )
        scram = f"{SCRAM}=[name={EVERYTHING},password={self.users[EVERYTHING]}]"
        identity = "UmVkU3RhdHNDbHVzdGVyMQ"
        subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", "format", "--standalone", "-t", identity,
             "-c", str(properties), "--add-scram", scram],
            check=True, capture_output=True,
        )  # fmt: skip

    async def allow(self, line):
        """Do what a line of `kafka-acls.sh --add` does."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            for one in acls_of(line):
                answer = await admin._send_to_controller(CreateAclsRequest(*one))
                assert [code for code, _ in answer.creation_responses] == [0], (line, answer)
        finally:
            await admin.close()


def acls_of(line):
    """The entries that a line of `kafka-acls.sh --add` makes; any other option fails."""
    words = line.split()
    assert words[:3] == ["kafka-acls.sh", "$ADMIN", "--add"], line
    given = list(zip(words[3::2], words[4::2], strict=True))
    options = {"--allow-principal", "--operation", "--resource-pattern-type", *RESOURCES}
    assert {name for name, _ in given} <= options, line
    [principal] = [value for name, value in given if name == "--allow-principal"]
    is_prefix = ("--resource-pattern-type", "prefixed") in given
    pattern = PREFIXED if is_prefix else LITERAL
    return [
        (RESOURCES[kind], resource, pattern, principal, "*", OPERATIONS[operation], ALLOW)
        for kind, resource in given if kind in RESOURCES
        for name, operation in given if name == "--operation"
    ]  # fmt: skip


@contextmanager
def a_locked_kafka(folder, users):
    """The broker, without any topic; `users` are passwords by name."""
    broker = LockedKafka(Path(folder) / "kafka", Authority(Path(folder) / "authority"), users)
    broker.start()
    try:
        asyncio.run(broker.until_ready())
        yield broker
    finally:
        broker.stop()
