"""Real servers on loopback, as the current user: OpenSSH, and nginx with git-http-backend."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightdesk.hub.build import authorized_line, install
from nightdesk.hub.trust import CLOUD, OWNER
from nightdesk.sync.outside import create_bare
from nightdesk.sync.signers import Key

SSHD = "/usr/sbin/sshd"
NGINX = "/usr/sbin/nginx"
FCGIWRAP = "/usr/sbin/fcgiwrap"
BACKEND = "/usr/lib/git-core/git-http-backend"
BY_TESTS = "run tests/install-servers as root"


def need(*programs: str) -> None:
    """Skip, loudly, where a server is not installed."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: {BY_TESTS}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(argv: list[str], log: Path, *, port: int = 0, path: Path | None = None):
    """Start a server in the foreground and wait until it accepts; end its whole group."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        end = time.monotonic() + 15
        while True:
            with contextlib.suppress(OSError):
                if path is None:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(path))
                    break
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{argv[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def make_key(file: Path, name: str) -> str:
    """Make an Ed25519 key, as an agent has one; returns its public line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)], check=True
        )
    return file.with_name(file.name + ".pub").read_text().strip()


class Sshd:
    """A real sshd whose every key is restricted to one hub.

    Attributes:
        hub: the bare repository, with the hub's programs in it.
        url: its address.
        known: the line for known_hosts.
    """

    def __init__(self, root: Path, *, with_hub: bool = True) -> None:
        need(SSHD, "ssh", "ssh-keygen")
        if os.getuid() == 0 and not Path("/run/sshd").is_dir():
            Path("/run/sshd").mkdir(mode=0o755)
        self.root = root / "sshd"
        self.root.mkdir(mode=0o755)
        self.port = free_port()
        self.hub = root / "hub.git"
        if with_hub:
            create_bare(self.hub)
            install(self.hub)
        self.keys = self.root / "authorized_keys"
        self.keys.write_text("")
        self.new_host_key()
        self.user = getpass.getuser()
        self.url = self.address(self.port)
        (self.root / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.root}/host\n"
            f"PidFile {self.root}/pid\nAuthorizedKeysFile {self.keys}\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n"
            "AcceptEnv GIT_PROTOCOL\nPrintLastLog no\nPrintMotd no\n"
        )
        self._running = contextlib.ExitStack()

    def address(self, port: int) -> str:
        return f"ssh://{self.user}@127.0.0.1:{port}{self.hub}"

    def new_host_key(self) -> None:
        for file in (self.root / "host", self.root / "host.pub"):
            file.unlink(missing_ok=True)
        self.host_key = " ".join(make_key(self.root / "host", "host").split()[:2])

    def known(self, port: int | None = None) -> str:
        return f"[127.0.0.1]:{port or self.port} {self.host_key}\n"

    def admit(self, state: Path, name: str, *, port: int | None = None) -> None:
        """Make an agent's key, let it in, and tell the agent the host's key."""
        key = Key.parse(make_key(state / "signing_key", name))
        with (self.hub / (OWNER if name == "local" else CLOUD)).open("a") as file:
            file.write(f"{key}\n")
        line = authorized_line(self.hub, key)
        with self.keys.open("a") as file:
            file.write(line + "\n")
        with (state / "known_hosts").open("a") as file:
            file.write(self.known(port))

    def start(self) -> None:
        argv = [SSHD, "-D", "-e", "-f", str(self.root / "sshd_config")]
        self._running.enter_context(running(argv, self.root / "log", port=self.port))

    def stop(self) -> None:
        self._running.close()

    def log(self) -> str:
        return (self.root / "log").read_text("utf-8", "replace")


@contextlib.contextmanager
def sshd(root: Path, *, with_hub: bool = True) -> Iterator[Sshd]:
    server = Sshd(root, with_hub=with_hub)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Https:
    """nginx with TLS before git-http-backend, with a login and an authority of its own.

    Attributes:
        url: the hub's address.
        ca: the authority's certificate; `other_ca` is one that signed nothing here.
        moved: an address that redirects to the hub.
    """

    user = "cloud"
    password = "correct horse: battery"

    def __init__(self, root: Path) -> None:
        need(NGINX, FCGIWRAP, BACKEND, "openssl")
        self.root = root / "web"
        self.root.mkdir(mode=0o755)
        self.hub = root / "repositories" / "hub.git"
        create_bare(self.hub)
        self.port = free_port()
        base = f"https://localhost:{self.port}"
        self.url, self.moved = f"{base}/git/hub.git", f"{base}/moved/hub.git"
        self.ca = self._authority("ca")
        self.other_ca = self._authority("other")
        self._certificate()
        self._passwords()
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        sock = self.root / "fcgi"
        argv = [FCGIWRAP, "-c", "2", "-s", f"unix:{sock}"]
        self._running.enter_context(running(argv, self.root / "fcgi.log", path=sock))
        (self.root / "nginx.conf").write_text(self._config(sock))
        argv = [NGINX, "-c", str(self.root / "nginx.conf"), "-e", str(self.root / "err.log")]
        self._running.enter_context(running(argv, self.root / "nginx.log", port=self.port))

    def stop(self) -> None:
        self._running.close()

    def _config(self, sock: Path) -> str:
        d = self.root
        user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
        temp = " ".join(
            f"{kind}_temp_path {d}/t-{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""
worker_processes 1; daemon off; pid {d}/pid; error_log {d}/err.log; {user}
events {{ worker_connections 64; }}
http {{
  access_log {d}/access.log; {temp}
  server {{
    listen 127.0.0.1:{self.port} ssl; server_name localhost;
    ssl_certificate {d}/site.pem; ssl_certificate_key {d}/site.key; client_max_body_size 0;
    location ~ ^/moved(/.*) {{ return 302 https://localhost:{self.port}/git$1$is_args$args; }}
    location ~ ^/git(/.*) {{
      auth_basic git; auth_basic_user_file {d}/passwords; fastcgi_pass unix:{sock};
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {BACKEND}; fastcgi_param GIT_HTTP_EXPORT_ALL "";
      fastcgi_param GIT_PROJECT_ROOT {self.hub.parent}; fastcgi_param PATH_INFO $1;
      fastcgi_param REMOTE_USER $remote_user; fastcgi_param GIT_PROTOCOL $http_git_protocol;
    }}
  }}
}}
"""

    def _authority(self, name: str) -> Path:
        made = self.root / f"{name}.pem"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN=authority {name}", "-keyout", f"{name}.key",
            "-out", made.name, "-addext", "basicConstraints=critical,CA:TRUE",
        )  # fmt: skip
        return made

    def _certificate(self) -> None:
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=localhost", "-keyout", "site.key", "-out", "site.csr",
        )  # fmt: skip
        (self.root / "ext").write_text("subjectAltName=DNS:localhost\n")
        self._openssl(
            "x509", "-req", "-in", "site.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-set_serial", "2", "-days", "2", "-extfile", "ext", "-out", "site.pem",
        )  # fmt: skip

    def _passwords(self) -> None:
        made = self._openssl("passwd", "-apr1", "-stdin", text=self.password + "\n")
        (self.root / "passwords").write_text(f"{self.user}:{made.strip()}\n")

    def _openssl(self, *arguments: str, text: str = "") -> str:
        done = subprocess.run(
            ["openssl", *arguments],
            cwd=self.root,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def https(root: Path) -> Iterator[Https]:
    server = Https(root)
    server.start()
    try:
        yield server
    finally:
        server.stop()
