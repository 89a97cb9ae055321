"""The whole story on bundled photos; `story.run_demo` tells it."""
