"""Debian's own servers as next hops: Postfix's smtp-sink, and Dovecot's LMTP with a maildir."""

import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.gateway.sink import free_port
from tests.waiting import wait_until

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
default_internal_user = {internal}
default_login_user = {internal}
default_internal_group = {group}
mail_location = maildir:{folder}/mail/%u
mail_uid = {account}
mail_gid = {group_of_mail}
first_valid_uid = 1
first_valid_gid = 1
auth_username_format = %Lu
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
{userdb}
}}
service lmtp {{
  chroot =
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@contextmanager
def smtp_sink(port: int | None = None) -> Iterator[tuple[int, Path]]:
    """A port on which Postfix's smtp-sink takes mail, and the folder it writes each one to."""
    with open_folder("sink") as folder:
        port, owner = port or free_port(), unprivileged()
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = ["-u", owner.pw_name] if os.geteuid() == 0 else []
        command = [program("smtp-sink"), *user, "-d", f"{folder}/%M.", f"127.0.0.1:{port}", "100"]
        with running(command, port):
            yield port, folder


# Everybody has a mailbox, or those alone who stand in a file that is read anew for each question.
ANYBODY = """
  driver = static
  args = uid={account} gid={group_of_mail} home={folder}/mail/%u allow_all_users=yes
"""
LISTED = """
  driver = passwd-file
  args = username_format=%u {folder}/users
  default_fields = uid={account} gid={group_of_mail} home={folder}/mail/%u
"""


@contextmanager
def dovecot(users: Sequence[str] | None = None) -> Iterator[tuple[int, Path]]:
    """A port on which Dovecot speaks LMTP, and the folder of its maildirs.

    With `users` these alone have a mailbox: one a line in the file `users` beside that folder.
    """
    with open_folder("dovecot") as folder:
        port, owner = free_port(), unprivileged()
        internal = "dovecot" if os.geteuid() == 0 else owner.pw_name
        mail = folder / "mail"
        mail.mkdir()
        os.chown(mail, owner.pw_uid, owner.pw_gid)
        names = {
            "folder": folder,
            "port": port,
            "internal": internal,
            "group": internal if os.geteuid() == 0 else _group(owner.pw_gid),
            "account": owner.pw_name,
            "group_of_mail": _group(owner.pw_gid),
        }
        (folder / "users").write_text("".join(f"{user}:::::::\n" for user in users or ()))
        userdb = ANYBODY if users is None else LISTED
        configuration = folder / "dovecot.conf"
        configuration.write_text(DOVECOT.format(userdb=userdb.format(**names), **names))
        with running([program("dovecot"), "-F", "-c", str(configuration)], port):
            yield port, mail


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None)
        if process.poll() is not None:
            output = process.stdout.read() if process.stdout else b""
            raise AssertionError(output.decode(errors="replace"))
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


def age(file: Path) -> None:
    """Make a file an hour old: Postfix takes no configuration that is younger than two seconds."""
    hour_ago = time.time() - 3600
    os.utime(file, (hour_ago, hour_ago))


def program(name: str) -> str:
    found = shutil.which(name, path=SEARCH_PATH)
    assert found, f"{name} is not installed"
    return found


@contextmanager
def open_folder(name: str) -> Iterator[Path]:
    """A temporary folder that another account can pass through, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir="/tmp") as path:
        folder = Path(path)
        folder.chmod(0o755)
        yield folder


def unprivileged() -> pwd.struct_passwd:
    """Who a server runs as: nobody where root starts it, else ourselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def _group(number: int) -> str:
    return grp.getgrgid(number).gr_name


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
