"""As much of napari's viewer model as the session uses, for machines without napari (with Qt it takes 1.4 GB)."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np


def rgba(color):
    """Four numbers in 0..1 of "#rrggbb"; white for names."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] if color.startswith("#") else [1, 1, 1]
    return [*parts, 1]


class Event:
    """Calls what was connected."""

    def __init__(self):
        self.connected = []

    def connect(self, call):
        self.connected.append(call)

    def __call__(self, **said):
        for call in self.connected:
            call(SimpleNamespace(**said))


class Layer:
    """An image or labels."""

    rgb, contrast_limits = False, (0, 65535)

    def __init__(self, data, name="", *, scale=(1, 1), translate=(0, 0), **more):
        self.data, self.name, self.scale, self.translate = data, name, scale, translate
        self.multiscale = isinstance(data, list)
        self.corner_pixels = np.zeros((2, 2), int)  # of what is drawn
        vars(self).update(more)

    def refresh(self):
        """Nothing is shown."""


class Points(Layer):
    """Colors belong to points; a change of the data is an event."""

    def __init__(self, data, *, face_color, **more):
        self.events, self.current_face_color = SimpleNamespace(data=Event()), face_color
        self.face_color = np.zeros((0, 4))
        super().__init__(data, **more)

    @property
    def data(self):
        return self._data

    @data.setter
    def data(self, values):
        self._data, self.face_color = np.asarray(values, float), self.face_color[: len(values)]
        self.events.data(action="changed")

    def add(self, points):
        self._data = np.concatenate([self._data, np.asarray(points, float)])
        self.face_color = np.vstack([self.face_color, *([rgba(self.current_face_color)] for _ in points)])
        self.events.data(action="added")


class Shapes(Layer):
    """Rectangles and paths."""

    def __init__(self, *, edge_color, **more):
        self.current_edge_color, self.edge_color = edge_color, np.zeros((0, 4))
        super().__init__([], **more)

    def _add(self, corners):
        self.data = [*self.data, np.asarray(corners, float)]
        self.edge_color = np.vstack([self.edge_color, [rgba(self.current_edge_color)]])

    def add_rectangles(self, corners):
        (top, left), (bottom, right) = corners
        self._add([[top, left], [top, right], [bottom, right], [bottom, left]])

    add_paths = _add


class ViewerModel:
    """Layers, and the slice that is shown."""

    def __init__(self):
        self.dims = SimpleNamespace(current_step=(0,), set_current_step=self._show)
        self.add_image = self.add_labels = Layer
        self.add_points, self.add_shapes = Points, Shapes

    def _show(self, axis, step):
        self.dims.current_step = (step,)


def import_session():
    """The session, with napari's one function that it needs."""
    colormaps = ModuleType("napari.utils.colormaps")
    colormaps.direct_colormap = dict
    names = {
        "napari": ModuleType("napari"),
        "napari.utils": ModuleType("napari.utils"),
        colormaps.__name__: colormaps,
    }
    sys.modules.update(names)
    try:
        from clickgrain.napari.session import ClickSession
    finally:
        for name in names:
            del sys.modules[name]
    return ClickSession
