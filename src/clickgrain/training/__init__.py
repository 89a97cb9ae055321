"""Training: data, loop, recipes and `learn`. Import from the modules; `config` loads nothing heavy."""
