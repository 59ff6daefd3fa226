#!/bin/bash
# Two hundred kills of bakes at random moments.
KILLS=${KILLS:-200} exec bash "$SRC/tests/integration/kill.sh"
