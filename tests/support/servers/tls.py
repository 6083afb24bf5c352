"""Certificates for servers of tests, and clients that trust them.

They are for localhost and were made once, with

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500
        -keyout one.key -out one.pem -subj "/CN=s3archivefs tests, one"
        -addext "subjectAltName=DNS:localhost,DNS:archive.localhost,DNS:maps.localhost,
            IP:127.0.0.1,IP:::1"
        -addext "keyUsage=critical,digitalSignature,keyCertSign"
        -addext "extendedKeyUsage=serverAuth"

Each signs itself, so it is its own authority.
"""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

from s3archivefs_lambda.commands.endpoint_settings import TLS_CERT, TLS_KEY
from s3archivefs_lambda.commands.tls_files import certificate_of
from s3archivefs_lambda.endpoint.tls import Certificate

_HERE = Path(__file__).with_name("certificates")


def authority(name: str) -> Path:
    """The file that a client needs to trust a certificate."""
    return _HERE / f"{name}.pem"


def install(name: str, directory: Path) -> tuple[Path, Path]:
    """Put a certificate and its key into a directory, in place of what is there."""
    target = directory / "server.pem", directory / "server.key"
    for file, source in zip(target, (f"{name}.pem", f"{name}.key"), strict=True):
        new = file.with_suffix(".new")
        new.touch(0o600)
        shutil.copyfile(_HERE / source, new)
        new.replace(file)
    return target


def certificate_in(directory: Path) -> Certificate:
    """What the settings make of the files there."""
    settings = {
        TLS_CERT: str(directory / "server.pem"),
        TLS_KEY: str(directory / "server.key"),
    }
    certificate = certificate_of(settings)
    assert certificate is not None
    return certificate


def trusting(*names: str, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """The settings of a client that trusts these certificates, and speaks this version only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in names:
        context.load_verify_locations(authority(name))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def serving(certificate: Path, key: Path) -> ssl.SSLContext:
    """The settings of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
