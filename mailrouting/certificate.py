"""A self-made TLS certificate for the gateway of the try-out.

Mail servers encrypt opportunistically and do not check the name, so STARTTLS can
be tried with it; a real gateway is given a real certificate by the settings.
"""

from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID_DAYS = 365
RENEW_BEFORE_DAYS = 30


def ensure(folder: Path, *, hostname: str, now: datetime) -> tuple[Path, Path]:
    """The files of the certificate and its key, made anew when missing, old or of another name."""
    certificate, key = folder / "gateway.crt", folder / "gateway.key"
    if not (key.exists() and certificate.exists() and _is_good(certificate, hostname, now)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(certificate, key, hostname, now)
    return certificate, key


def _is_good(path: Path, hostname: str, now: datetime) -> bool:
    found = x509.load_pem_x509_certificate(path.read_bytes())
    is_fresh = found.not_valid_after_utc - now > timedelta(days=RENEW_BEFORE_DAYS)
    return is_fresh and found.subject == _name(hostname)


def _name(hostname: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)])


def _make(certificate: Path, key: Path, hostname: str, now: datetime) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    key.touch(mode=0o600)
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    names = [x509.DNSName(name) for name in sorted({hostname, "localhost"})]
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(hostname))
        .issuer_name(_name(hostname))
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([*names, x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
