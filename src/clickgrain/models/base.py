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

    logits: Tensor  # B x 1 x H' x W' float, maybe smaller than the image; sigmoid gives the probability of *object*
    score: Tensor  # B float in 0..1, the IoU that the model expects of `logits > 0`


class ClickModel(nn.Module, ABC):
    """A network that answers clicks."""

    config: Any  # what it was built from: each model narrows it to its own dataclass of `models.config`
    map_spec: MapSpec  # the click maps that `decode` wants, in channel order
    card: str | None = None  # text of its README.md with the metadata of Hugging Face
    obeys: ClassVar[bool] = False  # whether its engine pushes masks over clicks that they disobey (`cut.obey`)

    @abstractmethod
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """All that depends on B x 3 x H x W float32 RGB images in 0..255 alone: tensors with the batch in front."""

    @abstractmethod
    def decode(self, encoded: tuple[Tensor, ...], maps: Tensor) -> Decoded:
        """Answer one prompt per image, by what `encode` gave and B x C x h x w click maps (see `map_spec`)."""

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
        """Put the model on Hugging Face as "user/name", which is made if need be; the address of the commit.

        `private` None leaves it to the account's settings; `token` may write, else that of `hf auth login` or
        HF_TOKEN is taken. Raises WeightsError: Hugging Face refuses, or cannot be reached.
        """
        from huggingface_hub import HfApi  # only here: its import takes a while

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, half=half)
            try:
                api = HfApi(token=token)
                api.create_repo(repo_id, private=private, exist_ok=True)
                message = f"clickgrain {self.config.kind} model"
                return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))
            except Exception as error:  # connection trouble comes in the types of the HTTP library in use
                reason = str(error).strip() or type(error).__name__
                fix = "log in with `hf auth login`, or check the name and the connection"
                raise WeightsError(f"{repo_id}: Hugging Face refused the model ({reason}); {fix}") from error

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None, strict: bool = True) -> Self:
        """The model of a folder, of Hugging Face (`revision`: a branch, tag or commit), or "default", in `eval()`.

        `strict` refuses weights that are not exactly those of the network; else what does not fit is left out.
        Raises WeightsError: it cannot be found, read or matched, or is of another kind than this class.
        """
        from clickgrain.models.registry import load_click_model

        model = load_click_model(source, revision=revision, strict=strict)
        if not isinstance(model, cls):
            kinds = f"a {type(model).__name__}, not a {cls.__name__}"
            raise WeightsError(f"{source}: {kinds}; call its from_pretrained")
        card = find_model(source, revision=revision) / CARD
        model.card = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
        return model.eval()
