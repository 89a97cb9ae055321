"""Settings of `annotate`, without torch."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clickgrain.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_host(host: str) -> None:
    """Raises ConfigError: what to listen on is neither a name of this machine nor an address."""
    try:
        _ = host in LOOPBACK or ipaddress.ip_address(host)
    except ValueError:
        reason = "is no address; give 127.0.0.1 (this machine only), 0.0.0.0, or an address of this machine"
        raise ConfigError(f"--host {host!r} {reason}") from None


@dataclass(frozen=True)
class AnnotateArgs:
    """Cut out and label objects in your photos, in the browser.

    A server on this machine opens a page; nothing leaves the machine. What you do is saved as you do it. Stop with
    Ctrl-C, and continue with the same command.
    """

    # folder of photos, walked recursively, or one photo; pages of a TIFF become a folder of images.
    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    # file that keeps the annotations; clickgrain.db in the folder of the photos when not given.
    project: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    # "default" (the model in the package), "tree" (no network), a model folder, a Hugging Face id,
    # python:MODULE:FACTORY or onnx:ENCODER,DECODER; the one that the project used last, else "default" where it
    # ships, else "tree".
    model: str | None = None
    device: str = "cpu"  # of the model: cpu, cuda, cuda:1, mps.
    # what computes the network: torch, or onnx (ONNX Runtime on the CPU), which starts without torch; onnx for what
    # export-model wrote, if left out.
    runtime: Annotated[
        Literal["torch", "onnx"] | None,
        tyro.conf.arg(metavar="{torch,onnx}", help_behavior_hint="(default: onnx for what export-model wrote)"),
    ] = None
    host: str = "127.0.0.1"  # address to listen on; any but this machine's own asks every visitor for a token.
    port: int = 8765  # 0 takes a free one.
    token: str | None = None  # ask every visitor for this token; one is made up where it is needed.
    # file of the people who annotate together, a line NAME or NAME=TOKEN each; every one gets an address, and
    # tokens that are missing are made up and written into the file.
    users: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    browser: bool = True  # whether to open the page in a browser.
    # patterns of files and folders to leave out.
    ignore: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN")] = ()
    memory: int = 128  # megabytes of encoded images to keep.

    def __post_init__(self) -> None:
        if self.runtime == "onnx" and not self.device.startswith("cpu"):
            raise ConfigError(f"--runtime onnx works on --device cpu only, not {self.device}; leave one out")
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"--port {self.port} is no port; give 0..65535, 0 for any free one")
        if self.memory < 16:
            raise ConfigError(f"--memory {self.memory} megabytes hold no image; give 16 or more")
        check_host(self.host)
        if self.token is not None and self.users is not None:
            raise ConfigError("--token is for one person, --users for several; leave one of them out")
        if self.token is not None and (len(self.token) < 8 or not self.token.isascii() or not self.token.isalnum()):
            raise ConfigError("--token must be 8 or more letters and digits; leave it out to have one made up")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK
