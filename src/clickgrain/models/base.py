"""What a click model is: `ClickModel`, and what it answers: `Decoded`.

A click model is split where a click arrives: `encode` sees the image alone and can be cached; `decode` sees
what `encode` gave and the click maps. Training, the segmenter and the exporter know models only through this.
"""

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from torch import Tensor, nn

from clickgrain.clicks.config import MapSpec
from clickgrain.errors import WeightsError
from clickgrain.weights import CARD, find_model, save_model


class Decoded(NamedTuple):
    """What a click model says about a batch of prompts."""

    # B x 1 x H' x W' float; sigmoid gives the probability of *object*. H' x W' may be smaller than the image.
    logits: Tensor
    score: Tensor  # B float in 0..1, the IoU that the model expects of `logits > 0`


class ClickModel(nn.Module, ABC):
    """A network that answers clicks.

    Attributes:
        config: what the model was built from, a dataclass of `models.config`; `config.kind` names the family.
        map_spec: the click maps that `decode` wants, in channel order.
        card: text of its README.md with the metadata of Hugging Face; None where it has none.
        obeys: whether its engine pushes masks over clicks that they disobey (`clickgrain.models.engine.obey`).
    """

    config: Any  # each model narrows it to its own dataclass
    map_spec: MapSpec
    card: str | None = None
    obeys: ClassVar[bool] = False

    @abstractmethod
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Everything that depends on the image alone.

        Args:
            images: B x 3 x H x W float32 RGB in 0..255.

        Returns:
            Tensors with the batch in front, so that a caller may keep, index and repeat them per image.
        """

    @abstractmethod
    def decode(self, encoded: tuple[Tensor, ...], maps: Tensor) -> Decoded:
        """Answer one prompt per image.

        Args:
            encoded: what `encode` gave for B images.
            maps: B x C x h x w float32 click maps, as `map_spec` describes them.
        """

    def forward(self, images: Tensor, maps: Tensor) -> Decoded:
        """`decode(encode(images), maps)`; the entry that distributed training and compilers hook into."""
        return self.decode(self.encode(images), maps)

    def save_pretrained(self, folder: str | Path, *, half: bool = True) -> None:
        """Write model.safetensors, config.json and the card; `half` stores the weights as float16."""
        extra = {} if self.card is None else {CARD: self.card.encode()}
        save_model(folder, config=self.config.to_json(), tensors=self.state_dict(), extra=extra, half=half)

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None, half: bool = True
    ) -> str:
        """Put the model on Hugging Face, in a repository that is made if need be; the address of the commit.

        Args:
            repo_id: "user/name".
            private: of a new repository; None leaves it to the account's settings.
            token: one that may write; else that of `hf auth login` or HF_TOKEN.
            half: as of `save_pretrained`.

        Raises:
            WeightsError: Hugging Face refuses, or cannot be reached.
        """
        from huggingface_hub import HfApi  # only here: its import takes a while

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, half=half)
            try:
                api = HfApi(token=token)
                api.create_repo(repo_id, private=private, exist_ok=True)
                message = f"clickgrain {self.config.kind} model"
                return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))
            except Exception as error:  # connection trouble comes in the types of whichever HTTP library is in use
                raise WeightsError(
                    f"{repo_id}: Hugging Face refused the model ({str(error).strip() or type(error).__name__});"
                    " log in with `hf auth login`, or check the name and the connection"
                ) from error

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None, strict: bool = True) -> Self:
        """The model of a folder, of Hugging Face, or "default", ready to answer (`eval()`).

        Args:
            source: as of `clickgrain.weights.load_model`.
            revision: branch, tag or commit of a Hugging Face id.
            strict: refuse weights that are not exactly those of the network; False leaves out what does not fit.

        Raises:
            WeightsError: it cannot be found, read or matched, or is of another kind than this class.
        """
        from clickgrain.models.registry import load_click_model

        model = load_click_model(source, revision=revision, strict=strict)
        if not isinstance(model, cls):
            raise WeightsError(
                f"{source}: a {type(model).__name__}, not a {cls.__name__}; call its from_pretrained"
            )
        card = find_model(source, revision=revision) / CARD
        model.card = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
        return model.eval()
