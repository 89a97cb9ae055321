"""The paper's studies and ours: `python -m studies NAME`, from a checkout of the repository.

`plans` says what each study varies, `run` trains and clicks every variant, `table` writes what came of it. Variants
are trained by the code of `clickgrain train` and clicked by that of `clickgrain evaluate`.
"""
