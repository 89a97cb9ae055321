"""The dock widget of the napari plugin."""

from collections.abc import Callable
from typing import Any

from clickgrain.errors import ClickgrainError, ConfigError
from clickgrain.segmenter import Segmenter
from clickgrain.tracking import LOST, Tracked

try:
    import napari.layers
    from magicgui import widgets
    from napari.qt.threading import thread_worker
    from napari.utils.notifications import show_warning

    from clickgrain.napari.session import ClickSession
except ImportError as error:
    raise ConfigError("napari is not installed; pip install 'clickgrain[napari]'") from error

HELP = "S: answer\nT: on the object / on the background\nC: commit\nShift-C: clear\nN: next slice"


class ClickWidget(widgets.Container):
    """Chooses image, model and level; the keys work wherever the pointer is in the viewer."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session: ClickSession | None = None
        self.image = widgets.create_widget(annotation=napari.layers.Image, label="image")
        self.model = widgets.LineEdit(
            value="default", label="model", tooltip="default, tree, a folder, a Hugging Face id"
        )
        self.begin = widgets.PushButton(text="Start")
        self.fixed = widgets.CheckBox(value=False, text="choose the level")
        self.level = widgets.FloatSlider(value=0.6, min=0, max=1, step=0.01, label="level", enabled=False)
        self.commit = widgets.PushButton(text="Commit (C)")
        self.clear_ = widgets.PushButton(text="Clear (Shift-C)")
        self.carry = widgets.PushButton(text="Carry on through the stack")
        self.told = widgets.Label(value=HELP)
        self.extend([self.image, self.model, self.begin, self.fixed, self.level])
        self.extend([self.commit, self.clear_, self.carry, self.told])
        self.begin.changed.connect(self.start)
        self.fixed.changed.connect(self._on_level)
        self.level.changed.connect(self._on_level)
        self.commit.changed.connect(lambda: self._act(ClickSession.commit))
        self.clear_.changed.connect(lambda: self._act(ClickSession.clear))
        self.carry.changed.connect(self.carry_on)
        keys: dict[str, Callable[[ClickSession], Any]] = {
            "S": ClickSession.segment,
            "T": ClickSession.toggle,
            "C": ClickSession.commit,
            "Shift-C": ClickSession.clear,
            "N": ClickSession.next_slice,
        }
        for key, act in keys.items():
            napari_viewer.bind_key(key, lambda viewer, act=act: self._act(act), overwrite=True)

    def start(self) -> None:
        """Add the layers for the chosen image."""
        if self.image.value is None:
            show_warning("open an image first")
            return
        try:
            segmenter = Segmenter.load(self.model.value or "default")
            self.session = ClickSession(self.viewer, self.image.value, segmenter)
        except ClickgrainError as error:
            show_warning(str(error))
            return
        self._on_level()

    def carry_on(self) -> None:
        """Carry the current object on in the background, one slice after the other."""
        if self.session is None:
            show_warning("press Start first")
            return
        session = self.session

        def arrived(step: tuple[int, Tracked]) -> None:
            session.take(*step)
            score = step[1].score
            self.told.value = f"slice {step[0]}: {f'score {score:.2f}' if score >= LOST else 'lost, click again'}"

        worker = thread_worker(session.carry_on)()
        worker.yielded.connect(arrived)
        worker.errored.connect(lambda error: show_warning(str(error)))
        worker.start()

    def _on_level(self) -> None:
        self.level.enabled = self.fixed.value
        if self.session is not None:
            self.session.level = float(self.level.value) if self.fixed.value else None
            self._act(ClickSession.segment)

    def _act(self, act: Callable[[ClickSession], Any]) -> None:
        if self.session is None:
            show_warning("press Start first")
            return
        try:
            act(self.session)
        except ClickgrainError as error:
            show_warning(str(error))
        self.told.value = HELP if self.session.positive else "clicks mark the background now (T)"


def make_widget(napari_viewer: Any) -> ClickWidget:
    """What the manifest names; the parameter's name is napari's contract."""
    return ClickWidget(napari_viewer)
