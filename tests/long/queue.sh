#!/bin/bash
# A hundred small bakes at once on one data directory.
BAKES=${BAKES:-100} exec bash "$SRC/tests/integration/queue.sh"
