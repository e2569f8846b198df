"""The verbs of the command line, one module each: ``add(subparsers)`` declares one, ``execute(arguments)`` does it.

``execute`` returns the exit status: 0 done or equal, 1 different or does not fit, 2 not compared. Errors are raised.
"""
