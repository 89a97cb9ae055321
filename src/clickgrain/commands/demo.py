"""`clickgrain demo`: the whole story on bundled photos."""

from clickgrain.demo.config import DemoArgs


def demo(args: DemoArgs) -> None:
    """Run all stages; the report's path on stdout, progress on stderr."""
    from clickgrain.demo.story import run_demo

    print(run_demo(args))
