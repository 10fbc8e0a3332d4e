"""A small model of the laptop's journal and executor, and the ledger of effects outside of it.

Local acts only on a card that it has rendered, that lies in `Approved/` on its own disk, once
for each id. Whether the person put it there is for the judge to say.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nightdesk.policy import Role
from nightdesk.sync.frontmatter import peek
from nightdesk.vault.files import create, move
from nightdesk.vault.layout import is_conflict_copy

if TYPE_CHECKING:
    from deskworld import World

SHOWN = b"(shown by Local)\n"


class Executor:
    """The journal survives crashes: it is another disk.

    Attributes:
        effects: the outside world's own list: (id, text), in order.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.vault = world.laptop
        self.cards: dict[str, tuple[bytes, bytes]] = {}
        self.recorded: dict[str, tuple[str, bytes]] = {}
        self.effects: list[tuple[str, bytes]] = []

    # What sync asks -----------------------------------------------------------------------

    def incoming(self, path: str, data: bytes) -> bytes | None:
        """Render a new card; the same proposal gives the same card, another one is refused."""
        name = peek(data, "id").strip()
        if not name:
            return None
        raw, card = self.cards.setdefault(name, (data, data + SHOWN))
        return card if raw == data and name not in dict(self.effects) else None

    def withhold(self, path: str) -> bool:
        """Whether this move is not in the journal yet."""
        try:
            data = (self.vault / path).read_bytes()
        except OSError:
            return False
        name = self.name_of(path, data)
        return name in self.cards and name not in self.recorded and not self.done(name)

    # The laptop's work ----------------------------------------------------------------------

    def record(self) -> None:
        """Look through Approved/ and write down what lies there."""
        for file in self.approved():
            data = file.read_bytes()
            name = self.name_of(file.name, data)
            if name in self.cards and name not in self.recorded and not self.done(name):
                self.recorded[name] = (str(file.relative_to(self.vault)), data)
                self.world.did(f"record {name}")

    def execute(self) -> None:
        """Act on what is recorded and still stands; then file the card and its task."""
        for name, (path, data) in list(self.recorded.items()):
            file = self.vault / path
            if not self.done(name):
                if not file.is_file() or file.read_bytes() != data:
                    del self.recorded[name]  # pulled back, moved about, or edited: look again
                    self.world.did(f"withdraw {name}")
                    continue
                self.effects.append((name, data))
                self.world.judge.effect(name, data)
                self.world.did(f"effect {name}")
            elif file.is_file() and move(file, self.vault / "Done/2026-11" / file.name):
                self.world.did(f"filed {name}")
                task = name.partition("-email-")[0]
                for owner in ("cloud", "local"):
                    source = self.vault / f"In_Progress/{owner}/{task}.md"
                    if source.is_file():
                        move(source, self.vault / f"Done/2026-11/{task}.md")

    def show(self, number: int) -> None:
        """Write the dashboard and a line of the log."""
        for path in ("Dashboard.md", "Logs/2026-11-24.md"):
            file = self.vault / path
            if not file.exists():
                create(file, b"")
            if file.is_file():
                self.world.judge.given_up(path, file.read_bytes())
                file.write_bytes(b"effects: %d, look %d\n" % (len(self.effects), number))
                self.world.stamp(Role.LOCAL, path)
                self.world.judge.last_word.pop(path)
        self.world.did("show")

    def merge_updates(self) -> None:
        """Take the cloud's reports into the dashboard: they go."""
        found = [p for p in sorted((self.vault / "Updates").glob("*.md")) if p.is_file()]
        for file in found:
            self.world.judge.given_up(str(file.relative_to(self.vault)), file.read_bytes())
            file.unlink()
        if found:
            self.world.did("merge-updates")

    # ----------------------------------------------------------------------------------------

    def approved(self) -> list[Path]:
        return [
            file
            for file in sorted((self.vault / "Approved").rglob("*.md"))
            if file.is_file() and not file.is_symlink() and not is_conflict_copy(file.name)
        ]

    def done(self, name: str) -> bool:
        return any(done == name for done, _ in self.effects)

    @staticmethod
    def name_of(path: str, data: bytes) -> str:
        return peek(data, "id").strip() or Path(path).stem
