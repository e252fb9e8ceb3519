"""Plug-ins: one file for each program that shows metrics over training steps.

A file defines `PACKAGE`, the library that it needs, and `start(run, where, folder)`, which gives a harness.tracking.TrackerRun.
`RUN_VARIABLE`, where there is one, names the variable with which the program's users choose one run for everything.
"""
