"""`clickgrain serve`: clicks answered inside another annotation tool."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clickgrain.annotate.config import LOOPBACK, check_host
from clickgrain.commands.console import say
from clickgrain.commands.parsing import Level
from clickgrain.devices import choose_device
from clickgrain.errors import ConfigError, check_range

URLS = {"label-studio": "http://localhost:8080", "cvat": "https://app.cvat.ai"}
OF_LABEL_STUDIO = ("host", "port", "password", "api_key", "root", "allow_host", "memory")
OF_CVAT = ("whole_image", "same", "label", "function")


@dataclass(frozen=True)
class ServeArgs:
    """Answer clicks inside Label Studio or CVAT, on this machine."""

    # label-studio: a machine learning backend; cvat: an agent of a CVAT server.
    tool: Annotated[Literal["label-studio", "cvat"], tyro.conf.Positional, tyro.conf.arg(metavar="TOOL")]
    # "default", "tree" (no network), a model folder or a Hugging Face id.
    model: Annotated[str, tyro.conf.arg(metavar="M")] = "default"
    device: str = "cpu"  # torch device; auto takes a GPU if there is one.
    # how large a region: 0 the smallest part, 1 the whole image.
    level: Level = None
    # of Label Studio or CVAT.
    url: Annotated[
        str | None, tyro.conf.arg(metavar="URL", help_behavior_hint=f"(default: {' or '.join(URLS.values())})")
    ] = None
    # label-studio: address to listen on; any but this machine's own asks for a password.
    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    port: int = 9090  # label-studio: 0 takes a free one.
    # label-studio: ask every request for this password (basic authentication).
    password: Annotated[str | None, tyro.conf.arg(metavar="PASSWORD")] = None
    # label-studio: access token of a user, for images that it hosts; or LABEL_STUDIO_API_KEY.
    api_key: Annotated[str | None, tyro.conf.arg(metavar="TOKEN")] = None
    # label-studio: folder that its local files lie in; left out, they are fetched from it.
    root: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    # label-studio: a host of the local network that images may come from. Repeat for more.
    allow_host: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="HOST")] = ()
    memory: Annotated[int, tyro.conf.arg(metavar="MB")] = 256  # label-studio: megabytes of encoded images to keep.
    whole_image: bool = False  # cvat: auto-annotation with all regions of an image, instead of answering clicks.
    # cvat: auto-annotation with what looks like the labelled objects of this project.
    same: Annotated[Path | None, tyro.conf.arg(metavar="PROJECT")] = None
    label: str = "region"  # cvat, with --whole-image: label of the regions.
    # cvat: number of a function that was made before; else one is made.
    function: Annotated[int | None, tyro.conf.arg(metavar="N")] = None

    def __post_init__(self) -> None:
        others = OF_CVAT if self.tool == "label-studio" else OF_LABEL_STUDIO
        for name in others:
            if getattr(self, name) != getattr(type(self), name):
                raise ConfigError(f"--{name.replace('_', '-')} is not for {self.tool}; leave it out")
        if self.same is not None and (self.whole_image or self.level is not None):
            raise ConfigError("--same goes neither with --whole-image nor with --level; leave one of them out")
        check_range(self, "level", 0, 1)
        check_range(self, "port", 0, 65_535)
        if self.memory < 16:
            raise ConfigError(f"--memory {self.memory} megabytes hold no image; give 16 or more")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"--url {self.url!r} is no address; give e.g. {URLS[self.tool]}")
        if self.root is not None and not self.root.is_dir():
            raise ConfigError(f"--root {self.root} is no folder; give the one that Label Studio serves")
        check_host(self.host)
        if self.host not in LOOPBACK and not self.password:
            raise ConfigError(f"--host {self.host} lets other machines in; give a --password for Label Studio")


def serve(args: ServeArgs) -> None:
    """Serve until Ctrl-C; the address on stdout, the rest on stderr."""
    device, url = choose_device(args.device), args.url or URLS[args.tool]
    if args.tool == "cvat":
        from clickgrain.integrations.cvat_agent import run_agent

        kind = "same" if args.same is not None else "whole-image" if args.whole_image else "clicks"
        settings = {"kind": kind, "model": args.model, "device": device, "label": args.label, "level": args.level}
        settings["project"] = None if args.same is None else str(args.same.absolute())
        run_agent(url, settings, args.function, say)
        return
    from clickgrain.annotate.metrics import Watch
    from clickgrain.annotate.server import address_of, bind, run
    from clickgrain.integrations.fetch import Fetcher
    from clickgrain.integrations.image_cache import ImageCache
    from clickgrain.integrations.label_studio import Backend, make_app
    from clickgrain.segmenter import Segmenter

    sock = bind(args.host, args.port)
    images = ImageCache(Segmenter.load(args.model, device=device), args.memory)
    key = args.api_key or os.environ.get("LABEL_STUDIO_API_KEY") or None
    fetcher = Fetcher(url, api_key=key, root=args.root, hosts=args.allow_host)
    backend = Backend(images, fetcher, level=args.level, say=say)
    print(address_of(sock, args.host), flush=True)
    say(f"enter this address in Label Studio ({url}): project, Settings, Model, Connect Model, interactive")
    run(Watch(make_app(backend, args.password)), sock)
