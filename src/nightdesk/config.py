"""Settings (TOML) and credentials by name. A credential never stands in the TOML or the vault."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from nightdesk.errors import ConfigError
from nightdesk.policy import Role

_AGENT = re.compile(r"[a-z][a-z0-9-]{0,30}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_ADDRESS = re.compile(r"[^\s<>@,;]+@[^\s<>@,;]+")
_NO_CREDENTIALS = frozenset({"NIGHTDESK_CONFIG"})
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@]+):(\d{1,5})")


def _address(text: str) -> str:
    if text and not _ADDRESS.fullmatch(text):
        raise ValueError("must be a bare e-mail address such as ada@example.com")
    return text


def _absolute(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _released(path: str) -> str:
    if "*" in path or "?" in path:
        raise ValueError(f"{path!r} is a pattern; name each note by its whole path")
    if "\\" in path or not all(part not in {"", ".", ".."} for part in path.split("/")):
        raise ValueError(f"{path!r} is no path inside the vault, such as Notes/api-examples.md")
    return path


ReleasedPath = Annotated[str, AfterValidator(_released)]
AnAddress = Annotated[str, AfterValidator(_address)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSettings(_Section):
    """Where the two halves meet.

    Attributes:
        url: a bare repository: a local path, ssh://, user@host:path, or https://.
        poll_seconds: how often to ask a hub that cannot be waited on; jittered by a third.
        user: login name for an https hub; its password or token is the credential
            `hub_password`.
        ca_file: for https: certificates of authorities (PEM), trusted instead of the system's.
        proxy: for https: "http://host:port", "https://…" or "socks5h://…"; the environment's
            proxy variables are not used.
    """

    url: str = Field(min_length=1)
    poll_seconds: float = Field(default=15.0, ge=0.1, le=3600)
    user: str = Field(default="", pattern=r"^[^:\x00-\x1f\x7f]*$")
    ca_file: AbsolutePath | None = None
    proxy: str = Field(default="", pattern=r"^((https?|socks5h?)://[^\s/@?#]+/?)?$")

    @model_validator(mode="after")
    def _for_https(self) -> HubSettings:
        if not self.url.startswith("https://") and (self.user or self.ca_file or self.proxy):
            raise ValueError(
                "user, ca_file and proxy are for https:// hubs; with ssh the user stands in the"
                " address and a key opens it"
            )
        return self


class EmailSettings(_Section):
    """Mail coming in (both agents) and going out (the laptop alone).

    Attributes:
        address: the user's own address; replies come from it.
        aliases: further addresses of the user's.
        maildir: a Maildir that mbsync or a local mail server delivers into.
        first_look_back_hours: on the very first look, older messages are left alone.
        poll_seconds: how often the mailbox is looked at.
        sent_maildir: laptop: a Maildir with the mails that this account has sent, such as mbsync
            fills from the Sent folder; Nightdesk looks there, and only looks, when it cannot know
            whether a mail went out.
        smtp: submission server "host:port"; 465 is TLS from the start, others STARTTLS.
            Plain text is used on loopback only.
        smtp_user: login name at the submission server; its password is the credential
            `smtp_password`. Empty: no login.
    """

    address: AnAddress = ""
    name: str = ""
    aliases: list[AnAddress] = Field(default_factory=list)
    maildir: AbsolutePath | None = None
    sent_maildir: AbsolutePath | None = None
    first_look_back_hours: float = Field(default=24.0, ge=0, le=87_600)
    poll_seconds: float = Field(default=20.0, ge=0.1, le=3600)
    smtp: str = ""
    smtp_user: str = ""
    smtp_timeout_seconds: float = Field(default=30.0, gt=0, le=300)

    @field_validator("smtp", mode="after")
    @classmethod
    def _host_and_port(cls, text: str) -> str:
        match = _HOST_PORT.fullmatch(text)
        if text and not (match and 0 < int(match[1]) < 65536):
            raise ValueError('must be "host:port", for example "smtp.example.com:587"')
        return text


class ModelSettings(_Section):
    """The language model; with `outline` the desk works without any.

    Attributes:
        provider: `outline`, `anthropic`, `openai`, or `openai-compatible` (Ollama, llama.cpp);
            the credential is `<provider>_api_key`, with `-` written as `_`.
        name: the provider's name for the model.
        base_url: only for openai-compatible servers and for tests.
        daily_tokens: tokens a UTC day after which the outline drafter takes over.
    """

    provider: Literal["outline", "anthropic", "openai", "openai-compatible"] = "outline"
    name: str = ""
    base_url: str = ""
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)
    daily_tokens: int = Field(default=500_000, ge=0)


class ApprovalSettings(_Section):
    """How the laptop treats approvals.

    Attributes:
        quiet_seconds: a card must have stood unchanged so long before it is taken.
        hold_seconds: how long a taken approval can still be pulled back.
        expire_hours: after how long an unanswered card expires.
        settle_seconds: laptop: when a send is in doubt, it is looked for three times within so
            long before the person is asked; a sent mail may take a while to appear.
    """

    quiet_seconds: float = Field(default=1.0, ge=0, le=60)
    hold_seconds: float = Field(default=5.0, ge=0, le=3600)
    expire_hours: float = Field(default=72.0, gt=0, le=87_600)
    settle_seconds: float = Field(default=120.0, ge=0, le=3600)


class SyncSettings(_Section):
    """Limits of sync.

    Attributes:
        full_scan_seconds: how often every file is hashed again whatever its time stamps say.
        max_deletions: a cycle that would remove more files than this, and more than a third
            of the vault, stops and asks.
        silent_after_minutes: the cloud is called silent when its heartbeat has not changed so long.
        release: vault-relative paths, exactly as they are spelled, of notes that may leave although
            something in them looks like a secret.
        return_claims_after_minutes: laptop: tasks that a silent agent has claimed and written no
            card for go back to `Needs_Action/` when it has been silent so long; 0: never.
    """

    full_scan_seconds: float = Field(default=300.0, ge=1, le=86_400)
    max_deletions: int = Field(default=50, ge=1)
    silent_after_minutes: float = Field(default=10.0, gt=0, le=100_000)
    release: list[ReleasedPath] = Field(default_factory=list)
    return_claims_after_minutes: float = Field(default=60.0, ge=0, le=100_000)

    @model_validator(mode="after")
    def _silent_before_its_claims_return(self) -> SyncSettings:
        if 0 < self.return_claims_after_minutes < self.silent_after_minutes:
            raise ValueError("return_claims_after_minutes must be 0 or >= silent_after_minutes")
        return self


class TrustedKeys(_Section):
    """Public keys, one line each as `init` prints it ("ssh-ed25519 AAAA… name").

    Attributes:
        owner: on a cloud agent, the laptop's key; what it has signed counts as judged.
        devices: further devices of the owner's; they may write everything, and approve.
        cloud: the keys of cloud agents.
    """

    owner: list[str] = Field(default_factory=list)
    devices: list[str] = Field(default_factory=list)
    cloud: list[str] = Field(default_factory=list)


def _agent_name(text: str) -> str:
    if not _AGENT.fullmatch(text):
        raise ValueError("a name is 1 to 31 small letters, digits or hyphens, a letter first")
    return text


AgentName = Annotated[str, AfterValidator(_agent_name)]


class Settings(_Section):
    """One agent's whole configuration file.

    Attributes:
        name: the agent's name; its claims lie in `In_Progress/<name>/`.
        role: which half this configuration is for; the other half's command refuses it.
        vault: the folder that a person opens in Obsidian.
        trusted: public signing keys of the other agents and devices.
    """

    name: AgentName
    role: Role | None = None
    vault: AbsolutePath
    hub: HubSettings
    email: EmailSettings = EmailSettings()
    model: ModelSettings = ModelSettings()
    approval: ApprovalSettings = ApprovalSettings()
    sync: SyncSettings = SyncSettings()
    trusted: TrustedKeys = TrustedKeys()


def config_path(role: Role, given: Path | None = None) -> Path:
    """Where the configuration lies: `--config`, `$NIGHTDESK_CONFIG`, or the user's own folder."""
    if given:
        return given.expanduser()
    if from_environment := os.environ.get("NIGHTDESK_CONFIG"):
        return Path(from_environment).expanduser()
    return _usual_folder() / f"{role}.toml"


def state_path(role: Role, config: Path) -> Path:
    """Where the agent keeps what must not be in the vault (journal, keys, seen mail).

    `$STATE_DIRECTORY` under systemd; beside a configuration file outside the usual place
    (`<file>.state/`), so that two desks on one machine stay apart; else the user's state folder.
    """
    if from_systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(from_systemd.split(":")[0])
    config = config.expanduser().absolute()
    if config != _usual_folder() / f"{role}.toml":
        return config.with_name(config.name + ".state")
    return _user_folder("XDG_STATE_HOME", ".local/state") / "nightdesk" / role


def _usual_folder() -> Path:
    return _user_folder("XDG_CONFIG_HOME", ".config") / "nightdesk"


def _user_folder(variable: str, usual: str) -> Path:
    # The XDG base directory specification: a relative path is to be ignored.
    given = Path(os.environ.get(variable, ""))
    return given if given.is_absolute() else Path.home() / usual


def load(path: Path) -> Settings:
    """Read and check a configuration file.

    Raises:
        ConfigError: it is missing, no TOML, or holds a wrong value or an unknown key.
    """
    try:
        text = path.read_text("utf-8-sig")  # Windows editors put a byte order mark in front
    except FileNotFoundError as e:
        raise ConfigError(
            "there is no configuration yet",
            remedy="Run `init` of the same command first, or name the file with --config",
            where=str(path),
        ) from e
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"the configuration cannot be read ({e})",
            remedy="Check that it is a UTF-8 text file that you may read",
            where=str(path),
        ) from e
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as e:  # ValueError: TOMLDecodeError, impossible dates
        raise ConfigError(
            f"the configuration is not valid TOML ({e})",
            remedy="Correct the line it names",
            where=str(path),
        ) from e
    return parse(values, str(path))


def parse(values: dict[str, Any], where: str) -> Settings:
    """Check configuration values.

    Raises:
        ConfigError: names the first key that is wrong or unknown.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"unknown key `{key}`" if unknown else f"`{key}`: {message}",
            remedy="Remove it or correct its spelling; docs/configuration.md lists every key"
            if unknown
            else "Correct this value; docs/configuration.md describes it",
            where=where,
        ) from e


def credential(name: str) -> str | None:
    """Look a credential up by name: systemd's folder, then the environment, then the keyring.

    Args:
        name: letters, digits, `_` and `-`, for example `smtp_password`. In the environment it
            is `NIGHTDESK_<NAME>`; in the keyring the service is `nightdesk`.

    Returns:
        The secret without its final line break, or None where nobody has it. An empty one
        counts as not there.

    Raises:
        ConfigError: the name is none, or the credential's file cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no credential name", remedy="Use letters, digits, _ and - only"
        )
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and (value := _from_file(Path(folder) / name)):
        return value
    variable = "NIGHTDESK_" + name.upper().replace("-", "_")
    return os.environ.get(variable) or _from_keyring(name)


def held_credentials(known: Iterable[str]) -> dict[str, str]:
    """Every credential that `credential` can find here, by name; for the guard.

    Whole files of systemd's folder, every `NIGHTDESK_*` variable that is one, and of the keyring,
    which cannot be listed, the names that are known. One that stands in two places is given
    twice, because both values are secrets.

    Raises:
        ConfigError: a credential's file cannot be read.
    """
    found: dict[str, str] = {}

    def add(name: str, value: str | None) -> None:
        if value and value not in found.values():
            found[name if name not in found else f"{name} (another value)"] = value

    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and Path(folder).is_dir():
        for file in sorted(Path(folder).iterdir()):
            if _NAME.fullmatch(file.name):
                add(file.name, _from_file(file))
    for variable, value in sorted(os.environ.items()):
        if variable.startswith("NIGHTDESK_") and variable not in _NO_CREDENTIALS:
            add(variable.removeprefix("NIGHTDESK_").lower(), value)
    for name in known:
        add(name, _from_keyring(name))
    return found


def _from_file(file: Path) -> str | None:
    try:
        return file.read_text("utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as e:
        # Never the error's own words: a decoding error quotes the secret's bytes.
        why = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"the credential `{file.name}` cannot be read ({why})",
            remedy="Check the LoadCredential line of the unit and the file behind it",
            where=str(file),
        ) from None


def _from_keyring(name: str) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password("nightdesk", name) or None
    except KeyringError:  # a machine without a desktop has no keyring
        return None
