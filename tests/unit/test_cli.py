"""The command line as a whole: its table, its help, and what becomes of errors."""

import dataclasses
import difflib
import io
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from clickgrain import __version__, cli
from clickgrain.commands.parsing import arguments_of
from clickgrain.errors import ClickgrainError, DataError

ROOT = Path(__file__).parents[2]
COMMAND_NAMES = [command.name for command in cli.COMMANDS]
HEAVY = ("torch", "cv2", "numba", "transformers", "numpy", "scipy")


@dataclasses.dataclass(frozen=True)
class NoArgs:
    """Do one thing."""


@pytest.fixture
def command(monkeypatch):
    """Make `clickgrain act` call a function."""

    def install(act):
        def function(args: NoArgs) -> None:
            act()

        module = ModuleType("command_of_a_test")
        module.act = function
        monkeypatch.setitem(sys.modules, "command_of_a_test", module)
        monkeypatch.setattr(cli, "COMMANDS", (cli.Command("act", "do one thing", "command_of_a_test:act"),))

    return install


def _raise(error):
    raise error


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True, cwd=ROOT)


def modules_after(code):
    """Names of the modules that a fresh interpreter has loaded after running `code`."""
    done = python("-c", f"import sys; from clickgrain.cli import main; {code}; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["--help", "segment"]])
def test_help_names_every_command_once_with_its_line(arguments, capsys):
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    for command in cli.COMMANDS:
        assert [line.split(None, 1)[1] for line in lines if line.split()[:1] == [command.name]] == [command.help]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag, capsys):
    assert cli.main([flag]) == 0
    assert capsys.readouterr().out == f"clickgrain {__version__}\n"


def test_the_table_is_sound():
    assert len(set(COMMAND_NAMES)) == len(COMMAND_NAMES)
    for command in cli.COMMANDS:
        kind = arguments_of(command.function())
        assert dataclasses.is_dataclass(kind)
        assert kind.__doc__


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_a_command_explains_itself(name, capsys):
    assert cli.main([name, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"usage: clickgrain {name} ")
    assert captured.err == ""


def test_a_misspelt_command_gets_a_suggestion(capsys):
    assert cli.main(["segmnt"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "there is no command 'segmnt'; did you mean 'segment'?\n"
    assert captured.out == ""


def test_a_strange_command_gets_the_list(capsys):
    assert not difflib.get_close_matches("xyzzy", COMMAND_NAMES)
    assert cli.main(["xyzzy"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in COMMAND_NAMES)


def test_a_misspelt_option_gets_a_suggestion(capsys):
    assert cli.main(["--verson"]) == 2
    assert "did you mean '--version'?" in capsys.readouterr().err


def test_a_wrong_flag_is_named_and_nothing_runs(command, capsys):
    command(lambda: pytest.fail("the command ran"))
    assert cli.main(["act", "--no-such-flag"]) == 2
    captured = capsys.readouterr()
    assert "--no-such-flag" in captured.err
    assert captured.out == ""


def test_a_finished_command_ends_with_0(command, capsys):
    command(lambda: print("done"))
    assert cli.main(["act"]) == 0
    assert capsys.readouterr() == ("done\n", "")


def test_an_error_shows_its_message_alone(command, capsys):
    message = "photos/[bold]x[/bold].jpg: " + "long " * 40 + "end"
    command(lambda: _raise(ClickgrainError(message)))
    assert cli.main(["act"]) == 1
    assert capsys.readouterr() == ("", message + "\n")


def test_debug_adds_the_traceback(command, capsys):
    command(lambda: _raise(ClickgrainError("broken")))
    assert cli.main(["act", "--debug"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert "_raise" in said
    assert said.endswith("broken\n")


def test_a_bug_is_not_dressed_up_as_an_error_of_ours(command):
    command(lambda: _raise(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["act"])


def test_interruption(command, capsys):
    command(lambda: _raise(KeyboardInterrupt()))
    assert cli.main(["act"]) == 130
    assert capsys.readouterr().err == "interrupted; finished work is kept\n"


def wrapped():
    """A signal that arrives while a module is imported that makes such a class."""
    try:
        type("Late", (), {"field": type("Field", (), {"__set_name__": lambda *_: _raise(KeyboardInterrupt())})()})
    except RuntimeError as error:  # before Python 3.12
        raise DataError("the module is of no use") from error


def test_an_interruption_that_python_or_a_reader_has_made_another_error(command, capsys):
    command(wrapped)
    assert cli.main(["act"]) == 130
    assert capsys.readouterr().err == "interrupted; finished work is kept\n"


def test_an_error_while_an_interruption_is_dealt_with_is_told(command, capsys):
    def act():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise DataError("the disk is full")  # noqa: B904

    command(act)
    assert cli.main(["act"]) == 1
    assert capsys.readouterr().err == "the disk is full\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_work_is_done_is_no_traceback(number):
    """Python takes up to a second to end with torch loaded."""
    script = (
        "import atexit, os, sys; from clickgrain.cli import main;"
        f" atexit.register(lambda: os.kill(os.getpid(), {int(number)})); sys.exit(main())"
    )
    ended = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-number, "")


LEARN = "learn photos --out new"
TRAIN = "train photos --out new --store trees"
TUNE = "finetune photos --out new --from-scratch"
STUDY = "study maps --photos photos --data mine=photos --out new"
EVALUATE = "evaluate --model tree --data mine=photos"
SEGMENT = "segment photos/a.png --out mask.png"
WRONG = (
    *(f"{command} {flag}" for command in (LEARN, TRAIN, TUNE) for flag in (
        "--steps 0", "--batch 0", "--lr 0", "--lr nan", "--lr inf", "--crop 50", "--crop 0", "--seed -1",
        "--device gpu", "--device cuda:99", "--precision fp16", "--recipe huge", "--steps many",
        "--from a --from-scratch",
    )),
    *(f"{command} {flag}" for command in (LEARN, TRAIN) for flag in (
        "--minutes 0", "--minutes -1", "--minutes inf", "--minutes nan", "--minutes 3 --steps 4",
    )),
    *(f"{TUNE} {flag}" for flag in ("--labels 0", "--labels 1.5", "--labels nan")),
    *(f"demo --out new {flag}" for flag in ("--minutes 0", "--minutes inf", "--minutes nan", "--seed -1")),
    *(f"{STUDY} {flag}" for flag in (
        "--steps 0", "--batch 0", "--crop 50", "--lr 0", "--lr nan", "--seeds -1", "--seeds 1 1",
        "--photos-limit 0", "--data-limit 0", "--variants nowhere", "--variants 99",
        "--device gpu", "--recipe huge", "--labelled mine",
    )),
    *(f"study labels {STUDY[11:]} --shares {share}" for share in ("0", "2", "nan")),
    "study maps --photos photos --data mine=photos", "study nothing --list",
    "train photos --out new", "propose photos --out store --shard 5/4", "propose photos --out store --batch 0",
    "propose photos --out store --workers -1", "propose photos --out store --long-side -1",
    "propose photos --out store --connectivity 5", "propose photos --out store --linkage best",
    "propose photos --out store --device gpu",
    *(f"{EVALUATE} {flag}" for flag in (
        "--limit 0", "--processes -1", "--processes 2 --device cuda", "--max-clicks 0", "--threshold 2",
        "--threshold nan", "--user-seed 1", "--user noisy --user-seed -1", "--user me", "--device gpu",
        "--model tree", "--data mine=photos", "--data photos",
    )),
    *(f"evaluate-tree --extractor color-texture --data mine=photos {flag}" for flag in (
        "--cuts 0", "--cuts few", "--limit 0", "--linkage best", "--device gpu",
    )),
    "evaluate-tree --extractor color-texture --data photos",
    *(f"{SEGMENT} {flag}" for flag in (
        "", "--click 5", "--click a,b", "--click 5,5,x", "--click 999,5", "--click -3,5", "--click nan,5",
        "--scribble 5", "--scribble 1,1_999,999", "--box 1,2,3", "--box 9,9,3,3", "--box 1,1,999,9",
        "--click 5,5 --level 2", "--click 5,5 --level nan", "--click 5,5 --device gpu",
        "--click 5,5 --overlay a.txt", "--click 5,5 --overlay mask.png",
    )),
    "segment photos/a.png --out mask.jpg --click 5,5",
    *(f"annotate photos --no-browser {flag}" for flag in (
        "--port 99999", "--port -1", "--memory 1", "--token x", "--device gpu", "--host 0.0.0.0 --token short",
    )),
    "replay photos --device gpu", "export photos --out new --format word", "import photos",
)  # fmt: skip
"""Lines that are wrong whatever lies on the disk; `_` stands for a space in a word."""


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_value_exits_with_2_and_one_message_and_does_nothing(line, capsys, tmp_path, monkeypatch):
    """As docs/commands.md says; before: 1 for whatever a command checked itself, some values taken in silence."""
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (60, 40), (90, 120, 60)).save(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert cli.main([word.replace("_", " ") for word in line.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip()
    assert "Traceback" not in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.png"]


def test_a_port_in_use_is_a_wrong_value_too(capsys, tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["annotate", f"{tmp_path}", "--no-browser", "--port", f"{port}"]) == 2
    assert capsys.readouterr().err.startswith(f"port {port} is in use")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_settings_that_contradict_each_other_show_the_message_alone(capsys, tmp_path):
    arguments = ["propose", f"{tmp_path}", "--out", f"{tmp_path / 'store'}", "--shard", "5/4"]
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("--shard '5/4' is not i/n")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [
        "learn nowhere --out new",
        "evaluate --model tree --data mine=nowhere",
        "segment nowhere.png --out mask.png --click 1,1",
        "finetune nowhere --out new --from-scratch",
        "export nowhere --out new",
    ],
)
def test_what_is_not_there_is_an_error_but_no_wrong_command_line(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "colored"),
    [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False), ({}, False)],
)
def test_errors_are_red_where_colours_are_wanted(command, capsys, monkeypatch, settings, colored):
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    command(lambda: _raise(ClickgrainError("broken")))
    cli.main(["act"])
    assert capsys.readouterr().err == ("\x1b[31mbroken\x1b[0m\n" if colored else "broken\n")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_help_has_colours_on_a_terminal_unless_unwanted(monkeypatch, no_color, colored):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    assert cli.main([COMMAND_NAMES[0], "--help"]) == 0
    assert ("\x1b[" in terminal.getvalue()) == colored


def test_names_that_are_no_text_can_be_printed(command, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    command(lambda: print(os.fsdecode(b"caf\xe9.jpg")))
    assert cli.main(["act"]) == 0
    assert raw.getvalue() == b"caf\\udce9.jpg\n"


def test_a_reader_that_went_away_is_met_with_silence():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "clickgrain"], stdout=write, stderr=subprocess.PIPE, check=False, cwd=ROOT
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_it_runs_as_a_module():
    done = python("-m", "clickgrain", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"clickgrain {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_top_level_help_imports_next_to_nothing(arguments):
    loaded = modules_after(f"main({arguments})")
    assert "clickgrain.cli" in loaded
    assert not {"tyro", "rich", *HEAVY} & loaded


def test_the_help_of_commands_imports_nothing_heavy():
    loaded = modules_after(f"[main([name, '--help']) for name in {COMMAND_NAMES}]")
    assert {"tyro", *(command.target.split(":")[0] for command in cli.COMMANDS)} <= loaded
    assert not set(HEAVY) & loaded


def flags_of(name, capsys, monkeypatch):
    """Flags as tyro makes them from the command's dataclass."""
    monkeypatch.setenv("COLUMNS", "400")  # no line of the help is wrapped
    cli.main([name, "--help"])
    shown = re.findall(r"^[│ ] (--[a-z][a-z-]*(?:, --[a-z-]+)*)", capsys.readouterr().out, re.MULTILINE)
    return {flag for flags in shown for flag in flags.split(", ")}


def section(name):
    """What docs/commands.md says about a command."""
    text = (ROOT / "docs" / "commands.md").read_text()
    found = re.search(rf"^## clickgrain {re.escape(name)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/commands.md has no section '## clickgrain {name}'"
    return found[1]


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_every_command_and_flag_is_documented(name, capsys, monkeypatch):
    flags = flags_of(name, capsys, monkeypatch)
    cells = re.findall(r"^\| (`--.*?) \| \S", section(name), re.MULTILINE)
    documented = {flag for cell in cells for flag in re.findall(r"`(--[a-z][a-z-]*)", cell)}
    assert flags
    assert documented == flags
    assert f"\nclickgrain {name} " in section(name), "an example is missing"


def test_no_section_is_about_a_command_that_is_gone():
    text = (ROOT / "docs" / "commands.md").read_text()
    assert re.findall(r"^## clickgrain (\S+)$", text, re.MULTILINE) == COMMAND_NAMES


def test_the_end_of_the_interpreter_collects_no_garbage():
    """With torch loaded that takes a second, in which a stopped run seems to hang."""
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 1000));"
        "from clickgrain.cli import main; main(['--version'])"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "True"
