"""The demo: all of clickgrain on bundled photos; `story.run_demo` is the entry."""
