"""The paper's studies: what is varied (`plans`), how it is run (`run`), and what comes out (`table`).

`args` and `plans` load nothing heavy.
"""
