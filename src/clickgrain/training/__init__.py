"""Training: data, loop, recipes and `learn`. Import from the modules; `args` and `recipes` load nothing heavy."""
