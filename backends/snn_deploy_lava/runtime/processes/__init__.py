"""Lava processes and their fixed-point models, alone in this package.

Lava's compiler executes every module beside the one that defines a process while it looks for models, so modules
here have no side effects and import absolutely (lava.magma.compiler.compiler_graphs, ``_find_proc_models``).
"""
