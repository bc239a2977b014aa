"""A program out of Debian's packages, without installing it: unpacked into the rig's folder.

What is installed stays as it is, also where a package is in conflict with one that is wanted.
"""

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers import PeerError

DOWNLOAD_SECONDS = 120


def unpack(package: str, folder: Path) -> Path:
    """The root folder of the package and of what it needs beyond the installed. Raises PeerError.

    Asks apt's servers. The packages' scripts are not run.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise PeerError(f"{package} comes from Debian's packages, and there is no apt-get here")
    archives, root = folder / "archives", folder / "root"
    (archives / "partial").mkdir(parents=True)
    _run(
        *("apt-get", "install", "--download-only", "--yes", "--quiet", "--quiet"),
        *("--no-install-recommends", "-o", f"Dir::Cache::archives={archives}"),
        *("-o", "Debug::NoLocking=1", package),
    )
    found = sorted(archives.glob("*.deb"))
    if not found:
        raise PeerError(f"apt-get gave no {package}: is it installed beside another mail server?")
    for archive in found:
        _run("dpkg", "--extract", str(archive), str(root))
    return root


def library_path(root: Path) -> str:
    """Where the shared objects of an unpacked package lie, as LD_LIBRARY_PATH names it."""
    folders = {file.parent for file in root.glob("usr/lib/**/*.so.*")}
    return os.pathsep.join(map(str, sorted(folders)))


def _run(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"{command[0]} did not end in {DOWNLOAD_SECONDS} s") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise PeerError(f"{command[0]} failed ({' '.join(last)}): try apt-get update")
