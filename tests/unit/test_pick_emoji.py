"""`tools/pick_emoji.py`: things are copied, signs are not, one skin tone each."""

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("pick_emoji", Path(__file__).parents[2] / "tools" / "pick_emoji.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

THINGS = ["1f415", "1f34e", "1f697", "1f3c3-200d-2640-fe0f", "2602-fe0f"]  # dog, apple, car, runner, umbrella
SIGNS = ["0023-fe0f-20e3", "1f1e9-1f1ea", "27a1-fe0f", "1f550", "2764-fe0f", "1f600", "1f468-200d-1f469-200d-1f467"]
TONED = [f"1f46e{tone}" for tone in ("", "-1f3fb", "-1f3fc", "-1f3fd", "-1f3fe", "-1f3ff")]


def test_things_of_one_skin_tone_are_picked(tmp_path):
    source = tmp_path / "assets"
    source.mkdir()
    for name in [*THINGS, *SIGNS, *TONED]:
        (source / f"{name}.webp").write_bytes(name.encode())
    assert tool.pick(source, tmp_path / "things") == len(THINGS) + 1
    picked = {path.stem for path in (tmp_path / "things").iterdir()}
    assert picked & {*THINGS, *SIGNS} == set(THINGS)
    assert len(picked & set(TONED)) == 1
    assert all(path.read_bytes() == path.stem.encode() for path in (tmp_path / "things").iterdir())
