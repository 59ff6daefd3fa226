#!/bin/bash
# The model with two hosts, two cycles, two writers; minutes and some GB of memory each.
EXHAUST=long exec bash "$SRC/tests/integration/gc_model.sh"
