"""The known pitfalls of git as a sync tool, by number: the disk, the process, a person's save."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from twovaults import Desk, Side

from nightdesk.errors import NightdeskError, SyncHalted, VaultUnavailable
from nightdesk.sync.entries import blob_oid
from nightdesk.vault import unchanged
from nightdesk.vault.watch import Signal, Watch


def in_a_child(side: Side) -> int:
    """Begin one cycle of a side in a process of its own; returns its id."""
    side.close()
    child = os.fork()
    if child:
        return child
    code = 1  # the child: nothing of the test run's may go on in it
    try:
        side.sync()
        code = 0
    finally:
        os._exit(code)


@pytest.mark.parametrize("verb", ["replace", "remove"])
def test_09_a_save_between_the_scan_and_the_write(
    devices: Desk, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last moment, after the last look: what came out of the exchange tells."""
    devices.local.write("Notes/n.md", "one\n")
    devices.settle()
    if verb == "replace":
        devices.cloud.write("Notes/n.md", "the other's\n")
    else:
        (devices.cloud.vault / "Notes/n.md").unlink()
    devices.cloud.sync()
    name = {"replace": "swap", "remove": "rename_new"}[verb]
    real = getattr(unchanged, name)
    saves = ["saved in the last moment\n"]

    def late(*paths: Path) -> object:
        if saves and any(path.name == "n.md" for path in paths):
            devices.local.write("Notes/n.md", saves.pop())
        return real(*paths)

    monkeypatch.setattr(unchanged, name, late)
    devices.local.sync()
    assert not saves
    devices.settle()
    files = devices.local.files()
    assert files == devices.cloud.files()
    assert b"saved in the last moment\n" in files.values()
    if verb == "replace":
        assert b"the other's\n" in files.values()


LOOK = """
import json, sys
path, seen = sys.argv[1], {}
print("ready", flush=True)
for line in iter(lambda: sys.stdin.read(0), None):
    try:
        data = open(path, "rb").read()
        key = (len(data), data[:1].decode(), data[-2:-1].decode(), len(set(data)))
    except FileNotFoundError:
        key = ("missing",)
    seen[key] = seen.get(key, 0) + 1
    import os
    if os.path.exists(path + ".stop"):
        break
print(json.dumps([[*key, n] for key, n in seen.items()]))
"""


def test_10_nobody_sees_a_missing_or_half_written_note(devices: Desk) -> None:
    size = 400_000
    note = devices.local.vault / "Notes/n.md"

    def version(letter: str) -> str:
        return letter * (size - 1) + "\n"

    devices.local.write("Notes/n.md", version("a"))
    devices.settle()
    # In a process of its own, so that no lock of the interpreter keeps it from looking.
    with subprocess.Popen(
        [sys.executable, "-c", LOOK, str(note)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    ) as looker:  # fmt: skip
        assert looker.stdout
        assert looker.stdout.readline() == "ready\n"
        for letter in "bcde":
            devices.cloud.write("Notes/n.md", version(letter))
            devices.cloud.sync()
            assert devices.local.sync().pulled == ("Notes/n.md",)
        Path(f"{note}.stop").touch()
        seen = json.loads(looker.stdout.read())
    assert sum(row[-1] for row in seen) > 100
    # One letter and the line end, from the first byte to the last.
    assert [row for row in seen if row[0] != size or row[1] != row[2] or row[3] != 2] == []


def test_13_killed_at_any_moment_and_started_again(desk: Desk) -> None:
    """SIGKILL by the clock; the sweep over every system call is a test of its own."""
    desk.local.write("Needs_Action/general/t.md", '---\nid: "t"\n---\nx\n')
    desk.settle()
    ended = []
    for number, delay in enumerate((0.02, 0.05, 0.09, 0.14, 0.2, 0.3)):
        desk.local.write(f"Notes/l{number}.md", f"{number}\n")
        desk.cloud.write(f"Plans/c{number}.md", f"{number}\n")
        desk.cloud.sync()
        child = in_a_child(desk.local)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        ended.append(os.waitpid(child, 0)[1])
        # Its git dies with it when the power goes, and lives on when the daemon alone is killed.
        for orphan in git_processes(desk.local.vault) if number % 2 else []:
            with suppress(psutil.NoSuchProcess):
                orphan.kill()
                orphan.wait(10)
    assert signal.SIGKILL in ended, "every cycle was over before its end"
    desk.settle()
    files = desk.local.files()
    assert files == desk.cloud.files()
    for number in range(6):
        assert files[f"Notes/l{number}.md"] == files[f"Plans/c{number}.md"] == b"%d\n" % number
    assert not [path for path in files if "conflict" in path or ".nightdesk-" in path]
    assert desk.git("fsck", "--strict", "--no-dangling", cwd=desk.local.vault) == ""


def git_processes(vault: Path) -> list[psutil.Process]:
    """The git processes of one vault: each has a session of its own, as after a real kill."""
    return [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "git" and process.info["cwd"] == str(vault)
    ]


def test_17_an_empty_or_vanished_vault_is_no_removal(desk: Desk) -> None:
    for n in range(3):
        desk.local.write(f"Notes/{n}.md", str(n))
    desk.settle()
    tip = desk.git("rev-parse", "main")
    vault, aside = desk.local.vault, desk.root / "aside"
    files = desk.local.files()

    def unavailable() -> None:
        for call in (desk.local.sync, lambda: desk.local.sync(full=True)):
            with pytest.raises(VaultUnavailable) as caught:
                call()
            assert caught.value.remedy
        assert desk.git("rev-parse", "main") == tip

    # Every file gone, its .git still there (a sync tool that emptied it).
    aside.mkdir()
    for entry in list(vault.iterdir()):
        if entry.name != ".git":
            entry.rename(aside / entry.name)
    unavailable()
    for entry in list(aside.iterdir()):
        entry.rename(vault / entry.name)
    # Only the .git gone; the whole folder gone; an empty folder in its place.
    (vault / ".git").rename(aside / ".git")
    unavailable()
    (aside / ".git").rename(vault / ".git")
    vault.rename(aside / "vault")
    unavailable()
    with pytest.raises(VaultUnavailable):
        desk.local.engine.beat({})
    assert not vault.exists(), "nothing is made anew in its place"
    vault.mkdir()
    unavailable()
    assert os.listdir(vault) == []
    vault.rmdir()
    (aside / "vault").rename(vault)
    assert not desk.local.sync().changed
    assert desk.local.files() == files


def test_23_what_is_no_ordinary_file(desk: Desk) -> None:
    vault = desk.local.vault
    desk.local.write("Notes/a.md", "a")
    desk.local.write("Notes/was a note.md", "hub's")
    desk.settle()
    (desk.root / "outside.md").write_text("outside")
    (desk.root / "folder").mkdir()
    (desk.root / "folder/in.md").write_text("outside")
    (vault / "Notes/link.md").symlink_to(desk.root / "outside.md")
    (vault / "Notes/dangling.md").symlink_to("nowhere.md")
    (vault / "Linked").symlink_to(desk.root / "folder")
    (vault / "Notes/was a note.md").unlink()
    (vault / "Notes/was a note.md").symlink_to(desk.root / "outside.md")
    os.mkfifo(vault / "Notes/pipe.md")
    nested = vault / "Project"
    desk.git("init", "-q", str(nested))
    desk.local.write("Project/readme.md", "a note beside a .git")
    desk.local.write("Project/.git/hooks/evil.md", "x")
    report = desk.local.sync()
    assert {held.path for held in report.held_back} == {
        "Notes/link.md", "Notes/dangling.md", "Linked", "Notes/was a note.md", "Notes/pipe.md",
    }  # fmt: skip
    desk.settle()
    files = desk.cloud.files()
    assert files["Project/readme.md"] == b"a note beside a .git"
    assert files["Notes/was a note.md"] == b"hub's", "a link in its place is no edit"
    assert not [path for path in desk.hub_files() if ".git/" in path or "Linked" in path]
    assert b"outside" not in desk.hub_bytes()


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "missing"])
def test_25_a_broken_object_stops_loudly_and_no_edit_is_lost(devices: Desk, damage: str) -> None:
    """The bytes that the merge needs are broken here: told, and made whole from the hub's copy."""
    lines = [f"line {n}\n" for n in range(9)]
    devices.local.write("Notes/n.md", "".join(lines))
    devices.settle()
    devices.local.close()
    oid = blob_oid("".join(lines).encode())
    place = f"objects/{oid[:2]}/{oid[2:]}"
    broken = devices.local.vault / ".git" / place
    good = broken.read_bytes()
    broken.chmod(0o644)
    match damage:
        case "empty":
            broken.write_bytes(b"")
        case "cut":
            broken.write_bytes(good[: len(good) // 2])
        case "garbage":
            broken.write_bytes(b"\0" * len(good))
        case "missing":
            broken.unlink()
    devices.cloud.write("Notes/n.md", "".join(["OTHER\n", *lines[1:]]))
    devices.cloud.sync()
    devices.local.write("Notes/n.md", "".join([*lines[:-1], "LAPTOP\n"]))
    with pytest.raises(SyncHalted) as caught:
        devices.local.sync()
    assert "fsck" in caught.value.remedy
    assert devices.local.read("Notes/n.md").endswith(b"LAPTOP\n")
    broken.write_bytes((devices.hub / place).read_bytes())
    devices.settle()
    assert devices.local.read("Notes/n.md").decode() == "".join(
        ["OTHER\n", *lines[1:-1], "LAPTOP\n"]
    )
    assert devices.local.files() == devices.cloud.files()


def test_26_nothing_piles_up_over_many_cycles(desk: Desk) -> None:
    """Descriptors, children, threads and temporary files; the long run is a test of its own."""
    desk.settle()
    me = psutil.Process()

    def count() -> tuple[int, int, int, int]:
        left = [*desk.local.state.iterdir(), *(desk.local.vault / ".git").iterdir()]
        return me.num_fds(), len(me.children(recursive=True)), threading.active_count(), len(left)

    desk.local.write("Notes/n.md", "first")
    desk.local.sync()
    before = count()
    for n in range(24):
        if n % 3 == 0:
            desk.local.write("Notes/n.md", str(n))
        desk.local.sync()
    assert count() == before


WITH_FEW_WATCHES = """
import sys, time
from pathlib import Path
Path("/proc/sys/user/max_inotify_watches").write_text("5")
from nightdesk.vault.watch import Signal, Watch
with Watch([Path(sys.argv[1])], Signal()):
    print("watching", flush=True)
    sys.stdin.read()
"""


def test_31_more_events_than_the_watcher_holds_and_no_watch_left(desk: Desk) -> None:
    desk.settle()
    wake = Signal()
    with Watch([desk.local.vault], wake):
        for n in range(300):
            desk.local.write(f"Notes/n{n}.md", str(n))
        assert wake.wait(10)
        report = desk.local.sync()
    assert len(report.pushed) == 300, "the look is at the disk, not at the events"
    # A namespace of its own has a limit of its own: the watcher stands, and sees next to nothing.
    with subprocess.Popen(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", WITH_FEW_WATCHES,
         str(desk.local.vault)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as limited:  # fmt: skip
        assert limited.stdout
        started = limited.stdout.readline()
        for n in range(9):
            desk.local.write(f"Folder {n}/late.md", "late")
        _, errors = limited.communicate()
    assert len(desk.local.sync().pushed) == 9, "the cycle by the clock finds everything"
    if not started:
        pytest.skip(f"no limit of its own can be set here: {errors[-200:]}")
    assert limited.returncode == 0, errors


def test_35_two_daemons_on_one_vault(desk: Desk) -> None:
    """The second is refused, also with a state folder of its own; a kill leaves no lock."""
    desk.settle()
    desk.local.open()
    with pytest.raises(NightdeskError, match="already at work") as caught:
        desk.local.make_engine().open()
    assert caught.value.remedy
    twin = Side(desk.root, desk.hub, desk.local.role, **desk.local.options)
    twin.state = desk.root / "another-state"
    with pytest.raises(NightdeskError, match="already at work"):
        twin.open()
    desk.local.close()
    script = "import fcntl, sys, time\nf = open(sys.argv[1], 'ab')\n"
    script += "fcntl.flock(f, fcntl.LOCK_EX)\nprint('held', flush=True)\ntime.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(desk.local.vault / ".git/nightdesk.lock")],
        stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with pytest.raises(NightdeskError, match="already at work"):
            desk.local.open()
        desk.local.engine = None
        other.kill()
    desk.local.write("Notes/a.md", "a")
    desk.local.sync()
    assert "Notes/a.md" in desk.hub_files()
