"""Whether the values of a config.json are those of this version's settings; without torch."""

from dataclasses import fields


def differences(cls: type, values: object, prefix: str = "") -> list[str]:
    """What is missing from, or unknown among, the values of a dataclass, in words; `prefix` names its place."""
    if not isinstance(values, dict):
        return [f"{prefix.rstrip('.')} is {values!r}"]
    wanted = {f.name for f in fields(cls)}
    missing, unknown = sorted(wanted - values.keys()), sorted(values.keys() - wanted)
    return [f"{prefix}{key} is missing" for key in missing] + [f"{prefix}{key} is unknown" for key in unknown]
